"""Do sums by subject say what the rows come to by the facts that they were made with?

Where the rows are gone, do they say what the hourly sums say?
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Fact
from netledger.errors import LedgerError
from netledger.intervals import HOUR_NS
from netledger.ledger.assignments import read_facts
from netledger.ledger.booked_rows import booked_rows
from netledger.ledger.booking import Bookings, Knowledge
from netledger.ledger.intervals import ROLLUP_HOUR, TRAFFIC, IntervalRow
from netledger.ledger.prefixes import Known, prefix_lengths
from netledger.ledger.reader import VIEW, Reader, read_parquet, rows_sql
from netledger.ledger.store import day_of
from netledger.ledger.subject_files import ROLLUP_SUBJECT, SubjectRollup, stale_days, subject_rollups
from netledger.ledger.subject_rollup import KEYS, summed_select
from netledger.receipt import rfc3339
from netledger.schema import COUNTER_COLUMNS

_LISTED_MAX: Final = 10
_ADDED: Final = ("row_count", *COUNTER_COLUMNS)
_KEYS: Final = ", ".join(KEYS)
_COUNTERS: Final = ", ".join(f"CAST({name} AS DECIMAL(38, 0)) AS {name}" for name in _ADDED)
_SUMS: Final = ", ".join(f"CAST(sum({name}) AS DECIMAL(38, 0)) AS {name}" for name in _ADDED)
_HOUR: Final = f"node, meter, interval_start // {HOUR_NS} * {HOUR_NS} AS hour, account"


@final
@dataclass(frozen=True, slots=True)
class SubjectBooks:
    """What the ledger says of one moment.

    Attributes:
        rollups: files of sums by subject, by day.
        made_of: files of rows that are in them, by day, below the store.
        only_by_hour: files of rows that are in hourly sums and not in those by subject, by day.
        only_by_subject: and the other way round.
        hours: files of hourly sums, by day.
        days_dropped: whose rows were removed.
        facts: all of them.
        lengths: how much of their addresses meters keep.
    """

    rollups: Mapping[str, Sequence[SubjectRollup]]
    made_of: Mapping[str, Sequence[str]]
    only_by_hour: Mapping[str, Sequence[str]]
    only_by_subject: Mapping[str, Sequence[str]]
    hours: Mapping[str, Sequence[str]]
    days_dropped: frozenset[str]
    facts: Sequence[Fact]
    lengths: Sequence[Known]


def subject_books(connection: sqlite3.Connection, store: Path) -> SubjectBooks:
    """Reads them.

    Raises:
        LedgerError: a fact is none.
        sqlite3.Error: they cannot be read.
    """
    rollups: dict[str, list[SubjectRollup]] = defaultdict(list)
    for one in subject_rollups(connection, store):
        rollups[one.day].append(one)
    files: dict[tuple[str, bool, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    made_of: dict[str, list[str]] = defaultdict(list)
    for tab, by_hour, by_subject, day, path in connection.execute(
        "SELECT tab, rolled_up, by_subject, day, path FROM files WHERE dropped_at IS NULL ORDER BY id"
    ):
        files[tab, bool(by_hour), bool(by_subject)][day].append(path)
        if tab == TRAFFIC and by_subject:
            made_of[day].append(path)
    dropped = connection.execute("SELECT day FROM days_dropped WHERE tab = ?", (TRAFFIC,)).fetchall()
    return SubjectBooks(
        rollups=rollups,
        made_of=made_of,
        only_by_hour=files[TRAFFIC, True, False],
        only_by_subject=files[TRAFFIC, False, True],
        hours=files[ROLLUP_HOUR, False, False],
        days_dropped=frozenset(day for (day,) in dropped),
        facts=read_facts(connection, store) if rollups else [],
        lengths=prefix_lengths(connection),
    )


def subject_problems(
    reader: Reader, books: SubjectBooks, intervals: Sequence[IntervalRow], damaged: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with sums by subject, as what and why. What is in ``damaged`` files is told of elsewhere.

    Reads all files of rows that are in such sums, and the sums, a day at a time.
    """
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in intervals:
        spans[day_of(one.start_ns)].append((one.start_ns, one.end_ns))
    known = _Known(books.facts)
    for day in sorted(books.rollups.keys() | books.made_of.keys()):
        rollups = books.rollups.get(day, ())
        rows, is_gone = books.made_of.get(day, ()), day in books.days_dropped
        others = (books.hours.get(day, ()), books.only_by_hour.get(day, ()), books.only_by_subject.get(day, ()))
        if any(name in damaged for name in (*_names(reader, rollups), *rows, *chain(*others if is_gone else ()))):
            continue
        upto = max((one.facts_upto for one in rollups), default=0)
        try:
            if is_gone and not others[0]:
                continue  # removed a moment before these will be
            if is_gone:
                hours, more, instead = (_paths(reader, names) for names in others)
                yield from _against_hours(reader, rollups, more, hours, instead)
            elif stale_days(rollups, known.upto(upto)):
                # Which rows are in the older ones, and which in those that know more, is not written down.
                yield from _against_hours(reader, rollups, (), (), _paths(reader, rows))
            else:
                bookings = Bookings(known.ready(upto), spans[day], books.lengths)
                yield from _against_rows(reader, bookings, rollups, _paths(reader, rows))
        except LedgerError as error:
            yield f"{ROLLUP_SUBJECT} {day}", str(error)


class _Known:
    """What was known by the number of the newest fact; days that follow each other mostly share it."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._last: tuple[int, Knowledge] | None = None

    def upto(self, number: int) -> list[Fact]:
        return [fact for fact in self._facts if fact.id <= number]

    def ready(self, number: int) -> Knowledge:
        if self._last is None or self._last[0] != number:
            self._last = number, Knowledge(self.upto(number))
        return self._last[1]


def _names(reader: Reader, rollups: Sequence[SubjectRollup]) -> list[str]:
    return [str(one.path.relative_to(reader.store)) for one in rollups]


def _paths(reader: Reader, names: Sequence[str]) -> list[Path]:
    return [reader.store / name for name in names]


def _against_rows(
    reader: Reader, bookings: Bookings, rollups: Sequence[SubjectRollup], rows: Sequence[Path]
) -> Iterator[tuple[str, str]]:
    """Sum by sum, of each subject in each five minutes."""
    made = f"SELECT {_KEYS}, {_COUNTERS} FROM ({summed_select(VIEW)})"  # noqa: S608  # our own words
    kept = (
        f"SELECT {_KEYS}, {_SUMS} FROM {read_parquet([one.path for one in rollups])} GROUP BY {_KEYS}"  # noqa: S608  # quoted there
        if rollups
        else f"SELECT * FROM ({made}) WHERE false"  # noqa: S608  # as above
    )
    with booked_rows(reader, bookings, rows) as connection:
        found = connection.sql(
            f"WITH made AS ({made}), kept AS ({kept}), wrong AS ("  # noqa: S608  # as above
            "(SELECT * FROM made EXCEPT SELECT * FROM kept) UNION ALL (SELECT * FROM kept EXCEPT SELECT * FROM made)"
            ") SELECT DISTINCT node, meter, interval_start, coalesce(subject, 'nobody') FROM wrong "
            f"ORDER BY ALL LIMIT {_LISTED_MAX}"
        ).fetchall()
    for node, meter, start_ns, subject in found:
        yield _named(node, meter, start_ns), f"the sums of {subject} are not those of the rows"


def _against_hours(
    reader: Reader,
    rollups: Sequence[SubjectRollup],
    more: Sequence[Path],
    hours: Sequence[Path],
    rows: Sequence[Path],
) -> Iterator[tuple[str, str]]:
    """Hour by hour: sums by subject, and rows beside them, come to what hourly sums and other rows come to."""
    columns = ", ".join(("node", "meter", "interval_start", "account", *_ADDED))
    parts = [f"SELECT {columns} FROM {read_parquet([one.path for one in rollups])}"] if rollups else []  # noqa: S608  # quoted there
    parts += [f"SELECT {columns} FROM (SELECT *, 1 AS row_count FROM ({rows_sql(more)}))"] if more else []  # noqa: S608  # as above
    if not parts:
        return
    mine = f"SELECT {_HOUR}, {_SUMS} FROM ({' UNION ALL '.join(parts)}) GROUP BY ALL"  # noqa: S608  # as above
    with reader.hours(hours, rows) as connection:
        found = connection.sql(
            f"WITH mine AS ({mine}), theirs AS (SELECT {_HOUR}, {_SUMS} FROM {VIEW} GROUP BY ALL), wrong AS ("  # noqa: S608  # our own words
            "(SELECT * FROM mine EXCEPT SELECT * FROM theirs) UNION ALL "
            "(SELECT * FROM theirs EXCEPT SELECT * FROM mine)) "
            f"SELECT DISTINCT node, meter, hour, account FROM wrong ORDER BY ALL LIMIT {_LISTED_MAX}"
        ).fetchall()
    for node, meter, start_ns, account in found:
        yield _named(node, meter, start_ns), f"the sums of the account {account} are not those of the hour"


def _named(node: str, meter: str, start_ns: int) -> str:
    return f"{ROLLUP_SUBJECT} {node} {meter} {rfc3339(start_ns)}"
