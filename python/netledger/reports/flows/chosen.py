"""Which flows are shown, in which order, and what all of them come to."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from netledger.conntrack import Flow
from netledger.errors import UsageError
from netledger.receipt import Count
from netledger.reports.flows import told
from netledger.reports.flows.where import Wanted

Identity = tuple[int | None, bytes, int | None, bytes, int | None, int, int | None]
"""What tells a flow from all others of a network namespace, also from a later one with the same ends."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        wanted: which flows.
        sort: one of :data:`SORTS`.
        limit: how many are shown; None for all.
    """

    wanted: Wanted
    sort: str = "bytes"
    limit: int | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be answered.

        Raises:
            UsageError: so it is.
        """
        if self.sort not in SORTS:
            raise UsageError(f"--sort {self.sort}", "", "not possible here", f"there are {', '.join(SORTS)}")


@final
@dataclass(slots=True)
class Totals:
    """Of all flows that are wanted, shown or not.

    Attributes:
        flows: how many.
        sent: by their sources.
        received: by their sources.
        uncounted: how many of them the kernel does not count.
    """

    flows: int = 0
    sent: Count = field(default_factory=lambda: Count(0, 0))
    received: Count = field(default_factory=lambda: Count(0, 0))
    uncounted: int = 0


@final
@dataclass(frozen=True, slots=True)
class Listing:
    """The flows of one moment.

    Attributes:
        taken_ns: when the kernel was asked, UTC nanoseconds since 1970.
        flows: those shown, in order.
        totals: of all that are wanted.
        rates: of flows that were seen before, bytes a second; empty where nobody looked before.
    """

    taken_ns: int
    flows: tuple[Flow, ...]
    totals: Totals
    rates: Mapping[Identity, int] = field(default_factory=dict)

    @property
    def left_out(self) -> int:
        """How many are wanted and not shown."""
        return self.totals.flows - len(self.flows)


def identity(flow: Flow) -> Identity:
    """See :data:`Identity`."""
    first = flow.original
    ends = (first.source_raw, first.source_port, first.destination_raw, first.destination_port)
    return (flow.id, *ends, first.protocol, flow.start_ns)


def listing(
    flows: Iterable[Flow], order: Order, *, taken_ns: int, rates: Mapping[Identity, int] | None = None
) -> Listing:
    """Takes what is wanted out of ``flows``. Only those shown are kept."""
    # The very same dictionary: it may be filled while the flows come.
    totals, rates = Totals(), {} if rates is None else rates
    key = _keys(rates)[order.sort]
    found = _counted(flows, order.wanted, totals)
    shown = sorted(found, key=key) if order.limit is None else heapq.nsmallest(order.limit, found, key=key)
    return Listing(taken_ns, tuple(shown), totals, rates)


def _counted(flows: Iterable[Flow], wanted: Wanted, totals: Totals) -> Iterator[Flow]:
    """The flows that are wanted, while they are added up."""
    sent_packets = sent_bytes = received_packets = received_bytes = 0
    for flow in flows:
        if not wanted.takes(flow):
            continue
        first, second = flow.original, flow.reply
        totals.flows += 1
        if first.bytes is None and second.bytes is None:
            totals.uncounted += 1
        sent_packets += first.packets or 0
        sent_bytes += first.bytes or 0
        received_packets += second.packets or 0
        received_bytes += second.bytes or 0
        yield flow
    totals.sent, totals.received = Count(sent_packets, sent_bytes), Count(received_packets, received_bytes)


def _keys(rates: Mapping[Identity, int]) -> dict[str, Callable[[Flow], tuple[object, ...]]]:
    """What each order goes by, the least first; flows that are equal in it always come in the same order."""

    def by(rank: Callable[[Flow], int]) -> Callable[[Flow], tuple[object, ...]]:
        return lambda flow: (rank(flow), *_tie(flow))

    return {
        "bytes": by(lambda flow: -told.total(flow, "bytes")),
        "packets": by(lambda flow: -told.total(flow, "packets")),
        "sent_bytes": by(lambda flow: -(flow.original.bytes or 0)),
        "sent_packets": by(lambda flow: -(flow.original.packets or 0)),
        "received_bytes": by(lambda flow: -(flow.reply.bytes or 0)),
        "received_packets": by(lambda flow: -(flow.reply.packets or 0)),
        "rate": by(lambda flow: -rates.get(identity(flow), 0)),
        # The oldest first; of those without a start nothing is known.
        "age": by(lambda flow: flow.start_ns if flow.start_ns is not None else 1 << 64),
        "timeout": by(lambda flow: flow.timeout_seconds if flow.timeout_seconds is not None else 1 << 64),
    }


def _tie(flow: Flow) -> tuple[object, ...]:
    first = flow.original
    ports = (first.source_port or 0, first.destination_port or 0, first.icmp_id or 0)
    return (-told.total(flow, "bytes"), first.protocol, first.source_raw, first.destination_raw, *ports, flow.id or 0)


SORTS: Final = tuple(_keys({}))
"""What flows can be sorted by."""
