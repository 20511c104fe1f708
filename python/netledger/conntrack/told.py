"""From what the core tells to objects, and back."""

from typing import TYPE_CHECKING, Final, cast

from netledger.conntrack.flows import CpuStats, Direction, Event, EventKind, Expectation, Family, Flow, Lost, Status

if TYPE_CHECKING:
    from netledger._core_conntrack import _Direction, _Expectation, _Flow, _Happened, _Name

__all__ = ["event_of", "expectation_of", "flow_of", "name_of", "stats_of"]

_FAMILIES: Final = {family.value: family for family in Family}
_KINDS: Final = (EventKind.NEW, EventKind.UPDATE, EventKind.DESTROY)
_STATISTICS: Final = tuple(name for name in CpuStats.__dataclass_fields__ if name != "cpu")
_statuses: Final[dict[int, Status]] = {}
"""A flag is slow to make, and of those there are only a few."""


class _OpenDirection:
    """A direction that is being filled.

    It has the slots of a :class:`Direction` and becomes one. A frozen object is filled through ``object.__setattr__``,
    field by field, which takes ten times as long; and a list has very many of them.
    """

    __slots__ = tuple(Direction.__dataclass_fields__)

    source_raw: bytes
    destination_raw: bytes
    protocol: int
    source_port: int | None
    destination_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    icmp_id: int | None
    zone: int | None
    packets: int | None
    bytes: int | None


class _OpenFlow:
    """A flow that is being filled, for the same reason."""

    __slots__ = tuple(Flow.__dataclass_fields__)

    family: Family
    original: Direction
    reply: Direction
    status: Status | None
    timeout_seconds: int | None
    state: str | None
    vtags: tuple[int, int] | None
    mark: int | None
    zone: int | None
    id: int | None
    use: int | None
    start_ns: int | None
    stop_ns: int | None
    event_ns: int | None
    labels: bytes | None
    helper: str | None
    secctx: str | None
    master: Direction | None


def flow_of(told: "_Flow") -> Flow:
    """The flow that the core tells of."""
    flow = _OpenFlow()
    family, original, reply, numbers, (state, state_number, flow.vtags), times, texts, master = told
    status, flow.timeout_seconds, flow.mark, flow.zone, flow.id, flow.use = numbers
    flow.start_ns, flow.stop_ns, flow.event_ns = times
    flow.labels, helper, secctx = texts
    flow.family = _FAMILIES[family]
    flow.original = _direction(original)
    flow.reply = _direction(reply)
    flow.status = None if status is None else _status(status)
    flow.state = str(state_number) if state is None and state_number is not None else state
    flow.helper = _text(helper)
    flow.secctx = _text(secctx)
    flow.master = None if master is None else _direction(master)
    flow.__class__ = Flow  # type: ignore[assignment]  # the same slots
    return cast("Flow", flow)


def _status(number: int) -> Status:
    status = _statuses.get(number)
    if status is None:
        status = _statuses[number] = Status(number)
    return status


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode(errors="surrogateescape")


def _direction(told: "_Direction") -> Direction:
    direction = _OpenDirection()
    direction.source_raw, direction.destination_raw, direction.protocol, above, direction.zone, packets, octets = told
    (
        direction.source_port,
        direction.destination_port,
        direction.icmp_type,
        direction.icmp_code,
        direction.icmp_id,
    ) = above
    direction.packets, direction.bytes = packets, octets
    direction.__class__ = Direction  # type: ignore[assignment]  # the same slots
    return cast("Direction", direction)


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
