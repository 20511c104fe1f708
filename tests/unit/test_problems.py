"""What is wrong at this moment: noted once, with its beginning, and gone when it is over."""

import pytest

from netledger.errors import LedgerError
from netledger.pipeline.problems import Problems, Trouble
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, START_NS


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
