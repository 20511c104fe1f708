"""Whose an address was, in the ledger: facts, which are only ever added. What they come to is read from all of them.

Several processes may write: who assigns on the command line, who imports, and the daemon for its sources. The order in
which facts came is the order of their numbers, and the time at which one was learnt is never before that of another
that came earlier, even where the clock was set back. So what was known at a time stays what it was.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Fact, Kind, Target
from netledger.attribution.standing import standing
from netledger.errors import DamageError, FactError
from netledger.intervals import Clock
from netledger.ledger import database
from netledger.ledger.assignments_news import NOTHING, News, claimed_by, text_of
from netledger.ledger.files import explained, require_room
from netledger.ledger.lasting import ids_of_now, sources
from netledger.ledger.progress import Progress, no_progress
from netledger.ledger.reader import Reader
from netledger.ledger.store import Ledger

_COLUMNS: Final = "id, kind, target, valid_from, valid_to, subject, mac, source, learnt_at, detail"
_INSERT: Final = (
    "INSERT INTO assignments (kind, target, valid_from, valid_to, subject, mac, source, detail, id, learnt_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_Row = tuple[int, str, str, int, int | None, str | None, str | None, str, int, str]


@final
class Assignments:
    """The facts of a store. Safe to use from several threads; holds nothing open.

    Args:
        store: its directory.
        clock: tells when something was learnt.
    """

    def __init__(self, store: Path, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def add(self, facts: Sequence[Fact], *, progress: Progress = no_progress) -> list[Fact]:
        """Adds facts in this order: all or nothing, and durable. Gives those that were added, with number and time.

        Left out is what changes nothing: what the same source says already, and what a later one of ``facts`` replaces
        as a whole. The ledger has to be there. Blocks for the disk and for other writers. 100,000 facts take seconds,
        of which others who write wait for one.

        Raises:
            LedgerError: the disk is full, broken or refuses; nothing was added.
        """
        return self._added(facts, News(facts, progress).choose) if facts else []

    def end(self, fact: Fact, *, of: str) -> list[Fact]:
        """Adds a fact that says nobody's, if what its source claims where it begins is of that subject; else nothing.

        So who ends his own claim does not end that of another, who came meanwhile.

        Raises:
            LedgerError: as :meth:`add`.
        """
        return self._added([fact], lambda connection, _after_id: _ending(connection, fact, of))

    def is_news(self, fact: Fact, *, of: str | None = None) -> bool:
        """Whether :meth:`add` would write it at this moment; with ``of``, whether :meth:`end` would.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        if of is not None:
            return bool(self._reader().read(lambda connection: _ending(connection, fact, of)))
        return bool(self._reader().read(lambda connection: News([fact]).choose(connection, 0)))

    def _added(self, facts: Sequence[Fact], choose: Callable[[sqlite3.Connection, int], list[int]]) -> list[Fact]:
        with explained(self._store, "write assignments"):
            # Who begins a store does so on purpose; where it is gone, its file system may not be mounted just now.
            (self._store / database.NAME).stat()
            require_room(self._store)
            connection = database.connect_writer(self._store)
            try:
                # To choose takes the longest, and whoever else writes must not wait for it.
                seen, _ = _last(connection)
                positions = choose(connection, 0)
                lines = [_line(facts[position]) for position in positions]
                with database.transaction(connection):
                    last, learnt_ns = _last(connection)
                    learnt_ns = max(learnt_ns, self._clock.now().wall_ns)
                    if last != seen:
                        positions = choose(connection, seen)
                        lines = [_line(facts[position]) for position in positions]
                    numbered = enumerate(lines, last + 1)
                    connection.executemany(_INSERT, ((*line, number, learnt_ns) for number, line in numbered))
            finally:
                connection.close()
        numbers = enumerate(positions, last + 1)
        return [replace(facts[position], id=number, learnt_ns=learnt_ns) for number, position in numbers]

    def facts(
        self,
        *,
        as_known_at_ns: int | None = None,
        after_id: int = 0,
        source: str | None = None,
        target: Target | None = None,
    ) -> list[Fact]:
        """Facts in the order in which they were learnt; where there is no ledger there are none.

        ``as_known_at_ns`` leaves out what was learnt later, ``after_id`` what has no greater number. ``source`` and
        ``target`` choose those of one.

        Raises:
            LedgerError: it cannot be read, or is of another version.
        """

        def ask(connection: sqlite3.Connection) -> list[Fact]:
            return read_facts(
                connection,
                self._store,
                as_known_at_ns=as_known_at_ns,
                after_id=after_id,
                source=source,
                target=target,
            )

        return self._reader().read(ask) if self._is_there() else []

    def open_claims(self, source: str) -> list[Fact]:
        """What a source claims of now and later, as it stands: where a part was replaced, what is left.

        Raises:
            LedgerError: as :meth:`facts`.
        """
        now_ns = self._clock.now().wall_ns

        def ask(connection: sqlite3.Connection) -> list[Fact]:
            one = f"SELECT {_COLUMNS} FROM assignments WHERE id = ?"  # noqa: S608  # our own words
            rows = (connection.execute(one, (number,)).fetchone() for number in ids_of_now(connection, source, now_ns))
            return list(_as_facts(rows, self._store))

        told = self._reader().read(ask) if self._is_there() else []
        return [one for one in standing(told) if one.end_ns > now_ns]

    def sources(self) -> list[str]:
        """Who has ever said anything, by name.

        Raises:
            LedgerError: as :meth:`facts`.
        """
        return self._reader().read(lambda connection: list(sources(connection))) if self._is_there() else []

    def last_id(self) -> int:
        """The number of the newest fact; 0 without any.

        Raises:
            LedgerError: as :meth:`facts`.
        """
        return self._reader().read(lambda connection: _last(connection)[0]) if self._is_there() else 0

    def moments(self, sources: Sequence[str], *, after_ns: int) -> list[int]:
        """When something begins or ends later than ``after_ns`` by what these sources have ever said, in order.

        Raises:
            LedgerError: as :meth:`facts`.
        """

        def ask(connection: sqlite3.Connection) -> list[int]:
            found = set()
            for source in sources:
                for column in ("valid_from", "valid_to"):
                    found |= {
                        moment_ns
                        for (moment_ns,) in connection.execute(
                            f"SELECT {column} FROM assignments WHERE source = ? AND {column} > ?",  # noqa: S608  # two words
                            (source, after_ns),
                        )
                    }
            return sorted(found)

        return self._reader().read(ask) if self._is_there() else []

    def _is_there(self) -> bool:
        return self._reader().version() > 0

    def _reader(self) -> Reader:
        return Reader(self._store)


def begin(store: Path, clock: Clock) -> None:
    """Makes the ledger where there is none; for who assigns before anything was ever counted.

    Raises:
        LedgerError: it cannot be made.
    """
    with explained(store, "open"):
        if (store / database.NAME).exists():
            return
    ledger = Ledger(store, clock=clock)
    ledger.open()
    ledger.close()


def read_facts(
    connection: sqlite3.Connection,
    store: Path,
    *,
    as_known_at_ns: int | None = None,
    after_id: int = 0,
    source: str | None = None,
    target: Target | None = None,
) -> list[Fact]:
    """The same as :meth:`Assignments.facts` for who reads something else at the same moment, see :meth:`Reader.read`.

    Raises:
        DamageError: there is a line that is no fact.
        sqlite3.Error: it cannot be read.
    """
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM assignments WHERE id > ?1 AND (?2 IS NULL OR learnt_at <= ?2) "  # noqa: S608  # our own words
        "AND (?3 IS NULL OR source = ?3) AND (?4 IS NULL OR kind = ?4 AND target = ?5) ORDER BY id",
        (after_id, as_known_at_ns, source, *((None, None) if target is None else (target.kind, target.value))),
    )
    return list(_as_facts(rows, store))


def read_subjects(connection: sqlite3.Connection, *, as_known_at_ns: int | None = None) -> frozenset[str]:
    """All that somebody was ever called, by what is known now or was known at a time; see :meth:`Reader.read`.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    rows = connection.execute(
        "SELECT DISTINCT subject FROM assignments WHERE subject IS NOT NULL AND (?1 IS NULL OR learnt_at <= ?1)",
        (as_known_at_ns,),
    )
    return frozenset(str(name) for (name,) in rows)


def _as_facts(rows: Iterable[_Row], store: Path) -> Iterable[Fact]:
    for number, kind, value, start_ns, end_ns, subject, mac, source, learnt_ns, detail in rows:
        try:
            yield Fact(
                target=Target(Kind(kind), value),
                valid_from_ns=start_ns,
                valid_to_ns=end_ns,
                subject=subject,
                mac=mac,
                source=source,
                learnt_ns=learnt_ns,
                detail={} if detail == NOTHING else json.loads(detail),
                id=number,
            )
        except (FactError, ValueError, TypeError, AttributeError) as error:
            raise DamageError(str(store), "read", f"assignment {number} is none: {error}") from error


def _ending(connection: sqlite3.Connection, fact: Fact, of: str) -> list[int]:
    return News([fact]).choose(connection, 0) if claimed_by(connection, fact) == of else []


def _last(connection: sqlite3.Connection) -> tuple[int, int]:
    """Number of the newest fact, and when it was learnt."""
    found = connection.execute("SELECT id, learnt_at FROM assignments ORDER BY id DESC LIMIT 1").fetchone()
    return (0, 0) if found is None else (int(found[0]), int(found[1]))


def _line(fact: Fact) -> tuple[str | int | None, ...]:
    """What is written of a fact, but for its number and when it was learnt."""
    values = (str(fact.target.kind), fact.target.value, fact.valid_from_ns, fact.valid_to_ns, fact.subject)
    return (*values, fact.mac, fact.source, text_of(fact.detail))
