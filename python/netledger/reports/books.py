"""Are the books of a period balanced and complete? Meter by meter. Pure but for the question to the ledger."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import final

from netledger.errors import LedgerError
from netledger.ledger.intervals import IntervalRow
from netledger.ledger.meters import Edge, Hole, Surroundings, surroundings
from netledger.ledger.reader import Reader
from netledger.ledger.store import day_of
from netledger.receipt import Balance, Status, rfc3339, seconds
from netledger.reports.coverage import Interval, coverage
from netledger.reports.periods import Period
from netledger.reports.where import Filter
from netledger.schema import Table

_Name = tuple[str, str]


class GapKind(StrEnum):
    """Why nothing was counted for some time, as far as the ledger can tell."""

    STOPPED = "stopped"
    """The numbers go on without a break: the meter was stopped in order, and started later."""
    MISSING = "missing"
    """Intervals were counted and numbered, and are not in the ledger."""
    NOT_BEGUN = "not_begun"
    """The meter has no interval before."""
    SILENT = "silent"
    """The meter has no interval since."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time that a meter has no interval for."""

    span: Period
    kind: GapKind


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MeterBooks:
    """What one meter has counted in a period.

    Attributes:
        node: the machine that counted.
        meter: the configured accounting.
        intervals: those that begin in the period, by number.
        balance: their receipts, added up.
        span: what should be covered: the period up to now, or from the first to the last interval where none is given.
        gaps: which parts of it are not.
        overlaps: which parts of it two intervals have counted.
        holes: numbers that are missing there.
    """

    node: str
    meter: str
    intervals: Sequence[IntervalRow]
    balance: Balance
    span: Period
    gaps: Sequence[Gap]
    overlaps: Sequence[Period]
    holes: Sequence[Hole]

    @property
    def covered_ns(self) -> int:
        """How much of the span the intervals cover; that which is still being counted is taken as covered."""
        return _length(self.span) - sum(_length(gap.span) for gap in self.gaps)

    @property
    def is_sound(self) -> bool:
        """Whether all that was counted is here, once, and proven as far as its mechanism can."""
        bad = (Status.LOSSY, Status.INTERRUPTED)
        return not (self.holes or self.overlaps or any(self.balance.statuses.get(status, 0) for status in bad))

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "node": self.node,
            "meter": self.meter,
            **self.balance.to_json(),
            "start": rfc3339(self.span.start_ns),
            "end": rfc3339(self.span.end_ns),
            "seconds": seconds(_length(self.span)),
            "covered_seconds": seconds(self.covered_ns),
            "gaps": [_span_json(gap.span) | {"kind": str(gap.kind)} for gap in self.gaps],
            "overlaps": [_span_json(span) for span in self.overlaps],
            "missing": [{"first": hole.first, "last": hole.last} for hole in self.holes],
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """All meters.

    Attributes:
        period: what was asked for; None is all that there is.
        intervals: those that begin in it.
        balance: the receipts of traffic, added up; those of named counters are with their meters.
        meters: by name of meter and node.
        days_dropped: UTC days of these intervals whose rows were removed because of their age; the receipts are here.
    """

    period: Period | None
    intervals: Sequence[IntervalRow]
    balance: Balance
    meters: Sequence[MeterBooks]
    days_dropped: Sequence[str]

    def is_sound(self, *, is_gap_allowed: bool) -> bool:
        """Whether nothing is lost, missing, interrupted or counted twice, and a period that was asked for is not empty.

        A time in which nobody was asked to count is no fault of the books; ``is_gap_allowed`` says whether it is one
        all the same.
        """
        if self.period is not None and not self.intervals:
            return False
        return all(one.is_sound and (is_gap_allowed or not one.gaps) for one in self.meters)


def books(reader: Reader, period: Period | None, where: Filter, *, now_ns: int) -> Books:
    """The books of a period, or of everything. Blocks for the disk.

    Raises:
        LedgerError: there is no store, it cannot be read, or a sum does not fit 64 bits.
    """
    start_ns, end_ns = (None, None) if period is None else (period.start_ns, period.end_ns)
    snapshot = reader.snapshot(start_ns=start_ns, end_ns=end_ns)
    found = [one for one in (*snapshot.intervals, *snapshot.counters) if where.takes(node=one.node, meter=one.meter)]
    intervals = sorted(found, key=lambda one: (one.node, one.meter, one.seq))
    around = surroundings(reader, start_ns=start_ns, end_ns=end_ns)
    by_meter: dict[_Name, list[IntervalRow]] = defaultdict(list)
    for one in intervals:
        by_meter[one.meter, one.node].append(one)
    for edge in around.before:
        # A meter that has fallen silent has books too: they are empty.
        if where.takes(node=edge.node, meter=edge.meter):
            by_meter.setdefault((edge.meter, edge.node), [])
    try:
        return Books(
            period=period,
            intervals=intervals,
            # A packet may be in many named counters, or in none: their sum says nothing beside that of traffic.
            balance=Balance.of(one for one in intervals if one.table is Table.TRAFFIC),
            meters=[_meter(name, found, period, around, now_ns) for name, found in sorted(by_meter.items())],
            days_dropped=sorted(
                {day_of(one.start_ns) for one in snapshot.intervals} & snapshot.days_dropped
                | {day_of(one.start_ns) for one in snapshot.counters} & snapshot.counter_days_dropped
            ),
        )
    except OverflowError as error:
        raise LedgerError("balance", "", "it does not fit 64 bits", "ask for a shorter --period") from error


def _meter(
    name: _Name, intervals: Sequence[IntervalRow], period: Period | None, around: Surroundings, now_ns: int
) -> MeterBooks:
    meter, node = name
    before, after = _of(around.before, name), _of(around.after, name)
    if period is None:
        span = Period(min(one.start_ns for one in intervals), max(one.end_ns for one in intervals))
    else:
        span = Period(period.start_ns, max(period.start_ns, min(period.end_ns, now_ns)))
    near: list[Interval] = [*([before] if before else []), *intervals]
    covered = coverage(near, period or span, now_ns=now_ns)
    holes = [hole for hole in around.holes if (hole.meter, hole.node) == name and _touches(hole, period)]
    spans = covered[0].gaps if covered else (span,)
    gaps = []
    for gap in spans:
        if any(hole.start_ns <= gap.end_ns and hole.end_ns >= gap.start_ns for hole in holes):
            kind = GapKind.MISSING
        elif before is None and gap.start_ns == span.start_ns:
            kind = GapKind.NOT_BEGUN
        else:
            kind = GapKind.SILENT if after is None and gap.end_ns == span.end_ns else GapKind.STOPPED
        gaps.append(Gap(span=gap, kind=kind))
    return MeterBooks(
        node=node,
        meter=meter,
        intervals=sorted(intervals, key=lambda one: one.seq),
        balance=Balance.of(intervals),
        span=span,
        gaps=[gap for gap in gaps if _length(gap.span)],
        overlaps=covered[0].overlaps if covered else (),
        holes=holes,
    )


def _of(edges: Sequence[Edge], name: _Name) -> Edge | None:
    return next((edge for edge in edges if (edge.meter, edge.node) == name), None)


def _touches(hole: Hole, period: Period | None) -> bool:
    if period is None:
        return True
    start_ns, end_ns = sorted((hole.start_ns, hole.end_ns))
    # Between two intervals that follow each other without a gap there is a place, but no time.
    return start_ns < period.end_ns and (end_ns > period.start_ns or start_ns >= period.start_ns)


def _length(span: Period) -> int:
    return span.end_ns - span.start_ns


def _span_json(span: Period) -> dict[str, object]:
    return {"start": rfc3339(span.start_ns), "end": rfc3339(span.end_ns), "seconds": seconds(_length(span))}
