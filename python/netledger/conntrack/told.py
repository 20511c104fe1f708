"""From what the core tells to objects, and back."""

from typing import TYPE_CHECKING, Final

from netledger.conntrack.flows import CpuStats, Direction, Event, EventKind, Expectation, Family, Flow, Lost, Status

if TYPE_CHECKING:
    from netledger._core_conntrack import _Direction, _Expectation, _Flow, _Happened, _Name

__all__ = ["event_of", "expectation_of", "flow_of", "name_of", "stats_of"]

_FAMILIES: Final = {family.value: family for family in Family}
_KINDS: Final = (EventKind.NEW, EventKind.UPDATE, EventKind.DESTROY)
_STATISTICS: Final = tuple(name for name in CpuStats.__dataclass_fields__ if name != "cpu")
_statuses: Final[dict[int, Status]] = {}
"""A flag is slow to make, and of those there are only a few."""


def flow_of(told: "_Flow") -> Flow:
    """The flow that the core tells of."""
    family, original, reply, numbers, (state, state_number), times, (labels, helper, secctx), master = told
    status, timeout_seconds, mark, zone, id_, use = numbers
    start_ns, stop_ns, event_ns = times
    if state is None and state_number is not None:
        state = str(state_number)
    return Flow(
        family=_FAMILIES[family],
        original=_direction(original),
        reply=_direction(reply),
        status=None if status is None else _status(status),
        timeout_seconds=timeout_seconds,
        state=state,
        mark=mark,
        zone=zone,
        id=id_,
        use=use,
        start_ns=start_ns,
        stop_ns=stop_ns,
        event_ns=event_ns,
        labels=labels,
        helper=_text(helper),
        secctx=_text(secctx),
        master=None if master is None else _direction(master),
    )


def _status(number: int) -> Status:
    status = _statuses.get(number)
    if status is None:
        status = _statuses[number] = Status(number)
    return status


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="surrogateescape")


def _direction(told: "_Direction") -> Direction:
    source, destination, protocol, above, zone, packets, octets = told
    source_port, destination_port, icmp_type, icmp_code, icmp_id = above
    return Direction(
        source_raw=source,
        destination_raw=destination,
        protocol=protocol,
        source_port=source_port,
        destination_port=destination_port,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
        icmp_id=icmp_id,
        zone=zone,
        packets=packets,
        bytes=octets,
    )


def event_of(happened: "_Happened") -> Event | Lost:
    """The entry of a stream that the core tells of."""
    told, lost = happened
    if told is None:
        overruns, dropped = lost or (0, 0)
        return Lost(overruns, dropped)
    flow, kind, port = told
    return Event(kind=_KINDS[kind], flow=flow_of(flow), portid=port or None)


def expectation_of(told: "_Expectation") -> Expectation:
    """The expectation that the core tells of."""
    family, (expected, mask, master), (timeout_seconds, id_, zone, flags, class_), (helper, function) = told
    return Expectation(
        family=_FAMILIES[family],
        expected=_direction(expected),
        mask=_direction(mask),
        master=_direction(master),
        timeout_seconds=timeout_seconds,
        id=id_,
        zone=zone,
        flags=flags,
        expectation_class=class_,
        helper=_text(helper),
        function=_text(function),
    )


def stats_of(cpu: int, counts: list[int | None]) -> CpuStats:
    """A processor's counts, which the core gives in the kernel's order."""
    return CpuStats(cpu=cpu, **dict(zip(_STATISTICS, counts, strict=True)))


def name_of(direction: Direction, zone: int | None) -> "_Name":
    """What the core finds a flow by."""
    lengths = {len(direction.source_raw), len(direction.destination_raw)}
    if lengths not in ({4}, {16}):
        raise ValueError("both addresses of a direction have 4 bytes, or both 16")
    family = Family.IPV4 if lengths == {4} else Family.IPV6
    above = (
        direction.source_port,
        direction.destination_port,
        direction.icmp_type,
        direction.icmp_code,
        direction.icmp_id,
    )
    return (
        int(family),
        direction.source_raw,
        direction.destination_raw,
        direction.protocol,
        above,
        direction.zone,
        zone,
    )
