"""Being told of changes in a directory by the kernel (inotify)."""

import ctypes
import os
import struct
from contextlib import suppress
from typing import Final, final

__all__ = ["Watch"]

_libc = ctypes.CDLL(None, use_errno=True)
_EVENT = struct.Struct("=iIII")
_READ_BYTES: Final = 65536

# linux/inotify.h. A file is looked at when its writer has closed it: before, its first line is not there yet.
_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x08, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _UNMOUNT, _OVERFLOW, _IGNORED = 0x400, 0x800, 0x2000, 0x4000, 0x8000
_ONLY_DIRECTORY: Final = 0x0100_0000
_WANTED: Final = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_GONE: Final = _DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED


@final
class Watch:
    """Watches the names in one directory. Not safe for concurrent use."""

    def __init__(self) -> None:
        self._descriptor = -1
        self._name: bytes | None = None

    @property
    def is_on(self) -> bool:
        """Whether the kernel tells of changes."""
        return self._descriptor >= 0

    def fileno(self) -> int:
        """To poll for news; -1 while it is off."""
        return self._descriptor

    def turn_on(self, directory: str, name: str | None) -> bool:
        """Watches a directory, or only what happens to one name in it; tells whether that is possible."""
        self.turn_off()
        descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return False
        self._descriptor = descriptor
        self._name = None if name is None else os.fsencode(name)
        if _libc.inotify_add_watch(descriptor, os.fsencode(directory), _WANTED | _ONLY_DIRECTORY) < 0:
            self.turn_off()
            return False
        return True

    def turn_off(self) -> None:
        """Lets go of the directory. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def news(self) -> bool:
        """Whether something has changed since the last call. A directory that is gone turns the watch off."""
        changed = False
        while self._descriptor >= 0:
            events = b""
            with suppress(BlockingIOError):
                events = os.read(self._descriptor, _READ_BYTES)
            if not events:
                break
            changed |= self._tells_of_a_change(events)
        return changed

    def _tells_of_a_change(self, events: bytes) -> bool:
        start, changed = 0, False
        while start < len(events):
            _watch, mask, _cookie, length = _EVENT.unpack_from(events, start)
            name = events[start + _EVENT.size : start + _EVENT.size + length].rstrip(b"\0")
            start += _EVENT.size + length
            changed |= bool(mask & (_GONE | _OVERFLOW)) or self._name in {None, name}
            if mask & _GONE:
                self.turn_off()
        return changed
