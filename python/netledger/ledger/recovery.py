"""What dead writers left in the store: temporary files, and files that were renamed and never committed."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.durable import TEMPORARY

_DATA: Final = "data"
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
    kept = unknown if len(unknown) > _UNKNOWN_MAX else []
    removed = [*unfinished, *(unknown if not kept else [])]
    for path in removed:
        path.unlink(missing_ok=True)
    return Leftovers(tuple(sorted(removed)), tuple(sorted(kept)))
