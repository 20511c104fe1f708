"""Hand-overs that were announced: what is to come is planned, whoever wrote it, and what has just come too."""

from pathlib import Path

import pytest

from netledger.attribution.facts import Fact, Target
from netledger.daemon.cuts import Cuts
from netledger.daemon.plans import Plans
from netledger.ledger.assignments import Assignments
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, START_NS
from tests.unit.store import opened


@pytest.fixture
def clock() -> TestClock:
    return TestClock(START_NS)


@pytest.fixture
def book(tmp_path: Path, clock: TestClock) -> Assignments:
    with opened(tmp_path / "store"):
        return Assignments(tmp_path / "store", clock)


def told(start: int, end: int | None, source: str = "assign") -> Fact:
    return Fact(
        target=Target.parse("10.0.0.2"),
        valid_from_ns=START_NS + start * SECOND_NS,
        valid_to_ns=None if end is None else START_NS + end * SECOND_NS,
        subject=f"{start} {end} {source}",
        source=source,
    )


def test_what_is_to_come_is_planned_and_leases_are_not(book: Assignments, clock: TestClock) -> None:
    cuts = Cuts(clock, wake=lambda: None)
    plans = Plans(book, clock, cuts, sources=("assign", "table"))
    book.add([told(-50, -20), told(-10, 30), told(20, 40, "table"), told(5, 10, "dhcp")])
    plans.look()
    assert cuts.wait_ns() is None  # nobody wants intervals to be cut
    cuts.want(is_wanted=True)
    seconds = []
    plans.look()
    while (wait_ns := cuts.wait_ns()) is not None:
        clock.advance(wait_ns)
        seconds.append((clock.wall_ns - START_NS) // SECOND_NS)
        cuts.turn([])
    assert seconds == [20, 30, 40]


def test_what_came_between_two_looks_is_cut_late_and_not_left_out(book: Assignments, clock: TestClock) -> None:
    cuts = Cuts(clock, wake=lambda: None)
    cuts.want(is_wanted=True)
    plans = Plans(book, clock, cuts, sources=("assign",))
    plans.look()
    book.add([told(-50, 3)])
    clock.advance(5 * SECOND_NS)
    plans.look()
    assert cuts.wait_ns() == 0
    cuts.turn([])
    # Once: what comes to the ledger later does not bring it back.
    book.add([told(-40, 2)])
    plans.look()
    assert cuts.wait_ns() is None


def test_a_ledger_that_cannot_be_read_is_looked_at_again(book: Assignments, clock: TestClock, tmp_path: Path) -> None:
    cuts = Cuts(clock, wake=lambda: None)
    cuts.want(is_wanted=True)
    plans = Plans(book, clock, cuts, sources=("assign",))
    book.add([told(-50, 30)])
    file = tmp_path / "store" / "ledger.sqlite"
    kept = file.read_bytes()
    file.write_bytes(b"no ledger" * 1000)
    plans.look()
    assert cuts.wait_ns() is None
    file.write_bytes(kept)
    plans.look()
    assert cuts.wait_ns() == 30 * SECOND_NS
