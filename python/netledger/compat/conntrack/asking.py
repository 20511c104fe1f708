"""A request in the terms of the kernel: what it can leave out by itself, and which one flow is asked for."""

from typing import Final

from netledger.compat.conntrack.refusal import Refusal
from netledger.compat.conntrack.request import Request
from netledger.conntrack import Direction, Family, Filter, Status

__all__ = ["family_of", "filter_of", "tuple_of"]

_MARK_MAX: Final = (1 << 32) - 1
# How ICMP and ICMPv6 answer; other types are answered by the same.
_ICMP_REPLIES: Final = {1: {8: 0, 13: 14, 15: 16, 17: 18}, 58: {128: 129, 139: 140}}


def family_of(request: Request) -> Family | None:
    """The version of IP, if it asks for one."""
    return None if request.family is None else Family(request.family)


def filter_of(request: Request) -> Filter:
    """What the kernel and the core can leave out; all that ``matcher`` lets through is still there."""
    value, mask = request.mark or (None, _MARK_MAX)
    if value is not None and value & ~mask:
        # No flow has a bit outside the mask. The kernel would not look at it.
        value, mask = None, _MARK_MAX
    wanted, unwanted = request.status
    status = (Status(wanted), Status(wanted | unwanted)) if wanted or unwanted else (None, None)
    ports = request.ports
    return Filter(
        family=family_of(request),
        protocol=None if request.protocol is None else request.protocol.number,
        mark=value,
        mark_mask=mask,
        status=status[0],
        status_mask=status[1],
        original_source=_network(request, "src"),
        original_destination=_network(request, "dst"),
        reply_source=_network(request, "reply-src"),
        reply_destination=_network(request, "reply-dst"),
        original_source_port=ports.get("sport"),
        original_destination_port=ports.get("dport"),
        reply_source_port=ports.get("reply-port-src"),
        reply_destination_port=ports.get("reply-port-dst"),
    )


def _network(request: Request, name: str) -> str | None:
    address = request.addresses.get(name)
    if address is None:
        return None
    mask = request.masks.get(name)
    if mask is None:
        return address.text
    bits = f"{int.from_bytes(mask, 'big'):0{8 * len(mask)}b}"
    # Any bits can be masked; only those in front make a network.
    length = len(bits.rstrip("0"))
    return f"{address.text}/{length}" if "0" not in bits[:length] else None


def tuple_of(request: Request) -> Direction:
    """The direction by which one flow is asked for: the original one, or the other if only that is given.

    Raises:
        Refusal: its addresses are of one direction and its ports of the other.
    """
    protocol = 0 if request.protocol is None else request.protocol.number
    is_reply = not {"src", "dst"} <= request.addresses.keys()
    source, destination = ("reply-src", "reply-dst") if is_reply else ("src", "dst")
    ports = _pair(request, is_reply=is_reply)
    kind = request.ports.get("icmp-type", request.ports.get("icmpv6-type"))
    if is_reply and kind is not None:
        kind = _ICMP_REPLIES[protocol].get(kind, kind)
    code = request.ports.get("icmp-code", request.ports.get("icmpv6-code"))
    return Direction(
        source_raw=request.addresses[source].raw,
        destination_raw=request.addresses[destination].raw,
        protocol=protocol,
        source_port=ports[0],
        destination_port=ports[1],
        icmp_type=kind,
        icmp_code=code,
        # Without one the old program, too, asks for 0.
        icmp_id=None if kind is None else request.ports.get("icmp-id", request.ports.get("icmpv6-id", 0)),
    )


def _pair(request: Request, *, is_reply: bool) -> tuple[int | None, int | None]:
    if request.protocol is None or not request.protocol.pairs[0]:
        return None, None
    names = [option.name for option in request.protocol.options if option.use == ("reply" if is_reply else "original")]
    if not set(names) <= request.ports.keys():
        raise Refusal("Operation failed: invalid parameters")
    return request.ports[names[0]], request.ports[names[1]]
