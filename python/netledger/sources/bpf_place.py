"""The BPF file system, in which a program of the kernel and its maps have names and outlive this process."""

import ctypes
import logging
import os
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/bpf")
"""Where everybody has it."""

_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_NOEXEC: Final = 8

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


def _is_everybodys() -> bool:
    try:
        return Path("/proc/self/ns/mnt").readlink() == Path("/proc/1/ns/mnt").readlink()
    except OSError:
        return False  # who may not even look may not mount either
