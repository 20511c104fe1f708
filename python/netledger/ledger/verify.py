"""Is everything in the store what was committed? Receipts, rows, files and the chain are computed once more."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.errors import LedgerError
from netledger.ledger.digest import FIRST_PREVIOUS, canonical, chain, digest
from netledger.ledger.intervals import IntervalRow, intervals_of
from netledger.ledger.named import schema_of
from netledger.ledger.progress import Progress, no_progress
from netledger.ledger.reader import NAMED_VIEW, VIEW, Reader
from netledger.ledger.rows import as_stored
from netledger.ledger.store import day_of, sha256_of
from netledger.ledger.verify_assignments import assignment_problems
from netledger.ledger.verify_files import file_problems
from netledger.ledger.verify_rollups import RollupBooks, rollup_books, rollup_problems
from netledger.ledger.verify_subjects import SubjectBooks, subject_books, subject_problems
from netledger.receipt import parse_rfc3339
from netledger.schema import Table

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa

_BATCH_ROWS: Final = 65_536
_Identity = tuple[str, str, int]


@final
@dataclass(frozen=True, slots=True)
class Problem:
    """Something is not what was committed.

    Attributes:
        what: what is concerned: a file, or an interval as ``node meter seq``.
        why: what is wrong with it.
    """

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}"


@dataclass(frozen=True, slots=True)
class _File:
    tab: str
    path: str
    day: str
    rows: int
    octets: int
    sha256: bytes
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class _Books:
    """All that the ledger says, of one moment."""

    intervals: Sequence[IntervalRow]
    files: Sequence[_File]
    ends: Mapping[str, tuple[int, bytes]]
    days_dropped: frozenset[tuple[str, str]]
    statuses: Mapping[_Identity, str]
    rollups: RollupBooks
    subjects: SubjectBooks


def verify(reader: Reader, *, progress: Progress = no_progress) -> list[Problem]:
    """Everything that is not what was committed; nothing when all is well. Reads the whole store.

    ``progress`` is told each file and each day.

    Raises:
        LedgerError: there is no store, or its ledger cannot be read.
    """
    books = reader.read(lambda connection: _books(connection, reader.store))
    problems = [problem for interval in books.intervals for problem in _receipt_problems(interval, books.statuses)]
    problems += _chain_problems(books)
    damaged = {}
    for number, file in enumerate(books.files):
        progress("files", number, len(books.files))
        why = _file_problem(reader.store, file)
        if why is not None:
            damaged[file.path] = why
        else:
            why = _extent_problem(reader.store, file)
        if why is not None:
            problems.append(Problem(file.path, why))
    for table in Table:
        problems += _row_problems(reader, books, table, damaged, progress)
    traffic = [one for one in books.intervals if one.table is Table.TRAFFIC]
    problems += [Problem(*found) for found in rollup_problems(reader, books.rollups, traffic, damaged)]
    problems += [Problem(*found) for found in subject_problems(reader, books.subjects, traffic, damaged)]
    problems += [Problem(*found) for found in file_problems(reader)]
    problems += [Problem(*found) for found in reader.read(lambda connection: list(assignment_problems(connection)))]
    return problems


def _books(connection: "sqlite3.Connection", store: Path) -> _Books:
    files = connection.execute(
        "SELECT tab, path, day, rows, octets, sha256, interval_start, interval_end FROM files "
        "WHERE dropped_at IS NULL ORDER BY day, id"
    ).fetchall()
    ends = connection.execute("SELECT node, position, chain FROM chains").fetchall()
    days = connection.execute("SELECT tab, day FROM days_dropped").fetchall()
    statuses = connection.execute("SELECT node, meter, seq, status FROM intervals").fetchall()
    return _Books(
        intervals=intervals_of(connection, store),
        files=[_File(*row) for row in files],
        ends={node: (position, link) for node, position, link in ends},
        days_dropped=frozenset(days),
        statuses={(node, meter, seq): status for node, meter, seq, status in statuses},
        rollups=rollup_books(connection),
        subjects=subject_books(connection, store),
    )


def _named(interval: IntervalRow) -> str:
    return f"{interval.node} {interval.meter} {interval.seq}"


def _receipt_problems(interval: IntervalRow, statuses: Mapping[_Identity, str]) -> Iterator[Problem]:
    """Columns that are not what the receipt says: the receipt is what the chain holds together."""
    told = json.loads(interval.receipt)
    try:
        identity = (interval.node, interval.meter, interval.seq)
        columns = (*identity, interval.start_ns, interval.end_ns, interval.rows, statuses[identity])
        said = (
            *(told[key] for key in ("node", "meter", "seq")),
            parse_rfc3339(told["interval_start"]),
            parse_rfc3339(told["interval_end"]),
            told["rows"],
            told["status"],
        )
    except (ValueError, KeyError, TypeError):
        yield Problem(_named(interval), "its receipt is none")
        return
    if columns != said:
        yield Problem(_named(interval), "the ledger's columns are not what its receipt says")


def _chain_problems(books: _Books) -> Iterator[Problem]:
    by_node: dict[str, list[IntervalRow]] = defaultdict(list)
    for interval in books.intervals:
        by_node[interval.node].append(interval)
    for node in sorted(by_node.keys() | books.ends.keys()):
        line = sorted(by_node[node], key=lambda interval: interval.position)
        missing = _missing(line)
        position, previous = 0, FIRST_PREVIOUS
        for interval in line:
            if interval.position != position + 1:
                yield Problem(f"{node}", _gap(position + 1, interval.position - 1, missing))
            elif interval.previous != previous:
                yield Problem(_named(interval), "it does not follow the interval before it in the chain")
            if chain(interval.previous, interval.receipt, interval.digest) != interval.chain:
                yield Problem(_named(interval), "its receipt or its digest was changed")
            position, previous = interval.position, interval.chain
        last, link = books.ends.get(node, (0, FIRST_PREVIOUS))
        if last > position:
            yield Problem(f"{node}", _gap(position + 1, last, missing))
        elif (last, link) != (position, previous):
            yield Problem(_named(line[-1]), "the chain does not end with it")


def _missing(line: Sequence[IntervalRow]) -> list[str]:
    """Numbers between those that are there, by meter."""
    by_meter: dict[str, list[int]] = defaultdict(list)
    for interval in line:
        by_meter[interval.meter].append(interval.seq)
    return [
        f"{meter} {number}"
        for meter, numbers in sorted(by_meter.items())
        for before, after in pairwise(sorted(numbers))
        for number in range(before + 1, min(after, before + 1 + _BATCH_ROWS))
    ]


def _gap(first: int, last: int, missing: Sequence[str]) -> str:
    places = f"place {first}" if first == last else f"places {first} to {last}"
    named = f"; numbers that are not there: {', '.join(missing)}" if missing else ""
    return f"{last - first + 1} taken out of the chain, {places}{named}"


def _file_problem(store: Path, file: _File) -> str | None:
    path = store / file.path
    try:
        if path.stat().st_size != file.octets or sha256_of(path) != file.sha256:
            return "it is not the file that was committed"
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _extent_problem(store: Path, file: _File) -> str | None:
    try:
        if _extent(store / file.path) != (file.rows, file.start_ns, file.end_ns):
            # A report skips a file by what the ledger says of its times.
            return "it does not hold the rows or the times that the ledger says of it"
    except (OSError, ValueError) as error:
        return f"it is no file of rows: {error}"
    return None


def _extent(path: Path) -> tuple[int, int, int]:
    """How many rows a file has, the least start and the greatest end among them; from the rows, not from statistics.

    Raises:
        OSError, ValueError: it cannot be read, or is none of ours (what Arrow raises is one of both).
    """
    from pyarrow import compute as pc
    from pyarrow import parquet

    starts, ends = [], []
    with parquet.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            group = file.read_row_group(number, columns=["interval_start", "interval_end"])
            if group.num_columns != 2:  # noqa: PLR2004  # those asked for
                raise ValueError("its rows have no times")
            starts.append(pc.min(group["interval_start"]).as_py())
            ends.append(pc.max(group["interval_end"]).as_py())
        return file.metadata.num_rows, min(starts, default=0), max(ends, default=0)


def _row_problems(
    reader: Reader, books: _Books, table: Table, damaged: Mapping[str, str], progress: Progress
) -> Iterator[Problem]:
    """Intervals of one kind whose rows are not those that were committed, day by day."""
    wanted: dict[str, dict[_Identity, IntervalRow]] = defaultdict(dict)
    for interval in (one for one in books.intervals if one.table is table):
        wanted[day_of(interval.start_ns)][interval.node, interval.meter, interval.seq] = interval
    files: dict[str, list[_File]] = defaultdict(list)
    for file in books.files:
        if file.tab == table:
            files[file.day].append(file)
    days = sorted(wanted.keys() | files.keys())
    for number, day in enumerate(days):
        progress(f"rows of {day}", number, len(days))
        bad = [file.path for file in files[day] if file.path in damaged]
        sound = [reader.store / file.path for file in files[day] if file.path not in damaged]
        for problem, is_absence in _day_problems(reader, table, wanted[day], sound, bad):
            # What came late for a day whose rows were dropped is checked as well.
            if not (is_absence and (str(table), day) in books.days_dropped):
                yield problem


def _day_problems(
    reader: Reader, table: Table, wanted: dict[_Identity, IntervalRow], files: Sequence[Path], bad: Sequence[str]
) -> Iterator[tuple[Problem, bool]]:
    """What is wrong with the rows of a day, and whether it is that they are not there."""
    left = dict(wanted)
    try:
        for identity, rows in _by_interval(reader, table, files):
            interval = left.pop(identity, None)
            name = " ".join(str(part) for part in identity)
            if interval is None:
                yield Problem(name, "the store has rows of it, but no interval"), False
            elif rows.num_rows != interval.rows:
                why = f"it has {rows.num_rows} rows, and {interval.rows} were committed"
                yield Problem(name, why), False
            elif digest(canonical(rows)) != interval.digest:
                yield Problem(name, "its rows are not those that were committed"), False
    except LedgerError as error:
        yield Problem(str(files[0].parent.relative_to(reader.store)), str(error)), False
        return
    because = f" (damaged: {', '.join(bad)})" if bad else ""
    for interval in left.values():
        if interval.rows:
            yield Problem(_named(interval), f"its rows are gone{because}"), True
        elif digest(canonical(schema_of(table).empty_table())) != interval.digest:
            yield Problem(_named(interval), "its digest is not that of an interval without rows"), False


def _by_interval(reader: Reader, table: Table, files: Sequence[Path]) -> Iterator[tuple[_Identity, "pa.Table"]]:
    """The rows of each interval in the files, in the types of the store. Holds one interval at a time."""
    import pyarrow as pa

    if not files:
        return
    is_traffic, schema = table is Table.TRAFFIC, schema_of(table)
    with reader.rows(files) if is_traffic else reader.named(files) as connection:
        # By `sql`: `execute` may hand over batches in another order than was asked for.
        batches = connection.sql(
            f"SELECT {', '.join(schema.names)} FROM {VIEW if is_traffic else NAMED_VIEW} ORDER BY node, meter, seq"  # noqa: S608  # our own words
        ).to_arrow_reader(_BATCH_ROWS)
        identity: _Identity | None = None
        parts: list[pa.Table] = []
        for batch in batches:
            for start, end, found in _runs(batch):
                if found != identity:
                    if identity is not None:
                        yield identity, as_stored(pa.concat_tables(parts), schema)
                    identity, parts = found, []
                parts.append(pa.Table.from_batches([batch.slice(start, end - start)]))
        if identity is not None:
            yield identity, as_stored(pa.concat_tables(parts), schema)


def _runs(batch: "pa.RecordBatch") -> Iterator[tuple[int, int, _Identity]]:
    """Where rows of the same interval begin and end."""
    from pyarrow import compute as pc

    start = 0
    while start < batch.num_rows:
        rest = batch.slice(start)
        identity = (rest["node"][0].as_py(), rest["meter"][0].as_py(), rest["seq"][0].as_py())
        same = pc.and_(
            pc.and_(pc.equal(rest["node"], identity[0]), pc.equal(rest["meter"], identity[1])),
            pc.equal(rest["seq"], rest["seq"][0]),
        )
        length = pc.index(same, value=False).as_py()
        end = batch.num_rows if length < 0 else start + length
        yield start, end, identity
        start = end
