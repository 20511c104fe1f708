"""``python -m tests.kernel.denied PROGRAM …``: runs a program to which a seccomp filter denies bpf(2)."""

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

_BPF: Final = {"x86_64": 321, "aarch64": 280}
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_LOAD_NUMBER: Final = (0x20, 0, 0, 0)
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def main(arguments: list[str]) -> None:
    """Becomes the program.

    Raises:
        OSError: the filter was refused, or there is no such program.
    """
    is_bpf = (0x15, 0, 1, _BPF[platform.machine()])
    answers = ((_RETURN, 0, 0, _ERRNO | errno.EPERM), (_RETURN, 0, 0, _ALLOW))
    text = b"".join(struct.pack("HBBI", *one) for one in (_LOAD_NUMBER, is_bpf, *answers))
    instructions = ctypes.create_string_buffer(text, len(text))
    program = _Program(len(text) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "prctl")
    os.execvp(arguments[0], arguments)  # noqa: S606  (it is what a test runs)


if __name__ == "__main__":
    main(sys.argv[1:])
