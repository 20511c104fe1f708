"""Quotas and what became of them, for people and for programs."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TextIO, final

from netledger.ledger.quota_facts import Fact, Told
from netledger.quotas.definition import Definition, Every, Unit
from netledger.quotas.objects import LATE_HINT, Seen, late_cut
from netledger.quotas.state import State, What
from netledger.receipt import Count, rfc3339
from netledger.reports import units
from netledger.reports.zones import Zone, find

_PIPE_COLUMNS: Final = 1000
_COLUMNS: Final = ("quota", "kind", "used", "limit", "%", "begins anew", "state")
_RIGHT: Final = frozenset({"used", "limit", "%"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a quota stands now.

    Attributes:
        state: by its facts.
        used: in its period.
        at_ns: when that was so, UTC nanoseconds.
        seen: its object, or None.
        why: why the object was not looked at or cannot be relied on; None where all is well.
    """

    state: State
    used: Count
    at_ns: int
    seen: Seen | None
    why: str | None

    @property
    def is_reached(self) -> bool:
        """Whether the limit is reached, written down or not."""
        return self.state.reached is not None or self.state.is_over(self.used)

    @property
    def late(self) -> str | None:
        """Why the kernel cuts later than agreed, or None."""
        return None if self.seen is None else late_cut(self.state, self.seen)

    @property
    def text(self) -> str:
        """How it stands, in words."""
        if self.late is not None:
            return f"reached, not cut: {self.late}" if self.is_reached else f"below; {self.late}"
        return "reached" if self.is_reached else "below"


def as_json(one: Standing) -> Mapping[str, object]:
    """A quota for programs. Times are RFC 3339 UTC."""
    state, definition = one.state, one.state.definition
    period = state.period
    return {
        "name": definition.name,
        "kind": str(definition.kind),
        "unit": str(definition.unit),
        "limit": definition.limit,
        "used": state.amount(one.used),
        "used_packets": one.used.packets,
        "used_bytes": one.used.bytes,
        "used_at": rfc3339(one.at_ns),
        "is_reached": one.is_reached,
        "is_cut_late": None if one.seen is None else one.late is not None,
        "state": one.text,
        "reached_at": None if state.reached is None else rfc3339(state.reached.happened_ns),
        "every": str(definition.every),
        "billing_day": definition.billing_day if definition.every is Every.MONTH else None,
        "timezone": definition.timezone,
        "period_start": None if period is None else rfc3339(period.start_ns),
        "period_end": None if period is None else rfc3339(period.end_ns),
        "is_reset_due": period is not None and period.end_ns <= one.at_ns,
        "verdict": None if definition.verdict is None else str(definition.verdict),
        "addresses": list(definition.addresses),
        "table": f"{definition.family} {definition.table}" if definition.kind == "nft" else None,
        "command": list(definition.command),
        "is_run_at_reset": definition.is_run_at_reset,
        "command_seconds": definition.command_seconds,
        "commands_waiting": len(state.jobs),
        "last_command": None if state.last_result is None else _event_part(state.last_result),
        "is_object_there": None if one.seen is None and one.why is not None else one.seen is not None,
        "carried": state.amount(state.carried),
        "why": one.why,
        "added_at": rfc3339(state.added.happened_ns),
    }


def event_json(fact: Fact) -> Mapping[str, object]:
    """A fact for programs."""
    return {
        "id": fact.id,
        "at": rfc3339(fact.happened_ns),
        "node": fact.node,
        "quota": fact.quota,
        "event": fact.kind,
        "told": _with_times(fact.told),
    }


def print_list(standings: Iterable[Standing], file: TextIO) -> None:
    """A line for each quota, and beneath it what does not fit into a table."""
    from rich.console import Console  # noqa: PLC0415  # commands that print no table do without
    from rich.table import Table  # noqa: PLC0415  # as above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
    notes = []
    for one in standings:
        table.add_row(*_cells(one))
        notes += [f"{one.state.definition.name}: {note}" for note in _notes(one)]
    console = Console(file=io.StringIO(), width=_PIPE_COLUMNS, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    file.writelines(f"{note}\n" for note in notes)


def event_line(fact: Fact, zone: Zone) -> str:
    """A fact for people, in one line."""
    told = fact.told
    parts = [zone.text(fact.happened_ns), fact.quota, fact.kind]
    if fact.kind == What.ADDED:
        return " ".join([*parts, _definition_text(told)])
    if isinstance(told.get("packets"), int) and isinstance(told.get("bytes"), int):
        parts.append(f"{told['packets']:,} packets, {told['bytes']:,} bytes")
    keys = ("by", "result", "code", "signal", "why", "known_until", "events", "output")
    parts += [f"{key}={_one_line(told[key])}" for key in keys if told.get(key) not in {None, ""}]
    if told.get("is_exact") is False:
        parts.append("at least: a process was killed while it took the count")
    if isinstance(most := told.get("at_most"), Mapping):
        parts.append(f"at most {most.get('packets'):,} packets, {most.get('bytes'):,} bytes")
    return " ".join(parts)


def amount(number: int, unit: Unit) -> str:
    """A number of bytes or packets."""
    return f"{number:,} packets" if unit is Unit.PACKETS else units.shown_bytes(number, units.Unit.AUTO)


def _cells(one: Standing) -> list[str]:
    definition = one.state.definition
    used = one.state.amount(one.used)
    return [
        definition.name,
        str(definition.kind),
        amount(used, definition.unit),
        amount(definition.limit, definition.unit),
        str(used * 100 // definition.limit),
        _anew(one.state),
        one.text,
    ]


def _anew(state: State) -> str:
    if state.period is None:
        return "never"
    zone = find(state.definition.timezone)
    return f"{zone.text(state.period.end_ns)} ({state.definition.timezone})"


def _notes(one: Standing) -> list[str]:
    notes = []
    state = one.state
    if one.why is not None:
        notes.append(one.why)
    elif one.seen is None:
        notes.append("the kernel has no object of this name; netledger run, or netledger quota restore, makes it")
    if one.late is not None:
        notes.append(LATE_HINT)
    if state.period is not None and state.period.end_ns <= one.at_ns:
        notes.append("its period is over and was not closed: that is the daemon's, netledger run")
    if one.is_reached and state.reached is None:
        notes.append("that it is reached was not written down yet: that is the daemon's, netledger run")
    if state.jobs:
        notes.append("its command is running, or waits for the daemon")
    if state.last_result is not None and state.last_result.told.get("result") != "done":
        notes.append(f"its last command: {_one_line(state.last_result.told.get('result'))}")
    return notes


def _definition_text(told: Told) -> str:
    definition = told.get("definition")
    if not isinstance(definition, Mapping):
        return ""
    command = definition.get("command")
    words = f", command {' '.join(map(str, command))}" if isinstance(command, list) and command else ""
    return f"{definition.get('limit')} {definition.get('unit')} every={definition.get('every')}{words}"


def _event_part(fact: Fact) -> Mapping[str, object]:
    return {"at": rfc3339(fact.happened_ns), **fact.told}


def _with_times(told: Told) -> Mapping[str, object]:
    """The same, with moments as text."""
    names = ("period_start", "period_end", "ended_start", "ended_end")
    return {key: rfc3339(value) if key in names and isinstance(value, int) else value for key, value in told.items()}


def _one_line(value: object) -> str:
    text = str(value)
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def standing_of(state: State, seen: Seen | None, now_ns: int, why: str | None) -> Standing:
    """How a quota stands, by what was seen of its object or else by the newest reading."""
    if seen is not None and state.resetting is None:
        return Standing(state=state, used=state.used(seen.count), at_ns=now_ns, seen=seen, why=why)
    at_ns = state.added.happened_ns if state.reading is None else state.reading.at_ns
    return Standing(state=state, used=state.last_used(), at_ns=at_ns, seen=seen, why=why)


def definition_line(one: Definition) -> str:
    """A quota in one line, as it was agreed."""
    often = "once" if one.every is Every.ONCE else f"anew each {one.every}"
    day = f" from day {one.billing_day}" if one.every is Every.MONTH else ""
    zone = "" if one.every is Every.ONCE else f", days of {one.timezone}"
    return f"quota {one.name}: {amount(one.limit, one.unit)} ({one.limit:,} {one.unit}), {often}{day}{zone}"
