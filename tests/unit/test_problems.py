"""What is wrong at this moment: noted once, with its beginning, and gone when it is over."""

import sys
from pathlib import Path

import pytest

from netledger.config import loads
from netledger.daemon.housekeeping import Housekeeping
from netledger.errors import LedgerError, RulesetError
from netledger.intervals import HOUR_NS
from netledger.pipeline.problems import Problems, Trouble
from tests.unit.house import House, built
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, START_NS, wait_until


@pytest.fixture
def house(tmp_path: Path) -> House:
    return built(tmp_path)


def test_a_problem_keeps_its_beginning_while_its_words_change() -> None:
    clock = TestClock(START_NS)
    problems = Problems(clock)
    problems.note(Trouble.STORE, "a", meter="lan", hint="h")
    clock.advance(SECOND_NS)
    problems.note(Trouble.STORE, "b", meter="lan")
    problems.note(Trouble.STORE, "c", meter="wan")
    told = [(one.meter, one.why, one.hint, one.since_ns - START_NS) for one in problems.all()]
    assert told == [("lan", "b", None, 0), ("wan", "c", None, SECOND_NS)]
    problems.clear(Trouble.STORE, meter="lan")
    problems.clear(Trouble.STORE, meter="lan")
    assert [one.meter for one in problems.all()] == ["wan"]
    clock.advance(SECOND_NS)
    problems.set(Trouble.STORE, None, meter="wan")
    problems.set(Trouble.STORE, "again", meter="wan")
    assert [one.since_ns - START_NS for one in problems.all()] == [2 * SECOND_NS]


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("no space left on device", "free some space"),
        ("database or disk is full", "free some space"),
        ("attempt to write a readonly database", "mount it writable"),
        ("read-only file system", "mount it writable"),
        ("permission denied", "let the user"),
        ("disk i/o error", "dmesg"),
    ],
)
def test_the_words_of_the_system_give_a_hint(cause: str, words: str) -> None:
    problems = Problems()
    problems.note_error(Trouble.STORE, LedgerError("/store", "write", cause))
    problems.note_error(Trouble.EXPORT, LedgerError("/store", "write", cause, "its own"))
    hints = {one.what: one.hint or "" for one in problems.all()}
    assert words in hints[Trouble.STORE]
    assert hints[Trouble.EXPORT] == "its own"


def test_what_nobody_knows_has_no_hint() -> None:
    problems = Problems()
    problems.note_error(Trouble.CUT, ValueError("odd"))
    assert [(one.why, one.hint) for one in problems.all()] == [("odd", None)]


def test_a_store_in_the_way_is_a_problem_until_it_can_be_written(house: House, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    queue = house.board.queue
    queue.open()
    wait_until(lambda: house.whats() == ["store_not_written"], "problem at the start")
    house.clock.advance(SECOND_NS)
    house.meter.cut()
    wait_until(lambda: len(house.whats()) == 2, "problem of the meter")
    assert "1 interval waits" in house.board.status().problems[1].why
    (tmp_path / "store").unlink()
    wait_until(lambda: house.whats() == [], "end of both")
    assert queue.close() == 0


def test_a_cut_that_fails_is_a_problem_until_it_succeeds(house: House) -> None:
    house.source.cut_error = RulesetError("nft", "apply", "device or resource busy", "wait")
    house.meter.cut()
    (problem,) = house.board.status().problems
    assert (problem.what, problem.meter, problem.hint) == ("cut_failing", "lan", "wait")
    house.source.cut_error = None
    house.clock.advance(SECOND_NS)
    house.meter.cut()
    assert house.whats() == []


def test_a_clock_stepped_back_is_a_problem_until_it_is_back(house: House) -> None:
    house.clock.wall_ns -= 2 * HOUR_NS
    house.meter.cut_if_due()
    assert house.whats() == ["clock_stepped_back"]
    house.clock.wall_ns += 2 * HOUR_NS
    house.meter.cut_if_due()
    assert house.whats() == []


def test_housekeeping_that_fails_is_a_problem_until_it_is_done(tmp_path: Path) -> None:
    clock, problems, mended = TestClock(START_NS), Problems(), tmp_path / "mended"
    code = f"import os, sys; print('{{}}') if os.path.exists({str(mended)!r}) else sys.exit('netledger: no')"
    config = loads(f'store = "{tmp_path}"\n', file="f")
    housekeeping = Housekeeping(config, clock, problems=problems, command=[sys.executable, "-c", code], first_ns=0)

    def whats() -> list[str]:
        housekeeping.turn()
        return [problem.what for problem in problems.all()]

    wait_until(lambda: whats() == ["housekeeping_failing"], "problem")
    mended.touch()
    clock.advance(HOUR_NS)
    wait_until(lambda: whats() == [], "end of it")
    housekeeping.stop()
