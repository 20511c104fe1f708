"""Rows are added up by host first where nobody asks for more than subjects, and each total stays what it is."""

from pathlib import Path

import pytest

from netledger.ledger.added_rows import Adding
from netledger.ledger.reader import Reader
from netledger.reports.basis import basis
from netledger.reports.periods import Step
from tests.unit.assigned import by_subject, fact, learn
from tests.unit.booked import Booked, ask, book
from tests.unit.rows import Row, row

HUGE = 2**63 + 5
ALL_NS = 2**62


def traffic(*counts: int) -> list[Row]:
    hosts = [row("host", host=f"10.0.0.{place}", sent=(count, 1)) for place, count in enumerate(counts, 1)]
    return [*hosts, row("external", received=(sum(counts), len(counts)))]


def five_minutes(minute: int, *counts: int) -> Booked:
    return Booked(f"2026-11-20T01:{minute:02d}:00Z", traffic(*counts))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three hosts in half an hour: one is ann's, one changes hands, one is nobody's."""
    made = book(tmp_path / "store", [five_minutes(minute, 1, 10, 100) for minute in range(0, 30, 5)])
    learn(
        made,
        fact("10.0.0.1", "ann"),
        fact("10.0.0.2", "bob", end="2026-11-20T01:10:00Z"),
        fact("10.0.0.2", "cid", "2026-11-20T01:10:00Z"),
    )
    return made


def lines(store: Path, adding: Adding | None) -> int:
    """How many rows the question is asked of."""
    reader = Reader(store)
    snapshot = reader.snapshot()
    found = basis(reader, snapshot, snapshot.intervals, as_known_at_ns=None, is_of_sums=False, adding=adding)
    with found.rows() as connection:
        (((count,),)) = connection.sql("SELECT count(*) FROM traffic").fetchall()
    return int(count)


def test_a_day_is_a_row_for_each_subject_and_not_for_each_host_and_interval(store: Path) -> None:
    assert lines(store, None) == 6 * 4
    # ann, bob, cid, nobody and the outside
    assert lines(store, Adding(start_ns=0, end_ns=ALL_NS)) == 5


def test_what_lies_on_two_sides_of_a_border_is_not_one_row(store: Path) -> None:
    first, _, third = (one.start_ns for one in Reader(store).snapshot().intervals[:3])
    # Behind it are ann, cid, nobody and the outside; before it bob instead of cid.
    assert lines(store, Adding(start_ns=0, end_ns=ALL_NS, borders=frozenset([third]))) == 8
    assert lines(store, Adding(start_ns=first, end_ns=third)) == 4


def test_a_day_in_too_many_pieces_is_looked_up_row_by_row(store: Path) -> None:
    start_ns = Reader(store).snapshot().intervals[0].start_ns
    borders = frozenset(range(start_ns + 1, start_ns + 40))
    assert lines(store, Adding(start_ns=0, end_ns=ALL_NS, borders=borders)) == 6 * 4


def test_an_hour_is_told_apart_from_the_next_one(tmp_path: Path) -> None:
    store = book(tmp_path / "store", [five_minutes(55, 7), Booked("2026-11-20T02:05:00Z", traffic(9))])
    learn(store, fact("10.0.0.1", "ann"))
    answer = ask(store, by=["subject"], per=Step.HOUR, period="2026-11-20T01:01:00Z..2026-11-20T03:00:00Z")
    found = dict(zip(answer.totals.columns["interval_start"], answer.totals.columns["subject"], strict=True))
    assert len(found) == 2
    assert by_subject(answer)["ann", None] == (9, 0)
    assert answer.totals.total["sent_bytes"] == 16


def test_counters_that_do_not_fit_63_bits_are_added_up_all_the_same(tmp_path: Path) -> None:
    store = book(tmp_path / "store", [five_minutes(0, HUGE, 3), five_minutes(5, 4, 5)])
    learn(store, fact("10.0.0.1", "ann"), fact("10.0.0.2", "bob"))
    period = "2026-11-20T00:00:01Z..2026-11-21"
    assert by_subject(ask(store, by=["subject"], period=period)) == {
        ("ann", None): (HUGE + 4, 0),
        ("bob", None): (8, 0),
        ("external", None): (0, HUGE + 12),
    }
