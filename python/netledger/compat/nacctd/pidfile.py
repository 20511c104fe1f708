"""One instance: the pid file, and who wrote it."""

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from netledger.compat.nacctd.syslog import Syslog

__all__ = ["PIDFILE", "PidFile"]

PIDFILE: Final = "/var/run/nacctd.pid"
_MODE: Final = 0o644
_NAME: Final = "nacctd"
_NUMBER = re.compile(rb"\s*([0-9]{1,9})")


@final
class PidFile:
    """The pid file of this process; other processes are kept out by a lock on it.

    The old program took any living process for itself, and an empty file for one that runs for ever. Here it is a
    process that has the lock, or that is called nacctd.
    """

    def __init__(self, path: str, log: Syslog) -> None:
        self._path = Path(path)
        self._log = log
        self._descriptor = -1

    def claim(self) -> bool:
        """Writes this process into the file; False when another one runs. Then nothing was touched.

        Raises:
            OSError: the file cannot be made.
        """
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_locked = True
            except BlockingIOError:
                is_locked = False
            if is_locked and not self._is_named(descriptor):
                os.close(descriptor)  # whoever had the lock has removed the file meanwhile
                continue
            if self._is_running(os.pread(descriptor, 64, 0), is_locked=is_locked):
                os.close(descriptor)
                return False
            pid = f"{os.getpid()}\n".encode()
            os.pwrite(descriptor, pid, 0)
            os.ftruncate(descriptor, len(pid))
            self._descriptor = descriptor
            return True

    def remove(self) -> None:
        """Removes the file and lets other processes in. May be called twice, or without a claim."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
        self._descriptor = -1

    def _is_named(self, descriptor: int) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        return False

    def _is_running(self, content: bytes, *, is_locked: bool) -> bool:
        match = _NUMBER.match(content)
        if match is None and is_locked:
            if content:
                self._log.info("found pid-file without a pid")
            return False
        pid = int(match[1]) if match else 0
        self._log.info(f"found pid-file with pid {pid}")
        if not is_locked or _runs(pid):
            self._log.info(f"process {pid} is still running.")
            return True
        self._log.info(f"process {pid} doesn't exist anymore")
        return False


def _runs(pid: int) -> bool:
    if pid in {0, os.getpid()}:
        return False
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n") == _NAME
    return False
