"""One flow as one XML element.

What the old program left out or wrote wrongly is right here; ``strict`` brings its bytes back.
"""

import time
from typing import Final
from xml.sax.saxutils import escape

from netledger.compat.conntrack.labels import LabelNames
from netledger.compat.conntrack.lines import FAMILY_NAMES, delta_seconds
from netledger.compat.conntrack.protocols import TCP_STATES, name_of, states_of
from netledger.compat.conntrack.request import Output
from netledger.conntrack import Direction, EventKind, Family, Flow, Status

__all__ = ["XML_END", "XML_START", "flow_element", "ports_element", "when_element"]

XML_START: Final = '<?xml version="1.0" encoding="utf-8"?>\n<conntrack>\n'
XML_END: Final = "</conntrack>\n"
_TYPES: Final = {
    None: "<flow>",
    EventKind.NEW: '<flow type="new">',
    EventKind.UPDATE: '<flow type="update">',
    EventKind.DESTROY: '<flow type="destroy">',
}
_WITH_PORTS: Final = frozenset((6, 17, 136, 132, 33))
_GRE = 47
_ICMP: Final = frozenset((1, 58))


def flow_element(
    flow: Flow, output: Output, names: LabelNames | None, now_seconds: int, kind: EventKind | None, *, strict: bool
) -> str:
    """The element without the end of its line. ``now_seconds`` is for flows that have not stopped."""
    parts = [
        _TYPES[kind],
        _direction("original", flow.family, flow.original, strict=strict),
        _direction("reply", flow.family, flow.reply, strict=strict),
    ]
    inside = _independent(flow, output, names, now_seconds, strict=strict)
    if inside:
        parts.append(f'<meta direction="independent">{inside}</meta>')
    if Output.TIMESTAMP in output and kind is not None:
        parts.append(when_element(now_seconds))
    if flow.helper is not None:
        parts.append(f"<helper>{flow.helper if strict else escape(flow.helper)}</helper>")
    parts.append("</flow>")
    return "".join(parts)


def _direction(which: str, family: Family, direction: Direction, *, strict: bool) -> str:
    protocol = direction.protocol
    ports = ports_element(direction, strict=strict)
    zone = "" if direction.zone is None else f"<zone>{direction.zone}</zone>"
    counters = ""
    if direction.packets is not None and direction.bytes is not None:
        counters = f"<counters><packets>{direction.packets}</packets><bytes>{direction.bytes}</bytes></counters>"
    return (
        f'<meta direction="{which}"><layer3 protonum="{family.value}" protoname="{FAMILY_NAMES[family]}">'
        f"<src>{direction.source}</src><dst>{direction.destination}</dst></layer3>"
        f'<layer4 protonum="{protocol}" protoname="{name_of(protocol)}">{ports}</layer4>'
        f"{zone}{counters}</meta>"
    )


def ports_element(direction: Direction, *, strict: bool) -> str:
    """What is above the addresses."""
    if direction.protocol in _WITH_PORTS:
        return f"<sport>{direction.source_port or 0}</sport><dport>{direction.destination_port or 0}</dport>"
    if direction.protocol == _GRE:
        source, destination = direction.source_port or 0, direction.destination_port or 0
        return f"<srckey>{source:#x}</srckey><dstkey>{destination:#x}</dstkey>"
    if direction.protocol in _ICMP and not strict:
        values = (("type", direction.icmp_type), ("code", direction.icmp_code), ("id", direction.icmp_id))
        return "".join(_elements(values))
    return ""


def _independent(flow: Flow, output: Output, names: LabelNames | None, now_seconds: int, *, strict: bool) -> str:
    parts = []
    if flow.state is not None:
        parts.append(f"<state>{_state(flow.original.protocol, flow.state, strict=strict)}</state>")
    parts += _elements((("timeout", flow.timeout_seconds), ("mark", flow.mark)))
    if names is not None and flow.labels is not None:
        shown = "".join(f"<label>{name}</label>" for name in names.shown(flow.labels))
        parts.append(f"<labels>{shown}</labels>")
    secctx = flow.secctx if flow.secctx is None or strict else escape(flow.secctx)
    parts += _elements((("secctx", secctx), ("zone", flow.zone), ("use", flow.use), ("id", flow.id)))
    if flow.status is not None:
        parts.append("<assured/>" if flow.status & Status.ASSURED else "")
        parts.append("" if flow.status & Status.SEEN_REPLY else "<unreplied/>")
    if Output.KERNEL_TIMESTAMP in output:
        times = "".join(_elements((("start", flow.start_ns), ("stop", flow.stop_ns))))
        parts.append(f"<timestamp>{times}</timestamp>" if times else "")
    if flow.start_ns is not None:
        parts.append(f"<deltatime>{delta_seconds(flow, now_seconds)}</deltatime>")
    return "".join(parts)


def _elements(pairs: tuple[tuple[str, str | int | None], ...]) -> list[str]:
    return [f"<{tag}>{value}</{tag}>" for tag, value in pairs if value is not None]


def _state(protocol: int, state: str, *, strict: bool) -> str:
    """The old program had the names of TCP for the numbers of all protocols."""
    if not strict:
        return state
    states = states_of(protocol)
    return TCP_STATES[states.index(state)] if state in states else state


def when_element(now_seconds: int) -> str:
    """A moment, in local time."""
    now = time.localtime(now_seconds)
    return (
        f"<when><hour>{now.tm_hour}</hour><min>{now.tm_min:02}</min><sec>{now.tm_sec:02}</sec>"
        # Python's week begins with Monday as 0, this one with Sunday as 1.
        f"<wday>{(now.tm_wday + 1) % 7 + 1}</wday><day>{now.tm_mday}</day><month>{now.tm_mon}</month>"
        f"<year>{now.tm_year}</year></when>"
    )
