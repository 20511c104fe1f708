"""A lease of DHCP: an address that a server has lent to a device for a time."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, final

from netledger.attribution.facts import Target, printable
from netledger.errors import FactError
from netledger.learners.claims import Holder
from netledger.learners.names import subject

_ETHERNET: Final = b"\x00\x01"
_MAC_BYTES: Final = 6
# RFC 8415, section 11: a DUID of these types ends with the hardware address, behind so many bytes.
_DUID_MAC_AT: Final = {b"\x00\x01": 8, b"\x00\x03": 4}
_CLIENT_BYTES_MAX: Final = 120
_HEX: Final = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2})*")
_NO_MAC: Final = "00:00:00:00:00:00"


class Called(StrEnum):
    """What the holder of a lease is called."""

    HOST_NAME = "host_name"
    """As its device calls itself; where it says nothing, by its MAC."""
    MAC = "mac"
    """By its MAC: a device can call itself what it likes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a server has last written of an address.

    Attributes:
        target: the address, or the network that was delegated.
        is_held: whether it is lent at all; released, declined and expired ones are not.
        mac: the device, or None where the server does not tell it.
        host_name: what the device calls itself; empty where it does not.
        client: what it is known by to the server, DUID or client identifier; may be empty.
        starts_ns: when it was lent or last renewed, UTC nanoseconds, or None.
        ends_ns: when it ends or has ended; None is never, or not told.
    """

    target: Target
    is_held: bool
    mac: str | None = None
    host_name: str = ""
    client: bytes = b""
    starts_ns: int | None = None
    ends_ns: int | None = None

    def holder(self, called: Called) -> Holder | None:
        """Who has it; None when the server tells nothing that one could be told by."""
        name = subject(self.host_name)
        device = self.mac or (f"client:{self.client[:_CLIENT_BYTES_MAX].hex(':')}" if self.client else None)
        who = device if called is Called.MAC or name is None else name
        if who is None:
            return None
        detail = {"client": printable(self.client.hex(":"))} if self.client else {}
        if name is not None and name != who:
            detail["host_name"] = name
        return Holder(subject=who, mac=self.mac, detail=detail, since_ns=self.starts_ns)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What a server has written since the last look.

    Attributes:
        leases: the last that was written of each address.
        is_all: whether there are no others than these.
        refused: how many entries could not be understood.
        version: another one whenever the file was written anew; for files that may be seen half written.
    """

    leases: Mapping[Target, Lease]
    is_all: bool
    refused: int = 0
    version: tuple[int, ...] = ()


class Book(Protocol):
    """The files of a server."""

    def read(self) -> News:
        """What is new in them; the first time, all.

        Raises:
            LearnerError: they are not there, or cannot be read.
        """


def leased(text: str, *, is_network: bool = False) -> Target | None:
    """What is lent: one address, or a network where one is delegated; None when the text is neither."""
    if ("/" in text) is not is_network or text.endswith("/0"):
        return None
    try:
        return Target.address(text)
    except FactError:
        return None


def mac(text: str) -> str | None:
    """The hardware address in the form that all have here; None when it is none of a device."""
    try:
        found = Target.mac(text).value
    except FactError:
        return None
    return None if found == _NO_MAC else found


def mac_of_duid(duid: bytes) -> str | None:
    """The hardware address that a DUID was made from, of those that are made so."""
    at = _DUID_MAC_AT.get(duid[:2])
    if at is None or duid[2:4] != _ETHERNET or len(duid) != at + _MAC_BYTES:
        return None
    return mac(duid[at:].hex(":"))


def host_name(raw: bytes) -> str:
    """A name of a device, as DNS compares them: in small letters, without the dot at the end."""
    return raw.decode("utf-8" if _is_utf8(raw) else "latin-1").rstrip(".").lower()


def hexadecimal(text: str) -> bytes:
    """Bytes written as ``01:02:a``; nothing where it is something else."""
    return bytes(int(part, 16) for part in text.split(":")) if _HEX.fullmatch(text) else b""


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
