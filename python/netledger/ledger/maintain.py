"""Housekeeping: one file for each closed day, old days without their rows, and what is dropped removed in the end.

Each step can be killed at any moment and repeated. A reader that took its list of files before a step goes on reading
them: files that do not count any more stay for :data:`GRACE_NS`.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.errors import DamageError
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger import database
from netledger.ledger.files import explained
from netledger.ledger.intervals import TRAFFIC
from netledger.ledger.reader import VIEW, Reader
from netledger.ledger.rows import ROW_GROUP_ROWS, STORED_COLUMNS, as_stored, parquet_writer
from netledger.ledger.store import Ledger, NewFile, day_of, described, insert_file, sha256_of
from netledger.receipt import parse_rfc3339

if TYPE_CHECKING:
    import pyarrow as pa

GRACE_NS: Final = 15 * 60 * SECOND_NS
"""How long a file outlives the moment from which it does not count: longer than the longest question."""

CLOSED_AFTER_NS: Final = 6 * 3600 * SECOND_NS
"""How long after its end a day is closed: intervals that waited for a full disk are in by then, as a rule."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""

_SUMS: Final = ("count(*)", *(f"sum({name})" for name in STORED_COLUMNS[-4:]))


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """What housekeeping has done.

    Attributes:
        days_compacted: days that are one file now.
        days_dropped: days whose rows were too old.
        files_removed: files that did not count any more.
    """

    days_compacted: tuple[str, ...] = ()
    days_dropped: tuple[str, ...] = ()
    files_removed: int = 0


@dataclass(frozen=True, slots=True)
class _Input:
    number: int
    path: str
    rows: int
    sha256: bytes
    start_ns: int
    end_ns: int


def no_progress(_what: str, _done: int, _all: int) -> None:
    """Says nothing."""


def maintain(ledger: Ledger, *, keep_days: int | None = None, progress: Progress = no_progress) -> Kept:
    """Drops days that began more than ``keep_days`` ago, compacts closed ones, and removes what is dropped.

    Blocks for the disk; a day of nine million rows takes some seconds and at most half a gigabyte of memory.

    Raises:
        LedgerError: the disk is full, broken or refuses. What is done is done; repeat it later.
        DamageError: a file is not what was committed, or a total would change. Nothing was changed there.
    """
    dropped = [] if keep_days is None else _drop_days(ledger, day_of(ledger.now_ns() - keep_days * DAY_NS))
    days = _to_compact(ledger)
    done = []
    for number, day in enumerate(days):
        progress(f"compact {day}", number, len(days))
        if compact(ledger, day):
            done.append(day)
    progress("remove", len(days), len(days))
    return Kept(tuple(done), tuple(dropped), remove_dropped(ledger))


def compact(ledger: Ledger, day: str) -> bool:
    """Puts the rows of a day into one file, ordered by host; says whether that was done.

    It is not where another process did it meanwhile.

    Raises:
        LedgerError, DamageError: as :func:`maintain`.
    """
    with explained(ledger.store, f"compact {day}"):
        inputs = _inputs(ledger.connection, day)
        for one in inputs:
            # A file that somebody changed must not become part of one that looks sound.
            if sha256_of(ledger.store / one.path) != one.sha256:
                raise DamageError(one.path, "compact", "it is not the file that was committed")
        if len(inputs) < 2:  # noqa: PLR2004  # one file is what is wanted
            return False
        path = (ledger.store / inputs[0].path).parent / f"compacted-{secrets.token_hex(4)}.parquet"
        with ledger.new_file(path) as temporary:
            _write_ordered(Reader(ledger.store), [ledger.store / one.path for one in inputs], temporary)
            _check_sums(Reader(ledger.store), [ledger.store / one.path for one in inputs], temporary)
        new = described(path, sum(one.rows for one in inputs))
        is_done = _replace(ledger, day, inputs, new)
        if not is_done:
            path.unlink()
    return is_done


def _replace(ledger: Ledger, day: str, inputs: Sequence[_Input], new: NewFile) -> bool:
    """Lets a file count instead of others, if all of them still count."""
    with database.transaction(ledger.connection):
        live = {one.number for one in _inputs(ledger.connection, day)}
        if not live.issuperset(one.number for one in inputs):
            return False
        start_ns, end_ns = min(one.start_ns for one in inputs), max(one.end_ns for one in inputs)
        insert_file(ledger, TRAFFIC, day, new, start_ns=start_ns, end_ns=end_ns)
        ledger.connection.executemany(
            "UPDATE files SET dropped_at = ? WHERE id = ?", [(ledger.now_ns(), one.number) for one in inputs]
        )
        ledger.at_step("replaced")
    return True


def remove_dropped(ledger: Ledger) -> int:
    """Removes files that have not counted for longer than the grace, and says how many.

    Raises:
        LedgerError: one cannot be removed.
    """
    with explained(ledger.store, "remove"):
        old = ledger.connection.execute(
            "SELECT id, path FROM files WHERE dropped_at IS NOT NULL AND dropped_at <= ?",
            (ledger.now_ns() - GRACE_NS,),
        ).fetchall()
        for number, path in old:
            (ledger.store / path).unlink(missing_ok=True)
            ledger.at_step("unlinked")
            # Forgotten after it is gone: the other way round a crash would leave a file that nobody knows.
            ledger.connection.execute("DELETE FROM files WHERE id = ?", (number,))
        for directory in {(ledger.store / path).parent for _, path in old}:
            with contextlib.suppress(OSError):  # it is not empty, or another process came first
                directory.rmdir()
    return len(old)


def _drop_days(ledger: Ledger, before: str) -> list[str]:
    """Marks the rows of days before the given one as dropped; receipts and the chain stay."""
    with explained(ledger.store, "drop"), database.transaction(ledger.connection):
        days = [
            day
            for (day,) in ledger.connection.execute(
                "SELECT DISTINCT day FROM files WHERE tab = ? AND day < ? AND dropped_at IS NULL ORDER BY day",
                (TRAFFIC, before),
            )
        ]
        for day in days:
            ledger.connection.execute(
                "INSERT OR REPLACE INTO days_dropped VALUES (?, ?, ?)", (TRAFFIC, day, ledger.now_ns())
            )
        ledger.connection.execute(
            "UPDATE files SET dropped_at = ? WHERE day < ? AND dropped_at IS NULL", (ledger.now_ns(), before)
        )
        ledger.connection.execute(
            "DELETE FROM exports_due WHERE (node, meter, seq) IN "
            "(SELECT node, meter, seq FROM intervals WHERE interval_start < ?)",
            (_start_of(before),),
        )
    return days


def _start_of(day: str) -> int:
    return parse_rfc3339(f"{day}T00:00:00Z")


def _to_compact(ledger: Ledger) -> list[str]:
    """Closed days of which there is more than one file."""
    with explained(ledger.store, "read"):
        rows = ledger.connection.execute(
            "SELECT day FROM files WHERE tab = ? AND day < ? AND dropped_at IS NULL GROUP BY day HAVING count(*) > 1 "
            "ORDER BY day",
            (TRAFFIC, day_of(ledger.now_ns() - CLOSED_AFTER_NS)),
        ).fetchall()
    return [day for (day,) in rows]


def _inputs(connection: sqlite3.Connection, day: str) -> list[_Input]:
    rows = connection.execute(
        "SELECT id, path, rows, sha256, interval_start, interval_end FROM files "
        "WHERE tab = ? AND day = ? AND dropped_at IS NULL ORDER BY id",
        (TRAFFIC, day),
    ).fetchall()
    return [_Input(*row) for row in rows]


def _write_ordered(reader: Reader, inputs: Sequence[Path], path: Path) -> None:
    with reader.rows(inputs) as connection, parquet_writer(path) as file:
        columns = ", ".join(STORED_COLUMNS)
        order = "host, interval_start, node, meter, seq, account"
        # By `sql`: `execute` may hand over batches in another order than was asked for.
        batches = connection.sql(
            f"SELECT {columns} FROM {VIEW} ORDER BY {order}"  # noqa: S608  # our own words
        ).to_arrow_reader(ROW_GROUP_ROWS)
        for table in _pieces(batches):
            file.write_table(as_stored(table), row_group_size=ROW_GROUP_ROWS)


def _pieces(batches: "pa.RecordBatchReader") -> Iterator["pa.Table"]:
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


def _check_sums(reader: Reader, inputs: Sequence[Path], path: Path) -> None:
    """Refuses a file that would change a total, of any interval.

    Raises:
        DamageError: so it is.
    """
    question = f"SELECT node, meter, seq, {', '.join(_SUMS)} FROM {VIEW} GROUP BY ALL ORDER BY ALL"  # noqa: S608  # our own words
    found = []
    for files in (inputs, [path]):
        with reader.rows(files) as connection:
            found.append(connection.sql(question).fetchall())
    if found[0] != found[1]:
        raise DamageError(str(path.parent), "compact", "the sums would change; nothing was changed")
