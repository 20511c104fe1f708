"""Which objects of nfacct this program has made, and with what: so that no meter books a count that was only put back.

An object that is made again goes on from what it had: a meter makes one that it ensures, the keeper of quotas makes
theirs, and both have commands for boot. Each other meter sees an object that is new and has counted. So who makes one
notes it first, in one file of the runtime directory. It is of this run of the machine, and of the network namespace.

A lock is held while one is noted and made, and while a meter looks: what is noted was made before that look, and
nothing that is noted later was. A process that is killed between the two leaves a note that says so.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias, final

from netledger.durable import FILE_MODE, inherit_owner
from netledger.errors import ObjectExistsError
from netledger.receipt import Count
from netledger.schema import Kind
from netledger.sources.state import boot_id
from netledger.sources.tally import Identity, Made

NAME: Final = "nfacct.made"
"""The file; with a dot in it, so that no meter can have this name."""

_LOCK_SECONDS: Final = 2.0
_PAUSE_SECONDS: Final = 0.005

_Stamp: TypeAlias = tuple[int, int, int]
_Objects: TypeAlias = dict[tuple[int, str], Made]


@final
class Register:
    """The objects that were made, as all processes with one runtime directory know it. Any thread may use it.

    Nothing here fails: where the directory is not there or not ours to write, objects are made without a note, and a
    meter tells of each what it cannot know.

    Args:
        root: the runtime directory; None for none.
    """

    def __init__(self, root: Path | None) -> None:
        self._path = None if root is None else root / NAME
        self._read: tuple[_Stamp, _Objects] | None = None

    @contextlib.contextmanager
    def steady(self) -> Iterator[Mapping[Identity, Made]]:
        """What was made in the namespace of the calling thread; nothing is while this is held."""
        with self._locked(fcntl.LOCK_SH):
            space = _namespace()
            yield {(Kind.NFACCT, name): one for (where, name), one in self._objects().items() if where == space}

    @contextlib.contextmanager
    def making(self, name: str, count: Count, had: Count | None = None, had_ns: int = 0) -> Iterator[int]:
        """To be held while an object is made with ``count``; gives the number of the note.

        ``had`` is what the object before it had when it was last seen, at ``had_ns``; None where that is not known.
        """
        with self._locked(fcntl.LOCK_EX) as is_locked:
            objects, key = dict(self._objects()), (_namespace(), name)
            # By the clock of this boot: they grow also if somebody removes the file.
            newest = max((one.number for one in objects.values()), default=0)
            number = max(newest + 1, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
            made = Made(number, count.packets, count.bytes, had, had_ns, is_sure=False)
            if is_locked:
                self._write({**objects, key: made})
            try:
                yield number
            except ObjectExistsError:  # somebody else has made it
                if is_locked:
                    self._write(objects)
                raise
            if is_locked:
                self._write({**objects, key: made._replace(is_sure=True)})

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[bool]:
        """Whether it is; a process that is stopped while it has the lock must stop nobody else for long."""
        descriptor = self._opened()
        try:
            yield descriptor is not None and _lock(descriptor, how)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _opened(self) -> int | None:
        if self._path is None:
            return None
        path, flags = self._path.with_name(f"{NAME}.lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        with contextlib.suppress(OSError):
            return os.open(path, flags)
        try:
            descriptor = os.open(path, flags | os.O_CREAT, FILE_MODE)
            inherit_owner(path)
        except OSError:
            return None
        return descriptor

    def _objects(self) -> _Objects:
        if self._path is None:
            return {}
        try:
            state = self._path.stat()
            stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
            if self._read is None or self._read[0] != stamp:
                self._read = (stamp, _parsed(self._path.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return {}
        return self._read[1]

    def _write(self, objects: _Objects) -> None:
        if self._path is None:
            return
        rows = [
            [space, name, one.number, one.packets, one.bytes, _plain(one.had), one.had_ns, one.is_sure]
            for (space, name), one in objects.items()
        ]
        text = json.dumps({"boot_id": boot_id(), "objects": rows}, ensure_ascii=False)
        new = self._path.with_name(f"{NAME}.new")
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
            with os.fdopen(descriptor, "w", errors="surrogateescape") as file:
                file.write(text)
            inherit_owner(new)
            new.rename(self._path)


def _parsed(text: bytes) -> _Objects:
    whole = json.loads(text.decode(errors="surrogateescape"))
    if whole["boot_id"] != boot_id():
        return {}
    return {
        (space, name): Made(number, packets, octets, None if had is None else Count(*had), had_ns, is_sure)
        for space, name, number, packets, octets, had, had_ns, is_sure in whole["objects"]
    }


def _plain(count: Count | None) -> list[int] | None:
    return None if count is None else [count.packets, count.bytes]


def _lock(descriptor: int, how: int) -> bool:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE_SECONDS)
        else:
            return True


def _namespace() -> int:
    return Path("/proc/thread-self/ns/net").stat().st_ino
