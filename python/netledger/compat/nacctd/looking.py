"""Looking who has which address: the files of a directory, or utmp."""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, final

from netledger.compat.nacctd.holders import is_looked_up, logged_in, name_in
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.numbers import dotted, to_address
from netledger.intervals import SECOND_NS

__all__ = ["UTMP", "Nobody", "Place", "place_of"]

UTMP: Final = "/var/run/utmp"
_READ_BYTES: Final = 256
_SETTLED_NS: Final = SECOND_NS


class Place(Protocol):
    """Where it is written down who has what."""

    @property
    def watched(self) -> tuple[str, str | None] | None:
        """The directory whose changes matter, and the one file in it that does; None: there is nothing to watch."""

    def look(self, wall_ns: int) -> dict[str, str]:
        """Who has what at a moment of the wall clock.

        Raises:
            OSError: it cannot be read.
        """


@final
class Nobody:
    """No users are asked for."""

    watched = None

    @staticmethod
    def look(_wall_ns: int) -> dict[str, str]:
        """Nobody has anything."""
        return {}


@final
@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was when it was read."""

    mark: tuple[int, int, int, int]
    looked_ns: int
    user: str | None


@final
class _Directory:
    """``dynamicip``: one file for each address, named after it."""

    def __init__(self, directory: str, table: Table) -> None:
        self._directory = directory
        self._table = table
        self._known: dict[str, _Known] = {}
        self.watched = (directory, None)

    def look(self, wall_ns: int) -> dict[str, str]:
        known, found = self._known, {}
        self._known = {}
        for name in os.listdir(self._directory):  # noqa: PTH208  names need not be UTF-8
            address = to_address(name)
            if dotted(address) != name or not is_looked_up(address, self._table.dynamicnet, self._table.excluded):
                continue
            # Whoever removes a file while it is looked at has logged the user out.
            with suppress(FileNotFoundError, PermissionError, IsADirectoryError):
                entry = self._read(os.path.join(self._directory, name), known.get(name), wall_ns)  # noqa: PTH118  the same
                self._known[name] = entry
                if entry.user is not None:
                    found[name] = entry.user
        return found

    @staticmethod
    def _read(path: str, known: "_Known | None", wall_ns: int) -> "_Known":
        """Reads a file only if it has changed: there may be thousands, and somebody comes or goes each second."""
        status = os.stat(path)  # noqa: PTH116  the same
        mark = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        # Of a file that was just written the next change may have the same time.
        if known is not None and known.mark == mark and known.looked_ns - status.st_ctime_ns > _SETTLED_NS:
            return known
        return _Known(mark, wall_ns, name_in(_first_bytes(path)))


@final
class _Utmp:
    """``line``: the terminal lines in utmp."""

    def __init__(self, path: str, lines: tuple[tuple[str, str], ...]) -> None:
        self._path = Path(path)
        self._lines = lines
        self.watched = (str(self._path.parent), self._path.name)

    def look(self, _wall_ns: int) -> dict[str, str]:
        return logged_in(self._path.read_bytes(), self._lines)


def place_of(table: Table, *, utmp: str = UTMP) -> Place:
    """Where a naccttab says that users are found; ``line`` goes before ``dynamicip``."""
    if 10 in table.disabled:  # noqa: PLR2004  the user column
        return Nobody()
    if table.lines:
        return _Utmp(utmp, table.lines)
    if table.dynamicip is not None and table.dynamicnet is not None:
        return _Directory(table.dynamicip, table)
    return Nobody()


def _first_bytes(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # The directory may be /var/run, where pipes and sockets are.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)
