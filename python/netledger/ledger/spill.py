"""Where an answer that does not fit into memory goes meanwhile: ``STORE/tmp``, a directory for each process."""

import os
import secrets
import shutil
from pathlib import Path
from typing import Final

_TMP: Final = "tmp"
_PROCESSES: Final = Path("/proc")


def directory_of(store: Path) -> Path:
    """The directory of all of them; a writer makes it, for a reader changes nothing."""
    return store / _TMP


def spill_directory(store: Path) -> Path | None:
    """A name of one's own, for what does not fit into memory; None where this user may not write.

    Two processes must not share a directory: DuckDB gives its files the same names in each. It makes and removes it.
    """
    parent = directory_of(store)
    return parent / f"{os.getpid()}-{secrets.token_hex(4)}" if os.access(parent, os.W_OK) else None


def remove_left(store: Path, *, older_than_ns: int) -> None:
    """Removes what killed processes left there and nobody has touched since a moment, UTC nanoseconds.

    Both is asked, for a process of another container has a number that says nothing here.

    Raises:
        OSError: it cannot be read.
    """
    parent = directory_of(store)
    for path in parent.iterdir() if parent.is_dir() else ():
        is_alive = (_PROCESSES / path.name.partition("-")[0]).is_dir()
        if not is_alive and path.is_dir() and path.stat().st_mtime_ns < older_than_ns:
            # What belongs to another user, root say, is left to that one.
            shutil.rmtree(path, ignore_errors=True)
