"""Files that are either whole or not there: temporary file, fsync, rename, fsync of the directory.

Everything that is kept on disk for good is written by these few functions, whoever keeps it.
"""

import contextlib
import fcntl
import grp
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750
TEMPORARY: Final = ".tmp"
"""How the name of a file ends that is being written."""

Step = Callable[[str], None]
"""Told the name of each step that has been done. Lets a test stop the process there."""


def no_step(_name: str) -> None:
    """Goes on."""


def cause_of(error: OSError) -> str:
    """What the system refused, in its own words: Arrow would put the errno into the middle of a sentence of its own."""
    return (os.strerror(error.errno) if error.errno else error.strerror or str(error)).lower()


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
        inherit_owner(path)
    sync_directory(path.parent)


def inherit_owner(path: Path) -> None:
    """Gives what root has just made to the user whose directory it is in; nothing happens for anybody else.

    A service that runs as a user of its own could not read what root puts into its store, nor lock what root has made.

    Raises:
        OSError: as ``chown`` has it.
    """
    if os.geteuid() == 0:
        folder = path.parent.stat()
        if folder.st_uid != 0:
            os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable. Blocks for the disk.

    Raises:
        OSError: as ``fsync`` has it.
    """
    _sync(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def sync_file(path: Path) -> None:
    """Makes what is in a file durable. Blocks for the disk.

    Raises:
        OSError: as ``fsync`` has it.
    """
    _sync(path, os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def new_file(path: Path, temporary: Path, *, at_step: Step = no_step) -> Iterator[Path]:
    """Gives the empty ``temporary`` file to be written; afterwards it is durable as ``path``.

    Its steps are ``written``, ``synced``, ``renamed`` and ``named``. Missing directories are made. A file that could
    not be written is removed.

    Raises:
        OSError: the disk is full, broken or refuses. Before the step ``renamed`` nothing has changed.
    """
    make_directory(path.parent)
    try:
        temporary.touch(FILE_MODE)
        temporary.chmod(FILE_MODE)
        inherit_owner(temporary)
        yield temporary
        at_step("written")
        sync_file(temporary)
        at_step("synced")
        temporary.rename(path)
    except BaseException:
        # The disk may refuse this as well; why it was not written matters more.
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    at_step("renamed")
    sync_directory(path.parent)
    at_step("named")


def write_whole(path: Path, write: Callable[[BinaryIO], object], *, at_step: Step = no_step) -> None:
    """Has ``write`` fill ``path``; after a crash the file is as it was before, or whole and durable.

    Missing directories are made. Blocks for the disk. Two writers of the same path do not mix: the second is refused.

    Raises:
        OSError: the disk is full, broken or refuses; nothing is left behind.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    with _locked(temporary) as file, new_file(path, temporary, at_step=at_step):
        file.truncate(0)
        write(file)
        file.flush()


def remove_unfinished(directory: Path) -> list[Path]:
    """Removes what dead processes had begun to write by :func:`write_whole`, and says what; the living ones' stays.

    Raises:
        OSError: the directory cannot be read or changed. That it is not there is no error.
    """
    removed = []
    for path in sorted(directory.glob(f".*{TEMPORARY}")):
        with contextlib.suppress(BlockingIOError, FileNotFoundError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            removed.append(path)
    return removed


def _locked(temporary: Path) -> BinaryIO:
    """Opens a temporary file for the one who writes it. The lock also tells it from what a dead process left."""
    while True:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        file = os.fdopen(descriptor, "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), temporary.lstat()):
                    return file
        except BaseException:
            file.close()
            raise
        # Whoever had the lock has given the file its name meanwhile.
        file.close()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def permission_hint(path: Path) -> str:
    """What to do about a path that this process may not use: whose it is, and who this process is."""
    for each in (path, *path.parents):
        try:
            found = each.stat()
        except OSError:
            # Not there, or hidden by the one above.
            continue
        owner, group = _user(found.st_uid), _group(found.st_gid)
        if found.st_uid != os.geteuid():
            readers = f", or to read as a member of group {group}" if found.st_mode & 0o040 and group != "root" else ""
            return f"{each} belongs to {owner}, and this runs as {_user(os.geteuid())}: run it as {owner}{readers}"
        break
    return f"see the permissions of {path} and of what is above it"


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
