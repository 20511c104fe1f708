"""Facts for stores of tests."""

from collections.abc import Sequence
from pathlib import Path

from netledger.attribution.facts import Fact, Target
from netledger.ledger.assignments import Assignments
from netledger.receipt import parse_rfc3339
from netledger.reports.totals import Answer
from tests.unit.memory_source import TestClock


def fact(
    target: str,
    subject: str | None,
    start: str = "1970-01-01T00:00:00Z",
    end: str | None = None,
    *,
    mac: str | None = None,
    source: str = "assign",
) -> Fact:
    """Something is somebody's; by default of all times."""
    return Fact(
        target=Target.parse(target),
        valid_from_ns=parse_rfc3339(start),
        valid_to_ns=None if end is None else parse_rfc3339(end),
        subject=subject,
        mac=mac,
        source=source,
    )


def learn(store: Path, *facts: Fact, at: str = "2027-01-01T00:00:00Z") -> list[Fact]:
    """Writes them down, at a moment."""
    return Assignments(store, TestClock(parse_rfc3339(at))).add(facts)


def by_subject(answer: Answer) -> dict[tuple[str, str | None], tuple[int, int]]:
    """Bytes sent and received by subject and reason."""
    found = answer.totals.columns
    keys: Sequence[tuple[str, str | None]] = list(zip(found["subject"], found["reason"], strict=True))  # type: ignore[arg-type]  # text, both of them
    values = zip(found["sent_bytes"], found["received_bytes"], strict=True)
    return {key: (int(str(sent)), int(str(received))) for key, (sent, received) in zip(keys, values, strict=True)}
