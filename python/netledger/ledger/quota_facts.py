"""What became of quotas, in the ledger: facts, which are only ever added, and the newest reading of each.

Two processes may write: who changes a quota on the command line, and the daemon that keeps it. Each says which fact it
takes for the newest of that quota, and is refused where another one has come since.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, final

from netledger.errors import DamageError, LedgerError, OutdatedError
from netledger.ledger import database
from netledger.ledger.files import explained, require_room
from netledger.ledger.reader import Reader

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | Mapping[str, Value] | None"
Told: TypeAlias = Mapping[str, Value]

_COLUMNS: Final = "id, node, quota, kind, happened_at, told"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that was decided, or that happened.

    Attributes:
        id: its number; later ones are greater.
        node: the machine.
        quota: the name of the quota.
        kind: what it is.
        happened_ns: when, UTC nanoseconds since 1970.
        told: what belongs to it.
    """

    id: int
    node: str
    quota: str
    kind: str
    happened_ns: int
    told: Told


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What was added since somebody looked.

    Attributes:
        facts: in their order.
        readings: the newest of each quota.
        newest_id: the greatest number of all facts; 0 without any.
    """

    facts: Sequence[Fact]
    readings: Mapping[str, Told]
    newest_id: int


@final
class QuotaFacts:
    """The quotas of one machine. To be used from one thread at a time; holds nothing open.

    Args:
        store: its directory.
        node: the machine.
    """

    def __init__(self, store: Path, node: str) -> None:
        self._store = store
        self._node = node

    def since(self, after_id: int = 0) -> News:
        """The facts with greater numbers, and all readings. Blocks for the disk.

        Where there is no ledger there is nothing.

        Raises:
            LedgerError: it cannot be read, or is of another version.
        """
        reader = Reader(self._store)
        with explained(self._store, "read quotas"):
            if not (self._store / database.NAME).exists():
                return News(facts=(), readings={}, newest_id=0)
            # The writer lets go of a full disk. Who reads then would write to SQLite's index, where a hole is a signal.
            require_room(self._store)
        if not reader.version():
            return News(facts=(), readings={}, newest_id=0)
        return reader.read(lambda connection: self._since(connection, after_id))

    def add(
        self,
        quota: str,
        facts: Sequence[tuple[str, int, Told]],
        *,
        after_id: int,
        reading: Told | None = None,
    ) -> list[Fact]:
        """Adds facts of kind, time and rest, and the reading that belongs to them: all or nothing, and durable.

        ``after_id`` is the newest fact of this quota as far as the caller knows, 0 without one.

        Raises:
            OutdatedError: there is a newer one.
            LedgerError: the disk is full, broken or refuses.
        """
        with explained(self._store, "write a quota"):
            connection = self._opened()
            try:
                with database.transaction(connection):
                    if self._newest(connection, quota) != after_id:
                        raise OutdatedError(
                            f"quota {quota}", "write", "another process has changed it meanwhile", "try again"
                        )
                    added = [self._add(connection, quota, *fact) for fact in facts]
                    if reading is not None:
                        self._note(connection, quota, reading)
            finally:
                connection.close()
        return added

    def note(self, readings: Mapping[str, Told], *, after_ids: Mapping[str, int]) -> None:
        """Puts readings in the place of older ones, durably.

        ``after_ids`` has the newest fact of each quota as far as the caller knows. Where there is a newer one the
        reading is left out: it may be of the time before a reset.

        Raises:
            LedgerError: the disk is full, broken or refuses.
        """
        with explained(self._store, "write a quota"):
            connection = self._opened()
            try:
                with database.transaction(connection):
                    for quota, reading in readings.items():
                        if self._newest(connection, quota) == after_ids.get(quota, 0):
                            self._note(connection, quota, reading)
            finally:
                connection.close()

    def _since(self, connection: sqlite3.Connection, after_id: int) -> News:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM quota_facts WHERE node = ? AND id > ? ORDER BY id",  # noqa: S608  # our own words
            (self._node, after_id),
        ).fetchall()
        readings = connection.execute("SELECT quota, told FROM quota_readings WHERE node = ?", (self._node,)).fetchall()
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM quota_facts").fetchone()
        return News(
            facts=[self._as_fact(row) for row in rows],
            readings={quota: self._read(text, quota) for quota, text in readings},
            newest_id=newest,
        )

    def _newest(self, connection: sqlite3.Connection, quota: str) -> int:
        (newest,) = connection.execute(
            "SELECT coalesce(max(id), 0) FROM quota_facts WHERE node = ? AND quota = ?", (self._node, quota)
        ).fetchone()
        return int(newest)

    def _add(self, connection: sqlite3.Connection, quota: str, kind: str, happened_ns: int, told: Told) -> Fact:
        done = connection.execute(
            "INSERT INTO quota_facts (node, quota, kind, happened_at, told) VALUES (?, ?, ?, ?, ?)",
            (self._node, quota, kind, happened_ns, _text(told)),
        )
        if done.lastrowid is None:
            raise LedgerError(str(self._store), "write a quota", "SQLite gave the fact no number")
        return Fact(id=done.lastrowid, node=self._node, quota=quota, kind=kind, happened_ns=happened_ns, told=told)

    def _note(self, connection: sqlite3.Connection, quota: str, reading: Told) -> None:
        connection.execute(
            "INSERT INTO quota_readings VALUES (?, ?, ?) ON CONFLICT (node, quota) DO UPDATE SET told = excluded.told",
            (self._node, quota, _text(reading)),
        )

    def _as_fact(self, row: tuple[int, str, str, str, int, str]) -> Fact:
        number, node, quota, kind, happened_ns, text = row
        told = self._read(text, quota)
        return Fact(id=number, node=node, quota=quota, kind=kind, happened_ns=happened_ns, told=told)

    def _read(self, text: str, quota: str) -> Told:
        try:
            told = json.loads(text)
        except ValueError as error:
            raise DamageError(str(self._store), "read", f"what it holds of quota {quota} is no JSON") from error
        if not isinstance(told, dict):
            raise DamageError(str(self._store), "read", f"what it holds of quota {quota} is no object")
        return told

    def _opened(self) -> sqlite3.Connection:
        # It is who adds a quota that may begin a ledger; where it is gone, its file system may not be mounted just now.
        (self._store / database.NAME).stat()
        require_room(self._store)
        return database.connect_writer(self._store)


def _text(told: Told) -> str:
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
