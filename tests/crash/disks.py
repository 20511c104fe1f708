"""Small ext4 file systems in files, and what can happen to them. To be used in a mount namespace of one's own."""

import contextlib
import ctypes
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from tests.kernel.lab import wait_for

_CLONE_NEWNS: Final = 0x00020000
# _IOR('X', 125, __u32); without a flush of its log, as a power cut would have it.
_EXT4_IOC_SHUTDOWN: Final = 0x8004587D
_SHUTDOWN_WITHOUT_LOG: Final = 2
_SIZE_BYTES: Final = 24 << 20
_E2FSCK_MENDED: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_mounts() -> Iterator[None]:
    """The calling thread in a mount namespace of its own; what it starts sees later mounts too."""
    with Path("/proc/thread-self/ns/mnt").open() as home:
        _check(_libc.unshare(_CLONE_NEWNS), "unshare")
        try:
            for propagation in ("--make-rprivate", "--make-rshared"):
                _run("mount", propagation, "/")
            yield
        finally:
            _check(_libc.setns(home.fileno(), _CLONE_NEWNS), "setns")


@final
class Disk:
    """An ext4 file system of 24 MiB on a loop device."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "disk"
        self._image = directory / "image"
        self._ballast = self.root / "ballast"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(_SIZE_BYTES)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        self.mount()

    def mount(self) -> None:
        # As Debian's installer has it: an error makes it read-only.
        _run("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.root))

    def unmount(self) -> None:
        """Waits until nobody has a file open on it."""

        def is_unmounted() -> bool:
            return subprocess.run(["umount", str(self.root)], check=False, capture_output=True).returncode == 0

        wait_for(is_unmounted, 70, f"{self.root} unmounted")

    def fill(self) -> None:
        """Takes all the room there is."""
        with self._ballast.open("wb", buffering=0) as file:
            # Blocks of files just removed are given again only when the log has been written, the last ones only to who
            # waits for the disk.
            for size in (1 << 16, 1 << 10, 1 << 10, 1 << 10):
                _run("sync", "-f", str(self.root))
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
                        if size < 1 << 16:
                            os.fsync(file.fileno())

    def empty(self) -> None:
        """Gives it back."""
        self._ballast.unlink()

    def shut_down(self) -> None:
        """From here on whatever touches the disk is an input/output error, as when it is pulled out."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, _SHUTDOWN_WITHOUT_LOG.to_bytes(4, "little"))
        finally:
            os.close(descriptor)

    def damage(self) -> None:
        """Has ext4 find an error, upon which it makes itself read-only."""
        device = Path(_run("findmnt", "-n", "-o", "SOURCE", str(self.root)).strip()).name
        Path("/sys/fs/ext4", device, "trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """What an administrator does after that: unmount, check, mount."""
        self.unmount()
        done = subprocess.run(["e2fsck", "-y", str(self._image)], check=False, capture_output=True, text=True)
        if done.returncode > _E2FSCK_MENDED:
            raise RuntimeError(f"e2fsck: status {done.returncode}: {done.stdout}{done.stderr}")
        self.mount()


def _run(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _check(result: int, operation: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), operation)
