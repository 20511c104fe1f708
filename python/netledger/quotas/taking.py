"""The trace of taking a count that is set to 0 by it: what was taken outlives the process that took it.

The file lies in the runtime directory. Its pages survive ``kill -9``, and are gone with the machine, as the kernel's
objects are. So a process that dies after the kernel's answer loses that only if it dies before one ``write``.
"""

import contextlib
import os
from enum import Enum
from pathlib import Path
from typing import Final, final

from netledger.durable import DIRECTORY_MODE, FILE_MODE, inherit_owner
from netledger.quotas.process import boot_id
from netledger.receipt import Count

_ABOUT: Final = "about"
_TAKEN: Final = "taken"
_WORDS: Final = 3


@final
class Found(Enum):
    """What a trace says, where it has no count."""

    NOTHING = "nothing"
    """It is not there, or of another run of the machine: the count may have been taken."""
    NOT_TAKEN = "not taken"
    """It was surely not taken."""
    PERHAPS = "perhaps"
    """The process died in the very moment."""


@final
class Taking:
    """The trace of one taking. Without a directory it leaves none.

    Args:
        directory: where traces are; made when it is not there.
        name: of the quota, and which of its periods.
    """

    def __init__(self, directory: Path | None, name: str) -> None:
        self._path = None if directory is None else directory / f"{name}.taking"
        self._descriptor = -1

    def begin(self) -> None:
        """To be called before anybody is told that the count is about to be taken.

        Raises:
            OSError: the trace cannot be written; nothing has been taken.
        """
        if self._path is not None:
            self._path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            inherit_owner(self._path.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, FILE_MODE)
            inherit_owner(self._path)  # root's command may be finished by the daemon, which is not root
            self._write(boot_id())

    def about(self) -> None:
        """To be called right before.

        Raises:
            OSError: as :meth:`begin`.
        """
        self._write(_ABOUT)

    def taken(self, count: Count) -> None:
        """To be called right behind. What cannot be written here is written elsewhere next."""
        with contextlib.suppress(OSError):
            self._write(f"{_TAKEN} {count.packets} {count.bytes}")

    def read(self) -> Count | Found:
        """What was taken, as far as a process before this one has told."""
        try:
            lines = [] if self._path is None else self._path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        if not lines or lines[0] != boot_id():
            return Found.NOTHING
        for line in lines[1:]:
            words = line.split()
            if words[:1] == [_TAKEN] and len(words) == _WORDS and words[1].isdecimal() and words[2].isdecimal():
                return Count(int(words[1]), int(words[2]))
        return Found.PERHAPS if _ABOUT in lines else Found.NOT_TAKEN

    def forget(self) -> None:
        """Removes it, when the ledger has what was taken."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _write(self, line: str) -> None:
        if self._descriptor >= 0:
            os.write(self._descriptor, f"{line}\n".encode("ascii"))
