"""A small ext4 file system in a file: its power can be cut, and it can be filled to the last block.

It is mounted in a mount namespace of its own, which nobody else sees and which ends with the process: elsewhere another
namespace would hold on to the dead file system. So whatever uses a :class:`Disk` is a program, run by
:func:`in_own_mounts`.
"""

import fcntl
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.kernel.senders import ROOT

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN: _IOR('X', 125, __u32)
_NOLOGFLUSH = 2  # what is not in the journal on the disk is gone, as it is when the power fails
_BLOCK = 1024


class Disk:
    """Mounted at ``path`` as long as the context lasts."""

    def __init__(self, directory: Path, *, mebibytes: int) -> None:
        self.path = directory / "disk"
        self._image = directory / "image"
        self._mebibytes = mebibytes
        self._ballast = self.path / "ballast"

    def __enter__(self) -> Self:
        self.path.mkdir()
        with self._image.open("wb") as file:
            file.truncate(self._mebibytes << 20)
        # Nothing is left for the kernel to initialise later: the room must not change by itself. Root gets no room of
        # its own either.
        whole = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-F", "-b", str(_BLOCK), "-m", "0", "-E", whole, str(self._image))
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        # Lazily: after a failure somebody may have a file open, and the namespace ends with the process anyway.
        _run("umount", "--lazy", str(self.path))

    def mount(self) -> None:
        """The journal is replayed where that is needed."""
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self) -> None:
        _run("umount", str(self.path))

    def cut_power(self) -> None:
        """From here on nothing reaches the disk, and every write fails with EIO."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def power_on(self) -> None:
        """As after a start of the machine. Whoever had files open there must be gone."""
        self.unmount()
        self.mount()

    def fill(self, leave_bytes: int) -> None:
        """Takes all the room but so much."""
        with self._ballast.open("ab", buffering=0) as file:
            # More than once: making it durable takes and gives back some blocks.
            while (room := self.room_bytes()) > leave_bytes:
                file.write(bytes(min(room - leave_bytes, 1 << 16)))
                os.fsync(file.fileno())

    def free(self) -> None:
        """Gives the room back."""
        self._ballast.unlink(missing_ok=True)
        _run("sync", "--file-system", str(self.path))

    def room_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


def in_own_mounts(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> dict[str, object]:
    """Runs a program of the tests in a mount namespace of its own; what it says at last is a line of JSON.

    Raises:
        AssertionError: it failed; with its words.
    """
    argv = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{module}: status {done.returncode}: {done.stdout}{done.stderr}"
    answer = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(answer, dict)
    return answer


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
