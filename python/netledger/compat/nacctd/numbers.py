"""Numbers and addresses as the C library reads them. Pure; nothing here raises."""

import re
import socket
from typing import Final

__all__ = ["NO_ADDRESS", "atoi", "dotted", "is_address", "octet", "to_address"]

NO_ADDRESS: Final = 0xFFFF_FFFF
"""What ``inet_addr`` gives for a text that is no address; also the mask of a single host."""

_DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")
_ANY_BASE = re.compile(r"[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)")
_LONG_MAX: Final = (1 << 63) - 1
_INT_BITS: Final = 32
_OCTET_MAX: Final = 255


def atoi(text: str) -> int:
    """The number at the beginning, 0 without one; cut to 32 bits as a C ``int`` is."""
    match = _DECIMAL.match(text)
    if match is None:
        return 0
    value = min(int(match[2]), _LONG_MAX)
    value = (-value if match[1] == "-" else value) & ((1 << _INT_BITS) - 1)
    return value - (1 << _INT_BITS) if value >> (_INT_BITS - 1) else value


def octet(text: str) -> int | None:
    """The number at the beginning, 0 without one; ``0x`` is hexadecimal, a leading 0 octal. None: it is no octet."""
    match = _ANY_BASE.match(text)
    if match is None:
        return 0
    digits = match[2]
    if digits[:2] in {"0x", "0X"}:
        value = int(digits, 16)
    elif digits.startswith("0"):
        octal = re.match("[0-7]*", digits)
        value = int(octal[0] or "0", 8) if octal else 0
    else:
        value = int(digits)
    value = -value if match[1] == "-" else value
    return value if 0 <= value <= _OCTET_MAX else None


def to_address(text: str) -> int:
    """An IPv4 address as a number, in any of the forms of ``inet_addr``; :data:`NO_ADDRESS` when it is none."""
    return int.from_bytes(socket.inet_aton(text), "big") if is_address(text) else NO_ADDRESS


def is_address(text: str) -> bool:
    """Whether ``inet_addr`` reads it, also as what it gives for a text that is no address."""
    try:
        socket.inet_aton(text)
    except (OSError, ValueError):  # ValueError: a NUL inside
        return False
    return text.isascii()


def dotted(address: int) -> str:
    """An IPv4 address as text."""
    return socket.inet_ntoa(address.to_bytes(4, "big"))
