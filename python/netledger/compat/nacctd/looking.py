"""Looking who has which address: the files of a directory, or utmp."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, final

from netledger.compat.nacctd.holders import is_looked_up, logged_in, name_in
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.numbers import dotted, to_address

__all__ = ["UTMP", "Nobody", "Place", "place_of"]

UTMP: Final = "/var/run/utmp"
_READ_BYTES: Final = 256


class Place(Protocol):
    """Where it is written down who has what."""

    @property
    def watched(self) -> tuple[str, str | None] | None:
        """The directory whose changes matter, and the one file in it that does; None: there is nothing to watch."""

    def look(self) -> dict[str, str]:
        """Who has what now.

        Raises:
            OSError: it cannot be read.
        """


@final
class Nobody:
    """No users are asked for."""

    watched = None

    @staticmethod
    def look() -> dict[str, str]:
        """Nobody has anything."""
        return {}


@final
class _Directory:
    """``dynamicip``: one file for each address, named after it."""

    def __init__(self, directory: str, table: Table) -> None:
        self._directory = directory
        self._table = table
        self.watched = (directory, None)

    def look(self) -> dict[str, str]:
        found = {}
        for name in os.listdir(self._directory):  # noqa: PTH208  names need not be UTF-8
            address = to_address(name)
            if dotted(address) != name or not is_looked_up(address, self._table.dynamicnet, self._table.excluded):
                continue
            # Whoever removes a file while it is looked at has logged the user out.
            with suppress(FileNotFoundError, PermissionError, IsADirectoryError):
                user = name_in(_first_bytes(os.path.join(self._directory, name)))  # noqa: PTH118  the same
                if user is not None:
                    found[name] = user
        return found


@final
class _Utmp:
    """``line``: the terminal lines in utmp."""

    def __init__(self, path: str, lines: tuple[tuple[str, str], ...]) -> None:
        self._path = Path(path)
        self._lines = lines
        self.watched = (str(self._path.parent), self._path.name)

    def look(self) -> dict[str, str]:
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
