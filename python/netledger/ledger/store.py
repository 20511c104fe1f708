"""The store's writer: each interval is committed exactly once, or not at all.

One commit, step by step; a process may be killed after any of them:

1. is (node, meter, seq) in the ledger? then it is *known*, and nothing is done
2. the rows are ``written`` to a temporary file, which is ``synced``
3. it is ``renamed``, and its directory made durable: ``named``
4. one transaction names the file and the interval: ``committed``
5. the caller lets the source forget the generation

After 1 nothing has happened. After 2 and 3 a file is left that the ledger does not know, which the next start removes.
After 4 the caller comes again with the same identity, and meets it in the ledger.
"""

import functools
import hashlib
import secrets
import sqlite3
import string
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger import durable
from netledger.durable import TEMPORARY, Step, make_directory, no_step, sync_directory
from netledger.errors import LedgerError
from netledger.intervals import DAY_NS, Clock
from netledger.ledger import database, spill
from netledger.ledger.digest import DIGEST_BYTES, FIRST_PREVIOUS, canonical, chain, digest
from netledger.ledger.files import StoreLock, explained, require_room
from netledger.ledger.named import rows_to_store
from netledger.ledger.prefixes import Lengths, note_prefix_lengths
from netledger.ledger.recovery import Leftovers, remove_leftovers
from netledger.ledger.rows import (
    ROW_GROUP_ROWS,
    ArrowRows,
    columns_in,
    file_suffix,
    needs_wide,
    parquet_writer,
    same_in_all,
)
from netledger.receipt import Receipt

if TYPE_CHECKING:
    import pyarrow as pa

_SECOND_NS: Final = 1_000_000_000
_SAFE: Final = frozenset(string.ascii_letters + string.digits + "_.")


@final
@dataclass(frozen=True, slots=True)
class Committed:
    """The interval is durable, by this call.

    Attributes:
        path: the file of its rows; None when it has none.
    """

    path: Path | None


@final
@dataclass(frozen=True, slots=True)
class Known:
    """The interval was durable already, and was not written again.

    Attributes:
        receipt: the receipt that counts, as JSON text.
    """

    receipt: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is durable, and that no ledger names yet."""

    path: Path
    rows: int
    octets: int
    sha256: bytes


@final
class Ledger:
    """The one way to add to a store. To be used from one thread at a time; several processes may write.

    Args:
        store: its directory; it is made when it is not there.
        clock: tells when something was committed or dropped.
        at_step: told each step of the protocol.
    """

    def __init__(self, store: Path, *, clock: Clock, at_step: Step = no_step) -> None:
        self.store = store
        self._clock = clock
        self.at_step = at_step
        self._lock = StoreLock(store)
        self._connection: sqlite3.Connection | None = None
        self._has_been_open = False
        self._file: tuple[int, int] | None = None
        # Of intervals that may or may not be in the ledger, for their transaction failed: see _path.
        self._undecided: dict[tuple[str, str, int], Path] = {}

    def open(self) -> Leftovers:
        """Makes or opens the store, and removes what dead writers left, if no other writer lives.

        Says what that was. Blocks for the disk.

        Raises:
            LedgerError: it cannot be opened, or is of a later version.
        """
        leftovers = Leftovers()
        if self._has_been_open and not (self.store / database.NAME).exists():
            # To begin a new one here would hide what follows from who brings the other back.
            hint = "is its file system mounted? it is looked for again with each commit"
            raise LedgerError(str(self.store), "open", "the ledger that was here is gone", hint)
        with explained(self.store, "open"):
            try:
                make_directory(self.store)
                make_directory(spill.directory_of(self.store))
                require_room(self.store)
                is_alone = self._lock.open()
                self._connection = database.connect_writer(self.store)
                self._file = self._file_now()
                sync_directory(self.store)
                if is_alone:
                    leftovers = remove_leftovers(self.store, self._connection)
                    self._lock.share()
            except BaseException:
                self.close()
                raise
        self._has_been_open = True
        return leftovers

    def close(self) -> None:
        """Closes the store. May be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lock.close()

    def commit(
        self, receipt: Receipt, rows: ArrowRows, *, exports: Sequence[str] = (), lengths: Lengths | None = None
    ) -> Committed | Known:
        """Makes an interval durable; to repeat it is harmless. Blocks for the disk.

        It stands as due for each of ``exports`` until that has written it, see :mod:`netledger.ledger.outbox`.
        ``lengths`` is how much of their addresses the rows have, where that is known.

        Raises:
            LedgerError: the disk is full, broken or refuses, or the number belongs to another interval.
                Nothing that can be seen has changed; commit it again later.
            ValueError: the receipt speaks of another number of rows.
        """
        with explained(self.store, "commit"):
            self._require_same_file()
            known = self._known(receipt)
            if known is not None:
                return known
            table = canonical(rows_to_store(receipt, rows))
            if table.num_rows != receipt.rows:
                message = f"a receipt of {receipt.rows} rows for {table.num_rows}"
                raise ValueError(message)
            proof = digest(table)
            new = self._write_file(receipt, table) if table.num_rows else None
            with database.transaction(self.connection):
                # Looked at again: another process may have come first. Its file counts, this one is left over.
                known = self._known(receipt)
                if known is None:
                    self._insert(receipt, proof, new, exports)
                    if lengths is not None:
                        note_prefix_lengths(
                            self.connection,
                            node=receipt.node,
                            meter=receipt.meter,
                            start_ns=receipt.start_ns,
                            lengths=lengths,
                        )
                self.at_step("inserted")
            self._undecided.pop(_identity(receipt), None)
            self.at_step("committed")
            return known or Committed(new.path if new else None)

    def drop_due(self, is_wanted: Callable[[str, str], bool]) -> dict[tuple[str, str], int]:
        """Forgets what is due for exports that are gone, and says how many intervals by export and meter.

        ``is_wanted`` is asked with the name of an export and of a meter.

        Raises:
            LedgerError: the disk is full, broken or refuses; nothing was forgotten.
        """
        with explained(self.store, "drop exports"), database.transaction(self.connection):
            found = self.connection.execute("SELECT export, meter, count(*) FROM exports_due GROUP BY export, meter")
            dropped = {(export, meter): count for export, meter, count in found if not is_wanted(export, meter)}
            self.connection.executemany("DELETE FROM exports_due WHERE export = ? AND meter = ?", list(dropped))
        return dropped

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._connection is not None

    @property
    def connection(self) -> sqlite3.Connection:
        """Of the ledger, while it is open; for the parts of this room."""
        if self._connection is None:
            message = f"the store {self.store} is not open"
            raise RuntimeError(message)
        return self._connection

    def now_ns(self) -> int:
        """The wall clock, UTC nanoseconds since 1970."""
        return self._clock.now().wall_ns

    def _file_now(self) -> tuple[int, int]:
        """Which file stands at the name of the ledger."""
        status = (self.store / database.NAME).stat()
        return status.st_dev, status.st_ino

    def _require_same_file(self) -> None:
        """Makes sure that rows and ledger come into the same store.

        SQLite goes on with the file that it has opened, wherever that was moved to. The rows go by name.
        """
        try:
            is_same = self._file_now() == self._file
        except FileNotFoundError:
            is_same = False
        if not is_same:
            hint = "put it back: it is looked for with each commit, and what waits is committed then"
            raise LedgerError(str(self.store), "commit", "the ledger was moved away or replaced", hint)

    def _known(self, receipt: Receipt) -> Known | None:
        identity = _identity(receipt)
        row = self.connection.execute(
            "SELECT interval_start, receipt FROM intervals WHERE node = ? AND meter = ? AND seq = ?", identity
        ).fetchone()
        if row is None:
            return None
        start_ns, text = row
        if start_ns != receipt.start_ns:
            # To call it known would throw away an interval that is nowhere else.
            raise LedgerError(
                str(self.store),
                "commit",
                f"number {receipt.seq} of meter {receipt.meter} belongs to another interval",
                f"write a greater number than any into {self.store}/meters/{receipt.meter}.seq",
            )
        return Known(text)

    def _write_file(self, receipt: Receipt, table: "pa.Table") -> NewFile:
        path = self._path(receipt, file_suffix(is_wide=needs_wide(table)))
        table = table.select(columns_in(path, table.column_names))
        same = same_in_all(table)
        with self.new_file(path) as temporary, parquet_writer(temporary, table.schema, same=same) as file:
            file.write_table(table, row_group_size=ROW_GROUP_ROWS)
        return described(path, table.num_rows)

    def new_file(self, path: Path) -> AbstractContextManager[Path]:
        """Gives the temporary file to be written; afterwards it is durable under its name.

        A file that could not be written is removed.

        Raises:
            OSError: the disk is full, broken or refuses.
        """
        return durable.new_file(path, path.with_name(path.name + TEMPORARY), at_step=self.at_step)

    def _path(self, receipt: Receipt, suffix: str) -> Path:
        """Where the rows of an interval go: to the same file when it is tried again.

        When a transaction fails, SQLite may have written all of it and only failed to make it durable: after a power
        cut it may be there. So the file that it names must be there too, and is replaced by the same bytes.
        """
        identity = _identity(receipt)
        if identity not in self._undecided:
            name = f"{_safe(receipt.node)}-{_safe(receipt.meter)}-{receipt.seq:08d}-{secrets.token_hex(4)}"
            self._undecided[identity] = day_directory(self.store, str(receipt.observed.table), receipt.start_ns) / (
                name + suffix
            )
        return self._undecided[identity]

    def _insert(self, receipt: Receipt, proof: bytes, new: NewFile | None, exports: Sequence[str]) -> None:
        if new is not None:
            tab, day = str(receipt.observed.table), day_of(receipt.start_ns)
            insert_file(self, tab, day, new, start_ns=receipt.start_ns, end_ns=receipt.end_ns)
        last = self.connection.execute("SELECT position, chain FROM chains WHERE node = ?", (receipt.node,)).fetchone()
        position, previous = (last[0] + 1, last[1]) if last else (1, FIRST_PREVIOUS)
        text = receipt.to_line().rstrip("\n")
        link = chain(previous, text, proof)
        self.connection.execute(
            "INSERT INTO intervals VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *_identity(receipt),
                receipt.start_ns,
                receipt.end_ns,
                str(receipt.status),
                receipt.rows,
                text,
                proof,
                position,
                previous,
                link,
                self.now_ns(),
            ),
        )
        self.connection.execute(
            "INSERT INTO chains VALUES (?, ?, ?) ON CONFLICT (node) DO UPDATE "
            "SET position = excluded.position, chain = excluded.chain",
            (receipt.node, position, link),
        )
        self.connection.executemany(
            "INSERT INTO exports_due VALUES (?, ?, ?, ?, NULL)", [(export, *_identity(receipt)) for export in exports]
        )


def insert_file(
    ledger: Ledger,
    tab: str,
    day: str,
    new: NewFile,
    *,
    start_ns: int,
    end_ns: int,
    is_rolled_up: bool = False,
    is_by_subject: bool = False,
) -> None:
    """Names a durable file in the ledger, within the transaction of the caller."""
    ledger.connection.execute(
        "INSERT INTO files "
        "(tab, day, path, rows, octets, sha256, interval_start, interval_end, committed_at, "
        "rolled_up, by_subject) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            tab,
            day,
            str(new.path.relative_to(ledger.store)),
            new.rows,
            new.octets,
            new.sha256,
            start_ns,
            end_ns,
            ledger.now_ns(),
            is_rolled_up,
            is_by_subject,
        ),
    )


def described(path: Path, rows: int) -> NewFile:
    """A file that was written just now, with what proves later that nobody has touched it.

    Raises:
        OSError: it cannot be read.
    """
    return NewFile(path, rows, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> bytes:
    """SHA-256 of a file. Blocks for the disk.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        made = hashlib.file_digest(file, "sha256").digest()
    assert len(made) == DIGEST_BYTES  # noqa: S101  # what the columns of the ledger are made for
    return made


def day_of(start_ns: int) -> str:
    """The UTC day in which an interval begins, which says where its rows lie: ``2026-11-20``."""
    return _day(start_ns // DAY_NS)


@functools.lru_cache
def _day(number: int) -> str:
    # Asked for each of the intervals of a report, which are thousands in a month.
    return datetime.fromtimestamp(number * DAY_NS // _SECOND_NS, UTC).strftime("%Y-%m-%d")


def day_directory(store: Path, tab: str, start_ns: int) -> Path:
    """Where the files of a day are."""
    return store / "data" / tab / f"day={day_of(start_ns)}"


def _identity(receipt: Receipt) -> tuple[str, str, int]:
    return receipt.node, receipt.meter, receipt.seq


def _safe(name: str) -> str:
    """A name as a part of a file's name. It need not be unique: the ledger knows what is in the file."""
    return "".join(letter if letter in _SAFE else "_" for letter in name)
