"""A directory of files named after addresses, whose first line is the user: what dial-in scripts write for nacctd."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Target
from netledger.attribution.learning import Recorder
from netledger.errors import FactError, LearnerError
from netledger.intervals import Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.claims import Claims, Holder, Nobody
from netledger.learners.inotify import Watch, What
from netledger.learners.names import refuse, subject

# A file that is being written is read when it is closed. What comes by another name is whole already.
_WANTED: Final = What.CLOSE_WRITE | What.MOVED_FROM | What.MOVED_TO | What.DELETE | What.CREATE | What.ATTRIB
_REMOVED: Final = What.DELETE | What.MOVED_FROM
_GONE: Final = What.DELETE_SELF | What.MOVE_SELF | What.UNMOUNT | What.IGNORED
# Some file systems tell nothing of what other machines do to them.
_LOOK_SECONDS: Final = 60.0
_LOOK_AGAIN_SECONDS: Final = 1.0
_FIRST_LINE_BYTES_MAX: Final = 4096
# It is gone, it is a link, or it is a socket or a device of nothing.
_NO_FILE: Final = frozenset((errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EISDIR))


@final
@dataclass(frozen=True, slots=True)
class _File:
    """What a file said when it was read last.

    Attributes:
        subject: its first line; None when that names nobody.
        changed_ns: since when it has been so. Not when it was written (mtime): a file that is moved here keeps that.
    """

    subject: str | None
    changed_ns: int


@final
class DirectoryLearner:
    """Follows one directory.

    Args:
        name: of the ``[attribution.NAME]``.
        path: the directory. It may come later, and go.
        clock: where the time comes from.
    """

    def __init__(self, name: str, path: Path, clock: Clock) -> None:
        self._name = name
        self._path = path
        self._standing = Standing(clock)
        self._inode = 0
        self._files: dict[Target, dict[bytes, _File]] = {}
        self._unreadable: set[Target] = set()
        self._refused: dict[bytes, int] = {}

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Follows it until it is told to stop; while the directory is not there, what was learnt of it stays.

        Raises:
            LearnerError: the directory cannot be watched.
            LedgerError: what was learnt cannot be kept.
        """
        self._standing.starts()
        claims = Claims(self._name, record, self._standing)
        while not stop.is_set():
            try:
                # Not by a descriptor of its own: as long as one is open, nothing tells that the directory is removed.
                with Watch(os.fsencode(self._path), _WANTED) as watch:
                    self._follow(watch, claims, stop)
                cause = "it was there, and is gone"
            except OSError as error:
                cause = (error.strerror or str(error)).lower()
            if not stop.is_set():
                hint = "it is looked for every second; what was learnt stays until then"
                self._standing.waits(LearnerError(str(self._path), "watch", cause, hint))
            stop.wait(_LOOK_AGAIN_SECONDS)

    def _follow(self, watch: Watch, claims: Claims, stop: Stop) -> None:
        """Until the directory is gone, or it is time to stop."""
        # The watch is there before the first look, so that nothing falls between the two.
        self._inode = self._path.stat().st_ino
        self._look(claims)
        self._standing.follows()
        while not stop.wait(_LOOK_SECONDS, watch.fileno()):
            last: dict[bytes, What] = {}
            what = What(0)
            for event in watch.events():
                what |= event.what
                if not event.what & What.CREATE or self._is_whole(event.name):
                    last[event.name] = event.what
            if what & _GONE or not self._is_there():
                # What was removed before is over; what else there was is out of sight, and stays.
                self._settle(claims, [name for name, how in last.items() if how & _REMOVED])
                return
            if not what or what & What.OVERFLOW:
                self._look(claims)
            else:
                self._settle(claims, last)

    def _is_there(self) -> bool:
        with contextlib.suppress(OSError):
            return self._path.stat().st_ino == self._inode
        return False

    def _look(self, claims: Claims) -> None:
        """At all that is there: the first time, when the kernel could not keep up, and from time to time."""
        self._files.clear()
        self._unreadable.clear()
        names = os.listdir(os.fsencode(self._path))  # noqa: PTH208  # as bytes: names are what anybody likes
        self._refused = {name: at for name, at in self._refused.items() if name in names}
        targets = {target for name in names if (target := self._read(name)) is not None}
        gone = [target for target in claims.targets() if target not in targets | self._unreadable]
        claims.settle({target: self._holder(target) for target in [*gone, *targets]})

    def _settle(self, claims: Claims, names: Iterable[bytes]) -> None:
        targets = {target for name in names if (target := self._read(name)) is not None}
        claims.settle({target: self._holder(target) for target in targets})

    def _holder(self, target: Target) -> Holder | Nobody:
        """What the files of an address come to: the one written last says it. No file, or an empty one: nobody."""
        files = self._files.get(target, {})
        if not files:
            return Nobody()
        newest = files[max(files, key=lambda name: (files[name].changed_ns, name))]
        if newest.subject is None:
            return Nobody(since_ns=newest.changed_ns)
        return Holder(subject=newest.subject, since_ns=newest.changed_ns)

    def _read(self, name: bytes) -> Target | None:
        """Takes note of one file, and gives the address that it is about; None where nothing is known of any."""
        try:
            target = Target.address(name.decode("ascii"))
        except (UnicodeDecodeError, FactError):
            return None
        try:
            found = self._content(name)
        except OSError as error:
            # The disk is broken, or it may not be read: that says nothing of whose the address is.
            refuse(self._name, self._standing, str(target), (error.strerror or str(error)).lower())
            self._unreadable.add(target)
            return None
        files = self._files.setdefault(target, {})
        if found is None:
            files.pop(name, None)
        else:
            files[name] = found
        return target

    def _content(self, name: bytes) -> _File | None:
        """What a file says; None where there is none, or no plain one."""
        # A link could lead to a file that whoever writes here may not read himself, and a pipe would be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(self._path_of(name), flags)
        except OSError as error:
            if error.errno in _NO_FILE:
                return None
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return None
            line, newline, _ = os.read(descriptor, _FIRST_LINE_BYTES_MAX).partition(b"\n")
        finally:
            os.close(descriptor)
        is_whole = bool(newline) or len(line) < _FIRST_LINE_BYTES_MAX
        who = subject(line) if is_whole else None
        if who is None and line.strip() and self._refused.get(name) != status.st_ctime_ns:
            self._refused[name] = status.st_ctime_ns
            refuse(self._name, self._standing, name.decode("ascii"), "its first line is no name")
        return _File(who, status.st_ctime_ns)

    def _is_whole(self, name: bytes) -> bool:
        """Whether a file that has just come is not being written: another name for one that was there already."""
        with contextlib.suppress(OSError):
            return os.lstat(self._path_of(name)).st_nlink > 1
        return False

    def _path_of(self, name: bytes) -> bytes:
        return os.fsencode(self._path) + b"/" + name
