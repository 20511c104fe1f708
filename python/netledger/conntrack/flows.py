"""What connection tracking tells: flows, what happens to them, and what it counts about itself."""

import enum
import socket
from dataclasses import dataclass
from typing import Final, final

__all__ = [
    "CpuStats",
    "Direction",
    "Event",
    "EventKind",
    "Expectation",
    "Family",
    "Flow",
    "Lost",
    "Status",
]

_TCP: Final = 6
_IPV4_BYTES: Final = 4


@final
class Family(enum.IntEnum):
    """The version of IP, by the kernel's number for it."""

    IPV4 = 2
    IPV6 = 10


@final
class Status(enum.IntFlag):
    """What has become of a flow: ``IPS_...`` of ``linux/netfilter/nf_conntrack_common.h``."""

    EXPECTED = 1 << 0
    SEEN_REPLY = 1 << 1
    ASSURED = 1 << 2
    CONFIRMED = 1 << 3
    SRC_NAT = 1 << 4
    DST_NAT = 1 << 5
    SEQ_ADJUST = 1 << 6
    SRC_NAT_DONE = 1 << 7
    DST_NAT_DONE = 1 << 8
    DYING = 1 << 9
    FIXED_TIMEOUT = 1 << 10
    TEMPLATE = 1 << 11
    UNTRACKED = 1 << 12
    HELPER = 1 << 13
    OFFLOAD = 1 << 14
    HW_OFFLOAD = 1 << 15


def _text(raw: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(raw) == _IPV4_BYTES else socket.AF_INET6, raw)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """One direction of a flow: what its packets look like where they come in.

    Attributes:
        source_raw, destination_raw: the addresses, 4 or 16 bytes in network order.
        protocol: its number in the IP header.
        source_port, destination_port: of TCP, UDP, SCTP, DCCP and UDP-Lite; of GRE the keys. Otherwise None.
        icmp_type, icmp_code, icmp_id: of ICMP and ICMPv6. Otherwise None.
        zone: that of a flow that has one in this direction only.
        packets, bytes: what has passed; bytes are IP total lengths, headers included. None when the kernel did not
            say it: it does not count flows that began while ``nf_conntrack_acct`` was off, and tells what it has
            counted in lists and at a flow's end only.
    """

    source_raw: bytes
    destination_raw: bytes
    protocol: int
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    icmp_id: int | None = None
    zone: int | None = None
    packets: int | None = None
    bytes: int | None = None

    @property
    def source(self) -> str:
        """The source as text."""
        return _text(self.source_raw)

    @property
    def destination(self) -> str:
        """The destination as text."""
        return _text(self.destination_raw)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A flow, as it was when the kernel spoke of it. What the kernel did not say is None.

    Attributes:
        family: the version of IP.
        original: the direction of its first packet, as that came in.
        reply: the direction of the answers, as they come in; with NAT it names the translated ends.
        status: what has become of it.
        timeout_seconds: how long it lives on without a packet.
        state: of TCP, SCTP and DCCP, by the name that the program conntrack prints; a number without a name as digits.
        vtags: of SCTP, the verification tags of the original direction and the reply.
        mark: its connmark. Events leave out a mark of 0.
        zone: of both directions. The kernel names no zone 0.
        id: the kernel's number for it. A later flow with the same directions may have the same; ``start_ns`` tells them
            apart.
        use: how many references the kernel has to it.
        start_ns, stop_ns: when it began and ended, in nanoseconds since 1970; if ``nf_conntrack_timestamp`` was on.
        event_ns: when the event happened; kernels from 6.14 on.
        labels: 16 bytes; label n is bit n modulo 8 of byte n // 8 on machines whose lowest byte goes first.
        helper: the name of its helper.
        secctx: its security context.
        master: the original direction of the flow that this one was expected by.
    """

    family: Family
    original: Direction
    reply: Direction
    status: Status | None = None
    timeout_seconds: int | None = None
    state: str | None = None
    vtags: tuple[int, int] | None = None
    mark: int | None = None
    zone: int | None = None
    id: int | None = None
    use: int | None = None
    start_ns: int | None = None
    stop_ns: int | None = None
    event_ns: int | None = None
    labels: bytes | None = None
    helper: str | None = None
    secctx: str | None = None
    master: Direction | None = None

    @property
    def tcp_state(self) -> str | None:
        """The state, if it is one of TCP."""
        return self.state if self.original.protocol == _TCP else None


@final
class EventKind(enum.Enum):
    """What has happened to a flow."""

    NEW = "new"
    UPDATE = "update"
    DESTROY = "destroy"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that has happened to a flow.

    Attributes:
        kind: what.
        flow: as it was then. New and changed flows come without counters.
        portid: the netlink socket of the program that did it, such as ``conntrack -D``; None if none did.
    """

    kind: EventKind
    flow: Flow
    portid: int | None = None


@final
@dataclass(frozen=True, slots=True)
class Lost:
    """Events are missing from the stream.

    Attributes:
        overruns: how often the kernel has said so since the last of these; it says it once until the queue is empty.
        dropped: how many messages found no room, as the kernel counts them. With ``reliable`` they come again, and each
            time that one finds no room counts.
    """

    overruns: int
    dropped: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A flow that a helper expects, such as the data connection of an FTP session.

    Attributes:
        family: the version of IP.
        expected: what its original direction will be.
        mask: the bits of it that count.
        master: the original direction of the flow whose helper expects it.
        timeout_seconds: how long it is waited for.
        id: the kernel's number for it.
        zone: as of a flow.
        flags: 1 stays after a match, 2 is not active yet, 4 was made by a program.
        expectation_class: the helper's number for a kind of expectations.
        helper: the name of the helper.
        function: what the kernel calls when it comes.
    """

    family: Family
    expected: Direction
    mask: Direction
    master: Direction
    timeout_seconds: int | None = None
    id: int | None = None
    zone: int | None = None
    flags: int | None = None
    expectation_class: int | None = None
    helper: str | None = None
    function: str | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CpuStats:
    """What one processor has counted for this network namespace; None is what this kernel does not count any more.

    The names are those of ``conntrack -S``.
    """

    cpu: int
    searched: int | None = None
    found: int | None = None
    new: int | None = None
    invalid: int | None = None
    ignore: int | None = None
    delete: int | None = None
    delete_list: int | None = None
    insert: int | None = None
    insert_failed: int | None = None
    drop: int | None = None
    early_drop: int | None = None
    error: int | None = None
    search_restart: int | None = None
    clash_resolve: int | None = None
    chaintoolong: int | None = None
