"""Do hourly sums say what the rows say that they were made of, or where those are gone, what the receipts say?"""

import ipaddress
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.errors import LedgerError
from netledger.intervals import HOUR_NS
from netledger.ledger.intervals import ROLLUP_HOUR, TRAFFIC, IntervalRow
from netledger.ledger.reader import VIEW, Reader, read_parquet
from netledger.ledger.rollup import hourly_select
from netledger.ledger.store import day_of
from netledger.receipt import ZERO, rfc3339
from netledger.schema import COUNTER_COLUMNS

_LISTED_MAX: Final = 10

_Hour = tuple[str, str, int]
_KEYS: Final = "node, meter, interval_start, interval_end, account, host"
_ADDED: Final = ("row_count", *COUNTER_COLUMNS)
_COUNTERS: Final = ", ".join(f"CAST({name} AS DECIMAL(38, 0)) AS {name}" for name in _ADDED)
_SUMS: Final = ", ".join(f"CAST(sum({name}) AS DECIMAL(38, 0)) AS {name}" for name in _ADDED)


@final
@dataclass(frozen=True, slots=True)
class RollupBooks:
    """What the ledger says of one moment.

    Attributes:
        hours: files of hourly sums by day, below the store.
        made_of: files of rows that are rolled up, by day.
        others: files of rows that are not.
        days_dropped: whose rows were removed.
        days_without: whose hourly sums were removed, or never made.
    """

    hours: Mapping[str, Sequence[str]]
    made_of: Mapping[str, Sequence[str]]
    others: Mapping[str, Sequence[str]]
    days_dropped: frozenset[str]
    days_without: frozenset[str]


def rollup_books(connection: sqlite3.Connection) -> RollupBooks:
    """Reads them.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    kinds: dict[tuple[str, bool], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for tab, is_rolled_up, day, path in connection.execute(
        "SELECT tab, rolled_up, day, path FROM files WHERE dropped_at IS NULL ORDER BY id"
    ):
        kinds[tab, bool(is_rolled_up)][day].append(path)
    dropped = connection.execute("SELECT tab, day FROM days_dropped").fetchall()
    return RollupBooks(
        hours=kinds[ROLLUP_HOUR, False],
        made_of=kinds[TRAFFIC, True],
        others=kinds[TRAFFIC, False],
        days_dropped=frozenset(day for tab, day in dropped if tab == TRAFFIC),
        days_without=frozenset(day for tab, day in dropped if tab == ROLLUP_HOUR),
    )


def rollup_problems(
    reader: Reader, books: RollupBooks, intervals: Sequence[IntervalRow], damaged: Collection[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with hourly sums, as what and why. What is in ``damaged`` files is told of elsewhere.

    Reads all files of rows and of hourly sums, a day at a time.
    """
    by_day: dict[str, list[IntervalRow]] = defaultdict(list)
    for one in intervals:
        by_day[day_of(one.start_ns)].append(one)
    for day in sorted((books.hours.keys() | books.made_of.keys() | books.days_dropped) - books.days_without):
        hours, rows, others = (list(kind.get(day, ())) for kind in (books.hours, books.made_of, books.others))
        has_rows = day not in books.days_dropped and not _any(rows, damaged)
        if _any(hours, damaged) or (not has_rows and _any(others, damaged)):
            continue
        try:
            if has_rows:
                yield from _against_rows(reader, _paths(reader, hours), _paths(reader, rows))
            else:
                yield from _against_receipts(reader, _paths(reader, hours), _paths(reader, others), by_day[day])
        except LedgerError as error:
            yield f"{ROLLUP_HOUR} {day}", str(error)


def _any(files: Sequence[str], damaged: Collection[str]) -> bool:
    return any(file in damaged for file in files)


def _paths(reader: Reader, names: Sequence[str]) -> list[Path]:
    return [reader.store / name for name in names]


def _against_rows(reader: Reader, hours: Sequence[Path], rows: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Sum by sum, of each host in each hour."""
    made = f"SELECT {_KEYS}, {_COUNTERS} FROM ({hourly_select(VIEW)})"  # noqa: S608  # our own words
    kept = (
        f"SELECT {_KEYS}, {_SUMS} FROM {read_parquet(hours)} GROUP BY {_KEYS}"  # noqa: S608  # quoted there
        if hours
        else f"SELECT * FROM ({made}) WHERE false"  # noqa: S608  # as above
    )
    with reader.rows(rows) as connection:
        found = connection.sql(
            f"WITH made AS ({made}), kept AS ({kept}), wrong AS ("  # noqa: S608  # as above
            "(SELECT * FROM made EXCEPT SELECT * FROM kept) UNION ALL (SELECT * FROM kept EXCEPT SELECT * FROM made)"
            f") SELECT DISTINCT {_KEYS} FROM wrong ORDER BY ALL LIMIT {_LISTED_MAX}"
        ).fetchall()
    for node, meter, start_ns, _, account, host in found:
        yield _named(node, meter, start_ns), f"the sums of {_who(account, host)} are not those of its rows"


def _against_receipts(
    reader: Reader, hours: Sequence[Path], others: Sequence[Path], intervals: Sequence[IntervalRow]
) -> Iterator[tuple[str, str]]:
    """Hour by hour: how many rows there were, and where the kernel counted too, what they come to."""
    begun: dict[_Hour, list[IntervalRow]] = defaultdict(list)
    for one in (one for one in intervals if one.rows):
        begun[one.node, one.meter, one.start_ns // HOUR_NS * HOUR_NS].append(one)
    with reader.hours(hours, others) as connection:
        sums = connection.sql(
            f"SELECT node, meter, interval_start // {HOUR_NS} * {HOUR_NS}, {_SUMS} FROM {VIEW} GROUP BY 1, 2, 3"  # noqa: S608  # our own words
        ).fetchall()
    found: dict[_Hour, tuple[int, ...]] = {
        (node, meter, start_ns): tuple(int(one) for one in counted) for node, meter, start_ns, *counted in sums
    }
    for hour in sorted(begun.keys() | found.keys()):
        rows, *counters = found.get(hour, (0,) * (1 + len(COUNTER_COLUMNS)))
        ones = begun[hour]
        told = sum((one.accounted + one.lost for one in ones), ZERO)
        has_kernel = all(one.kernel is not None for one in ones)
        if rows != sum(one.rows for one in ones):
            yield _named(*hour), f"it is made of {rows} rows, and {sum(one.rows for one in ones)} were committed"
        elif has_kernel and counters != [told.bytes, told.packets] * 2:
            yield _named(*hour), "its sums are not those of the receipts"


def _who(account: str, host: bytes | None) -> str:
    if host is None:
        return account
    address = ipaddress.IPv6Address(host)
    return str(address.ipv4_mapped or address)


def _named(node: str, meter: str, start_ns: int) -> str:
    return f"{ROLLUP_HOUR} {node} {meter} {rfc3339(start_ns)}"
