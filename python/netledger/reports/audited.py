"""Books as lines for people and as JSON values."""

from collections.abc import Iterator
from typing import Final

from netledger.ledger.intervals import IntervalRow
from netledger.receipt import ZERO, Status, rfc3339
from netledger.reports.books import Books, GapKind, MeterBooks
from netledger.reports.periods import Period
from netledger.reports.remarks import balance_line, counted, duration
from netledger.reports.zones import Zone
from netledger.schema import Table

_WORD_COLUMNS: Final = 12
_MEANING: Final = {
    GapKind.STOPPED: "the meter was stopped, and started again",
    GapKind.MISSING: "its intervals are missing",
    GapKind.NOT_BEGUN: "the meter had not begun",
    GapKind.SILENT: "nothing came since",
}


def to_json(books: Books) -> dict[str, object]:
    """The books as JSON values."""
    period = books.period
    return {
        "period": None if period is None else {"start": rfc3339(period.start_ns), "end": rfc3339(period.end_ns)},
        "balance": books.balance.to_json(),
        "coverage": [one.to_json() for one in books.meters],
        "days_dropped": list(books.days_dropped),
        "intervals": [_interval_json(one) for one in books.intervals],
    }


def lines(books: Books, zone: Zone) -> Iterator[str]:
    """Meter by meter what is not as it should be, and the sums beneath."""
    if books.period is not None:
        yield f"period      {_span(books.period, zone)}, {zone.name}"
        if not books.intervals:
            yield "empty       the ledger holds no interval of this period"
    for meter in books.meters:
        yield from _meter(meter, zone)
    if days := books.days_dropped:
        which = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        yield f"removed     the rows of {counted(len(days), 'UTC day')}, because of their age: {which}; receipts stay"
    balance = books.balance
    counts = ", ".join(f"{number} {status}" for status in Status if (number := balance.statuses.get(status, 0)))
    traffic = sum(balance.statuses.values())
    yield f"intervals   {traffic}{f': {counts}' if counts else ''}"
    if traffic < len(books.intervals):
        yield f"counters    {len(books.intervals) - traffic} intervals of named counters beside them, see their meters"
    if balance.kernel is not None:
        yield f"kernel      {balance.kernel.packets:>20,} packets {balance.kernel.bytes:>26,} bytes"
    yield f"accounted   {balance.accounted.packets:>20,} packets {balance.accounted.bytes:>26,} bytes"
    yield f"lost        {balance.lost.packets:>20,} packets {balance.lost.bytes:>26,} bytes"


def _meter(books: MeterBooks, zone: Zone) -> Iterator[str]:
    yield f"{books.meter} on {books.node}: {balance_line(books.balance).removeprefix('balance: ')}"
    if books.intervals:
        first, last = books.intervals[0].seq, books.intervals[-1].seq
        numbers = f"number {first}" if first == last else f"numbers {first} to {last}"
        yield _line("covered", f"{_share(books)} of {_span(books.span, zone)}; {numbers}")
    for one in books.intervals:
        # Where a mechanism has no count to compare with, every interval is unproven, and that was said above.
        if one.status in {Status.LOSSY, Status.INTERRUPTED} or one.lost != ZERO:
            yield _line(str(one.status), _interval(one, zone))
    for hole in books.holes:
        which = f"number {hole.first}" if hole.first == hole.last else f"numbers {hole.first} to {hole.last}"
        yield _line(
            "missing", f"{which}, {counted(hole.last - hole.first + 1, 'interval')} that the ledger should have"
        )
    for overlap in books.overlaps:
        yield _line("twice", f"{_span(overlap, zone)}: counted in two intervals")
    for gap in books.gaps:
        yield _line("gap", f"{_span(gap.span, zone)}: {_MEANING[gap.kind]}")


def _interval(one: IntervalRow, zone: Zone) -> str:
    lost = f"lost {counted(one.lost.packets, 'packet')}, {counted(one.lost.bytes, 'byte')}"
    reason = f": {one.reason}" if one.reason else ""
    return f"{one.node} {one.meter} {one.seq}, {_span(Period(one.start_ns, one.end_ns), zone)}, {lost}{reason}"


def _share(books: MeterBooks) -> str:
    """In percent, cut and not rounded: 100 % is only said of what is covered whole."""
    length = books.span.end_ns - books.span.start_ns
    hundredths = books.covered_ns * 10_000 // length if length else 10_000
    return f"{hundredths / 100:.2f} %".replace(".00 %", " %")


def _line(word: str, text: str) -> str:
    return f"  {word:<{_WORD_COLUMNS}}{text}"


def _span(span: Period, zone: Zone) -> str:
    return f"{zone.text(span.start_ns)} to {zone.text(span.end_ns)} ({duration(span.end_ns - span.start_ns)})"


def _interval_json(interval: IntervalRow) -> dict[str, object]:
    kernel = interval.kernel
    return {
        "node": interval.node,
        "meter": interval.meter,
        "seq": interval.seq,
        "interval_start": rfc3339(interval.start_ns),
        "interval_end": rfc3339(interval.end_ns),
        "status": str(interval.status),
        "kernel_packets": None if kernel is None else kernel.packets,
        "kernel_bytes": None if kernel is None else kernel.bytes,
        "accounted_packets": interval.accounted.packets,
        "accounted_bytes": interval.accounted.bytes,
        "lost_packets": interval.lost.packets,
        "lost_bytes": interval.lost.bytes,
        "other_packets": interval.other.packets,
        "other_bytes": interval.other.bytes,
        "rows": interval.rows,
        "reason": interval.reason,
        **({} if interval.table is Table.TRAFFIC else {"table": str(interval.table)}),
    }
