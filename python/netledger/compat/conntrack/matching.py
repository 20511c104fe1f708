"""Which flows a request is about."""

from collections.abc import Callable
from typing import Final

from netledger.compat.conntrack.addresses import Endpoint
from netledger.compat.conntrack.protocols import written_tag
from netledger.compat.conntrack.request import Request
from netledger.compat.conntrack.translation import (
    is_destination_port_translated,
    is_destination_translated,
    is_source_port_translated,
    is_source_translated,
)
from netledger.conntrack import Flow

__all__ = ["Match", "matcher"]

Match = Callable[[Flow], bool]

_ADDRESSES: Final[dict[str, Callable[[Flow], bytes]]] = {
    "src": lambda flow: flow.original.source_raw,
    "dst": lambda flow: flow.original.destination_raw,
    "reply-src": lambda flow: flow.reply.source_raw,
    "reply-dst": lambda flow: flow.reply.destination_raw,
}
_PORTS: Final[dict[str, Callable[[Flow], int | None]]] = {
    "sport": lambda flow: flow.original.source_port,
    "dport": lambda flow: flow.original.destination_port,
    "reply-port-src": lambda flow: flow.reply.source_port,
    "reply-port-dst": lambda flow: flow.reply.destination_port,
    "srckey": lambda flow: flow.original.source_port,
    "dstkey": lambda flow: flow.original.destination_port,
    "reply-key-src": lambda flow: flow.reply.source_port,
    "reply-key-dst": lambda flow: flow.reply.destination_port,
    "orig-vtag": lambda flow: None if flow.vtags is None else written_tag(flow.vtags[0]),
    "reply-vtag": lambda flow: None if flow.vtags is None else written_tag(flow.vtags[1]),
    **{f"{name}-type": lambda flow: flow.original.icmp_type for name in ("icmp", "icmpv6")},
    **{f"{name}-code": lambda flow: flow.original.icmp_code for name in ("icmp", "icmpv6")},
    **{f"{name}-id": lambda flow: flow.original.icmp_id for name in ("icmp", "icmpv6")},
}
# A flow is in zone 0 when the kernel says nothing of a zone.
_ZONES: Final[dict[str, Callable[[Flow], int]]] = {
    "zone": lambda flow: flow.zone or 0,
    "orig-zone": lambda flow: flow.original.zone or 0,
    "reply-zone": lambda flow: flow.reply.zone or 0,
}


def matcher(request: Request) -> Match:
    """Says of a flow whether it is asked for. Everything that the request names must hold."""
    tests = [
        *_about_addresses(request),
        *(_equal(_PORTS[name], number) for name, number in request.ports.items() if name in _PORTS),
        *_about_the_rest(request),
    ]
    if len(tests) == 1:
        return tests[0]
    return lambda flow: all(test(flow) for test in tests)


def _about_addresses(request: Request) -> list[Match]:
    tests: list[Match] = []
    if request.family is not None:
        tests.append(_equal(lambda flow: flow.family.value, request.family))
    for name, address in request.addresses.items():
        mask = request.masks.get(name)
        tests.append(_equal(_ADDRESSES[name], address.raw) if mask is None else _within(name, address.raw, mask))
    tests += [_translated(name, endpoint) for name, endpoint in request.translated.items()]
    return tests


def _about_the_rest(request: Request) -> list[Match]:
    tests: list[Match] = [_equal(_ZONES[name], zone) for name, zone in request.zones.items()]
    if request.protocol is not None:
        tests.append(_equal(lambda flow: flow.original.protocol, request.protocol.number))
    if request.state is not None:
        tests.append(_equal(lambda flow: flow.state, request.state))
    if request.id is not None:
        tests.append(_equal(lambda flow: flow.id, request.id))
    if request.mark is not None:
        value, mask = request.mark
        tests.append(lambda flow: flow.mark is not None and flow.mark & mask == value)
    wanted, unwanted = request.status
    if wanted or unwanted:
        tests.append(lambda flow: flow.status is not None and flow.status & (wanted | unwanted) == wanted)
    if request.labels:
        labels = request.labels
        tests.append(lambda flow: int.from_bytes(flow.labels or b"", "little") & labels == labels)
    return tests


def _equal(what: Callable[[Flow], object], value: object) -> Match:
    return lambda flow: what(flow) == value


def _within(name: str, address: bytes, mask: bytes) -> Match:
    bits = int.from_bytes(mask, "big")
    network = int.from_bytes(address, "big") & bits
    of = _ADDRESSES[name]
    return lambda flow: int.from_bytes(of(flow), "big") & bits == network


def _translated(name: str, endpoint: Endpoint | None) -> Match:
    if name == "src-nat":
        return lambda flow: _source_matches(flow, endpoint)
    if name == "dst-nat":
        return lambda flow: _destination_matches(flow, endpoint)
    return lambda flow: _source_matches(flow, endpoint) or _destination_matches(flow, endpoint)


def _source_matches(flow: Flow, endpoint: Endpoint | None) -> bool:
    if endpoint is None:
        return is_source_translated(flow) or is_source_port_translated(flow)
    if not is_source_translated(flow) or flow.reply.destination_raw != endpoint.address.raw:
        return False
    return endpoint.port is None or (is_source_port_translated(flow) and flow.reply.destination_port == endpoint.port)


def _destination_matches(flow: Flow, endpoint: Endpoint | None) -> bool:
    if endpoint is None:
        return is_destination_translated(flow) or is_destination_port_translated(flow)
    if not is_destination_translated(flow) or flow.reply.source_raw != endpoint.address.raw:
        return False
    return endpoint.port is None or (is_destination_port_translated(flow) and flow.reply.source_port == endpoint.port)
