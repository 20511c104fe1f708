"""One CSV file for each period, under a name of its own, whole or not at all, and never twice."""

import errno
import fcntl
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from netledger.compat.go_nflog_acctd.gotext import errno_text, file_stamp, join_path, quote
from netledger.compat.go_nflog_acctd.log import Log

__all__ = ["Journal", "Period", "make_directories", "write_period"]

_MODE = 0o644
_JOURNAL_MODE = 0o640
_DIRECTORY_MODE = 0o750
# What file systems without hard links answer.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Which period a file is for: its number and its bounds, UTC nanoseconds."""

    seq: int
    start_ns: int
    end_ns: int

    @property
    def identity(self) -> str:
        """The same after a crash, and of no other period."""
        return f"{self.seq}:{self.start_ns}:{self.end_ns}"


class Journal:
    """Remembers which file a period is about to become.

    Between the moment when a file gets its name and the moment when the counters behind it are let go, the process may
    be killed. The next one finds the counters again, and here whether they are in a file already: a file is known by
    its inode, which stays the same when it is given its name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def intend(self, period: Period, csv: str, status: os.stat_result) -> None:
        """Notes that a period is about to appear as ``csv``.

        Raises:
            OSError: the note cannot be written.
        """
        path = os.path.abspath(csv)  # noqa: PTH100 - names need not be UTF-8
        note: list[str | int] = [path, status.st_dev, status.st_ino]
        self._write({**self._notes(), period.identity: note})

    def published(self, period: Period) -> str | None:
        """The file that a period has become, or None."""
        note = self._notes().get(period.identity)
        if note is None:
            return None
        path, device, inode = note
        with suppress(FileNotFoundError):
            status = os.lstat(str(path))
            if (status.st_dev, status.st_ino) == (device, inode):
                return str(path)
        return None

    def forget(self, period: Period) -> None:
        """Removes the note of a period whose counters have been let go.

        Raises:
            OSError: the notes cannot be written.
        """
        notes = self._notes()
        if notes.pop(period.identity, None) is not None:
            self._write(notes)

    def _notes(self) -> dict[str, list[str | int]]:
        try:
            notes: dict[str, list[str | int]] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        return notes

    def _write(self, notes: dict[str, list[str | int]]) -> None:
        temporary = self._path.with_suffix(".tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(temporary, flags, _JOURNAL_MODE), "w") as file:
            json.dump(notes, file)
        temporary.replace(self._path)


class _FailedError(Exception):
    """A step of writing failed; the text is the line to log."""


def make_directories(path: str) -> None:
    """Makes a directory and its parents, mode 0750.

    Raises:
        OSError: with ``filename`` set to the directory that could not be made.
    """
    trimmed = path.rstrip("/") or path
    if os.path.isdir(trimmed):  # noqa: PTH112 - messages show the path as it was given; Path would tidy it
        return
    parent = os.path.dirname(trimmed)  # noqa: PTH120 - the same
    if parent and parent != trimmed:
        make_directories(parent)
    try:
        os.mkdir(trimmed, _DIRECTORY_MODE)  # noqa: PTH102 - the same
    except FileExistsError as error:
        if not os.path.isdir(trimmed):  # noqa: PTH112 - the same
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), trimmed) from error


def write_period(chunks: Iterable[bytes], *, directory: str, period: Period, journal: Journal, log: Log) -> bool:
    """Writes one period as ``START_END.csv`` into ``directory``; tells whether it is there, durably.

    If the name is taken, the next free of ``START_END.1.csv``, ``.2`` and so on is used. A failure is logged, and
    nothing half written stays behind: call again later. A period that is in a file already is not written again.
    """
    try:
        csv = journal.published(period)
        if csv is None:
            csv = _write_new(chunks, directory=directory, period=period, journal=journal, log=log)
        _sync(directory or ".")
    except _FailedError as failed:
        log.line(str(failed))
        return False
    log.line(f"Stats file {quote(csv)} written")
    return True


def _write_new(chunks: Iterable[bytes], *, directory: str, period: Period, journal: Journal, log: Log) -> str:
    stem = join_path(directory, f"{file_stamp(period.start_ns)}_{file_stamp(period.end_ns)}")
    csv, temporary = f"{stem}.csv", f"{stem}.tmp"
    number = 0
    if os.path.lexists(csv):
        log.line(f"Output file {quote(csv)} already exists")
        csv, number = _next_free(stem, number)
    log.line(f"Dumping stats to {csv}")
    # The lock is kept until the file has its name: another process with the same log directory and the same period
    # would otherwise write into it.
    with _locked_temporary(temporary) as file:
        try:
            status = _fill(file, temporary, chunks)
            while not _publish(temporary, csv, period=period, status=status, journal=journal):
                csv, number = _next_free(stem, number)
        finally:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - a name need not be UTF-8
    return csv


def _next_free(stem: str, number: int) -> tuple[str, int]:
    while True:
        number += 1
        csv = f"{stem}.{number}.csv"
        if not os.path.lexists(csv):
            return csv, number


def _locked_temporary(temporary: str) -> FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        while True:
            # Without a buffer: closing one that could not be written would fail a second time.
            file = FileIO(os.open(temporary, flags, _MODE), "w")
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.lstat(temporary)):
                    return file
            # Whoever held the lock has given the file its name meanwhile.
            file.close()
    except OSError as error:
        raise _FailedError(f"Failed to open stats file: open {temporary}: {errno_text(error)}") from error


def _fill(file: FileIO, temporary: str, chunks: Iterable[bytes]) -> os.stat_result:
    operation = "write"
    try:
        file.truncate(0)
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
        operation = "sync"
        os.fsync(file.fileno())
        return os.fstat(file.fileno())
    except OSError as error:
        raise _FailedError(f"Failed to write to stats file: {operation} {temporary}: {errno_text(error)}") from error


def _publish(temporary: str, csv: str, *, period: Period, status: os.stat_result, journal: Journal) -> bool:
    """Gives the file its name; False when somebody has just taken it."""
    try:
        journal.intend(period, csv, status)
    except OSError as error:
        raise _FailedError(f"Failed to note the stats file {quote(csv)}: {errno_text(error)}") from error
    try:
        _rename_if_free(temporary, csv)
    except FileExistsError:
        return False
    except OSError as error:
        names = f"{quote(temporary)} to {quote(csv)}"
        raise _FailedError(f"Failed to rename {names}: rename {temporary} {csv}: {errno_text(error)}") from error
    return True


def _rename_if_free(temporary: str, csv: str) -> None:
    """A hard link never replaces a file, as a plain rename would; where there are none, a look must do."""
    try:
        os.link(temporary, csv)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(csv):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), csv) from error
        os.rename(temporary, csv)  # noqa: PTH104 - a name need not be UTF-8


def _sync(directory: str) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _FailedError(f"Failed to write to stats file: sync {directory}: {errno_text(error)}") from error
