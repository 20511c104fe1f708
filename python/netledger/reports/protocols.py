"""Names of IP protocols. The common ones are known here, for a small machine may have no ``/etc/protocols``."""

import socket
from typing import Final

_NUMBERS: Final = {
    "icmp": 1,
    "igmp": 2,
    "ipip": 4,
    "tcp": 6,
    "udp": 17,
    "dccp": 33,
    "ipv6": 41,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "icmpv6": 58,
    "ospf": 89,
    "pim": 103,
    "vrrp": 112,
    "l2tp": 115,
    "sctp": 132,
    "udplite": 136,
}
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}
_NUMBER_MAX: Final = 255

ICMP: Final = (_NUMBERS["icmp"], _NUMBERS["icmpv6"])
"""Those that have a type and a code in the place of ports."""


def number_of(text: str) -> int | None:
    """The number of a protocol, from its name or its number; None if there is no such."""
    if text.isascii() and text.isdigit():
        number = int(text)
        return number if number <= _NUMBER_MAX else None
    known = _NUMBERS.get(text.lower())
    if known is not None:
        return known
    try:
        return socket.getprotobyname(text)
    except (OSError, UnicodeError):
        return None


def name_of(number: int) -> str:
    """The name of a common protocol; of the others the number."""
    return _NAMES.get(number, str(number))
