"""The rows of a snapshot with their subjects, as the view ``traffic`` of a connection that answers questions."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netledger.ledger.booking import (
    NO_ASSIGNMENT,
    NO_HOST,
    NUMBER,
    PLACE_COLUMNS,
    SUBJECT_COLUMNS,
    UNKNOWN,
    Bookings,
    make_table,
    pieces,
)
from netledger.ledger.prefixes import Known, kind_sql
from netledger.ledger.reader import VIEW, Reader, read_parquet, rows_sql
from netledger.schema import COUNTER_COLUMNS

if TYPE_CHECKING:
    import duckdb

SUM_MARK: Final = "connection_mark"
"""What sums by subject call the mark: files without the columns of connections may have none of their names."""
SUMMED_COLUMNS: Final = ("interval_start", "interval_end", "node", "meter", "account")
"""What rows and sums by subject have in common, beside :data:`SUBJECT_COLUMNS` and counters."""
_GIVEN: Final = (
    *(("subject", "VARCHAR"), ("reason", "VARCHAR"), ("is_partly", "BOOLEAN")),
    *(("is_lone", "BOOLEAN"), (NUMBER, "BIGINT")),
)
_PLACES: Final = f"host, interface, {SUM_MARK} AS mark"


@contextlib.contextmanager
def booked_rows(
    reader: Reader,
    bookings: Bookings,
    files: Sequence[Path],
    *,
    hours: Sequence[Path] = (),
    not_in_hours: Sequence[Path] | None = None,
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """The rows of the files, with all columns of the store and ``subject``, ``reason`` and ``is_partly``.

    ``hours`` are hourly sums that stand for all files but ``not_in_hours`` where only hosts matter: to know which hosts
    there are takes less time by them.

    Raises:
        LedgerError: a file cannot be read, or what is asked meanwhile fails.
    """
    with reader.rows(files) as connection:
        load_bookings(reader, connection, bookings, files, hours=hours, not_in_hours=not_in_hours)
        if files:
            connection.execute(f"CREATE OR REPLACE VIEW {VIEW} AS {_joined(bookings, files)}")
        else:
            nothing = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in _GIVEN)
            empty = f"SELECT *, {nothing} FROM ({rows_sql([])})"  # noqa: S608  # our own words
            connection.execute(f"CREATE OR REPLACE VIEW {VIEW} AS {empty}")
        yield connection


@contextlib.contextmanager
def booked_sums(
    reader: Reader,
    known: Callable[[], Bookings],
    rollups: Sequence[Path],
    files: Sequence[Path],
    lengths: Sequence[Known],
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Sums by subject, and the rows of ``files`` beside them: :data:`SUMMED_COLUMNS`, what subjects are, and counters.

    ``known`` is asked where there are such rows, or sums of what is nobody's.

    Raises:
        LedgerError: as :func:`booked_rows`.
    """
    with reader.rows(files) as connection:
        parts = []
        if files:
            load_bookings(reader, connection, bookings := known(), files)
            parts.append(_joined(bookings, files, ", ".join((*SUMMED_COLUMNS, *COUNTER_COLUMNS))))
        if rollups:
            has_gaps = _load_gaps(connection, known, rollups, lengths)
            parts.append(_summed(rollups, lengths, has_gaps=has_gaps))
        connection.execute(f"CREATE OR REPLACE VIEW {VIEW} AS {' UNION ALL BY NAME '.join(parts)}")
        yield connection


def load_bookings(
    reader: Reader,
    connection: "duckdb.DuckDBPyConnection",
    bookings: Bookings,
    files: Sequence[Path],
    *,
    hours: Sequence[Path] = (),
    not_in_hours: Sequence[Path] | None = None,
) -> None:
    """Books the places that are in the files; ``hours`` and ``not_in_hours`` as for :func:`booked_rows`.

    Raises:
        duckdb.Error: a file cannot be read.
    """
    if not files or not bookings.needs_places:
        bookings.load(connection)
    elif bookings.is_of_hosts and hours and not_in_hours is not None:
        with reader.hours(hours, not_in_hours) as other:
            bookings.load(connection, other.sql(bookings.places_sql(VIEW)).fetchall())
    else:
        bookings.load(connection, connection.sql(bookings.places_sql(VIEW)).fetchall())


def _joined(bookings: Bookings, files: Sequence[Path], columns: str | None = None) -> str:
    chosen = "counted.*" if columns is None else ", ".join(f"counted.{name}" for name in columns.split(", "))
    return " UNION ALL BY NAME ".join(
        bookings.joined_sql(f"({rows_sql(group)})", start_ns=start_ns, end_ns=end_ns, columns=chosen)
        for start_ns, end_ns, group in pieces(files)
    )


def _load_gaps(
    connection: "duckdb.DuckDBPyConnection",
    known: Callable[[], Bookings],
    rollups: Sequence[Path],
    lengths: Sequence[Known],
) -> bool:
    """Of places that were nobody's when their rows were added up: which were somebody's at another time.

    That may have become known later, and be known of a time long before or after; so it is not in the file.
    """
    found = connection.sql(
        f"SELECT DISTINCT {kind_sql(lengths)} AS kind, {_PLACES} FROM {read_parquet(rollups)} WHERE subject IS NULL"  # noqa: S608  # our own words
    ).fetchall()
    bookings = known() if found else None
    gaps = [one for one in found if bookings is not None and bookings.is_ever_held(one)]
    if not gaps:
        return False
    columns = zip(*gaps, strict=True)
    make_table(connection, "gaps", zip(("kind", *PLACE_COLUMNS), columns, strict=True))
    return True


def _summed(rollups: Sequence[Path], lengths: Sequence[Known], *, has_gaps: bool) -> str:
    columns = ", ".join(f"sums.{name}" for name in (*SUMMED_COLUMNS, *COUNTER_COLUMNS))
    source, without = read_parquet(rollups), f"CASE WHEN sums.host IS NULL THEN '{NO_HOST}' ELSE '{NO_ASSIGNMENT}' END"
    named = f"SELECT {columns}, {', '.join(SUBJECT_COLUMNS)} FROM {source} AS sums WHERE subject IS NOT NULL"  # noqa: S608  # our own words
    nobodys = (
        f"SELECT {columns}, '{UNKNOWN}' AS subject, {{reason}} AS reason, FALSE AS is_partly FROM {source} AS sums"  # noqa: S608  # as above
    )
    if not has_gaps:
        return f"{named} UNION ALL BY NAME {nobodys.format(reason=without)} WHERE subject IS NULL"
    pairs = zip(("host", "interface", SUM_MARK), PLACE_COLUMNS, strict=True)
    is_same = " AND ".join(f"sums.{mine} IS NOT DISTINCT FROM gaps.{name}" for mine, name in pairs)
    reason = f"CASE WHEN gaps.kind IS NOT NULL THEN 'gap' ELSE {without} END"
    return (
        f"{named} UNION ALL BY NAME {nobodys.format(reason=reason)} "
        f"LEFT JOIN gaps ON {is_same} AND {kind_sql(lengths)} = gaps.kind WHERE sums.subject IS NULL"
    )
