"""The examples of the page about attribution are what the program does."""

import re
import socket
from pathlib import Path

import pytest

from netledger.attribution.facts import Fact, Target
from netledger.attribution.timeline import Place, Timeline
from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger.assignments import Assignments
from tests.unit.store import opened

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "attribution.md"
EXAMPLES = re.findall(r"^```attribution\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def moment(text: str) -> int:
    hours, minutes, seconds = (*text.split(":"), "0")[:3]
    return (int(hours) * 3600 + int(minutes) * 60) * SECOND_NS + round(float(seconds) * SECOND_NS)


def told(line: str) -> Fact:
    source, target, *middle, start, end = line.split()
    mac = middle[1].strip("()") if len(middle) > 1 else None
    return Fact(
        target=Target.parse(target),
        valid_from_ns=moment(start),
        valid_to_ns=None if end == "..." else moment(end),
        subject=None if middle[0] in {"-", "nobody"} else middle[0],
        mac=mac,
        source=source,
    )


def place(address: str) -> Place:
    if ":" in address:
        return Place(socket.inet_pton(socket.AF_INET6, address))
    return Place(bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, address))


def test_each_rule_has_an_example() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_says_what_comes_out(tmp_path: Path, example: str) -> None:
    facts, rows = (part.splitlines() for part in example.split("---\n"))
    assert facts
    assert rows
    with opened(tmp_path):
        book = Assignments(tmp_path, SystemClock())
        for line in facts:
            book.add([told(line)])
        timeline = Timeline(book.facts())
    for row in rows:
        address, start, end, *expected = row.split()
        holder = timeline.holder(place(address), moment(start), moment(end))
        assert (holder.subject or f"unknown: {holder.reason}") == " ".join(expected), row
