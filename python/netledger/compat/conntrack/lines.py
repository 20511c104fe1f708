"""One flow as one line, in the form of /proc/net/nf_conntrack."""

import time
from typing import Final

from netledger.compat.conntrack.labels import LabelNames
from netledger.compat.conntrack.protocols import name_of
from netledger.compat.conntrack.request import Output
from netledger.conntrack import Direction, EventKind, Family, Flow, Status

__all__ = ["FAMILY_NAMES", "TAGS", "delta_seconds", "flow_line", "ports_of"]

FAMILY_NAMES: Final = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}
TAGS: Final = {EventKind.NEW: "    [NEW] ", EventKind.UPDATE: " [UPDATE] ", EventKind.DESTROY: "[DESTROY] "}
_NANOSECONDS = 10**9
# As numbers: to compare flags as such takes more time than the rest of a line.
_SEEN_REPLY, _ASSURED = int(Status.SEEN_REPLY), int(Status.ASSURED)
_OFFLOAD, _HW_OFFLOAD = int(Status.OFFLOAD), int(Status.HW_OFFLOAD)
_EXTENDED, _TIMES, _ID = Output.EXTENDED.value, Output.KERNEL_TIMESTAMP.value, Output.ID.value
_WITH_PORTS: Final = frozenset((6, 17, 136, 132, 33))
_GRE = 47
_ICMP: Final = frozenset((1, 58))


def flow_line(flow: Flow, output: Output, names: LabelNames | None, now_seconds: int) -> str:
    """The line without its end. ``now_seconds`` is for flows that have not stopped."""
    original, reply, status, wanted = flow.original, flow.reply, flow.status, output.value
    parts = []
    if wanted & _EXTENDED:
        parts.append(f"{FAMILY_NAMES[flow.family]:<8} {flow.family.value}")
    parts.append(f"{name_of(original.protocol):<8} {original.protocol}")
    if flow.timeout_seconds is not None:
        parts.append(str(flow.timeout_seconds))
    if flow.state is not None:
        parts.append(flow.state)
    parts.append(_direction(original, "orig"))
    if status is not None and not int(status) & _SEEN_REPLY:
        parts.append("[UNREPLIED]")
    parts.append(_direction(reply, "reply"))
    parts += _behind(flow, wanted, names, now_seconds)
    return " ".join(parts)


def _direction(direction: Direction, which: str) -> str:
    text = f"src={direction.source} dst={direction.destination}{ports_of(direction)}"
    if direction.zone is not None:
        text += f" zone-{which}={direction.zone}"
    if direction.packets is not None and direction.bytes is not None:
        text += f" packets={direction.packets} bytes={direction.bytes}"
    return text


def ports_of(direction: Direction) -> str:
    """What is above the addresses, each part with a blank in front."""
    protocol = direction.protocol
    if protocol in _WITH_PORTS:
        # A kernel that knows nothing of the protocol sends no ports.
        return f" sport={direction.source_port or 0} dport={direction.destination_port or 0}"
    if protocol in _ICMP:
        return f" type={direction.icmp_type or 0} code={direction.icmp_code or 0} id={direction.icmp_id or 0}"
    if protocol == _GRE:
        return f" srckey={direction.source_port or 0:#x} dstkey={direction.destination_port or 0:#x}"
    return ""


def _behind(flow: Flow, wanted: int, names: LabelNames | None, now_seconds: int) -> list[str]:
    parts = []
    if flow.status is not None and (badge := _badge(int(flow.status))):
        parts.append(badge)
    parts += _named((("mark", flow.mark), ("secctx", flow.secctx), ("zone", flow.zone)))
    if flow.start_ns is not None:
        parts.append(f"delta-time={delta_seconds(flow, now_seconds)}")
    if wanted & _TIMES:
        times = (("start", flow.start_ns), ("stop", flow.stop_ns))
        parts += [f"[{name}={_moment(time_ns)}]" for name, time_ns in times if time_ns is not None]
    parts += _named((("helper", flow.helper), ("use", flow.use), ("id", flow.id if wanted & _ID else None)))
    if names is not None and flow.labels is not None:
        # Where no label has a name the old program cut off the sign instead of a comma.
        parts.append("".join(("labels=", *(f"{name}," for name in names.shown(flow.labels))))[:-1])
    return parts


def _named(pairs: tuple[tuple[str, str | int | None], ...]) -> list[str]:
    return [f"{name}={value}" for name, value in pairs if value is not None]


def _badge(status: int) -> str:
    if status & _HW_OFFLOAD:
        return "[HW_OFFLOAD]"
    if status & _OFFLOAD:
        return "[OFFLOAD]"
    return "[ASSURED]" if status & _ASSURED else ""


def delta_seconds(flow: Flow, now_seconds: int) -> int:
    """How long the flow has been there, or was there; a clock that was set back wraps, as it did."""
    stop = flow.stop_ns // _NANOSECONDS if flow.stop_ns else now_seconds
    return (stop - (flow.start_ns or 0) // _NANOSECONDS) % (1 << 64)


def _moment(nanoseconds: int) -> str:
    return time.ctime(nanoseconds // _NANOSECONDS)
