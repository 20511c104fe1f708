"""Totals out of the ledger, and the intervals that they rest on."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, final

from netledger.errors import LedgerError
from netledger.intervals import DAY_NS, HOUR_NS
from netledger.ledger.added_rows import Adding
from netledger.ledger.intervals import IntervalRow
from netledger.ledger.reader import Reader, Snapshot
from netledger.ledger.store import day_of
from netledger.ledger.subject_files import SLOT_NS
from netledger.receipt import COUNT_MAX, Balance, Count, parse_rfc3339
from netledger.reports.basis import basis
from netledger.reports.coverage import Coverage, coverage, crossing
from netledger.reports.periods import Calendar, Period
from netledger.reports.question import DEFAULT_BY, Question, totals_sql, undetailed_sql
from netledger.reports.where import Filter

if TYPE_CHECKING:
    from netledger.ledger.reader import Connection

Value = str | int | bytes | None
"""Of a cell: names, numbers, moments in UTC nanoseconds, addresses as the ledger has them, or nothing."""

# An interval that begins before a period may reach into it: looked for so far back.
_REACH_NS: Final = 2 * 86_400 * 1_000_000_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was added up.

    Attributes:
        names: of the columns; the interval first where there is one, the counters last.
        columns: the cells, as long as each other.
        total: each counter over all rows, those left out too.
        left_out: how many more rows there are.
        partly_bytes: sent and received together, of addresses that their subject held for a part of the interval.
    """

    names: tuple[str, ...]
    columns: Mapping[str, Sequence[Value]]
    total: Mapping[str, int]
    left_out: int
    partly_bytes: int = 0

    def __len__(self) -> int:
        return len(self.columns[self.names[-1]])

    def rows(self) -> Iterator[tuple[Value, ...]]:
        """Row by row."""
        return zip(*(self.columns[name] for name in self.names), strict=True)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Totals with what they rest on.

    Attributes:
        question: what was asked.
        totals: the answer.
        intervals: those that the rows were looked for in.
        balance: their receipts, added up.
        coverage: what they cover, meter by meter.
        crossing: how many of them reach over a border of the period, or of its pieces.
        undetailed: of the columns that conditions ask about, how many rows have nothing there.
        days_dropped: UTC days whose receipts are here and whose rows were removed because of their age; the totals are
            without them.
        days_of_hours: the same, but the totals are whole: they rest on hourly sums, which are still there.
        days_with_hours: those of ``days_dropped`` of which there are hourly sums that do not answer this question.
        days_outdated: UTC days whose rows were removed before something was learnt of whose they were.
        has_facts: whether anything was known of anybody; None where nobody asked for subjects.
        now_ns: when it was asked.
    """

    question: Question
    totals: Totals
    intervals: Sequence[IntervalRow]
    balance: Balance
    coverage: Sequence[Coverage]
    crossing: int
    undetailed: Mapping[str, int]
    days_dropped: Sequence[str]
    days_of_hours: Sequence[str]
    days_with_hours: Sequence[str]
    now_ns: int
    days_outdated: Sequence[str] = ()
    has_facts: bool | None = None


def default_by(snapshot: Snapshot, where: Filter) -> tuple[str, ...]:
    """What totals are told apart by when nobody says: also by meter where there are several."""
    meters = {one.meter for one in snapshot.intervals if where.takes(node=one.node, meter=one.meter)}
    return ("meter", *DEFAULT_BY) if len(meters) > 1 else DEFAULT_BY


def answer(reader: Reader, snapshot: Snapshot, question: Question, calendar: Calendar, *, now_ns: int) -> Answer:
    """Adds up what the ledger holds. Blocks for the disk.

    ``snapshot`` is of the question's period.

    Raises:
        LedgerError: the ledger cannot be read, a sum does not fit 64 bits, or the rows do not add up to what their
            receipts say; such numbers are not given out.
    """
    period = question.period
    intervals = _taken(snapshot, question)
    near = [
        *_taken(reader.snapshot(start_ns=period.start_ns - _REACH_NS, end_ns=period.start_ns), question),
        *intervals,
    ]
    pieces = calendar.split(period, question.per) if question.per else [period]
    borders = [piece.start_ns for piece in pieces]
    is_of_hours = question.is_of_hours([*borders, period.end_ns])
    source = _source(reader, snapshot, question, intervals, borders, is_of_hours=is_of_hours)
    kept = [one for one in intervals if day_of(one.start_ns) not in source.gone]
    days = {day_of(one.start_ns) for one in intervals}
    totals, undetailed = _nothing(question), {}
    if any(one.rows for one in kept):
        steps = _steps(kept, borders, is_of_hours=is_of_hours)
        without = _whole_days(days & source.gone)
        with source.rows() as connection:
            # Rows and not Arrow: to load what reads that takes longer than most answers.
            asked = totals_sql(question, steps, without, has_numbers=source.has_numbers)
            totals = _totals(connection.sql(asked).fetchall(), question, pieces)
            if question.where.columns:
                asked = undetailed_sql(question, without, is_of_hours=source.is_of_hours)
                (counts,) = connection.sql(asked).fetchall()
                undetailed = {name: count for name, count in zip(question.where.columns, counts, strict=True) if count}
    _check(totals, kept, question)
    return Answer(
        question=question,
        totals=totals,
        intervals=intervals,
        balance=_balance(intervals),
        coverage=coverage(near, period, now_ns=now_ns),
        crossing=crossing(near, [*borders, period.end_ns]),
        undetailed=undetailed,
        days_dropped=sorted(days & source.gone),
        days_of_hours=sorted((days & snapshot.days_dropped) - source.gone),
        days_with_hours=sorted((days & source.gone) - snapshot.rollup_days_dropped),
        now_ns=now_ns,
        days_outdated=sorted(days & source.days_outdated),
        has_facts=source.has_facts,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What answers a question: the rows, hourly sums, or what tells subjects."""

    rows: Callable[[], AbstractContextManager["Connection"]]
    gone: frozenset[str]
    is_of_hours: bool = False
    days_outdated: frozenset[str] = frozenset()
    has_facts: bool | None = None
    has_numbers: bool = False


def _source(
    reader: Reader,
    snapshot: Snapshot,
    question: Question,
    intervals: Sequence[IntervalRow],
    borders: Sequence[int],
    *,
    is_of_hours: bool,
) -> _Source:
    if question.is_of_subjects:
        found = basis(
            reader,
            snapshot,
            intervals,
            as_known_at_ns=question.as_known_at_ns,
            is_of_sums=is_of_hours,
            adding=_adding(snapshot, question, borders) if question.is_of_subjects_alone else None,
        )
        return _Source(
            rows=found.rows,
            gone=found.gone,
            days_outdated=found.days_outdated,
            has_facts=found.has_facts,
            has_numbers=found.has_numbers,
        )
    if is_of_hours and snapshot.rollups:
        return _Source(
            rows=lambda: reader.hours(snapshot.rollups, snapshot.not_rolled_up),
            gone=snapshot.rollup_days_dropped,
            is_of_hours=True,
        )
    return _Source(rows=lambda: reader.rows(snapshot.files), gone=snapshot.days_dropped)


def _adding(snapshot: Snapshot, question: Question, borders: Sequence[int]) -> Adding:
    """Rows of one subject that the question does not tell apart."""
    days = _whole_days(snapshot.days_dropped)
    return Adding(
        start_ns=question.period.start_ns,
        end_ns=question.period.end_ns,
        borders=frozenset((*borders, *(moment_ns for day in days for moment_ns in (day.start_ns, day.end_ns)))),
        is_by_meter=bool(question.where.texts) or not {"node", "meter"}.isdisjoint(question.by),
    )


def _steps(intervals: Iterable[IntervalRow], borders: Sequence[int], *, is_of_hours: bool) -> list[tuple[int, int]]:
    """To which piece each start belongs that a row can have; sums have that of their hour or five minutes."""
    starts = {one.start_ns for one in intervals}
    if is_of_hours:
        starts |= {start_ns // length_ns * length_ns for start_ns in starts for length_ns in (HOUR_NS, SLOT_NS)}
    return [(start_ns, bisect_right(borders, start_ns) - 1) for start_ns in sorted(starts)]


def _whole_days(days: Iterable[str]) -> list[Period]:
    """UTC days as moments, those that follow each other as one."""
    found: list[Period] = []
    for day in sorted(days):
        start_ns = parse_rfc3339(f"{day}T00:00:00Z")
        if found and found[-1].end_ns == start_ns:
            start_ns = found.pop().start_ns
        found.append(Period(start_ns, parse_rfc3339(f"{day}T00:00:00Z") + DAY_NS))
    return found


def _taken(snapshot: Snapshot, question: Question) -> list[IntervalRow]:
    return [one for one in snapshot.intervals if question.where.takes(node=one.node, meter=one.meter)]


def _names(question: Question) -> tuple[str, ...]:
    interval = ("interval_start", "interval_end") if question.per else ()
    return (*interval, *question.keys, *question.counters, *question.seen)


def _nothing(question: Question) -> Totals:
    names = _names(question)
    return Totals(
        names=names, columns={name: [] for name in names}, total=dict.fromkeys(question.counters, 0), left_out=0
    )


def _totals(lines: Sequence[tuple[Value, ...]], question: Question, pieces: Sequence[Period]) -> Totals:
    """The rows of the answer, and its last one, which is the total."""
    *rows, last = lines
    columns: dict[str, Sequence[Value]] = {}
    names = ("is_total", "step", *question.keys, *question.counters, *question.seen)
    answered = dict(zip(names, zip(*lines, strict=True), strict=False))
    if question.per:
        held = [pieces[step] for step in answered["step"][:-1] if isinstance(step, int)]
        columns["interval_start"] = [piece.start_ns for piece in held]
        columns["interval_end"] = [piece.end_ns for piece in held]
    columns |= {name: answered[name][:-1] for name in question.keys}
    counters = {name: _counters(answered[name]) for name in question.counters}
    columns |= {name: found[:-1] for name, found in counters.items()}
    columns |= {name: answered[name][:-1] for name in question.seen}
    count, partly_bytes = last[-1], last[-2]
    return Totals(
        names=_names(question),
        columns=columns,
        total={name: found[-1] for name, found in counters.items()},
        left_out=(count if isinstance(count, int) else 0) - len(rows),
        partly_bytes=int(partly_bytes) if isinstance(partly_bytes, int | Decimal) else 0,
    )


def _counters(sums: Sequence[object]) -> list[int]:
    """Sums as integers of 64 bits, as counters are everywhere."""
    found = [int(one) for one in sums if isinstance(one, int | Decimal)]
    if found and max(found) > COUNT_MAX:
        raise LedgerError("sum", "", "it does not fit 64 bits", "ask for a shorter period")
    return found


def _check(totals: Totals, intervals: Sequence[IntervalRow], question: Question) -> None:
    """Where every row was asked for, each direction comes to what the kernel counted.

    Without a count of the kernel it does not: groups of one's own may see one direction only.
    """
    if question.where.is_of_rows or any(one.kernel is None for one in intervals):
        return
    balance = _balance(intervals)
    told = balance.accounted + balance.lost
    for direction in ("sent", "received"):
        if f"{direction}_bytes" not in totals.total:
            continue
        found = Count(totals.total[f"{direction}_packets"], totals.total[f"{direction}_bytes"])
        if found != told:
            cause = (
                f"{found.packets} packets, {found.bytes} bytes {direction} in the rows against "
                f"{told.packets} packets, {told.bytes} bytes in their receipts"
            )
            raise LedgerError("ledger", "add up", cause, "netledger audit --verify says what is damaged")


def _balance(intervals: Sequence[IntervalRow]) -> Balance:
    try:
        return Balance.of(intervals)
    except OverflowError as error:
        raise LedgerError("balance", "", "it does not fit 64 bits", "ask for a shorter period") from error
