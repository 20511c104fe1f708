"""Bytes a second of flows, between two looks at them."""

from collections.abc import Iterable, Iterator
from typing import Final, final

from netledger.conntrack import Flow
from netledger.intervals import Moment
from netledger.reports.flows import told
from netledger.reports.flows.chosen import Identity, identity

_SECOND_NS: Final = 1_000_000_000


@final
class Rates:
    """What each flow had at the last look. A flow that is new since then began since then, and counts whole.

    Attributes:
        known: of this look, bytes a second of both directions; empty at the first one.
    """

    def __init__(self) -> None:
        self.known: dict[Identity, int] = {}
        self._before: dict[Identity, int] = {}
        self._before_ns: int | None = None

    def of(self, flows: Iterable[Flow], now: Moment) -> Iterator[Flow]:
        """The same flows; the rate of each is known as soon as it is handed out."""
        self.known.clear()
        passed_ns = None if self._before_ns is None else max(1, now.monotonic_ns - self._before_ns)
        counted: dict[Identity, int] = {}
        for flow in flows:
            name, number = identity(flow), told.total(flow, "bytes")
            counted[name] = number
            if passed_ns is not None:
                # Below what it was: somebody has reset its counters.
                more = max(0, number - self._before.get(name, 0))
                self.known[name] = more * _SECOND_NS // passed_ns
            yield flow
        self._before, self._before_ns = counted, now.monotonic_ns
