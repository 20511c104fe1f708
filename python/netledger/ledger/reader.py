"""The store as others see it: what counts at one moment, and questions about it in SQL.

A reader takes no lock and changes nothing. It works while a writer runs, after it has ended, and as another user who
may only read.
"""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TypeVar, final

from netledger.errors import DamageError, LedgerError
from netledger.ledger import database
from netledger.ledger.files import explained, require_room
from netledger.ledger.intervals import COUNTERS, ROLLUP_HOUR, TRAFFIC, IntervalRow, intervals_of
from netledger.ledger.prefixes import Known, prefix_lengths
from netledger.ledger.rows import LATER_COLUMNS, STORED_COLUMNS, is_wide
from netledger.ledger.spill import spill_directory
from netledger.ledger.subject_files import ROLLUP_SUBJECT, SubjectRollup, subject_rollups
from netledger.receipt import Status
from netledger.schema import COUNTER_COLUMNS, Table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    Connection = duckdb.DuckDBPyConnection
    """Of an engine that answers questions, for who may not name it."""

VIEW: Final = "traffic"
"""What a question calls the rows."""
NAMED_VIEW: Final = "counters"
"""What it calls the rows of named counters."""

HOURLY_COLUMNS: Final = ("interval_start", "interval_end", "node", "meter", "account", "host", *COUNTER_COLUMNS)
"""What rows and rollups have in common. Beside them stands ``row_count``: how many rows one line was added up from."""

_MEMORY_MEGABYTES: Final = 512
_THREADS: Final = 2
_TRIES: Final = 20
_BUSY_SECONDS: Final = 10.0
_Parameter = str | int | bytes | None
_T = TypeVar("_T")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What counted at one moment, for a period.

    Its files stay readable for the grace of the store, a quarter of an hour, whatever is compacted meanwhile.

    Attributes:
        files: every row of the period is in one of them, once; there are other rows beside them, so a question says
            which it wants by ``interval_start``.
        intervals: those that begin in the period, by node, meter and number.
        days_dropped: UTC days whose rows were removed because of their age; their receipts are still here.
        rollups: hourly sums of some rows of the period, each once.
        not_rolled_up: those of ``files`` whose rows are in none of ``rollups``.
        rollup_days_dropped: UTC days whose hourly sums were removed, or never made.
        counters: the intervals of named counters that begin in the period; they are in none of the above.
        counter_files: every row of theirs is in one of these.
        counter_days_dropped: UTC days whose rows of named counters were removed.
        subject_rollups: sums by subject of some rows of the period, each once.
        not_by_subject: those of ``files`` whose rows are in none of ``subject_rollups``.
        subject_days_dropped: UTC days whose sums by subject were removed, or never made before their rows were.
        prefix_lengths: how much of their addresses meters keep.
    """

    files: tuple[Path, ...]
    intervals: tuple[IntervalRow, ...]
    days_dropped: frozenset[str] = frozenset()
    rollups: tuple[Path, ...] = ()
    not_rolled_up: tuple[Path, ...] = ()
    rollup_days_dropped: frozenset[str] = frozenset()
    counters: tuple[IntervalRow, ...] = ()
    counter_files: tuple[Path, ...] = ()
    counter_days_dropped: frozenset[str] = frozenset()
    subject_rollups: tuple[SubjectRollup, ...] = ()
    not_by_subject: tuple[Path, ...] = ()
    subject_days_dropped: frozenset[str] = frozenset()
    prefix_lengths: tuple[Known, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """The newest interval of a meter.

    Attributes:
        seq: its number.
        end_ns: where it ends, UTC nanoseconds.
        status: how far it is proven.
        committed_ns: when it was committed, UTC nanoseconds.
    """

    seq: int
    end_ns: int
    status: Status
    committed_ns: int


@final
class Reader:
    """Reads a store; cheap to make. Safe to use from several threads.

    Args:
        store: its directory.
        memory_megabytes: what an answer may take of memory; beyond that it takes disk inside the store.
        threads: how many processors it may use.
    """

    def __init__(self, store: Path, *, memory_megabytes: int = _MEMORY_MEGABYTES, threads: int = _THREADS) -> None:
        self.store = store
        self._memory_megabytes = memory_megabytes
        self._threads = threads

    def version(self) -> int:
        """The version of the ledger; 0 where there is none, or a first writer is just making it.

        Raises:
            LedgerError: it cannot be read.
        """
        path = self.store / database.NAME
        with explained(self.store, "read"):
            if not path.exists():
                return 0
            # SQLite would only say that it cannot. Nobody but SQLite may open the file: see database.connect_writer.
            if not os.access(path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            with _connected(path) as (connection, _):
                return database.version_of(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing stays open between two questions."""

    def snapshot(self, start_ns: int | None = None, end_ns: int | None = None) -> Snapshot:
        """What counts now and begins in [start, end), UTC nanoseconds; None leaves that side open.

        Raises:
            LedgerError: there is no store, it cannot be read, or is of another version.
        """

        def ask(connection: sqlite3.Connection) -> Snapshot:
            found = connection.execute(
                "SELECT tab, rolled_up, by_subject, path FROM files WHERE tab IN (?1, ?2, ?3) AND dropped_at IS NULL "
                "AND (?4 IS NULL OR interval_end > ?4) AND (?5 IS NULL OR interval_start < ?5) ORDER BY day, id",
                (TRAFFIC, ROLLUP_HOUR, COUNTERS, start_ns, end_ns),
            ).fetchall()
            files = [(tab, is_rolled_up, self.store / path) for tab, is_rolled_up, _, path in found]
            days = connection.execute("SELECT tab, day FROM days_dropped").fetchall()
            intervals = intervals_of(connection, self.store, start_ns=start_ns, end_ns=end_ns)
            return Snapshot(
                files=tuple(path for tab, _, path in files if tab == TRAFFIC),
                intervals=tuple(one for one in intervals if one.table is Table.TRAFFIC),
                days_dropped=frozenset(day for tab, day in days if tab == TRAFFIC),
                rollups=tuple(path for tab, _, path in files if tab == ROLLUP_HOUR),
                not_rolled_up=tuple(path for tab, is_done, path in files if tab == TRAFFIC and not is_done),
                rollup_days_dropped=frozenset(day for tab, day in days if tab == ROLLUP_HOUR),
                counters=tuple(one for one in intervals if one.table is Table.COUNTERS),
                counter_files=tuple(path for tab, _, path in files if tab == COUNTERS),
                counter_days_dropped=frozenset(day for tab, day in days if tab == COUNTERS),
                subject_rollups=tuple(subject_rollups(connection, self.store, start_ns=start_ns, end_ns=end_ns)),
                not_by_subject=tuple(
                    self.store / path for tab, _, is_done, path in found if tab == TRAFFIC and not is_done
                ),
                subject_days_dropped=frozenset(day for tab, day in days if tab == ROLLUP_SUBJECT),
                prefix_lengths=tuple(prefix_lengths(connection)),
            )

        return self.read(ask)

    def newest(self, *, node: str, meter: str) -> Newest | None:
        """A meter's newest interval; None without one.

        Raises:
            LedgerError: as :meth:`snapshot`.
        """

        def ask(connection: sqlite3.Connection) -> Newest | None:
            found = connection.execute(
                "SELECT seq, interval_end, status, committed_at FROM intervals WHERE node = ? AND meter = ? "
                "ORDER BY seq DESC LIMIT 1",
                (node, meter),
            ).fetchone()
            if found is None:
                return None
            seq, end_ns, status, committed_ns = found
            return Newest(seq=seq, end_ns=end_ns, status=Status(status), committed_ns=committed_ns)

        return self.read(ask)

    def read(self, ask: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``ask`` gets to know within one transaction, so that all of it is of one moment.

        ``ask`` may be called more than once.

        Raises:
            LedgerError: as :meth:`snapshot`.
        """
        path = self.store / database.NAME
        with explained(self.store, "open"):
            if not path.exists() or not path.stat().st_size:
                raise self._no_ledger()
        for _ in range(_TRIES):
            with explained(self.store, "read"):
                before = _state(path)
                with _connected(path) as (connection, is_frozen):
                    database.refuse_other(database.version_of(connection), path)
                    connection.execute("BEGIN")
                    answer = ask(connection)
                # A writer that came meanwhile may have changed what was read as if it never changed.
                if not is_frozen or (_state(path) == before and not _wal(path).exists()):
                    return answer
        raise LedgerError(str(self.store), "read", "it changes faster than it can be read")

    def _no_ledger(self) -> LedgerError:
        """There is no ledger, or an empty file in its place: nothing was ever committed here, or it was taken away."""
        if any((self.store / "data").glob("*/day=*/*.parquet")):
            hint = "put ledger.sqlite back from a copy: without it nothing says which of the files in data count"
            return DamageError(str(self.store), "open", "there is no ledger, but there are rows", hint)
        hint = "nothing was counted here yet, or it is another directory: see --store"
        return LedgerError(str(self.store), "open", "there is no ledger", hint)

    def query(
        self, sql: str, snapshot: Snapshot, parameters: Sequence[_Parameter] | Mapping[str, _Parameter] = ()
    ) -> "pa.Table":
        """The answer to a question about the rows of a snapshot, which are the view ``traffic``. Blocks for the disk.

        Memory and threads are bounded; what does not fit goes to a directory inside the store, if this user may
        write there.

        Raises:
            LedgerError: a file cannot be read, or the question is none.
        """
        with self.rows(snapshot.files) as connection:
            # By `sql`: `execute` may hand over rows in another order than was asked for.
            return connection.sql(sql, params=parameters or None).to_arrow_table()

    @contextlib.contextmanager
    def rows(self, files: Sequence[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """A DuckDB connection with the rows of the files as the view ``traffic``.

        Raises:
            LedgerError: a file cannot be read, or what is asked meanwhile fails.
        """
        with self._view(rows_sql(files)) as connection:
            yield connection

    @contextlib.contextmanager
    def hours(self, rollups: Sequence[Path], files: Sequence[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The same with hourly sums, and the rows of ``files`` beside them: :data:`HOURLY_COLUMNS` and ``row_count``.

        Raises:
            LedgerError: as :meth:`rows`.
        """
        columns = ", ".join(HOURLY_COLUMNS)
        parts = [f"SELECT {columns}, row_count FROM {read_parquet(rollups)}"] if rollups else []  # noqa: S608  # quoted there
        if files or not rollups:
            parts.append(f"SELECT {columns}, CAST(1 AS UBIGINT) AS row_count FROM ({rows_sql(files)})")  # noqa: S608  # as above
        with self._view(" UNION ALL ".join(parts)) as connection:
            yield connection

    @contextlib.contextmanager
    def named(self, files: Sequence[Path]) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The same with the rows of named counters, as the view ``counters``; of no file there is no such view.

        Raises:
            LedgerError: as :meth:`rows`.
        """
        with self._view(f"SELECT * FROM {read_parquet(files)}", NAMED_VIEW) as connection:  # noqa: S608  # quoted there
            yield connection

    @contextlib.contextmanager
    def _view(self, select: str, name: str = VIEW) -> Iterator["duckdb.DuckDBPyConnection"]:
        import duckdb

        try:
            with duckdb.connect(":memory:", config=self._settings()) as connection:
                connection.execute(f"CREATE VIEW {name} AS {select}")
                yield connection
        except duckdb.Error as error:
            text = " ".join(str(error).split())
            raise LedgerError(str(self.store), "query", text, "netledger audit --verify") from error

    def _settings(self) -> dict[str, str | bool | int | float | list[str]]:
        settings: dict[str, str | bool | int | float | list[str]] = {
            # Nothing may be downloaded to answer a question.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "memory_limit": f"{self._memory_megabytes}MB",
            "threads": self._threads,
        }
        directory = spill_directory(self.store)
        # Without one it would take the working directory of the process.
        settings["temp_directory"] = "" if directory is None else str(directory)
        return settings


def rows_sql(files: Sequence[Path]) -> str:
    """The rows of the files as a SELECT, with all columns of the store."""
    narrow, wide = _narrow_and_wide(files)
    counters, later = ", ".join(COUNTER_COLUMNS), ", ".join(map(_nothing, LATER_COLUMNS))
    filled = f"SELECT * EXCLUDE ({counters}), {later}, {counters}"  # in the order of the store
    parts = [f"{filled} FROM {read_parquet(narrow)}"] if narrow else []
    parts += [f"SELECT * FROM {read_parquet(wide)}"] if wide else []  # noqa: S608  # as above
    if parts:
        return " UNION ALL BY NAME ".join(parts)
    return f"SELECT {', '.join(map(_nothing, STORED_COLUMNS))} WHERE false"  # our own words


def _nothing(name: str) -> str:
    """A column of the rows that has no value."""
    kinds = {"node": "VARCHAR", "meter": "VARCHAR", "account": "VARCHAR", "interface": "VARCHAR", "label": "VARCHAR"}
    kinds |= {"interval_start": "BIGINT", "interval_end": "BIGINT", "host": "BLOB", "peer": "BLOB"}
    kinds |= {"protocol": "UTINYINT", "host_port": "USMALLINT", "peer_port": "USMALLINT"}
    kinds |= {"zone": "USMALLINT", "mark": "UINTEGER"}
    return f"NULL::{kinds.get(name, 'UBIGINT')} AS {name}"


def _narrow_and_wide(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    # To let DuckDB find out which file has which columns takes half as long again as the answer.
    wide = [path for path in files if is_wide(path)]
    return [path for path in files if not is_wide(path)] if wide else list(files), wide


def read_parquet(files: Sequence[Path]) -> str:
    """The files as what stands behind FROM in DuckDB's SQL. A column that one of them lacks is empty there."""
    names = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    # The directories are named day=…, which DuckDB would take for a column of its own.
    is_mixed = all(_narrow_and_wide(files))
    return f"read_parquet([{names}], hive_partitioning = false{', union_by_name = true' if is_mixed else ''})"


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[tuple[sqlite3.Connection, bool]]:
    """A connection that only reads, and whether it takes the file for one that never changes.

    While a writer has the ledger open its ``-wal`` and ``-shm`` are there, and anybody who may read them can take
    part. After it has ended they are gone, and SQLite would have to make them: a user who may not write here is
    refused. Then the file itself is all there is, and nobody writes to it, so it can be read as what never changes.
    """
    quoted = "file:" + str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    is_frozen = False
    try:
        _require_room_for_index(path)
        connection = sqlite3.connect(f"{quoted}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
    except (sqlite3.OperationalError, OSError):
        if _wal(path).exists():
            raise
        connection = sqlite3.connect(f"{quoted}?immutable=1", uri=True, isolation_level=None)
        is_frozen = True
    try:
        yield connection, is_frozen
    finally:
        connection.close()


def _require_room_for_index(path: Path) -> None:
    """A writer takes the room for its ``-shm`` and leaves it with its last connection. Then a reader would make one.

    Where blocks are smaller than pages SQLite leaves holes in it, and to write into one on a full disk ends the process
    with SIGBUS.
    """
    if not path.with_name(f"{path.name}-shm").exists():
        require_room(path.parent)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
