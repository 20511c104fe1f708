"""Facts about quotas in the ledger: only ever added, one writer after the other, the same state from the same facts."""

import inspect
import shutil
import sqlite3
from pathlib import Path

import pytest

from netledger.errors import DamageError, OutdatedError
from netledger.ledger.database import NAME
from netledger.ledger.quota_facts import QuotaFacts
from netledger.quotas.book import Book
from netledger.quotas.commands import Commands
from netledger.quotas.definition import Definition, Unit
from netledger.quotas.state import Reading, What, counted, period_told
from netledger.receipt import ZERO, Count
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import opened

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "quota.md"
GUEST = Definition(name="guest", limit=1000, unit=Unit.BYTES)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with opened(tmp_path / "store"):
        pass
    return tmp_path / "store"


def book_of(store: Path) -> Book:
    book = Book(store, "gw1", TestClock(START_NS))
    book.refresh()
    return book


def agree(book: Book, one: Definition = GUEST) -> None:
    told = {"definition": one.told(), "base": counted(ZERO), **period_told(None)}
    book.write_all(one.name, [(What.ADDED, told)])


def test_the_second_of_two_writers_is_refused_and_then_knows(store: Path) -> None:
    first, second = book_of(store), book_of(store)
    agree(first)
    with pytest.raises(OutdatedError, match="another process has changed it meanwhile"):
        agree(second)
    assert second.states["guest"].definition == GUEST
    first.write("guest", What.REACHED, {**counted(Count(1, 1000)), **period_told(None)})
    with pytest.raises(OutdatedError):
        second.write("guest", What.REACHED, {**counted(Count(1, 1000)), **period_told(None)})
    second.refresh()
    assert second.states == first.states
    assert len(QuotaFacts(store, "gw1").since().facts) == 2


def test_other_quotas_and_other_machines_are_in_nobody_s_way(store: Path) -> None:
    first, second = book_of(store), book_of(store)
    agree(first)
    agree(second, Definition(name="other", limit=7, unit=Unit.PACKETS))
    elsewhere = Book(store, "gw2", TestClock(START_NS))
    agree(elsewhere)
    first.refresh()
    assert set(first.states) == set(second.states) == {"guest", "other"}
    assert set(elsewhere.states) == {"guest"}


@pytest.mark.parametrize("change", ["UPDATE quota_facts SET quota = 'x'", "DELETE FROM quota_facts"])
def test_the_database_refuses_to_change_a_fact(store: Path, change: str) -> None:
    agree(book_of(store))
    connection = sqlite3.connect(store / NAME)
    with pytest.raises(sqlite3.IntegrityError, match="a fact is never"):
        connection.execute(change)
    connection.close()


def test_a_quota_of_the_same_name_begins_with_nothing(store: Path) -> None:
    book = book_of(store)
    agree(book)
    added = book.states["guest"].added.id
    book.note({"guest": Reading(Count(3, 300), START_NS, "1", added)})
    assert book.states["guest"].last_used() == Count(3, 300)
    book.write("guest", What.REACHED, {**counted(Count(3, 1000)), **period_told(None)})
    book.write_all("guest", [(What.REMOVED, counted(Count(3, 1000)))])
    assert book.states == {}
    agree(book)
    state = book.states["guest"]
    assert (state.reached, state.last_used(), state.reading) == (None, ZERO, None)
    # A reading of the one before does not count for it.
    book.note({"guest": Reading(Count(9, 900), START_NS, "1", added)})
    assert book_of(store).states["guest"].last_used() == ZERO


def test_a_ledger_that_was_put_back_from_a_copy_is_the_truth(store: Path, tmp_path: Path) -> None:
    book = book_of(store)
    agree(book)
    shutil.copytree(store, tmp_path / "copy")
    agree(book, Definition(name="later", limit=7, unit=Unit.PACKETS))
    shutil.rmtree(store)
    shutil.copytree(tmp_path / "copy", store)
    book.refresh()
    assert set(book.states) == {"guest"}


def test_a_fact_that_nobody_understands_is_damage(store: Path) -> None:
    book = book_of(store)
    agree(book)
    QuotaFacts(store, "gw1").add(
        "guest", [(str(What.REACHED), START_NS, {}), (str(What.MADE), START_NS, {"carried": 1})], after_id=1
    )
    with pytest.raises(DamageError, match=r"quota guest: read: fact 3 \(made\) cannot be understood"):
        book.refresh()


def test_without_a_ledger_there_are_no_quotas(tmp_path: Path) -> None:
    assert book_of(tmp_path).states == {}
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_each_event_and_each_variable() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [what for what in What if f"`{what}`" not in text] == []
    source = Path(inspect.getfile(Commands)).read_text(encoding="utf-8")
    variables = {word for word in source.split('"') if word.startswith("NETLEDGER_")}
    assert len(variables) == 10
    assert [one for one in sorted(variables) if f"`{one}`" not in text] == []
