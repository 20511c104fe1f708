"""Rows added up before anybody asks whose they are: most of a day's hosts are one subject's, or nobody's, all day.

To look a holder up row by row takes longer than to read the rows. So the rows of a day are added up by host first,
and a host that changes hands in the day is looked up by the row, in a table that has such hosts alone. It comes to the
same totals as :func:`~netledger.ledger.booked_rows.booked_rows`, for questions that ask for no more than subjects.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.ledger.booked_rows import load_bookings
from netledger.ledger.booking import BOOKINGS, NAMED, NUMBER, SUBJECT_COLUMNS, UNBOOKED, Bookings, pieces
from netledger.ledger.reader import VIEW, Reader, rows_sql
from netledger.schema import COUNTER_COLUMNS

if TYPE_CHECKING:
    import duckdb

_ADDED: Final = "added"
_METERS: Final = ("node", "meter")
_BORDERS_MAX: Final = 32
"""A day that is cut into more pieces than these has hardly any rows to add up in each."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """Which rows may be added up to one.

    Attributes:
        start_ns: only those whose interval begins in [start, end), UTC nanoseconds.
        end_ns: as above.
        borders: what begins before one of these moments is told apart from what begins at it or later.
        is_by_meter: whether nodes and meters are told apart.
    """

    start_ns: int
    end_ns: int
    borders: frozenset[int] = frozenset()
    is_by_meter: bool = False

    def within(self, start_ns: int, end_ns: int) -> list[int]:
        """The borders between two moments, in order."""
        return sorted(one for one in self.borders if start_ns < one < end_ns)

    def suits(self, files: Sequence[Path]) -> bool:
        """Whether it makes few rows of many."""
        return all(len(self.within(start_ns, end_ns)) <= _BORDERS_MAX for start_ns, end_ns, _ in pieces(files))


@contextlib.contextmanager
def added_rows(
    reader: Reader,
    bookings: Bookings,
    files: Sequence[Path],
    adding: Adding,
    *,
    hours: Sequence[Path] = (),
    not_in_hours: Sequence[Path] | None = None,
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """The rows of the files added up, as the view ``traffic``: interval, node, meter, account, subject and counters.

    Node and meter are there where they are told apart. The interval is from the first start to the last end of what was
    added up. ``bookings`` are of hosts alone, see :attr:`Bookings.is_of_hosts`; ``hours`` as for ``booked_rows``.

    Raises:
        LedgerError: a file cannot be read, or what is asked meanwhile fails.
    """
    meters = _METERS if adding.is_by_meter else ()
    with reader.rows(files) as connection:
        load_bookings(reader, connection, bookings, files, hours=hours, not_in_hours=not_in_hours)
        kinds = [
            *(f"{name} VARCHAR" for name in (*meters, "account")),
            *(f"{name} HUGEINT" for name in COUNTER_COLUMNS),
        ]
        connection.execute(
            f"CREATE TABLE {_ADDED} (interval_start BIGINT, interval_end BIGINT, {NUMBER} BIGINT, {', '.join(kinds)})"
        )
        # One day after the other: what is held in memory is that of one.
        for start_ns, end_ns, group in pieces(files):
            begin_ns, stop_ns = max(start_ns, adding.start_ns), min(end_ns, adding.end_ns)
            if starts := bookings.starts(begin_ns, stop_ns):
                part = _Part(begin_ns, stop_ns, *starts, borders=adding.within(begin_ns, stop_ns), meters=meters)
                _add(connection, rows_sql(group), part, has_ends=bookings.has_ends)
        named = ", ".join(f"{NAMED}.{name}" for name in SUBJECT_COLUMNS)
        connection.execute(
            f"CREATE OR REPLACE VIEW {VIEW} AS SELECT {_ADDED}.*, {named} "  # noqa: S608  # our own words
            f"FROM {_ADDED} JOIN {NAMED} ON {_ADDED}.{NUMBER} = {NAMED}.{NUMBER}"
        )
        yield connection


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that begin in [start, end), the first at ``first_ns`` and the last at ``last_ns``."""

    start_ns: int
    end_ns: int
    first_ns: int
    last_ns: int
    borders: Sequence[int]
    meters: Sequence[str]


def _add(connection: "duckdb.DuckDBPyConnection", rows: str, part: _Part, *, has_ends: bool) -> None:
    import duckdb

    def insert(kind: str) -> None:
        connection.execute(f"INSERT INTO {_ADDED} BY NAME {_added_sql(rows, part, kind=kind, has_ends=has_ends)}")

    try:
        # Their sums are of 128 bits either way. To widen each number first takes a tenth of the time.
        insert("BIGINT")
    except duckdb.ConversionException:
        insert("HUGEINT")


def _added_sql(rows: str, part: _Part, *, kind: str, has_ends: bool) -> str:
    """The rows added up by number."""
    # Sixteen bytes that lie in one piece are hashed and compared in less time than a text of any length.
    place = "CAST(host AS UUID)"
    # What is known of a place follows each other without a gap: what holds for all starts stands alone.
    steady = f"from_ns <= {part.first_ns} AND to_ns > {part.last_ns} AND until_ns IS NULL"
    changing = f"from_ns <= {part.last_ns} AND to_ns > {part.first_ns} AND NOT ({steady})"
    booked = f"SELECT {place} AS host, {NUMBER}, from_ns, to_ns, until_ns FROM {BOOKINGS}"  # noqa: S608  # our own words
    is_ending = "AND (changing.until_ns IS NULL OR changing.until_ns = counted.interval_end)" if has_ends else ""
    keys = ", ".join((*part.meters, "account"))
    cut = " + ".join(f"CAST(interval_start >= {one} AS INTEGER)" for one in part.borders) or "0"
    spans = "min(interval_start) AS interval_start, max(interval_end) AS interval_end"
    sums = ", ".join(f"sum({name}) AS {name}" for name in COUNTER_COLUMNS)
    narrow = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name in COUNTER_COLUMNS)
    return f"""
WITH counted AS (
    SELECT {keys}, host, own, part, {spans}, {sums}
    FROM (
        SELECT counted.*, changing.{NUMBER} AS own
        FROM (
            SELECT interval_start, interval_end, {keys}, {place} AS host, {cut} AS part, {narrow}
            FROM ({rows}) WHERE interval_start >= {part.start_ns} AND interval_start < {part.end_ns}
        ) AS counted
        LEFT JOIN ({booked} WHERE {changing}) AS changing ON counted.host = changing.host
        AND counted.interval_start >= changing.from_ns AND counted.interval_start < changing.to_ns {is_ending}
    )
    GROUP BY {keys}, host, own, part
), booked AS (
    SELECT counted.*, coalesce(own, steady.{NUMBER}, {UNBOOKED}) AS {NUMBER}
    FROM counted LEFT JOIN ({booked} WHERE {steady}) AS steady ON counted.host = steady.host
)
SELECT {keys}, {NUMBER}, {spans}, {sums} FROM booked GROUP BY {keys}, {NUMBER}, part
"""  # noqa: S608  # our own words, and integers
