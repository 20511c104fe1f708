"""One file out of others: written in order, compared with them, and counted as soon as one transaction names it.

Nothing that this does is seen before that transaction; a process that is killed leaves at most a file that the ledger
does not name. See :mod:`netledger.ledger.store` for the steps.
"""

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.errors import DamageError
from netledger.ledger import database
from netledger.ledger.reader import Reader
from netledger.ledger.rows import ROW_GROUP_ROWS, as_stored, columns_in, file_suffix, is_wide, parquet_writer
from netledger.ledger.store import Ledger, NewFile, described, insert_file, sha256_of

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Less than for a report: nobody waits for it, and it runs beside the counting.
_MEMORY_MEGABYTES: Final = 160
_THREADS: Final = 2


@final
@dataclass(frozen=True, slots=True)
class Input:
    """A file that counts.

    Attributes:
        number: its number in the ledger.
        path: below the store.
        sha256: of the whole file.
        start_ns: the least start of its rows, UTC nanoseconds.
        is_rolled_up: its rows are in hourly sums as well.
        is_by_subject: its rows are in sums by subject as well.
    """

    number: int
    path: str
    sha256: bytes
    start_ns: int
    is_rolled_up: bool
    is_by_subject: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one file is made of others.

    Attributes:
        name: what is being done, for messages, and the beginning of the file's name.
        tab_before: what kind of rows the old files have.
        tab: and which the new file.
        is_replacing: the old files do not count any more then; otherwise they are rolled up.
        read: its rows in their order, out of the view that ``view`` makes; so many at a time.
        schema: their types.
        sums_before: what must not change, asked of the old files.
        sums_after: the same, asked of the new one.
        view: how the files are opened for all these questions.
    """

    name: str
    tab_before: str
    tab: str
    is_replacing: bool
    read: "Callable[[duckdb.DuckDBPyConnection, int], Iterator[pa.RecordBatch]]"
    schema: "Callable[[], pa.Schema]"
    sums_before: str
    sums_after: str
    view: "Callable[[Reader, Sequence[Path]], AbstractContextManager[duckdb.DuckDBPyConnection]]" = Reader.rows


def selected(select: str) -> "Callable[[duckdb.DuckDBPyConnection, int], Iterator[pa.RecordBatch]]":
    """Reads the answer to a question, in the order that it asks for."""

    def read(connection: "duckdb.DuckDBPyConnection", batch_rows: int) -> Iterator["pa.RecordBatch"]:
        # By `sql`: `execute` may hand over batches in another order than was asked for.
        yield from connection.sql(select).to_arrow_reader(batch_rows)

    return read


def inputs_of(connection: sqlite3.Connection, tab: str, day: str) -> list[Input]:
    """The files of a day that count."""
    rows = connection.execute(
        "SELECT id, path, sha256, interval_start, rolled_up, by_subject FROM files "
        "WHERE tab = ? AND day = ? AND dropped_at IS NULL ORDER BY id",
        (tab, day),
    ).fetchall()
    return [
        Input(number, path, sha256, start_ns, bool(is_rolled_up), bool(is_by_subject))
        for number, path, sha256, start_ns, is_rolled_up, is_by_subject in rows
    ]


def refuse_changed(ledger: Ledger, inputs: Sequence[Input], operation: str) -> None:
    """A file that somebody changed must not become part of one that looks sound.

    Raises:
        DamageError: one is not what was committed, or not there.
    """
    for one in inputs:
        try:
            is_sound = sha256_of(ledger.store / one.path) == one.sha256
        except FileNotFoundError as error:
            raise DamageError(one.path, operation, "it is not there") from error
        if not is_sound:
            raise DamageError(one.path, operation, "it is not the file that was committed")


@final
@dataclass(frozen=True, slots=True)
class Made:
    """A new file that counts nowhere yet, with the least start and the greatest end of its rows, UTC nanoseconds."""

    file: NewFile
    start_ns: int
    end_ns: int


def made_of(ledger: Ledger, inputs: Sequence[Input], day: str, recipe: Recipe) -> Made:
    """Writes the new file, and compares it with the old ones. It is durable afterwards, and counts nowhere yet.

    Raises:
        DamageError: an input is not what was committed, or a sum would change or does not fit.
        LedgerError, OSError: the disk is full, broken or refuses.
    """
    refuse_changed(ledger, inputs, recipe.name)
    directory = ledger.store / "data" / recipe.tab / f"day={day}"
    # Of rows that are added up only sums are left.
    suffix = file_suffix(is_wide=recipe.is_replacing and any(is_wide(one.path) for one in inputs))
    path = directory / f"{recipe.name}-{secrets.token_hex(4)}{suffix}"
    reader = Reader(ledger.store, memory_megabytes=_MEMORY_MEGABYTES, threads=_THREADS)
    files = [ledger.store / one.path for one in inputs]
    with ledger.new_file(path) as temporary:
        rows, start_ns, end_ns = _write(reader, files, path, temporary, recipe)
        before, after = (
            _sums(reader, files, recipe, recipe.sums_before),
            _sums(reader, [temporary], recipe, recipe.sums_after),
        )
        if before != after:
            raise DamageError(str(path.parent), recipe.name, "the sums would change; nothing was changed")
    return Made(described(path, rows), start_ns, end_ns)


def count(ledger: Ledger, new: Made, inputs: Sequence[Input], day: str, recipe: Recipe) -> bool:
    """Names the new file in one transaction, and notes of the old ones that they are replaced or rolled up.

    Says whether that was done: not where an input does not count as it did, for another process came first. Then, and
    where anything fails before the transaction ends, the new file is removed.

    Raises:
        LedgerError, sqlite3.Error: the ledger refuses.
    """
    is_removed = True
    try:
        with database.transaction(ledger.connection):
            if not set(inputs_of(ledger.connection, recipe.tab_before, day)).issuperset(inputs):
                return False
            insert_file(
                ledger,
                recipe.tab,
                day,
                new.file,
                start_ns=new.start_ns,
                end_ns=new.end_ns,
                is_rolled_up=recipe.is_replacing and all(one.is_rolled_up for one in inputs),
                is_by_subject=recipe.is_replacing and all(one.is_by_subject for one in inputs),
            )
            value = ("dropped_at", ledger.now_ns()) if recipe.is_replacing else ("rolled_up", True)
            ledger.connection.executemany(
                f"UPDATE files SET {value[0]} = ? WHERE id = ?",  # noqa: S608  # one of the two words above
                [(value[1], one.number) for one in inputs],
            )
            ledger.at_step("replaced" if recipe.is_replacing else "rolled_up")
            # From here on nobody can tell whether it counts, should the end of the transaction fail.
            is_removed = False
    finally:
        if is_removed:
            new.file.path.unlink(missing_ok=True)
    ledger.at_step("counted")
    return True


def _write(reader: Reader, files: Sequence[Path], path: Path, temporary: Path, recipe: Recipe) -> tuple[int, int, int]:
    """Says how many rows it has written, their least start and their greatest end."""
    import pyarrow as pa
    from pyarrow import compute as pc

    schema, rows, starts, ends = recipe.schema(), 0, [], []
    schema = pa.schema([schema.field(name) for name in columns_in(path, schema.names)])
    with recipe.view(reader, files) as connection, parquet_writer(temporary, schema, is_by_host=True) as file:
        try:
            for table in _pieces(recipe.read(connection, ROW_GROUP_ROWS)):
                file.write_table(as_stored(table, schema), row_group_size=ROW_GROUP_ROWS)
                rows += table.num_rows
                starts.append(pc.min(table["interval_start"]).as_py())
                ends.append(pc.max(table["interval_end"]).as_py())
        except Exception as error:
            _refuse_too_great(error, path, recipe)
            raise
    return rows, min(starts), max(ends)


def _refuse_too_great(error: Exception, path: Path, recipe: Recipe) -> None:
    import duckdb

    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        raise DamageError(str(path.parent), recipe.name, "a sum does not fit 64 bits; nothing was changed") from error


def _pieces(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.Table"]:
    """Batches put together to whole row groups."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= ROW_GROUP_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _sums(reader: Reader, files: Sequence[Path], recipe: Recipe, question: str) -> list[tuple[object, ...]]:
    with recipe.view(reader, files) as connection:
        found: list[tuple[object, ...]] = connection.sql(question).fetchall()
    return found
