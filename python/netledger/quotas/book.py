"""The book of quotas: the states that the ledger's facts make, and one way to add to them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

from netledger.durable import Step, no_step
from netledger.errors import OutdatedError, QuotaError
from netledger.intervals import SECOND_NS, Clock
from netledger.ledger import database
from netledger.ledger.quota_facts import Fact, QuotaFacts, Told
from netledger.quotas.state import ALL, Reading, State, States, What

_Signature = tuple[tuple[int, int, int], ...]
_LEDGER: Final = (database.NAME, f"{database.NAME}-wal")
# Times of files are coarse: two changes within some milliseconds may look like one.
_READ_AGAIN_NS: Final = 10 * SECOND_NS


@final
class Book:
    """Quotas of one machine, as far as they were read. To be used from one thread.

    Args:
        store: its directory.
        node: the machine.
        clock: when facts happen.
        at_step: told each fact that is durable, by its kind, and what is done to the kernel and to processes.
    """

    def __init__(self, store: Path, node: str, clock: Clock, *, at_step: Step = no_step) -> None:
        self._store = store
        self._facts = QuotaFacts(store, node)
        self._clock = clock
        self.at_step = at_step
        self._states = States()
        self._signature: _Signature | None = None
        self._read_ns = 0

    @property
    def store(self) -> Path:
        """The store's directory."""
        return self._store

    @property
    def states(self) -> Mapping[str, State]:
        """The quotas that hold, by name."""
        return self._states.by_name

    def refresh(self) -> None:
        """Reads what was added since. Mostly does nothing where the ledger's files have not changed.

        Raises:
            LedgerError: it cannot be read, or is of another version.
        """
        signature, now_ns = self._signed(), self._clock.now().monotonic_ns
        if signature == self._signature and now_ns < self._read_ns + _READ_AGAIN_NS:
            return
        news = self._facts.since(self._states.newest_id)
        if news.newest_id < self._states.newest_id:
            # Another ledger stands in its place, an older copy say: it is the truth now.
            self._states = States()
            news = self._facts.since()
        self._states.add(news.facts)
        self._states.note(news.readings)
        self._signature, self._read_ns = signature, now_ns

    def write(self, name: str, what: What, told: Told, *, reading: Reading | None = None) -> State:
        """Adds a fact about a quota, durably, and gives the state behind it.

        Raises:
            OutdatedError: another process has changed the quota; what is known is read anew.
            LedgerError: the disk is full, broken or refuses. Nothing has changed.
        """
        self.write_all(name, [(what, told)], reading=reading)
        return self._states.by_name[name]

    def write_all(self, name: str, facts: Sequence[tuple[What, Told]], *, reading: Reading | None = None) -> list[Fact]:
        """Adds facts about a quota in one transaction, durably.

        Raises:
            OutdatedError, LedgerError: as :meth:`write`.
        """
        now_ns = self._clock.now().wall_ns
        try:
            added = self._facts.add(
                name,
                [(str(what), now_ns, told) for what, told in facts],
                after_id=self._states.newest_of.get(name, 0),
                reading=None if reading is None else reading.told(),
            )
        except OutdatedError:
            self._signature = None
            self.refresh()
            raise
        # Others may have come between: the numbers before these are read, too.
        self._signature = None
        self.refresh()
        for what, _ in facts:
            self.at_step(str(what))
        return added

    def write_of_all(self, what: What, told: Told) -> None:
        """Adds a fact that is about no quota alone.

        Raises:
            LedgerError: as :meth:`write`.
        """
        self.write_all(ALL, [(what, told)])

    def note(self, readings: Mapping[str, Reading]) -> None:
        """Writes readings down, durably; not those of quotas that another process has changed meanwhile.

        Raises:
            LedgerError: as :meth:`write`.
        """
        told = {name: reading.told() for name, reading in readings.items()}
        self._facts.note(told, after_ids={name: self._states.newest_of.get(name, 0) for name in readings})
        self._signature = None
        self.refresh()

    def _signed(self) -> _Signature:
        """Changes whenever SQLite has written."""
        found = []
        for name in _LEDGER:
            try:
                status = (self._store / name).stat()
            except OSError:
                found.append((0, 0, 0))
            else:
                found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)


def the(book: Book, name: str) -> State:
    """The quota of a name.

    Raises:
        QuotaError: there is none.
        LedgerError: the ledger cannot be read.
    """
    book.refresh()
    state = book.states.get(name)
    if state is None:
        there = ", ".join(sorted(book.states)) or "none"
        raise QuotaError(f"quota {name}", "", "there is no quota of this name", f"there are: {there}")
    return state
