"""What one accounting request says, taken out of its attributes (RFC 2866, 2869, 3162, 4818, 6911).

The attributes come from the network: every value is checked for its length and its meaning before it is used.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, final

from netledger.attribution.facts import Kind, Target, printable

TARGETS_MAX: Final = 16
"""Addresses and prefixes of one request that are looked at."""

SECOND_NS: Final = 1_000_000_000

_USER_NAME: Final = 1
_NAS_IP_ADDRESS: Final = 4
_NAS_PORT: Final = 5
_FRAMED_IP_ADDRESS: Final = 8
_CALLING_STATION_ID: Final = 31
_NAS_IDENTIFIER: Final = 32
_STATUS_TYPE: Final = 40
_DELAY_TIME: Final = 41
_INPUT_OCTETS: Final = 42
_OUTPUT_OCTETS: Final = 43
_SESSION_ID: Final = 44
_SESSION_TIME: Final = 46
_INPUT_PACKETS: Final = 47
_OUTPUT_PACKETS: Final = 48
_TERMINATE_CAUSE: Final = 49
_MULTI_SESSION_ID: Final = 50
_INPUT_GIGAWORDS: Final = 52
_OUTPUT_GIGAWORDS: Final = 53
_EVENT_TIMESTAMP: Final = 55
_NAS_PORT_ID: Final = 87
_NAS_IPV6_ADDRESS: Final = 95
_FRAMED_IPV6_PREFIX: Final = 97
_DELEGATED_IPV6_PREFIX: Final = 123
_FRAMED_IPV6_ADDRESS: Final = 168

_IPV4_BYTES: Final = 4
_IPV6_BYTES: Final = 16
_IPV6_BITS: Final = 128
_PREFIX_HEAD_BYTES: Final = 2
_GIGAWORD_BITS: Final = 32

# "The user may choose" and "the access server chooses" (RFC 2865, 5.8): no addresses.
_CHOOSE_LATER: Final = frozenset((ipaddress.IPv4Address("255.255.255.255"), ipaddress.IPv4Address("255.255.255.254")))

# RFC 2866, 5.10.
_CAUSES: Final = {
    1: "User-Request",
    2: "Lost-Carrier",
    3: "Lost-Service",
    4: "Idle-Timeout",
    5: "Session-Timeout",
    6: "Admin-Reset",
    7: "Admin-Reboot",
    8: "Port-Error",
    9: "NAS-Error",
    10: "NAS-Request",
    11: "NAS-Reboot",
    12: "Port-Unneeded",
    13: "Port-Preempted",
    14: "Port-Suspended",
    15: "Service-Unavailable",
    16: "Callback",
    17: "User-Error",
    18: "Host-Request",
}

Attributes = Mapping[int, Sequence[bytes]]


class Status(IntEnum):
    """What an accounting request is about (Acct-Status-Type)."""

    START = 1
    STOP = 2
    INTERIM = 3
    ON = 7
    OFF = 8


@final
class UnreadableError(ValueError):
    """A request that cannot be what its sender meant; it gets no answer. Its text says why."""


@final
@dataclass(frozen=True, slots=True)
class Nas:
    """An access server, as its requests name it.

    Attributes:
        client: the network of the configuration that its requests came from.
        name: its NAS-Identifier, or empty.
        address: its NAS-IP-Address or NAS-IPv6-Address, else where the request came from.
    """

    client: str
    name: str
    address: str

    def is_same(self, other: "Nas") -> bool:
        """Whether both are one: by the name where both have one, else by the address; never across clients."""
        if self.client != other.client:
            return False
        return self.name == other.name if self.name and other.name else self.address == other.address


@final
@dataclass(frozen=True, slots=True)
class Usage:
    """What the access server has counted itself. *Input* is what it received from the user.

    Octets are of 64 bits: the gigawords of RFC 2869 are in them.
    """

    seconds: int
    input_octets: int
    output_octets: int
    input_packets: int
    output_packets: int

    def detail(self) -> dict[str, str]:
        """The same, to be kept with a fact."""
        return {
            "seconds": str(self.seconds),
            "input_octets": str(self.input_octets),
            "output_octets": str(self.output_octets),
            "input_packets": str(self.input_packets),
            "output_packets": str(self.output_packets),
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One accounting request that can be understood.

    Attributes:
        status: what it is about; None is something of which nothing is kept (tunnels, failures).
        nas: who sent it.
        session: its Acct-Session-Id; empty only where there is no session: On, Off.
        multi_session: its Acct-Multi-Session-Id, or empty.
        user: its User-Name, else the calling station, else empty.
        is_named: whether it has a User-Name: an update may leave it out, and that is no other user.
        port: the line: NAS-Port-Id, else NAS-Port, else empty.
        calling: its Calling-Station-Id, or empty.
        targets: the addresses and prefixes that the session has.
        event_seconds: its Event-Timestamp.
        delay_seconds: for how long the access server has been trying to tell this.
        usage: what the access server has counted; None where it says nothing of it.
        cause: why the session ended, in the words of RFC 2866, or empty.
    """

    status: Status | None
    nas: Nas
    session: str
    multi_session: str = ""
    user: str = ""
    is_named: bool = False
    port: str = ""
    calling: str = ""
    targets: tuple[Target, ...] = ()
    event_seconds: int | None = None
    delay_seconds: int = 0
    usage: Usage | None = None
    cause: str = ""


def read(attributes: Attributes, *, client: str, source: str) -> Request:
    """The request in these attributes.

    Args:
        attributes: raw values by their number.
        client: the network of the configuration that the sender belongs to.
        source: the sender's address.

    Raises:
        UnreadableError: an attribute has a length that it cannot have, or one is missing that must be there.
    """
    known = frozenset(Status)
    number = _number(attributes, _STATUS_TYPE)
    if number is None:
        raise UnreadableError("no Acct-Status-Type")
    status = Status(number) if number in known else None
    session = _text(attributes, _SESSION_ID)
    if not session and status in {Status.START, Status.STOP, Status.INTERIM}:
        raise UnreadableError("no Acct-Session-Id")
    calling = _text(attributes, _CALLING_STATION_ID)
    name = _text(attributes, _USER_NAME).strip()
    cause = _number(attributes, _TERMINATE_CAUSE)
    port = _number(attributes, _NAS_PORT)
    return Request(
        status=status,
        nas=Nas(client, _text(attributes, _NAS_IDENTIFIER), _nas_address(attributes) or source),
        session=session,
        multi_session=_text(attributes, _MULTI_SESSION_ID),
        user=name or calling.strip(),
        is_named=bool(name),
        port=_text(attributes, _NAS_PORT_ID) or ("" if port is None else str(port)),
        calling=calling,
        targets=_targets(attributes),
        event_seconds=_number(attributes, _EVENT_TIMESTAMP),
        delay_seconds=_number(attributes, _DELAY_TIME) or 0,
        usage=_usage(attributes),
        cause="" if cause is None else _CAUSES.get(cause, str(cause)),
    )


def _first(attributes: Attributes, number: int) -> bytes | None:
    values = attributes.get(number)
    return values[0] if values else None


def _text(attributes: Attributes, number: int) -> str:
    value = _first(attributes, number)
    # Bytes that are no text stay visible, and two names that differ stay two.
    return "" if value is None else printable(value.decode(errors="backslashreplace"))


def _number(attributes: Attributes, number: int) -> int | None:
    value = _first(attributes, number)
    if value is None:
        return None
    if len(value) != _IPV4_BYTES:
        raise UnreadableError(f"attribute {number} has {len(value)} bytes and needs {_IPV4_BYTES}")
    return int.from_bytes(value, "big")


def _nas_address(attributes: Attributes) -> str | None:
    if (value := _first(attributes, _NAS_IP_ADDRESS)) is not None:
        return str(ipaddress.IPv4Address(_sized(_NAS_IP_ADDRESS, value, _IPV4_BYTES)))
    if (value := _first(attributes, _NAS_IPV6_ADDRESS)) is not None:
        return str(ipaddress.IPv6Address(_sized(_NAS_IPV6_ADDRESS, value, _IPV6_BYTES)))
    return None


def _sized(number: int, value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise UnreadableError(f"attribute {number} has {len(value)} bytes and needs {size}")
    return value


def _usage(attributes: Attributes) -> Usage | None:
    kept = (_SESSION_TIME, _INPUT_OCTETS, _OUTPUT_OCTETS, _INPUT_PACKETS, _OUTPUT_PACKETS)
    values = {number: _number(attributes, number) for number in (*kept, _INPUT_GIGAWORDS, _OUTPUT_GIGAWORDS)}
    if all(value is None for value in values.values()):
        return None
    seconds, received, sent, received_packets, sent_packets = (values[number] or 0 for number in kept)
    return Usage(
        seconds=seconds,
        input_octets=received + ((values[_INPUT_GIGAWORDS] or 0) << _GIGAWORD_BITS),
        output_octets=sent + ((values[_OUTPUT_GIGAWORDS] or 0) << _GIGAWORD_BITS),
        input_packets=received_packets,
        output_packets=sent_packets,
    )


def _targets(attributes: Attributes) -> tuple[Target, ...]:
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for value in attributes.get(_FRAMED_IP_ADDRESS, ()):
        address = ipaddress.IPv4Address(_sized(_FRAMED_IP_ADDRESS, value, _IPV4_BYTES))
        if address not in _CHOOSE_LATER:
            networks.append(ipaddress.IPv4Network(address))
    addresses = attributes.get(_FRAMED_IPV6_ADDRESS, ())
    networks += [ipaddress.IPv6Network(_sized(_FRAMED_IPV6_ADDRESS, value, _IPV6_BYTES)) for value in addresses]
    for number in (_FRAMED_IPV6_PREFIX, _DELEGATED_IPV6_PREFIX):
        networks += [_prefix(number, value) for value in attributes.get(number, ())]
    usable = [one for one in networks if one.prefixlen and not _is_nobodys(one)]
    # In the order told, each once: a delegated prefix may be told as the framed one, too.
    return tuple(dict.fromkeys(_target(one) for one in usable))[:TARGETS_MAX]


def _prefix(number: int, value: bytes) -> ipaddress.IPv6Network:
    """RFC 3162, 2.3: a reserved byte, the length, and as many bytes as the sender thought worth sending."""
    if not _PREFIX_HEAD_BYTES <= len(value) <= _PREFIX_HEAD_BYTES + _IPV6_BYTES or value[1] > _IPV6_BITS:
        raise UnreadableError(f"attribute {number} is no IPv6 prefix")
    address = int.from_bytes(value[_PREFIX_HEAD_BYTES:].ljust(_IPV6_BYTES, b"\0"), "big")
    return ipaddress.IPv6Network((address, value[1]), strict=False)


def _is_nobodys(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    first = network.network_address
    return first.is_unspecified or first.is_multicast or first.is_loopback or first.is_link_local


def _target(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Target:
    return Target.address(str(network)) if isinstance(network, ipaddress.IPv6Network) else _single(network)


def _single(network: ipaddress.IPv4Network) -> Target:
    # What Target.address would come to, without reading the text that was just written: this is done for every request.
    return Target(Kind.ADDRESS, str(network.network_address))
