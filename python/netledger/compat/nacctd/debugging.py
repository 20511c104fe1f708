"""The debug file: what is told there is chosen by a bit mask."""

import os
import time
from contextlib import suppress
from enum import IntEnum
from typing import Final, final

from netledger.intervals import SECOND_NS, Clock

__all__ = ["DebugFile", "Topic"]

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MODE: Final = 0o666


class Topic(IntEnum):
    """What a line is about, as the bit that asks for it."""

    STATE = 4
    UTMP = 8
    DYNA = 16
    STATS = 256
    SIG = 512


@final
class DebugFile:
    """A file that lines are appended to. What cannot be written is not told.

    Attributes:
        mask: which topics are told.
    """

    def __init__(self, path: str | None, mask: int, clock: Clock) -> None:
        self._path = path or os.devnull
        self._clock = clock
        self._descriptor = -1
        self.mask = mask

    def open(self) -> None:
        """Makes the file.

        Raises:
            OSError: it cannot be opened.
        """
        self._descriptor = os.open(self._path, _FLAGS, _MODE)

    def tell(self, topic: Topic, text: str) -> None:
        """Appends a line, if its topic is asked for."""
        if not self.mask & topic or self._descriptor < 0:
            return
        stamp = time.strftime("%d/%m %H:%M:%S", time.localtime(self._clock.now().wall_ns // SECOND_NS))
        with suppress(OSError):
            os.write(self._descriptor, os.fsencode(f"{stamp} [{topic.name:<5}] {text}\n"))

    def close(self) -> None:
        """Lets go of the file. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
