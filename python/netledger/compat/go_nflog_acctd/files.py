"""The files of the periods, as the old command line has them: where counters wait in the runtime directory."""

import errno
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import final

from netledger.compat.go_nflog_acctd.log import Log
from netledger.exports.gotext import file_stamp, quote
from netledger.exports.periods import PeriodError, Written, publish

__all__ = ["Journal", "Period", "make_directories", "write_period"]

_MODE = 0o644
_JOURNAL_MODE = 0o640
_DIRECTORY_MODE = 0o750


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
    """Remembers which file a period is about to become, in one small file beside the counters.

    A file is known by its inode, which stays the same when it is given its name. Neither the counters nor this outlive
    the machine, so nothing here is made durable.
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


@final
@dataclass(frozen=True, slots=True)
class _NotesOf:
    """What the journal knows of one period."""

    journal: Journal
    period: Period

    def intend(self, path: str, status: os.stat_result) -> None:
        self.journal.intend(self.period, path, status)

    def published(self) -> str | None:
        return self.journal.published(self.period)


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

    A failure is logged, and nothing half written stays behind: call again later. See
    :func:`netledger.exports.periods.publish`.
    """
    how = Written(
        directory=directory,
        stem=f"{file_stamp(period.start_ns)}_{file_stamp(period.end_ns)}",
        mode=_MODE,
        notes=_NotesOf(journal, period),
        tell=log.line,
    )
    try:
        csv = publish(chunks, how)
    except PeriodError as failed:
        log.line(str(failed))
        return False
    log.line(f"Stats file {quote(csv)} written")
    return True
