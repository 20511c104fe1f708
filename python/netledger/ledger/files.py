"""The lock of the store, and what the system or SQLite says as an error of the ledger."""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from netledger.durable import FILE_MODE, cause_of, inherit_owner, permission_hint
from netledger.errors import DamageError, LedgerError

_LOCK: Final = "lock"
# SQLite maps a file of 32 KiB, which may have holes; to write to one with no room left is a signal, not an error.
_ROOM_BYTES: Final = 128 << 10
_DAMAGED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


@contextlib.contextmanager
def explained(path: Path, operation: str) -> Iterator[None]:
    """What the system or SQLite says, as an error of the ledger.

    Raises:
        LedgerError: in place of ``OSError`` and ``sqlite3.Error``.
    """
    try:
        yield
    except OSError as error:
        subject = str(path) if error.filename is None else os.fsdecode(error.filename)
        hint = permission_hint(Path(subject)) if isinstance(error, PermissionError) else None
        raise LedgerError(subject, operation, cause_of(error), hint) from error
    except sqlite3.DatabaseError as error:
        # Errors of the interface are faults of this program, and are not caught.
        kind = DamageError if error.sqlite_errorcode in _DAMAGED else LedgerError
        raise kind(str(path), operation, str(error).lower()) from error


def require_room(directory: Path) -> None:
    """Makes sure that there is room for SQLite's ``-shm``.

    Raises:
        OSError: there is none, as ENOSPC.
    """
    status = os.statvfs(directory)
    if status.f_bavail * status.f_frsize < _ROOM_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))


@final
class StoreLock:
    """``STORE/lock``: shared by all writers, exclusive for who removes files that no ledger knows.

    Between the renaming of a file and the commit that names it only its writer knows it; so nobody may take it for
    an orphan while any other writer lives. The kernel drops the lock when the process ends, however.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / _LOCK
        self._descriptor = -1

    def open(self) -> bool:
        """Takes the lock, exclusive if nobody else has it, and says whether that is so.

        Otherwise it is shared; blocks as long as another process removes orphans.

        Raises:
            OSError: the file cannot be made or locked.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        os.fchmod(self._descriptor, FILE_MODE)
        inherit_owner(self._path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            return False
        return True

    def share(self) -> None:
        """Lets other writers in."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Gives the lock back. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
