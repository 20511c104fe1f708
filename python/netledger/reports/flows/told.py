"""A flow as people mean it: who began it, with whom, how much each of both sent.

Its *source* sent the first packet; its *destination* is where that packet really went. With address translation there
are two more ends: what the destination sees as the source, and what the source believed to be the destination.
"""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, final

from netledger.conntrack import Direction, Flow, Status
from netledger.receipt import rfc3339
from netledger.reports.protocols import ICMP, name_of

_IPV6_BYTES: Final = 16
_GRE: Final = 47
WITH_SERVICES: Final = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udp"}
"""Protocols whose ports have names."""


@final
@dataclass(frozen=True, slots=True)
class End:
    """One end of a flow.

    Attributes:
        raw: its address, 4 or 16 bytes.
        port: its port; None where the protocol has none. Of GRE it is the key.
    """

    raw: bytes
    port: int | None

    @property
    def address(self) -> str:
        """The address as text."""
        return socket.inet_ntop(socket.AF_INET6 if len(self.raw) == _IPV6_BYTES else socket.AF_INET, self.raw)

    @property
    def text(self) -> str:
        """Address and port: ``192.0.2.1:80``, ``[2001:db8::1]:80``."""
        if self.port is None:
            return self.address
        return f"[{self.address}]:{self.port}" if len(self.raw) == _IPV6_BYTES else f"{self.address}:{self.port}"


def mapped(raw: bytes) -> bytes:
    """An address in 16 bytes, IPv4 as ``::ffff:a.b.c.d``: as rows and the memory of names have it."""
    return raw if len(raw) == _IPV6_BYTES else bytes(10) + b"\xff\xff" + raw


def source(flow: Flow) -> End:
    """Who sent the first packet."""
    return _source(flow.original)


def destination(flow: Flow) -> End:
    """Where it really went."""
    return _source(flow.reply)


def nat_source(flow: Flow) -> End | None:
    """What the destination sees as the source, if that is another one."""
    seen = _destination(flow.reply)
    return None if seen == source(flow) else seen


def nat_destination(flow: Flow) -> End | None:
    """What the source believed to be the destination, if that is another one."""
    asked = _destination(flow.original)
    return None if asked == destination(flow) else asked


def _source(direction: Direction) -> End:
    return End(direction.source_raw, direction.source_port)


def _destination(direction: Direction) -> End:
    return End(direction.destination_raw, direction.destination_port)


def state(flow: Flow) -> str:
    """That of its protocol; of protocols without one, whether there was an answer: UNREPLIED, REPLIED, ASSURED."""
    return flow.state or _answered(flow.status)


def states(flow: Flow) -> frozenset[str]:
    """All states that it may be asked for by."""
    both = {flow.state.upper()} if flow.state else set()
    return frozenset((*both, _answered(flow.status), *(("REPLIED",) if _has(flow.status, Status.SEEN_REPLY) else ())))


# Few statuses occur, and to take one apart takes longer than all else that is said of a flow.
@cache
def _answered(status: Status | None) -> str:
    if _has(status, Status.ASSURED):
        return "ASSURED"
    return "REPLIED" if _has(status, Status.SEEN_REPLY) else "UNREPLIED"


@cache
def _has(status: Status | None, wanted: Status) -> bool:
    return status is not None and bool(status & wanted)


@cache
def _words(status: Status) -> tuple[str, ...]:
    return tuple(str(one.name) for one in Status if one & status)


def zone(flow: Flow) -> int:
    """Its zone; of a flow that has one in one direction only, that one."""
    for one in (flow.zone, flow.original.zone, flow.reply.zone):
        if one is not None:
            return one
    return 0  # the kernel does not name the zone that all have


def zones(flow: Flow) -> frozenset[int]:
    """All that it is in: both directions may have one of their own."""
    known = frozenset(one for one in (flow.zone, flow.original.zone, flow.reply.zone) if one is not None)
    return known or frozenset((0,))


def mark(flow: Flow) -> int:
    """Its mark; events leave out 0."""
    return flow.mark or 0


def has_ports(flow: Flow) -> bool:
    """Whether what stands in the place of ports is a port."""
    return flow.original.source_port is not None and flow.original.protocol != _GRE


def service(flow: Flow) -> str:
    """What the destination's port is called on this machine, or ICMP's type and code; empty where nothing is known."""
    first = flow.original
    if first.protocol in ICMP:
        return f"type {first.icmp_type} code {first.icmp_code}"
    asked = nat_destination(flow) or destination(flow)
    name = WITH_SERVICES.get(first.protocol)
    return "" if name is None or asked.port is None else _service(asked.port, name)


@cache
def _service(port: int, protocol: str) -> str:
    try:
        return socket.getservbyport(port, protocol)
    except OSError:
        return ""


def protocol(flow: Flow) -> str:
    """The name of its protocol."""
    return name_of(flow.original.protocol)


def total(flow: Flow, counter: str) -> int:
    """``bytes`` or ``packets`` of both directions, as far as they are counted."""
    first, second = getattr(flow.original, counter), getattr(flow.reply, counter)
    return (first or 0) + (second or 0)


def as_json(flow: Flow) -> dict[str, object]:
    """For programs: always the same keys; None where the kernel says nothing."""
    first = flow.original
    return {
        "family": int(len(first.source_raw) == _IPV6_BYTES) * 2 + 4,
        "protocol": first.protocol,
        **_ends_as_json(flow),
        "icmp_type": first.icmp_type,
        "icmp_code": first.icmp_code,
        "icmp_id": first.icmp_id,
        "state": state(flow),
        "status": None if flow.status is None else list(_words(flow.status)),
        "zone": zone(flow),
        "mark": mark(flow),
        "id": flow.id,
        "helper": flow.helper,
        "timeout_seconds": flow.timeout_seconds,
        "started_at": None if flow.start_ns is None else rfc3339(flow.start_ns),
        "sent_bytes": first.bytes,
        "sent_packets": first.packets,
        "received_bytes": flow.reply.bytes,
        "received_packets": flow.reply.packets,
    }


_ENDS: Final[dict[str, Callable[[Flow], End | None]]] = {
    "source": source,
    "destination": destination,
    "nat_source": nat_source,
    "nat_destination": nat_destination,
}


def _ends_as_json(flow: Flow) -> dict[str, object]:
    told: dict[str, object] = {}
    for name, of in _ENDS.items():
        end = of(flow)
        told[name] = None if end is None else end.address
        told[f"{name}_port"] = None if end is None else end.port
    return told


def ends(flow: Flow) -> Iterator[End]:
    """All of them."""
    for of in _ENDS.values():
        end = of(flow)
        if end is not None:
            yield end
