"""Facts of whose an address was, for people and programs."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Final, TextIO

from netledger.attribution.facts import Fact, Kind, Target
from netledger.attribution.targets import ADDRESS_BITS, least_bits, network_of
from netledger.live.assigned import AssignedFact
from netledger.receipt import rfc3339
from netledger.reports.zones import Zone

COLUMNS: Final = (
    "id", "target", "subject", "mac", "valid_from", "valid_to", "source", "learnt_at", "detail",
)  # fmt: skip
"""Of the CSV, and the keys of the JSON."""

_KINDS: Final = tuple(Kind)
_STEP_LINES: Final = 4096


def told(fact: Fact) -> AssignedFact:
    """A fact for programs."""
    return AssignedFact(
        id=fact.id,
        target=str(fact.target),
        subject=fact.subject,
        mac=fact.mac,
        valid_from=rfc3339(fact.valid_from_ns),
        valid_to=None if fact.valid_to_ns is None else rfc3339(fact.valid_to_ns),
        source=fact.source,
        learnt_at=rfc3339(fact.learnt_ns) if fact.learnt_ns else None,
        detail=dict(fact.detail),
    )


def sentence(fact: Fact, zone: Zone) -> str:
    """A fact for people."""
    whose = "nobody's" if fact.subject is None else f"{fact.subject}'s"
    until = "on" if fact.valid_to_ns is None else f"to {zone.text(fact.valid_to_ns)}"
    return f"{fact.target} is {whose} from {zone.text(fact.valid_from_ns)} {until}"


def about(facts: Iterable[Fact], target: Target) -> list[Fact]:
    """Those that speak of a target: of itself, of a network around it or, of a network, of what lies in it.

    Of a device also those of the addresses that it had.
    """
    if target.kind is not Kind.ADDRESS:
        return [fact for fact in facts if fact.target == target or (target.kind, fact.mac) == (Kind.MAC, target.value)]
    number, bits = network_of(target)
    found, known = [], {}
    for fact in facts:
        if fact.target.kind is Kind.ADDRESS:
            if fact.target not in known:
                other, length = network_of(fact.target)
                behind = ADDRESS_BITS - min(bits, length)
                is_near = number >> behind == other >> behind
                known[fact.target] = is_near and least_bits(number) == least_bits(other)
            if known[fact.target]:
                found.append(fact)
    return found


def ordered(facts: Iterable[Fact]) -> list[Fact]:
    """By target, and then by time. Addresses come in the order of their numbers."""
    keys: dict[Target, tuple[int, int, int, str]] = {}
    for fact in (known := list(facts)):
        if fact.target not in keys:
            number, bits = network_of(fact.target) if fact.target.kind is Kind.ADDRESS else (0, 0)
            keys[fact.target] = (_KINDS.index(fact.target.kind), number, bits, fact.target.value)
    return sorted(known, key=lambda fact: (*keys[fact.target], fact.valid_from_ns, fact.id))


def write_csv(facts: Iterable[Fact], file: TextIO) -> None:
    """As CSV with a heading, in lines that ``assignments import`` reads."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, fact in enumerate(facts):
        shape = asdict(told(fact))
        shape["detail"] = json.dumps(shape["detail"], ensure_ascii=False) if shape["detail"] else None
        writer.writerow(["" if shape[name] is None else shape[name] for name in COLUMNS])
        if number % _STEP_LINES == _STEP_LINES - 1:
            file.write(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
    file.write(buffer.getvalue())


def table(facts: Sequence[Fact], zone: Zone, *, with_history: bool) -> Iterator[str]:
    """For people; with number and time of learning where it is the history."""
    heading = ["target", "subject", "from", "until", "source", "detail"]
    rows = [heading if not with_history else ["id", *heading, "learnt"]]
    for fact in facts:
        until = "" if fact.valid_to_ns is None else zone.text(fact.valid_to_ns)
        more = [f"device {fact.mac}"] if fact.mac else []
        more += [f"{key} {value}" for key, value in fact.detail.items()]
        whose = fact.subject or ("-" if fact.mac else "nobody")
        row = [str(fact.target), whose, zone.text(fact.valid_from_ns), until, fact.source, ", ".join(more)]
        rows.append([str(fact.id), *row, zone.text(fact.learnt_ns)] if with_history else row)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
