"""Which objects of nfacct this program has made, and with what: so that no meter books a count that was only put back.

An object that is made again goes on from what it had: a meter makes one that it ensures, the keeper of quotas makes
theirs, and both have commands for boot. Each other meter sees an object that is new and has counted. So who makes one
notes it first, in one file of the runtime directory. It is of this run of the machine, and of the network namespace.

A lock is held while one is noted and made, and while a meter looks: what is noted was made before that look, and
nothing that is noted later was. A process that is killed between the two leaves a note that says so.

The file has a line for each note, and the last one of an object holds: thousands may be made at boot, one by one.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
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

# The file is written anew when it has so many lines more than objects.
_LINES_MORE: Final = 1000

_Stamp: TypeAlias = tuple[int, int, int]
_Spaces: TypeAlias = dict[int, dict[Identity, Made]]
_Row: TypeAlias = list[int | str | bool | list[int] | None]


@final
class Register:
    """The objects that were made, as all processes with one runtime directory know it.

    To be used from one thread at a time; others have their own.

    Nothing here fails: where the directory is not there or not ours to write, objects are made without a note, and a
    meter tells of each what it cannot know.

    Args:
        root: the runtime directory; None for none.
    """

    def __init__(self, root: Path | None) -> None:
        self._path = None if root is None else root / NAME
        # As it was read last: of which file, by namespaces, and how many lines it had.
        self._stamp: _Stamp | None = None
        self._spaces: _Spaces = {}
        self._lines = 0

    @contextlib.contextmanager
    def steady(self) -> Iterator[Mapping[Identity, Made]]:
        """What was made in the namespace of the calling thread; nothing is while this is held."""
        with self._locked(fcntl.LOCK_SH):
            self._refresh()
            yield self._spaces.get(_namespace(), {})

    @contextlib.contextmanager
    def making(self, name: str, count: Count, had: Count | None = None, had_ns: int = 0) -> Iterator[int]:
        """To be held while an object is made with ``count``; gives the number of the note.

        ``had`` is what the object before it had when it was last seen, at ``had_ns``; None where that is not known.
        """
        with self._locked(fcntl.LOCK_EX) as is_locked:
            self._refresh()
            space, identity = _namespace(), (Kind.NFACCT, name)
            before = self._spaces.get(space, {}).get(identity)
            # By the clock of this boot: they grow also if somebody removes the file.
            number = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            made = Made(number, count.packets, count.bytes, had, had_ns, is_sure=False)
            if is_locked:
                self._note(space, identity, made)
            try:
                yield number
            except ObjectExistsError:  # somebody else has made it
                if is_locked:
                    self._note(space, identity, before)
                raise
            if is_locked:
                self._note(space, identity, made._replace(is_sure=True))

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

    def _refresh(self) -> None:
        """Reads the file, where it is another than was read last."""
        if self._path is None:
            return
        try:
            if self._stamp is None or self._stamp != _stamp(self._path.stat()):
                with self._path.open("rb") as file:
                    stamp, lines = _stamp(os.fstat(file.fileno())), file.read().splitlines()
                is_of_now = _row(lines[0] if lines else b"") == [boot_id()]
                self._stamp, self._lines = stamp if is_of_now else None, len(lines)
                self._spaces = _parsed(lines[1:]) if is_of_now else {}
        except (OSError, ValueError, TypeError, OverflowError):
            self._stamp, self._spaces = None, {}

    def _note(self, space: int, identity: Identity, made: Made | None) -> None:
        known = self._spaces.setdefault(space, {})
        known.pop(identity, None)
        if made is not None:
            known[identity] = made
        number = sum(len(each) for each in self._spaces.values())
        try:
            if self._stamp is None or self._lines > number + _LINES_MORE:
                self._replace()
            else:
                self._append(_written(space, identity, made))
        except OSError:
            self._stamp = None

    def _append(self, row: _Row) -> None:
        if self._path is None:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            # Behind a line break of its own: a full disk may have cut the line before.
            line = b"\n" + _text(row)
            is_whole = file.write(line) == len(line)
            self._stamp, self._lines = _stamp(os.fstat(file.fileno())) if is_whole else None, self._lines + 1

    def _replace(self) -> None:
        if self._path is None:
            return
        rows: list[_Row] = [
            _written(space, identity, one) for space, known in self._spaces.items() for identity, one in known.items()
        ]
        new = self._path.with_name(f"{NAME}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"\n".join([_text([boot_id()]), *(_text(row) for row in rows)]))
            file.flush()
            self._stamp, self._lines = _stamp(os.fstat(descriptor)), 1 + len(rows)
        inherit_owner(new)
        new.rename(self._path)


def _stamp(state: os.stat_result) -> _Stamp:
    return state.st_ino, state.st_mtime_ns, state.st_size


def _text(row: Sequence[object]) -> bytes:
    return json.dumps(row, separators=(",", ":")).encode("ascii")


def _row(line: bytes) -> list[object]:
    """Nothing for a line that is not whole."""
    try:
        found: object = json.loads(line)
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def _written(space: int, identity: Identity, made: Made | None) -> _Row:
    if made is None:
        return [space, identity[1]]
    had = None if made.had is None else [made.had.packets, made.had.bytes]
    return [space, identity[1], made.number, made.packets, made.bytes, had, made.had_ns, made.is_sure]


def _parsed(lines: Sequence[bytes]) -> _Spaces:
    spaces: _Spaces = {}
    for line in lines:
        match _row(line):
            case [int(space), str(name)]:
                spaces.get(space, {}).pop((Kind.NFACCT, name), None)
            case [int(space), str(name), int(number), int(packets), int(octets), had, int(had_ns), bool(is_sure)]:
                count = Count(*had) if isinstance(had, list) else None
                spaces.setdefault(space, {})[Kind.NFACCT, name] = Made(number, packets, octets, count, had_ns, is_sure)
            case _:
                pass  # cut, or a line break
    return spaces


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
