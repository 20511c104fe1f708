"""Word from the kernel that somebody has written to the ledger: who waits for that need not look again and again."""

import os
from pathlib import Path
from typing import Final, final

from netledger.errors import NetledgerError
from netledger.learners.inotify import Watch, What
from netledger.ledger import database

_WRITTEN: Final = What.MODIFY | What.CREATE | What.DELETE | What.MOVED_FROM | What.MOVED_TO
_GONE: Final = What.DELETE_SELF | What.MOVE_SELF | What.UNMOUNT | What.IGNORED
_LEDGER: Final = os.fsencode(database.NAME)  # what SQLite has beside it begins with this as well


@final
class LedgerWatch:
    """Listens while it is open. To be used from one thread.

    Args:
        store: the directory that the ledger is in.
    """

    def __init__(self, store: Path) -> None:
        self._store = os.fsencode(store)
        self._watch: Watch | None = None

    def is_open(self) -> bool:
        """Whether it hears; tries to where it does not. Does not block.

        It does not where there is no such directory, and where the kernel has no more watches for this user.
        """
        if self._watch is None:
            watch = Watch(self._store, _WRITTEN)
            try:
                self._watch = watch.__enter__()
            except (NetledgerError, OSError):
                return False
        return True

    def descriptors(self) -> list[int]:
        """For ``poll``: it can be read when something was said. None where it does not hear."""
        return [] if self._watch is None else [self._watch.fileno()]

    def take(self) -> bool:
        """Takes all that was said, and says whether it was of the ledger. Does not block."""
        is_written = False
        for event in [] if self._watch is None else self._watch.events():
            is_written |= bool(event.what & (_GONE | What.OVERFLOW)) or event.name.startswith(_LEDGER)
            if event.what & _GONE:
                self.close()
                return True
        return is_written

    def close(self) -> None:
        """Hears no more, until :meth:`is_open`. May be called twice."""
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
        self._watch = None
