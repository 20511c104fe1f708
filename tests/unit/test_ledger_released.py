"""A store of every released version is opened, brought to this one, and answers what it answered then."""

from pathlib import Path

import pytest

from netledger.errors import LedgerError
from netledger.ledger.database import MIGRATIONS
from netledger.ledger.maintain import GRACE_NS, maintain
from netledger.ledger.outbox import Outbox
from netledger.ledger.reader import Reader
from netledger.receipt import parse_rfc3339
from tests.unit.memory_source import TestClock
from tests.unit.released import STORES, answers, answers_of, unpacked
from tests.unit.store import add, opened

VERSIONS = [int(path.name.removesuffix(".tar.xz").removeprefix("version_")) for path in STORES.glob("*.tar.xz")]


def test_the_first_version_is_among_them() -> None:
    assert min(VERSIONS) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_it_answers_the_same_as_before(tmp_path: Path, version: int) -> None:
    store = unpacked(version, tmp_path)
    assert Reader(store).version() == version
    with opened(store):
        pass
    assert Reader(store).version() == len(MIGRATIONS)
    assert answers(store) == answers_of(version)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_answers_the_same_after_it_was_kept_in_order_and_counted_on(tmp_path: Path, version: int) -> None:
    store = unpacked(version, tmp_path)
    clock = TestClock(parse_rfc3339("2026-11-22T12:00:00Z"))
    with opened(store, clock=clock) as ledger:
        done = maintain(ledger)
        assert done.days_rolled_up == done.days_compacted == ("2026-11-19", "2026-11-20")
        clock.advance(GRACE_NS)
        assert maintain(ledger).files_removed > 30
        assert answers(store) == answers_of(version)
        add(ledger, 1000)
        assert Reader(store).snapshot().intervals[-1].position > 0


@pytest.mark.parametrize("version", [one for one in VERSIONS if one < len(MIGRATIONS)])
def test_who_only_reads_says_what_to_do(tmp_path: Path, version: int) -> None:
    with pytest.raises(LedgerError, match=f"it has version {version}") as caught:
        Reader(unpacked(version, tmp_path)).snapshot()
    assert "netledger maintain" in str(caught.value.hint)


def test_what_was_due_in_version_1_belongs_to_the_files_below_the_store(tmp_path: Path) -> None:
    store = unpacked(1, tmp_path)
    with opened(store):
        outbox = Outbox(store, "files")
        due = outbox.due()
        assert len(due) > 20
        assert {one.seq % 2 for one in due} == {1}
        assert {one.claim for one in due} == {None}
        assert [outbox.interval(one).seq for one in due] == [one.seq for one in due]
        outbox.close()
