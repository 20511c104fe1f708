"""A report is the same whatever housekeeping does to the files, and says so when rows are gone."""

from pathlib import Path

import pytest

from netledger.ledger.maintain import maintain
from netledger.receipt import parse_rfc3339
from netledger.reports.periods import Step
from netledger.reports.remarks import doubts
from netledger.reports.totals import Answer
from netledger.reports.zones import find
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.rows import row
from tests.unit.store import opened

DAY = "2026-11-20"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three hosts with the same traffic in each hour of two days."""
    lines = [row("host", host=f"10.0.0.{one}", sent=(5, 1), received=(7, 2)) for one in (2, 3, 1)]
    lines.append(row("external", sent=(21, 6), received=(15, 3)))
    starts = [f"2026-11-{day}T{hour:02d}:00:00Z" for day in (20, 21) for hour in range(24)]
    return book(tmp_path / "store", [Booked(start, lines, seconds=3600) for start in starts])


def keep(store: Path, now: str, *, keep_days: int | None = None) -> None:
    with opened(store, clock=TestClock(parse_rfc3339(now))) as ledger:
        assert maintain(ledger, keep_days=keep_days).days_compacted


def told(found: Answer) -> tuple[object, ...]:
    return list(found.totals.rows()), found.totals.total, found.balance.to_json(), doubts(found, find("UTC"))


def test_a_compacted_day_gives_the_same_report(store: Path) -> None:
    questions = [
        {"period": DAY},
        {"period": f"{DAY}T05:00..{DAY}T09:00"},
        {"period": f"{DAY}T05:00..{DAY}T09:00", "per": Step.HOUR, "by": ["host"]},
        {"period": DAY, "where": ["host=10.0.0.2/31"], "by": ["interval_start", "host"]},
    ]
    before = [told(ask(store, **one)) for one in questions]  # type: ignore[arg-type]  # options of different types
    keep(store, "2026-11-23T00:00:00Z")
    assert [told(ask(store, **one)) for one in questions] == before  # type: ignore[arg-type]  # as above
    assert before[1][1] == {"sent_bytes": 144, "sent_packets": 36, "received_bytes": 144, "received_packets": 36}


def test_rows_that_are_equal_come_in_the_order_of_their_keys(store: Path) -> None:
    found = ask(store, period=DAY, by=["host"], where=["account=host"])
    assert [one[-1:] for one in found.totals.columns["host"] if isinstance(one, bytes)] == [b"\1", b"\2", b"\3"]


def test_rows_that_were_removed_because_of_their_age_are_missed(store: Path) -> None:
    keep(store, "2026-11-23T00:00:00Z", keep_days=2)
    found = ask(store, period="2026-11-20..2026-11-22", by=["host", "peer"])
    (text,) = doubts(found, find("UTC"))
    assert text.startswith("rows of 1 UTC day were removed because of their age: 2026-11-20")
    assert found.totals.total["sent_bytes"] == 24 * 36
    assert found.balance.accounted.bytes == 48 * 36
    gone = ask(store, period=DAY, by=["peer"])
    assert (len(gone.totals), len(gone.intervals)) == (0, 24)
