"""The runtime directory: one process at a time, in memory if possible."""

import fcntl
import os
from pathlib import Path
from typing import final

from netledger.durable import permission_hint
from netledger.errors import NetledgerError
from netledger.sources.file_systems import file_system

# With a dot in it, so that no meter can have this name for its directory.
_LOCK = "netledger.lock"
_IN_MEMORY = {"tmpfs", "ramfs"}


class RuntimeDirectoryError(NetledgerError):
    """The runtime directory cannot be used."""


@final
class RuntimeLock:
    """Keeps a second process out of a runtime directory. The kernel drops the lock when the process ends, however."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def open(self) -> None:
        """Makes the directory and takes the lock; does not wait.

        Raises:
            RuntimeDirectoryError: another process has it, or the directory cannot be made.
        """
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            hint = None
            if isinstance(error, PermissionError):
                hint = f"{permission_hint(self._directory)}, or set `runtime = …` and `store = …` in the configuration"
            raise RuntimeDirectoryError(str(self._directory), "open", cause, hint) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            raise RuntimeDirectoryError(
                str(self._directory),
                "lock",
                f"in use by pid {owner or '?'}",
                "stop it, or set another runtime directory",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def close(self) -> None:
        """Gives the lock back. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_in_memory(directory: Path) -> bool:
    """Whether writing to the directory never waits for a disk."""
    return file_system(directory) in _IN_MEMORY
