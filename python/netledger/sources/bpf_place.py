"""The BPF file system, in which a program of the kernel and its maps have names and outlive this process."""

import ctypes
import logging
import os
from pathlib import Path
from typing import Final

from netledger.errors import PermissionDeniedError, SourceError
from netledger.sources.file_systems import file_system

ROOT: Final = Path("/sys/fs/bpf")
"""Where everybody has it."""
BASE: Final = ROOT / "netledger"
"""Below it each meter has a directory of its own."""

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8

_HINT_ABSENT: Final = "mount -t bpf bpf /sys/fs/bpf, then restart"
# One that is mounted in such a namespace would go with its last process, and with it what lies there.
_HINT_HIDDEN: Final = (
    "nsenter --net=/run/netns/NAME in place of `ip netns exec`, which hides it, or netns in the meter; "
    "where the machine has none: mount -t bpf bpf /sys/fs/bpf in the mount namespace of its first process, then restart"
)

_libc = ctypes.CDLL(None, use_errno=True)
_log = logging.getLogger(__name__)


def mount_if_missing() -> None:
    """Mounts it where it is missing and this process may, as the service manager would have. It does not fail.

    To be called before capabilities are given up. Only in the mount namespace of the first process: in another one,
    such as that of ``ip netns exec``, nobody would find again what lies there.
    """
    if not ROOT.is_dir() or ROOT.is_mount() or not _is_everybodys():
        return
    if _libc.mount(b"bpf", os.fsencode(ROOT), b"bpf", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"mode=0700") == 0:
        _log.info("bpf_file_system_mounted", extra={"fields": {"directory": ROOT}})


def check(base: Path = BASE) -> None:
    """Whether a meter's directory can be made below ``base``; makes nothing.

    Raises:
        SourceError: there is no BPF file system.
        PermissionDeniedError: its directory is somebody else's.
    """
    there = next(path for path in (base, *base.parents) if _exists(path))
    if file_system(there) != "bpf":
        if _is_everybodys():
            raise SourceError("BPF file system", "look for it", f"none at {ROOT}", _HINT_ABSENT)
        raise SourceError("BPF file system", "look for it", f"none at {ROOT} in this mount namespace", _HINT_HIDDEN)
    if not os.access(there, os.W_OK | os.X_OK):
        # What another user left there has to be read by this one, too.
        theirs = f"; chown -R {os.geteuid()} {base}" if there == base else ""
        hint = f"as root: chmod 0711 {ROOT}; install -d -m 0700 -o {os.geteuid()} {base}{theirs}"
        raise PermissionDeniedError(f"BPF file system {there}", "write", "permission denied", hint)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False  # in a directory that may not be entered


def _is_everybodys() -> bool:
    try:
        return Path("/proc/self/ns/mnt").readlink() == Path("/proc/1/ns/mnt").readlink()
    except OSError:
        return False  # who may not even look may not mount either
