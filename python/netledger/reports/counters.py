"""What named counters have counted in a period, out of the ledger."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final

from netledger.errors import LedgerError, UsageError
from netledger.ledger.intervals import IntervalRow
from netledger.ledger.reader import NAMED_VIEW, Reader, Snapshot
from netledger.ledger.store import day_of
from netledger.receipt import COUNT_MAX, Balance
from netledger.reports.coverage import coverage, crossing
from netledger.reports.patterns import pattern
from netledger.reports.periods import Period
from netledger.reports.question import Question
from netledger.reports.totals import Answer, Totals, Value
from netledger.reports.where import Filter, understand

BY_COLUMNS: Final = ("node", "meter", "kind", "name")
"""What totals of named counters can be told apart by."""
COUNTED: Final = ("packets", "bytes")

_NAMES: Final = re.compile(r"(?P<word>name|kind)(?P<sign>!?=)(?P<value>.*)", re.DOTALL)
_REACH_NS: Final = 2 * 86_400 * 1_000_000_000

_Line = tuple[Value, ...]


class NamedWhere:
    """Which counters are asked for: conditions on name and kind, as patterns, and those on whole intervals.

    Args:
        texts: as they were written, ``name=http*``, ``kind!=nft``, ``meter=rules``.

    Raises:
        UsageError: one of them means nothing, or is about addresses.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._patterns: list[tuple[str, bool, re.Pattern[str]]] = []
        rest = []
        for text in texts:
            match = _NAMES.fullmatch(text)
            if match is None:
                rest.append(text)
            else:
                self._patterns.append((match["word"], match["sign"] == "=", pattern(match["value"])))
        self.intervals: Filter = understand(rest)
        if self.intervals.is_of_rows:
            raise UsageError(f"--where {rest[0]}", "", "named counters have no such thing", "name, kind, meter, node")

    @property
    def is_of_rows(self) -> bool:
        """Whether it leaves out counters of the intervals that it takes."""
        return bool(self._patterns)

    def takes(self, kind: str, name: str) -> bool:
        """Whether a counter is asked for."""
        return all(self._holds(word, value) for word, value in (("name", name), ("kind", kind)))

    def _holds(self, word: str, value: str) -> bool:
        wanted = [one for of, is_wanted, one in self._patterns if of == word and is_wanted]
        unwanted = [one for of, is_wanted, one in self._patterns if of == word and not is_wanted]
        is_in = not wanted or any(one.fullmatch(value) for one in wanted)
        return is_in and not any(one.fullmatch(value) for one in unwanted)


def answer(
    reader: Reader,
    snapshot: Snapshot,
    period: Period,
    where: NamedWhere,
    *,
    by: Sequence[str] | None,
    sort: str,
    top: int | None,
    now_ns: int,
) -> Answer:
    """Adds up what the ledger holds of named counters. Blocks for the disk.

    ``snapshot`` is of the period. Without ``by`` counters are told apart by name and kind, and by meter where there
    are several: two meters may read the same one.

    Raises:
        UsageError: a column is none.
        LedgerError: the ledger cannot be read, a sum does not fit 64 bits, or rows are not what their receipts say.
    """
    intervals = _taken(snapshot, where)
    keys = _keys(by, intervals)
    if sort not in (*keys, *COUNTED):
        raise UsageError(f"--sort {sort}", "", "not among the columns", f"there are {', '.join((*COUNTED, *keys))}")
    days = {day_of(one.start_ns) for one in intervals}
    gone = days & snapshot.counter_days_dropped
    kept = [one for one in intervals if day_of(one.start_ns) not in gone]
    lines = _lines(reader, snapshot, period, keys, where, kept) if any(one.rows for one in kept) else []
    ordered = sorted(lines, key=lambda line: line[: len(keys)])
    place = (*keys, *COUNTED).index(sort)
    ordered.sort(key=lambda line: line[place], reverse=sort in COUNTED)  # type: ignore[arg-type, return-value]  # a column has one type
    before = reader.snapshot(start_ns=period.start_ns - _REACH_NS, end_ns=period.start_ns)
    near = [*_taken(before, where), *intervals]
    return Answer(
        question=Question(period=period, by=tuple(set(keys) & {"node", "meter"}), where=where.intervals, top=top),
        totals=_totals(ordered[:top], (*keys, *COUNTED), left_out=max(0, len(ordered) - (top or len(ordered)))),
        intervals=intervals,
        balance=_balance(intervals),
        coverage=coverage(near, period, now_ns=now_ns),
        crossing=crossing(near, [period.start_ns, period.end_ns]),
        undetailed={},
        days_dropped=sorted(gone),
        days_of_hours=(),
        days_with_hours=(),
        now_ns=now_ns,
    )


def _taken(snapshot: Snapshot, where: NamedWhere) -> list[IntervalRow]:
    return [one for one in snapshot.counters if where.intervals.takes(node=one.node, meter=one.meter)]


def _keys(by: Sequence[str] | None, intervals: Sequence[IntervalRow]) -> tuple[str, ...]:
    if by is None:
        several = len({one.meter for one in intervals}) > 1
        return ("meter", "name", "kind") if several else ("name", "kind")
    for column in by:
        if column not in BY_COLUMNS:
            raise UsageError(f"--by {column}", "", "no such column", f"there are {', '.join(BY_COLUMNS)}")
    return tuple(by)


def _lines(
    reader: Reader,
    snapshot: Snapshot,
    period: Period,
    keys: Sequence[str],
    where: NamedWhere,
    intervals: Sequence[IntervalRow],
) -> list[_Line]:
    """A line for each total: its keys, packets and bytes."""
    sums = ", ".join(f"CAST(sum({name}) AS DECIMAL(38, 0))" for name in COUNTED)
    wanted = f"interval_start >= {period.start_ns} AND interval_start < {period.end_ns}"
    days = snapshot.counter_days_dropped
    starts = sorted({one.start_ns for one in intervals}) if days else []
    if days:
        # What came late for a day whose rows were dropped is not all of it.
        wanted += f" AND interval_start IN ({', '.join(map(str, starts))})"
    with reader.named(snapshot.counter_files) as connection:
        found = connection.sql(
            f"SELECT node, meter, kind, name, {sums} FROM {NAMED_VIEW} "  # noqa: S608  # our own words and numbers
            f"WHERE {wanted} AND {where.intervals.interval_sql} GROUP BY ALL"
        ).fetchall()
    if not where.is_of_rows:
        _check(found, intervals)
    return list(_grouped((line for line in found if where.takes(str(line[2]), str(line[3]))), keys))


def _grouped(lines: Iterable[tuple[object, ...]], keys: Sequence[str]) -> Iterator[_Line]:
    places = [BY_COLUMNS.index(key) for key in keys]
    sums: dict[tuple[str, ...], list[int]] = {}
    for line in lines:
        one = sums.setdefault(tuple(str(line[place]) for place in places), [0, 0])
        for place, number in enumerate(line[len(BY_COLUMNS) :]):
            one[place] += _number(number)
    for key, counted in sums.items():
        if max(counted) > COUNT_MAX:
            raise LedgerError("sum", "", "it does not fit 64 bits", "ask for a shorter period")
        yield (*key, *counted)


def _check(lines: Iterable[Sequence[object]], intervals: Sequence[IntervalRow]) -> None:
    """All rows together are what the receipts say, where 64 bits could hold it."""
    told = [one.accounted for one in intervals]
    if any(COUNT_MAX in (one.packets, one.bytes) for one in told):
        return
    packets = octets = 0
    for line in lines:
        packets, octets = packets + _number(line[-2]), octets + _number(line[-1])
    if (packets, octets) != (sum(one.packets for one in told), sum(one.bytes for one in told)):
        cause = "the rows of named counters do not add up to what their receipts say"
        raise LedgerError("ledger", "add up", cause, "netledger audit --verify says what is damaged")


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | Decimal) else 0


def _totals(lines: Sequence[_Line], names: tuple[str, ...], *, left_out: int) -> Totals:
    cells = list(zip(*lines, strict=True)) if lines else [()] * len(names)
    # A packet may be in several counters: a sum over them would say nothing.
    return Totals(names=names, columns=dict(zip(names, cells, strict=True)), total={}, left_out=left_out)


def _balance(intervals: Sequence[IntervalRow]) -> Balance:
    try:
        return Balance.of(intervals)
    except OverflowError as error:
        raise LedgerError("balance", "", "it does not fit 64 bits", "ask for a shorter --period") from error
