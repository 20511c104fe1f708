"""What somebody else may do to a program that is pinned: with bpf(2) itself, as bpftool does it."""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}
_OBJ_GET, _LINK_DETACH = 7, 34
_libc = ctypes.CDLL(None, use_errno=True)


class _Path(ctypes.Structure):
    _fields_ = (("path", ctypes.c_uint64), ("fd", ctypes.c_uint32), ("flags", ctypes.c_uint32))


class _Link(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_uint32),)


def detach(pin: Path) -> None:
    """Takes a link off where it hangs; its pin stays."""
    with held(pin) as link:
        detach_held(link)


@contextmanager
def held(pin: Path) -> Iterator[int]:
    """A descriptor of what is pinned, also when its pin is gone."""
    name = ctypes.create_string_buffer(os.fsencode(pin))
    descriptor = _bpf(_OBJ_GET, _Path(path=ctypes.addressof(name)))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def detach_held(link: int) -> None:
    """Takes a link off where it hangs."""
    _bpf(_LINK_DETACH, _Link(fd=link))


def _bpf(command: int, attributes: ctypes.Structure) -> int:
    number = _BPF[platform.machine()]
    done = int(_libc.syscall(number, command, ctypes.byref(attributes), ctypes.sizeof(attributes)))
    if done < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"bpf {command}")
    return done
