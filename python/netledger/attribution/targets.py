"""What can be assigned to somebody: an address or network, a device, an interface or a mark."""

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self, final

from netledger.errors import FactError

ADDRESS_BITS: Final = 128
"""Of an address as rows have it: 16 bytes, IPv4 behind ``::ffff:``."""

_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_MAC: Final = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5}|[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}", re.IGNORECASE)
_V4_NUMBER: Final = int.from_bytes(_V4_MAPPED)
_CANONICAL_MAC: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]{1,8}|[0-9]{1,10}")
_LIKE_ADDRESS: Final = re.compile(r"[0-9.]+|.*[:/].*", re.DOTALL)
_MARK_MAX: Final = 0xFFFF_FFFF
_INTERFACE_BYTES_MAX: Final = 15
_V4_MAPPED_BITS: Final = 96
_FORMS: Final = "an address, a network, a MAC, mark:NUMBER or an interface: 10.0.0.2, 2001:db8::/48, mark:42, ppp0"


def is_mac(text: str) -> bool:
    """Whether a text is a hardware address in the one form that :class:`Target` has."""
    return _CANONICAL_MAC.fullmatch(text) is not None


class Kind(StrEnum):
    """What is assigned."""

    ADDRESS = "address"
    """One address, or a network."""
    MAC = "mac"
    """A device, by its hardware address."""
    INTERFACE = "interface"
    """A network interface of the machine that counts."""
    MARK = "mark"
    """A mark of connection tracking."""


@final
@dataclass(frozen=True, slots=True, order=True)
class Target:
    """What is assigned, in the one form that its text has.

    Made by :meth:`parse`, or by one of the others where the kind is known. To make it directly is for values that
    came from one of them.

    Attributes:
        kind: what it is.
        value: ``10.0.0.2``, ``10.0.0.0/24``, ``2001:db8::/48``, ``aa:bb:cc:dd:ee:ff``, ``ppp0``, ``42``.
    """

    kind: Kind
    value: str

    def __str__(self) -> str:
        """A text that :meth:`parse` reads as this again."""
        return f"{self.kind}:{self.value}" if self.kind in {Kind.MARK, Kind.INTERFACE} else self.value

    @classmethod
    def parse(cls, text: str) -> Self:
        """Finds out what a text means. A name that is no address is an interface.

        Raises:
            FactError: it is none of them.
        """
        word, colon, rest = text.partition(":")
        if colon and word.lower() == Kind.MARK:
            return cls.mark(rest)
        if colon and word.lower() == Kind.INTERFACE:
            return cls.interface(rest)
        if _MAC.fullmatch(text):
            return cls.mac(text)
        try:
            return cls.address(text)
        except FactError as error:
            # What was meant for an address must not become an interface that nobody has.
            if error.hint is not None or _LIKE_ADDRESS.fullmatch(text):
                raise
        return cls.interface(text)

    @classmethod
    def address(cls, text: str) -> Self:
        """An address or a network.

        Raises:
            FactError: it is none, it has a zone (``%eth0``), or bits are set behind its length.
        """
        with contextlib.suppress(OSError, ValueError):
            # Nearly all that there are, and ten times as fast.
            return cls(Kind.ADDRESS, socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text)))
        try:
            network = ipaddress.ip_network(text, strict=False)
            if "%" in text:
                raise _refused(text, "the zone of an address is not known in traffic", "leave out what follows the %")
            exact = ipaddress.ip_network(text)
        except ValueError as error:
            if "host bits" in str(error):
                raise _refused(text, "it has host bits set", f"the network is {network}") from error
            raise _refused(text, "this is no address") from error
        return cls(Kind.ADDRESS, _canonical(exact))

    @classmethod
    def mac(cls, text: str) -> Self:
        """A hardware address of six bytes, with colons, dashes or in Cisco's three groups.

        Raises:
            FactError: it is none.
        """
        if not _MAC.fullmatch(text):
            raise _refused(text, "this is no MAC address", "as in aa:bb:cc:dd:ee:ff")
        return cls(Kind.MAC, bytes.fromhex(re.sub("[:.-]", "", text)).hex(":"))

    @classmethod
    def interface(cls, text: str) -> Self:
        """The name of an interface, whether there is one now or not.

        Raises:
            FactError: none can have this name.
        """
        is_name = text not in {"", ".", ".."} and text.isprintable() and not any(mark in text for mark in "/: ")
        if not is_name or len(text.encode(errors="replace")) > _INTERFACE_BYTES_MAX:
            raise _refused(text, "this is no name of an interface", _FORMS)
        return cls(Kind.INTERFACE, text)

    @classmethod
    def mark(cls, text: str) -> Self:
        """A mark, decimal or as in ``0x2a``.

        Raises:
            FactError: it is no number of 32 bits.
        """
        number = int(text, 0) if _NUMBER.fullmatch(text) and _is_plain(text) else -1
        if not 0 <= number <= _MARK_MAX:
            raise _refused(text, "this is no mark", "a number of 32 bits, as in mark:42 or mark:0x2a")
        return cls(Kind.MARK, str(number))


def network_of(target: Target) -> tuple[int, int]:
    """The first address of a target of the kind ADDRESS as a number of 128 bits, and how many of them are meant."""
    address, _, length = target.value.partition("/")
    if ":" in address:
        raw, shift = socket.inet_pton(socket.AF_INET6, address), 0
    else:
        raw, shift = _V4_MAPPED + socket.inet_pton(socket.AF_INET, address), _V4_MAPPED_BITS
    return int.from_bytes(raw), int(length) + shift if length else ADDRESS_BITS


def least_bits(number: int) -> int:
    """How long a network is at least that an address can be in: IPv4 behind ``::ffff:`` is no part of ``::/0``."""
    return _V4_MAPPED_BITS if number >> (ADDRESS_BITS - _V4_MAPPED_BITS) == _V4_NUMBER else 0


def _is_plain(text: str) -> bool:
    # 010 is eight to some and ten to others.
    return text == "0" or text[:2] in {"0x", "0X"} or not text.startswith("0")


def _canonical(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _V4_MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:  # the same address, and traffic has it in its short form
            network = ipaddress.IPv4Network((mapped, network.prefixlen - _V4_MAPPED_BITS))
    is_single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if is_single else str(network)


def _refused(text: str, cause: str, hint: str | None = None) -> FactError:
    return FactError(repr(text)[1:-1] or "''", "", cause, hint)
