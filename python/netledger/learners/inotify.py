"""What the kernel says of files: inotify, by four calls of the C library (inotify(7)).

One watch per object. Only what is needed to know when to look: what there is to see is read from the files.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, final

from netledger.errors import LearnerError

_libc = ctypes.CDLL(None, use_errno=True)
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 1 << 16
_TEXTS: Final = {
    errno.ENOSPC: "the limit of this user is reached; raise fs.inotify.max_user_watches",
    errno.EMFILE: "the limit of this user is reached; raise fs.inotify.max_user_instances",
}


class What(IntFlag):
    """What has happened, with the numbers of the kernel."""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    OVERFLOW = 0x4000
    IGNORED = 0x8000


@final
@dataclass(frozen=True, slots=True)
class Event:
    """One thing that has happened.

    Attributes:
        what: what it was.
        name: of the file in the directory; empty when it was the directory itself.
    """

    what: What
    name: bytes


@final
class Watch:
    """Watches one directory; a context manager. To be used from one thread.

    Args:
        path: the directory.
        wanted: what to tell of; that it is gone, and that something was missed, is told in any case.

    Raises:
        FileNotFoundError, NotADirectoryError, PermissionError: on entering, as the directory is.
        LearnerError: the kernel has no more watches for this user.
    """

    def __init__(self, path: bytes, wanted: What) -> None:
        self._path = path
        self._wanted = wanted
        self._descriptor = -1

    def __enter__(self) -> "Watch":
        self._descriptor = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._descriptor < 0:
            raise self._error()
        only_directory = 0x0100_0000
        mask = ctypes.c_uint32(self._wanted | What.DELETE_SELF | What.MOVE_SELF | only_directory)
        if _libc.inotify_add_watch(self._descriptor, self._path, mask) < 0:
            error = self._error()
            os.close(self._descriptor)
            raise error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        """Becomes readable when something has happened."""
        return self._descriptor

    def events(self) -> Iterator[Event]:
        """What has happened since the last call. Does not block."""
        while True:
            try:
                raw = os.read(self._descriptor, _READ_BYTES)
            except BlockingIOError:
                return
            at = 0
            while at < len(raw):
                _, mask, _, size = _EVENT.unpack_from(raw, at)
                at += _EVENT.size
                yield Event(What(mask & 0xFFFF), raw[at : at + size].rstrip(b"\0"))
                at += size

    def _error(self) -> Exception:
        number = ctypes.get_errno()
        if number in _TEXTS:
            return LearnerError(os.fsdecode(self._path), "watch", os.strerror(number).lower(), _TEXTS[number])
        return OSError(number, os.strerror(number), os.fsdecode(self._path))
