"""What dead writers left in the store: temporary files, and files that were renamed and never committed."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.durable import FILE_MODE, TEMPORARY, inherit_owner
from netledger.ledger import database

HOUSEKEEPING_NAMES: Final = ("compacted", "rolled-up")
"""How the names of the files begin that housekeeping makes."""

_DATA: Final = "data"
_LOCK: Final = "maintain.lock"
# A dead writer leaves one such file, or two if it was compacting as well, and each start clears them away. More than a
# few mean that the ledger is not the one that belongs to the files.
_UNKNOWN_MAX: Final = 16


@final
@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found that the ledger does not know.

    Attributes:
        removed: what was removed.
        kept: what was left alone, for it is too much to be left by dead writers: the ledger was lost, or replaced by
            an older copy. It counts in no report.
    """

    removed: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()


def remove_leftovers(store: Path, connection: sqlite3.Connection) -> Leftovers:
    """Removes what no ledger names. Only for who has the store's lock for itself alone.

    The rows of a file that was not committed are still in their generation, and come again.

    Raises:
        OSError, sqlite3.Error: the store cannot be read or changed.
    """
    found = [path for path in (store / _DATA).glob("*/day=*/*") if path.is_file()]
    unfinished = [path for path in found if path.name.endswith(TEMPORARY)]
    known = {store / path for (path,) in connection.execute("SELECT path FROM files")}
    unknown = [path for path in found if path not in known and not path.name.endswith(TEMPORARY)]
    # A ledger without any interval was lost and begun anew, if more lies there than a first commit leaves.
    is_new = connection.execute("SELECT 1 FROM intervals LIMIT 1").fetchone() is None
    kept = unknown if len(unknown) > (1 if is_new else _UNKNOWN_MAX) else []
    removed = [*unfinished, *(unknown if not kept else [])]
    for path in removed:
        path.unlink(missing_ok=True)
    return Leftovers(tuple(sorted(removed)), tuple(sorted(kept)))


@contextlib.contextmanager
def alone_in_housekeeping(store: Path, *, at_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lets one process at a time keep a store in order; blocks as long as another one does, after ``at_wait``.

    Raises:
        OSError: the lock cannot be made or taken.
    """
    descriptor = os.open(store / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)
        inherit_owner(store / _LOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            at_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_unfinished(store: Path, connection: sqlite3.Connection, *, older_than_ns: int) -> list[Path]:
    """Removes what housekeepings that were killed left, while others may write intervals. Says what that was.

    Only for who is :func:`alone_in_housekeeping`. Otherwise a store whose housekeeping is killed every hour, for lack
    of memory, say, would fill up until the next start.

    Raises:
        OSError, sqlite3.Error: the store cannot be read or changed.
    """
    names = [path for kind in HOUSEKEEPING_NAMES for path in (store / _DATA).glob(f"*/day=*/{kind}-*")]
    old = [path for path in names if path.stat().st_mtime_ns < older_than_ns]
    if not old:
        return []
    with database.transaction(connection):
        # A transaction that failed while it ended may still come to light after a power cut, with the file it names.
        # After one that is written in its place it cannot.
        connection.execute("INSERT INTO days_dropped VALUES ('', '', 0)")
        connection.execute("DELETE FROM days_dropped WHERE tab = ''")
        known = {store / path for (path,) in connection.execute("SELECT path FROM files")}
    removed = [path for path in old if path not in known]
    for path in removed:
        path.unlink(missing_ok=True)
    return removed
