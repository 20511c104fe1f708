"""Who keeps what learners learn while the daemon runs: the ledger, and the loop that cuts."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Fact
from netledger.intervals import Clock
from netledger.ledger import database
from netledger.ledger.assignments import Assignments

# The thread of commits makes the ledger at the first start of all.
_MADE_SECONDS: Final = 10.0
_STEP_SECONDS: Final = 0.05


def wait_for_ledger(store: Path) -> None:
    """Blocks until there is a ledger, but not for ever: who writes then says why it cannot."""
    pause, waited_seconds = threading.Event(), 0.0
    while not (store / database.NAME).exists() and waited_seconds < _MADE_SECONDS:
        pause.wait(_STEP_SECONDS)
        waited_seconds += _STEP_SECONDS


@final
class StoreRecorder:
    """A :class:`~netledger.attribution.learning.Recorder` of a store.

    Args:
        store: its directory.
        clock: where the time comes from.
        cut_moment: see :meth:`Cuts.moment`.
    """

    def __init__(self, store: Path, clock: Clock, *, cut_moment: Callable[[], int]) -> None:
        self._store = store
        self._assignments = Assignments(store, clock)
        self._cut_moment = cut_moment

    def learn(self, facts: Sequence[Fact]) -> None:
        """Keeps facts. Blocks for the disk, and at the first start until there is a ledger.

        Raises:
            LedgerError: nothing of them is kept.
        """
        wait_for_ledger(self._store)
        self._assignments.add(facts)

    def open_claims(self, source: str) -> list[Fact]:
        """What a source claims of now and later.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return self._assignments.open_claims(source)

    def cut_moment(self) -> int:
        """The moment of a hand-over that happens now. Blocks until the intervals are cut, where they are to be."""
        return self._cut_moment()
