"""What happens to flows, as a stream of lines. What is missing from the stream stands in the stream."""

import json
from dataclasses import dataclass
from typing import Final, assert_never, final

from netledger.conntrack import Event, EventKind, Lost
from netledger.receipt import rfc3339
from netledger.reports.flows import told
from netledger.reports.remarks import counted
from netledger.reports.units import Unit, shown_bytes
from netledger.reports.zones import Zone

_WORDS: Final = {EventKind.NEW: "new", EventKind.UPDATE: "update", EventKind.DESTROY: "end"}
_TYPES: Final = {EventKind.NEW: "new", EventKind.UPDATE: "update", EventKind.DESTROY: "destroy"}


@final
@dataclass(slots=True)
class Seen:
    """What has come so far.

    Attributes:
        events: how many.
        overruns: how often the kernel said that it had no room.
        dropped: how many events it says it dropped; 0 where it does not say.
    """

    events: int = 0
    overruns: int = 0
    dropped: int = 0

    def add(self, one: Event | Lost) -> None:
        """Counts it."""
        match one:
            case Event():
                self.events += 1
            case Lost():
                self.overruns += one.overruns
                self.dropped += one.dropped
            case _:
                assert_never(one)

    @property
    def text(self) -> str:
        """For people, at the end."""
        events = counted(self.events, "event")
        return f"{events}; {_lost(self.overruns, self.dropped)}" if self.overruns else events


def as_json(one: Event | Lost, *, now_ns: int) -> str:
    """A line for programs. ``now_ns`` stands where the kernel does not say when it happened."""
    match one:
        case Event():
            flow = one.flow
            head = {
                "type": _TYPES[one.kind],
                "at": rfc3339(now_ns if flow.event_ns is None else flow.event_ns),
                "ended_at": None if flow.stop_ns is None else rfc3339(flow.stop_ns),
                "portid": one.portid,
            }
            return json.dumps(head | told.as_json(flow), ensure_ascii=False)
        case Lost():
            lost = {"type": "lost", "at": rfc3339(now_ns), "overruns": one.overruns, "dropped": one.dropped}
            return json.dumps(lost)
    assert_never(one)


def as_text(one: Event | Lost, zone: Zone, unit: Unit, *, now_ns: int) -> str:
    """A line for people."""
    match one:
        case Event():
            flow = one.flow
            at = zone.shown(now_ns if flow.event_ns is None else flow.event_ns)
            parts = [
                at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03d}",
                f"{_WORDS[one.kind]:6}",
                f"{told.protocol(flow):7}",
                f"{told.source(flow).text} -> {told.destination(flow).text}",
                told.service(flow),
                told.state(flow) if one.kind is not EventKind.DESTROY else "",
                _counters(one, unit),
            ]
            return "  ".join(part for part in parts if part).rstrip()
        case Lost():
            return f"-- {_lost(one.overruns, one.dropped)} --"
    assert_never(one)


def _counters(event: Event, unit: Unit) -> str:
    """Only flows that end tell what has passed, and only those that were counted."""
    first, second = event.flow.original, event.flow.reply
    if first.bytes is None or second.bytes is None:
        return "not counted" if event.kind is EventKind.DESTROY else ""
    packets = told.total(event.flow, "packets")
    return (
        f"sent {shown_bytes(first.bytes, unit)}, received {shown_bytes(second.bytes, unit)}, "
        f"{counted(packets, 'packet')}"
    )


def _lost(overruns: int, dropped: int) -> str:
    why = f"the kernel had no room for them ({counted(overruns, 'overrun')})"
    return f"lost {counted(dropped, 'event')}: {why}" if dropped else f"lost events: {why}"
