"""Which part of a period the ledger covers, meter by meter. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from netledger.reports.periods import Period

# A commit comes some seconds after the end of its interval, and somebody may ask in between.
_PATIENCE_NS = 60 * 1_000_000_000


class Interval(Protocol):
    """What is to be known of an interval."""

    @property
    def node(self) -> str:
        """The machine that counted."""

    @property
    def meter(self) -> str:
        """The configured accounting."""

    @property
    def start_ns(self) -> int:
        """Its start, UTC nanoseconds since 1970."""

    @property
    def end_ns(self) -> int:
        """Its end, which is no part of it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What of a period one meter has counted.

    Attributes:
        node: the machine.
        meter: the configured accounting.
        end_ns: the end of its last interval.
        gaps: what is missing, up to now; without the interval that is still open.
        overlaps: what was counted in two intervals.
    """

    node: str
    meter: str
    end_ns: int
    gaps: tuple[Period, ...]
    overlaps: tuple[Period, ...]


def coverage(intervals: Iterable[Interval], period: Period, *, now_ns: int) -> list[Coverage]:
    """The coverage by each meter that has an interval in the period.

    ``intervals`` may hold some from before and behind the period; those that reach into it count.
    """
    meters: dict[tuple[str, str], list[Interval]] = {}
    for one in intervals:
        if one.start_ns < period.end_ns and one.end_ns > period.start_ns:
            meters.setdefault((one.node, one.meter), []).append(one)
    return [_of_meter(node, meter, found, period, now_ns) for (node, meter), found in sorted(meters.items())]


def crossing(intervals: Iterable[Interval], borders: Sequence[int]) -> int:
    """How many intervals have one of these moments inside of them, so that they cannot be told apart there."""
    ordered = sorted(intervals, key=lambda one: one.start_ns)
    found, place = 0, 0
    for one in ordered:
        while place < len(borders) and borders[place] <= one.start_ns:
            place += 1
        found += place < len(borders) and borders[place] < one.end_ns
    return found


def _of_meter(node: str, meter: str, intervals: list[Interval], period: Period, now_ns: int) -> Coverage:
    ordered = sorted(((one.start_ns, one.end_ns) for one in intervals), key=lambda pair: pair)
    gaps, overlaps = [], []
    reached_ns = period.start_ns
    for number, (start_ns, end_ns) in enumerate(ordered):
        if start_ns > reached_ns:
            gaps.append(Period(reached_ns, start_ns))
        elif number and start_ns < reached_ns:
            overlaps.append(Period(start_ns, min(reached_ns, end_ns)))
        reached_ns = max(reached_ns, end_ns)
    # What is counted now comes into the ledger when its interval ends; that takes as long as the longest one did.
    open_ns = max(end_ns - start_ns for start_ns, end_ns in ordered) + _PATIENCE_NS
    if reached_ns < period.end_ns and reached_ns + open_ns < now_ns:
        gaps.append(Period(reached_ns, min(period.end_ns, now_ns)))
    return Coverage(node=node, meter=meter, end_ns=reached_ns, gaps=tuple(gaps), overlaps=tuple(overlaps))
