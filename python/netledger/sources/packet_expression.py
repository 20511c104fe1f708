"""Expressions of tcpdump, compiled by libpcap as for a link without a header: everything begins at the IP header.

libpcap is loaded when there is an expression, and not otherwise. It does not open a socket for this.
"""

import ctypes
import ctypes.util
import threading
from collections.abc import Sequence
from functools import cache
from typing import Final

from netledger.errors import NotSupportedError, UsageError
from netledger.sources.packet_program import Instruction

EXPRESSION_BYTES_MAX: Final = 8192

_NAMES: Final = ("libpcap.so.0.8", "libpcap.so.1")  # of Debian, and of others
_DLT_RAW: Final = 12
_SNAP_BYTES: Final = 0x40000
_NETMASK_UNKNOWN: Final = 0xFFFF_FFFF

BEFORE_THE_HEADER: Final = "as tcpdump has it, but for what is not in the IP packet (ether, vlan, pppoes, inbound)"

# Before 1.8 the parser of libpcap had one state for all threads; nobody waits long for this.
_LOCK: Final = threading.Lock()


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint), ("instructions", ctypes.POINTER(_Instruction)))


def compiled(expression: str) -> Sequence[Instruction]:
    """The program of an expression for packets that begin with the IP header. May ask the resolver for a host's name.

    Raises:
        UsageError: it is no expression, or of something that a packet does not tell from its IP header on.
        NotSupportedError: libpcap is not installed.
    """
    text = expression.encode()
    if b"\0" in text or len(text) > EXPRESSION_BYTES_MAX:
        raise UsageError("filter", "read", f"an expression has no NUL, and at most {EXPRESSION_BYTES_MAX} bytes")
    library = _library()
    with _LOCK:
        handle = library.pcap_open_dead(_DLT_RAW, _SNAP_BYTES)
        if not handle:
            raise MemoryError("pcap_open_dead")
        try:
            return _compiled(library, handle, text)
        finally:
            library.pcap_close(handle)


def _compiled(library: ctypes.CDLL, handle: int, text: bytes) -> Sequence[Instruction]:
    program = _Program()
    if library.pcap_compile(handle, ctypes.byref(program), text, 1, _NETMASK_UNKNOWN) != 0:
        said = library.pcap_geterr(handle) or b"it does not say why"
        cause = said.decode(errors="replace").removeprefix("can't parse filter expression: ")
        raise UsageError("filter", "compile", f"libpcap refuses it: {cause}", BEFORE_THE_HEADER)
    try:
        return [(one.code, one.jt, one.jf, one.k) for one in program.instructions[: program.length]]
    finally:
        library.pcap_freecode(ctypes.byref(program))


@cache
def _library() -> ctypes.CDLL:
    library = loaded((*_NAMES, ctypes.util.find_library("pcap") or ""))
    library.pcap_open_dead.argtypes = (ctypes.c_int, ctypes.c_int)
    library.pcap_open_dead.restype = ctypes.c_void_p
    library.pcap_compile.argtypes = (
        ctypes.c_void_p, ctypes.POINTER(_Program), ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32,
    )  # fmt: skip
    library.pcap_geterr.argtypes = (ctypes.c_void_p,)
    library.pcap_geterr.restype = ctypes.c_char_p
    library.pcap_freecode.argtypes = (ctypes.POINTER(_Program),)
    library.pcap_freecode.restype = None
    library.pcap_close.argtypes = (ctypes.c_void_p,)
    library.pcap_close.restype = None
    return library


def loaded(names: Sequence[str]) -> ctypes.CDLL:
    """The first of some libraries that is there; an empty name is none.

    Raises:
        NotSupportedError: none is.
    """
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise NotSupportedError("filter", "compile", "libpcap is not installed", "apt-get install libpcap0.8")
