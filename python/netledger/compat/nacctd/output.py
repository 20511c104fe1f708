"""Appending to the log so that each line is in it once, whatever happens in the middle."""

import errno
import os
import select
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self, final

__all__ = ["Output", "OutputError", "settle", "size_of"]

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_WRITE_ONLY: Final = _FLAGS & ~os.O_RDWR | os.O_WRONLY
_MODE: Final = 0o666
_READER_MILLISECONDS: Final = 1000


class OutputError(Exception):
    """The file cannot be opened or written; the text says so in the old program's words.

    Attributes:
        written: how many chunks are in the file for good.
        is_clean: whether nothing else is.
    """

    def __init__(self, text: str, *, written: int = 0, is_clean: bool = True) -> None:
        super().__init__(text)
        self.written = written
        self.is_clean = is_clean


@final
class Output:
    """The log, opened for one flush.

    Raises:
        OutputError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            try:
                self._descriptor = os.open(path, _FLAGS, _MODE)
            except OSError as error:
                # A pipe that is opened for reading too would never tell that nobody reads.
                if error.errno not in {errno.EACCES, errno.EPERM}:
                    raise
                self._descriptor = os.open(path, _WRITE_ONLY, _MODE)
            status = os.fstat(self._descriptor)
            if stat.S_ISFIFO(status.st_mode):
                os.close(self._descriptor)
                self._descriptor = os.open(path, _WRITE_ONLY, _MODE)
        except OSError as error:
            raise OutputError(f"error opening file {path}: {_text(error)}") from error
        self.offset = status.st_size if stat.S_ISREG(status.st_mode) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def end_last_line(self) -> bool:
        """Gives the last line of a regular file its end, durably, if it has none: else the next would be a part of it.

        Tells whether it had none.

        Raises:
            OutputError: it cannot be written.
        """
        if not self.offset:
            return False
        try:
            if os.pread(self._descriptor, 1, self.offset - 1) in {b"\n", b""}:
                return False
        except OSError:
            return False  # it may be written, and not be read
        try:
            _write_all(self._descriptor, b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(self._failed(error)) from error
        self.offset += 1
        return True

    def append(self, chunks: Sequence[bytes]) -> None:
        """Appends all chunks, durably. Blocks for the disk.

        A regular file gets all of them or none. Of a pipe nothing can be taken back: there each chunk is whole.

        Raises:
            OutputError: not all are there.
        """
        if self.offset is None:
            self._write_each(chunks)
            return
        data = b"".join(chunks)
        try:
            _write_all(self._descriptor, data)
            os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(self._failed(error), is_clean=self._take_back(self.offset, data)) from error

    def _write_each(self, chunks: Sequence[bytes]) -> None:
        for written, chunk in enumerate(chunks):
            try:
                _write_all(self._descriptor, chunk)
            except OSError as error:
                raise OutputError(self._failed(error), written=written) from error

    def _take_back(self, offset: int, data: bytes) -> bool:
        """Cuts off what was written, if it is at the end and nothing else is; tells whether nothing of it is left."""
        with suppress(OSError):
            if os.fstat(self._descriptor).st_size <= offset:
                return True
            if data.startswith(os.pread(self._descriptor, len(data) + 1, offset)):
                os.ftruncate(self._descriptor, offset)
                os.fsync(self._descriptor)
                return True
        return False

    def _failed(self, error: OSError) -> str:
        return f"error writing to file {self.path}: {_text(error)}"


def settle(path: str, offset: int | None, data: bytes) -> bool:
    """Whether ``data`` was appended to the log at ``offset``; what is there in part is completed. Blocks for the disk.

    The log may have been moved or copied meanwhile: all files beside it count whose names begin with its name.

    Raises:
        OSError: the log cannot be read or completed.
    """
    if offset is None:
        return False
    return any(_is_in(candidate, offset, data) for candidate in _candidates(Path(path)))


def size_of(path: str) -> int:
    """How long a log is; 0 if it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _candidates(path: Path) -> Iterator[Path]:
    yield path
    with suppress(FileNotFoundError):
        yield from sorted(each for each in path.parent.iterdir() if each.name.startswith(path.name) and each != path)


def _is_in(path: Path, offset: int, data: bytes) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, IsADirectoryError):
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        found = os.pread(descriptor, len(data), offset)
        if not found or not data.startswith(found):
            return False
        # Shorter than the data: the file ends there.
        _write_all(descriptor, data[len(found) :])
        os.fsync(descriptor)
        return True
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            if not poll.poll(_READER_MILLISECONDS):
                raise


def _text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
