"""The lines that speak of groups and packets, in the words of the old program."""

from collections.abc import Iterator
from typing import Protocol

from netledger.compat.go_nflog_acctd.options import Group
from netledger.compat.go_nflog_acctd.render import address_text, old_bytes

__all__ = ["Event", "binding_lines", "closing_lines", "event_line", "is_verbose", "monitoring_line"]

# The old program's first socket: 0, 1 and 2 are standard input, output and error.
_FIRST_DESCRIPTOR = 3


class Event(Protocol):
    """Something that a meter noted, see ``TraceEvent`` of the native core."""

    @property
    def kind(self) -> str:
        """batch, packet, short, version, missing or overrun."""

    @property
    def group(self) -> int:
        """The NFLOG group."""

    @property
    def address(self) -> bytes | None:
        """16 bytes, cut to the prefix; of a packet only."""

    @property
    def is_source(self) -> bool:
        """Whether the packet is accounted to its source."""

    @property
    def numbers(self) -> tuple[int, int, int]:
        """What the kind says: see ``TraceEvent``."""


def monitoring_line(group: Group) -> str:
    """What is said of every group before it is opened."""
    direction = "Source" if group.is_source else "Dest"
    return (
        f"Monitoring NFLog multicast group {group.number} "
        f"for IPv{group.ip_version} {direction} mask /{group.prefix_length}"
    )


def binding_lines(group: Group) -> tuple[str, str, str]:
    """What ``-verbose`` adds while a group is opened."""
    return (
        "Binding nfnetlink_log to AF_INET",
        f"Binding this socket to group {group.number}",
        f"Setting copy_packet mode to {group.header_bytes} bytes",
    )


def closing_lines(groups: tuple[Group, ...]) -> Iterator[str]:
    """What ``-verbose`` adds at the end. The number of a socket is the one it had in the old program."""
    for descriptor, group in enumerate(groups, start=_FIRST_DESCRIPTOR):
        yield f"Closing nflog socket {descriptor} group {group.number}"


def is_verbose(event: Event) -> bool:
    """Whether an event is told only with ``-verbose``."""
    return event.kind in {"batch", "packet"}


def event_line(event: Event, *, strict_bytes: bool) -> str:
    """One line for one event.

    Raises:
        ValueError: a kind of event that is unknown here.
    """
    first, second, third = event.numbers
    match event.kind:
        case "batch":
            return f"{event.group}: Processing {first} packets"
        case "packet":
            return _packet_line(event, bytes_=first, strict_bytes=strict_bytes)
        case "short":
            return f"Short IPv{third} packet {first}/{second} bytes"
        case "version":
            return f"Bad IP version: {first}"
        case "missing":
            return f"{first} missing packets detected, {second} to {third}"
        case "overrun":
            return "Recv failed: no buffer space available"
        case _:
            raise ValueError(event.kind)


def _packet_line(event: Event, *, bytes_: int, strict_bytes: bool) -> str:
    address = event.address
    if strict_bytes:
        bytes_ = old_bytes(address, bytes_=bytes_, packets=1)
    direction = "Source" if event.is_source else "Dest"
    return f"IP message {direction} Addr {address_text(address)} Size {bytes_}"
