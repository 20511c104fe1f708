"""Files that are either whole or not there: temporary file, fsync, rename, fsync of the directory."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from netledger.errors import ExportError

FILE_MODE = 0o640
DIRECTORY_MODE = 0o750

_TEMPORARY = ".tmp"


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Has ``write`` fill ``path``; after a crash the file is as it was before, or whole and durable.

    Missing directories are made. Blocks for the disk. Two writers of the same path do not mix: the second is refused.

    Raises:
        ExportError: the disk is full, broken or refuses; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    try:
        make_directory(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                os.fchmod(file.fileno(), FILE_MODE)
                file.truncate(0)
                write(file)
                file.flush()
                os.fsync(file.fileno())
                temporary.rename(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
        _sync_directory(path.parent)
    except OSError as error:
        raise export_error(path, "write", error) from error


def make_directory(path: Path) -> None:
    """Makes a directory with its parents, each durable before the next.

    Raises:
        OSError: as ``mkdir`` has it.
    """
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(DIRECTORY_MODE)
    _sync_directory(path.parent)


def remove_leftovers(directory: Path) -> list[Path]:
    """Removes temporary files whose writer is dead, and says which; one that is being written stays.

    Raises:
        ExportError: the directory cannot be read or changed. That it is not there is no error.
    """
    removed = []
    try:
        for path in sorted(directory.glob(f".*{_TEMPORARY}")):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed.append(path)
    except OSError as error:
        raise export_error(directory, "remove leftovers", error) from error
    return removed


def export_error(path: Path, operation: str, error: OSError) -> ExportError:
    """What the system said, as an error of an export."""
    return ExportError(str(path), operation, (error.strerror or str(error)).lower())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
