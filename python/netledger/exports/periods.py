"""One file for each period, named after its start and end in local time; whole or not at all, and never twice.

This is how go-nflog-acctd names its files. Two periods may want the same name: in the hour that comes twice in autumn,
or when two end within one second. A name that is taken is left alone, and the next free one gets a number:
``START_END.csv``, ``START_END.1.csv``, ``START_END.2.csv``. So that a period that is written again after a crash finds
its own file, its name is noted before the file gets it (:class:`Notes`).
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import Protocol

from netledger.durable import Step, no_step
from netledger.exports.gotext import errno_text, join_path, quote

# What file systems without hard links answer.
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class Notes(Protocol):
    """Remembers which file a period is about to become.

    Between the moment when a file gets its name and the moment when nobody asks for its period any more, the process
    may be killed. The next one finds the period again, and here whether it is in a file already.
    """

    def intend(self, path: str, status: os.stat_result) -> None:
        """Notes that the period is about to appear as ``path``; ``status`` is of the file that gets the name.

        Raises:
            OSError, NetledgerError: the note cannot be written.
        """

    def published(self) -> str | None:
        """The file that the period has become, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How a file is written.

    Attributes:
        directory: where; it must be there.
        stem: its name without ``.csv``.
        mode: of the file, less the process's umask.
        notes: what is known of its name.
        tell: told what the old program would have logged.
        at_step: told each step.
    """

    directory: str
    stem: str
    mode: int
    notes: Notes
    tell: Callable[[str], None]
    at_step: Step = no_step


class PeriodError(Exception):
    """A step of writing failed; the text is what the old program would have logged."""


def publish(chunks: Iterable[bytes], how: Written) -> str:
    """Writes one period as ``STEM.csv`` into the directory, durably, and gives the path.

    If the name is taken, the next free of ``STEM.1.csv``, ``.2`` and so on is used. A period that is in a file already
    is not written again. Blocks for the disk.

    Raises:
        PeriodError: it could not be written, and nothing half written stays behind: do it again later.
    """
    csv = how.notes.published()
    if csv is None:
        csv = _write_new(chunks, how)
    else:
        _remove_first_name(join_path(how.directory, how.stem) + ".tmp", csv)
    _sync(how.directory or ".")
    how.at_step("named")
    return csv


def _write_new(chunks: Iterable[bytes], how: Written) -> str:
    stem = join_path(how.directory, how.stem)
    csv, temporary = f"{stem}.csv", f"{stem}.tmp"
    number = 0
    if os.path.lexists(csv):
        how.tell(f"Output file {quote(csv)} already exists")
        csv, number = _next_free(stem, number)
    how.tell(f"Dumping stats to {csv}")
    # The lock is kept until the file has its name: another process with the same directory and the same period would
    # otherwise write into it.
    with _locked_temporary(temporary, how.mode) as file:
        try:
            status = _fill(file, temporary, chunks, how.at_step)
            while not _give_name(temporary, csv, status, how):
                csv, number = _next_free(stem, number)
        finally:
            with suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - a name need not be UTF-8
    return csv


def _remove_first_name(temporary: str, csv: str) -> None:
    """A process that was killed right after it gave the file its name may have left it the first one too."""
    with suppress(OSError):
        if os.path.samestat(os.lstat(temporary), os.lstat(csv)):
            os.unlink(temporary)  # noqa: PTH108 - a name need not be UTF-8


def _next_free(stem: str, number: int) -> tuple[str, int]:
    while True:
        number += 1
        csv = f"{stem}.{number}.csv"
        if not os.path.lexists(csv):
            return csv, number


def _locked_temporary(temporary: str, mode: int) -> FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        while True:
            # Without a buffer: closing one that could not be written would fail a second time.
            file = FileIO(os.open(temporary, flags, mode), "w")
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.lstat(temporary)):
                    return file
            # Whoever held the lock has given the file its name meanwhile.
            file.close()
    except OSError as error:
        raise PeriodError(f"Failed to open stats file: open {temporary}: {errno_text(error)}") from error


def _fill(file: FileIO, temporary: str, chunks: Iterable[bytes], at_step: Step) -> os.stat_result:
    operation = "write"
    try:
        file.truncate(0)
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                rest = rest[file.write(rest) :]
        at_step("written")
        operation = "sync"
        os.fsync(file.fileno())
        at_step("synced")
        return os.fstat(file.fileno())
    except OSError as error:
        raise PeriodError(f"Failed to write to stats file: {operation} {temporary}: {errno_text(error)}") from error


def _give_name(temporary: str, csv: str, status: os.stat_result, how: Written) -> bool:
    """Gives the file its name; False when somebody has just taken it."""
    try:
        how.notes.intend(csv, status)
    except OSError as error:
        raise PeriodError(f"Failed to note the stats file {quote(csv)}: {errno_text(error)}") from error
    how.at_step("claimed")
    try:
        _rename_if_free(temporary, csv)
    except FileExistsError:
        return False
    except OSError as error:
        names = f"{quote(temporary)} to {quote(csv)}"
        raise PeriodError(f"Failed to rename {names}: rename {temporary} {csv}: {errno_text(error)}") from error
    how.at_step("renamed")
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
        raise PeriodError(f"Failed to write to stats file: sync {directory}: {errno_text(error)}") from error
