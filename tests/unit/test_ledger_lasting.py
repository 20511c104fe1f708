"""What a source claims of now: the same as from all that it has ever said, and read from a part of it."""

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netledger.attribution.facts import Fact, Target
from netledger.attribution.standing import standing
from netledger.intervals import SECOND_NS
from netledger.ledger import database
from netledger.ledger.assignments import Assignments
from netledger.ledger.lasting import ids_of_now
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

NOW = 100


def fact(target: str, start: int, end: int | None, subject: str | None, source: str = "isp") -> Fact:
    return Fact(
        target=Target.parse(target),
        valid_from_ns=start * SECOND_NS,
        valid_to_ns=None if end is None else end * SECOND_NS,
        subject=subject,
        source=source,
    )


def by_time(one: Fact) -> tuple[Target, int]:
    return one.target, one.valid_from_ns


FACTS = st.lists(
    st.builds(
        lambda target, start, length, subject, source: fact(
            target, start, None if length is None else start + length, subject, source
        ),
        st.sampled_from(["10.0.0.2", "10.0.0.3", "10.0.0.0/24", "mark:7"]),
        st.integers(90, 110),
        st.one_of(st.none(), st.integers(1, 15)),
        st.sampled_from(["alice", "bob", None]),
        st.sampled_from(["isp", "isp", "isp", "other"]),
    ),
    max_size=25,
)


def store(directory: str, facts: list[Fact]) -> Assignments:
    path = Path(directory) / "store"
    with opened(path):
        pass
    book = Assignments(path, TestClock(NOW * SECOND_NS))
    book.add(facts)
    return book


@given(FACTS)
def test_it_is_the_same_as_of_all_that_was_ever_said(facts: list[Fact]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        book = store(directory, facts)
        of_all = [one for one in standing(book.facts(source="isp")) if one.end_ns > NOW * SECOND_NS]
        assert sorted(book.open_claims("isp"), key=by_time) == sorted(of_all, key=by_time)


def test_what_is_long_over_is_not_read(tmp_path: Path) -> None:
    told = []
    for number in range(200):
        begun, over = number / 10, number / 10 + 0.05
        for start, end, subject in ((begun, None, "alice"), (begun, over, "alice"), (over, None, None)):
            told.append(fact("10.0.0.2", 1 + int(start * 4), None if end is None else 2 + int(start * 4), subject))
    told.append(fact("10.0.0.2", 99, None, "bob"))
    book = store(str(tmp_path), told)
    with sqlite3.connect(tmp_path / "store" / database.NAME) as connection:
        read = list(ids_of_now(connection, "isp", NOW * SECOND_NS))
    connection.close()
    assert read == [book.last_id()]
    assert [one.subject for one in book.open_claims("isp")] == ["bob"]
