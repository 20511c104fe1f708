"""Addresses of the command line: with a length of the network, or as the ends of an address translation."""

import socket
from dataclasses import dataclass
from typing import final

from netledger.compat.conntrack.refusal import bad_parameter

__all__ = ["Address", "Endpoint", "netmask", "parse_address", "parse_endpoint"]

_TEXT_BYTES_MAX = 45  # the longest text of an IPv6 address; what is behind it was cut off
_PORT_MAX = 65535
_IPV4_BYTES = 4


@final
@dataclass(frozen=True, slots=True)
class Address:
    """An address, 4 or 16 bytes, and the length of the network behind it, if one was given."""

    raw: bytes
    length: int | None = None

    @property
    def family(self) -> int:
        """As the kernel numbers them: 2 or 10."""
        return socket.AF_INET if len(self.raw) == _IPV4_BYTES else socket.AF_INET6

    @property
    def text(self) -> str:
        """The address alone."""
        return socket.inet_ntop(self.family, self.raw)


@final
@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an address translation leads to: an address, and perhaps a port."""

    address: Address
    port: int | None


def parse_address(text: str, option: str, *, network: bool) -> Address:
    """An address; ``network`` allows a length behind it.

    Raises:
        Refusal: no address, a length where there may be none, or one that does not fit.
    """
    plain, slash, length = text.encode(errors="surrogateescape")[:_TEXT_BYTES_MAX].partition(b"/")
    raw = _raw(plain.decode(errors="surrogateescape"))
    if raw is None:
        raise bad_parameter(f"Invalid IP address `{text}'")
    if not slash:
        return Address(raw)
    if not network:
        raise bad_parameter(f"CIDR notation unavailable for `--{option}'")
    bits = _length(length)
    if bits is None or bits > 8 * len(raw):
        raise bad_parameter("Invalid netmask")
    return Address(raw, bits)


def netmask(bits: int, size: int) -> bytes:
    """So many ones in front, in ``size`` bytes."""
    every = (1 << 8 * size) - 1
    return (every ^ (every >> bits)).to_bytes(size, "big")


def parse_endpoint(text: str, option: str) -> Endpoint:
    """``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``.

    Raises:
        Refusal: it is none of them.
    """
    address, port = _split(text)
    if port is not None and not port:
        raise bad_parameter("No port specified after `:'")
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 20 and int(port) <= _PORT_MAX):  # noqa: PLR2004 - as many digits as a long has; more are no port either
        raise bad_parameter(f"Invalid port `{port}'")
    return Endpoint(parse_address(address, option, network=False), None if port is None else int(port))


def _split(text: str) -> tuple[str, str | None]:
    if "[" in text:
        inside, bracket, behind = text.partition("[")[2].partition("]")
        if not inside and bracket:
            raise bad_parameter("No IPv6 address specified")
        if not bracket:
            raise bad_parameter("No closing ']' around IPv6 address")
        return (inside, behind.partition(":")[2]) if ":" in behind else (text, None)
    if text.count(":") == 1:
        address, _, port = text.partition(":")
        return address, port
    return text, None


def _raw(text: str) -> bytes | None:
    if "\0" in text:
        return None
    try:
        return socket.inet_aton(text)
    except (OSError, UnicodeError):
        pass
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, UnicodeError):
        return None


def _length(text: bytes) -> int | None:
    """As strtol reads it: nothing at all is 0."""
    if not text:
        return 0
    digits = text.lstrip(b" \t\n\v\f\r")
    if digits[:1] == b"+":
        digits = digits[1:]
    if not digits.isdigit() or len(digits) > 18:  # noqa: PLR2004 - more than any length, and quickly read
        return None
    return int(digits)
