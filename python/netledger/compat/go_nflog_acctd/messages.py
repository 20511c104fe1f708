"""The lines that speak of groups and packets, in the words of the old program."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from netledger.compat.go_nflog_acctd.options import Group
from netledger.exports.go_nflog_acctd import address_text, old_bytes

__all__ = ["Batches", "Event", "binding_lines", "closing_lines", "event_line", "is_verbose", "monitoring_line"]

# The old program's first socket: 0, 1 and 2 are standard input, output and error.
_FIRST_DESCRIPTOR = 3
_OTHER_VERSION = {4: 6, 6: 4}


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


class Batches:
    """Brings events into the order of the old program: the size of a batch before its packets."""

    def __init__(self) -> None:
        self._packets: dict[int, list[Event]] = {}

    def ordered(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events in their order, packets behind the batch that they belong to. The last ones may be kept back."""
        for event in events:
            if event.kind == "packet":
                self._packets.setdefault(event.group, []).append(event)
                continue
            yield event
            if event.kind == "batch":
                yield from self._packets.pop(event.group, ())

    def rest(self) -> Iterator[Event]:
        """Packets whose batch was not told: the meter notes only so much."""
        for events in self._packets.values():
            yield from events
        self._packets.clear()


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
            return _short_line(have=first, need=second, version=third)
        case "version":
            return f"Bad IP version: {first}"
        case "missing":
            return f"{first} missing packets detected, {second} to {third}"
        case "overrun":
            return "Recv failed: no buffer space available"
        case _:
            raise ValueError(event.kind)


def _short_line(*, have: int, need: int, version: int) -> str:
    if have >= need:
        # Long enough for a header of the version expected here, so it was one of the other version.
        return f"Bad IP version: {_OTHER_VERSION[version]}"
    return f"Short IPv{version} packet {have}/{need} bytes"


def _packet_line(event: Event, *, bytes_: int, strict_bytes: bool) -> str:
    address = event.address
    if strict_bytes:
        bytes_ = old_bytes(address, bytes_=bytes_, packets=1)
    direction = "Source" if event.is_source else "Dest"
    return f"IP message {direction} Addr {address_text(address)} Size {bytes_}"
