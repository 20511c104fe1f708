"""Cuts at a hand-over: the loop makes them, not too many, and who asked is told the moment."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from netledger.daemon.cuts import PAUSE_NS, SAVED, Cuts
from netledger.errors import SourceError
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, START_NS, wait_until
from tests.unit.test_daemon_meter import Bench

INTO_NS = 7 * SECOND_NS + 123


class Asking:
    """Threads that wait for a cut."""

    def __init__(self, cuts: Cuts) -> None:
        self._cuts = cuts
        self._threads: list[threading.Thread] = []
        self.moments: list[int] = []

    def ask(self) -> None:
        thread = threading.Thread(target=lambda: self.moments.append(self._cuts.moment()))
        thread.start()
        self._threads.append(thread)

    def answered(self) -> list[int]:
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.moments


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.meter.open()
    made.clock.advance(INTO_NS)
    return made


def cuts_of(clock: TestClock, wake: Callable[[], None]) -> Cuts:
    cuts = Cuts(clock, wake=wake)
    cuts.want(is_wanted=True)
    return cuts


def test_the_interval_ends_at_the_moment_that_is_told(bench: Bench) -> None:
    woken = threading.Event()
    cuts = cuts_of(bench.clock, woken.set)
    assert cuts.wait_ns() is None
    asking = Asking(cuts)
    asking.ask()
    assert woken.wait(90)
    assert cuts.wait_ns() == 0
    cuts.turn([bench.meter])
    assert asking.answered() == [START_NS + INTO_NS]
    assert bench.meter.start_ns == START_NS + INTO_NS
    assert cuts.wait_ns() is None
    assert [receipt.end_ns for receipt in bench.commit()] == [START_NS + INTO_NS]


def test_a_line_that_goes_down_and_comes_up_within_a_second_is_cut_twice(bench: Bench) -> None:
    asks = threading.Semaphore(0)
    cuts = cuts_of(bench.clock, asks.release)
    moments = []
    for _ in range(SAVED):
        asking = Asking(cuts)
        asking.ask()
        assert asks.acquire(timeout=60)
        assert cuts.wait_ns() == 0
        cuts.turn([bench.meter])
        moments += asking.answered()
        bench.clock.advance(1000)
    assert moments == [START_NS + INTO_NS + 1000 * number for number in range(SAVED)]
    assert [receipt.end_ns for receipt in bench.commit()] == moments


def test_who_asks_in_a_storm_of_cuts_waits_and_shares_the_next_one(bench: Bench) -> None:
    asks = threading.Semaphore(0)
    cuts = cuts_of(bench.clock, asks.release)
    for _ in range(SAVED):
        one = Asking(cuts)
        one.ask()
        assert asks.acquire(timeout=60)
        cuts.turn([bench.meter])
        one.answered()
        bench.clock.advance(1)
    later = Asking(cuts)
    for _ in range(5):
        later.ask()
        assert asks.acquire(timeout=60)
    assert cuts.wait_ns() == PAUSE_NS - SAVED
    cuts.turn([bench.meter])
    assert later.moments == []
    bench.clock.advance(PAUSE_NS - SAVED)
    cuts.turn([bench.meter])
    assert later.answered() == [START_NS + INTO_NS + PAUSE_NS] * 5
    assert len(bench.commit()) == SAVED + 1


def test_where_none_is_wanted_it_is_the_time_at_once(bench: Bench) -> None:
    cuts = Cuts(bench.clock, wake=lambda: pytest.fail("nobody is to be woken"))
    assert cuts.moment() == START_NS + INTO_NS


def test_who_waits_when_the_daemon_ends_is_told_the_time(bench: Bench) -> None:
    woken = threading.Event()
    cuts = cuts_of(bench.clock, woken.set)
    asking = Asking(cuts)
    asking.ask()
    assert woken.wait(90)
    cuts.want(is_wanted=False)
    assert asking.answered() == [START_NS + INTO_NS]
    cuts.turn([bench.meter])
    assert bench.source.calls == ["open"]


def test_a_loop_that_is_held_up_costs_nobody_an_assignment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netledger.daemon.cuts.PATIENCE_SECONDS", 0.01)
    cuts = cuts_of(bench.clock, lambda: None)
    assert cuts.moment() == START_NS + INTO_NS


def test_a_source_that_cannot_cut_holds_up_no_assignment(bench: Bench) -> None:
    woken = threading.Event()
    cuts = cuts_of(bench.clock, woken.set)
    bench.source.cut_error = SourceError("nflog", "cut", "no")
    asking = Asking(cuts)
    asking.ask()
    assert woken.wait(90)
    cuts.turn([bench.meter])
    assert asking.answered() == [START_NS + INTO_NS]
    assert bench.meter.start_ns == START_NS


def test_a_cut_for_a_boundary_that_has_just_passed_is_told_as_that_boundary(bench: Bench) -> None:
    bench.clock.wall_ns = START_NS + 60 * SECOND_NS + SECOND_NS // 10
    woken = threading.Event()
    cuts = cuts_of(bench.clock, woken.set)
    asking = Asking(cuts)
    asking.ask()
    wait_until(woken.is_set, "somebody who asks")
    cuts.turn([bench.meter])
    assert asking.answered() == [START_NS + 60 * SECOND_NS]


def test_what_was_planned_is_cut_at_that_moment_and_once(bench: Bench) -> None:
    woken = threading.Event()
    cuts = cuts_of(bench.clock, woken.set)
    moment = bench.clock.wall_ns + 3 * SECOND_NS
    cuts.plan([moment, moment, moment + 30 * SECOND_NS])
    assert woken.is_set()
    assert cuts.wait_ns() == 3 * SECOND_NS
    cuts.turn([bench.meter])
    assert bench.source.calls == ["open"]
    bench.clock.advance(3 * SECOND_NS + 5_000_000)  # the loop is never quite in time
    cuts.turn([bench.meter])
    assert bench.meter.start_ns == moment
    assert cuts.wait_ns() == 30 * SECOND_NS - 5_000_000
    cuts.plan([])
    assert cuts.wait_ns() is None
    assert [receipt.end_ns for receipt in bench.commit()] == [moment]


def test_what_was_planned_for_a_time_that_is_long_over_is_cut_as_of_now(bench: Bench) -> None:
    cuts = cuts_of(bench.clock, lambda: None)
    cuts.plan([bench.clock.wall_ns + SECOND_NS])
    bench.clock.advance(20 * SECOND_NS)
    cuts.turn([bench.meter])
    assert bench.meter.start_ns == bench.clock.wall_ns


def test_nothing_is_planned_where_no_cut_is_wanted(bench: Bench) -> None:
    cuts = Cuts(bench.clock, wake=lambda: pytest.fail("nobody is to be woken"))
    cuts.plan([bench.clock.wall_ns + 1])
    assert cuts.wait_ns() is None
