"""Whoever writes to the ledger is heard of, and nobody else."""

import os
import select
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from netledger.daemon.ledger_watch import LedgerWatch

DEADLINE_MS = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Path:
    where = tmp_path / "store"
    where.mkdir()
    with closing(sqlite3.connect(where / "ledger.sqlite")) as ledger:
        ledger.execute("PRAGMA journal_mode = WAL")
        ledger.execute("CREATE TABLE facts (what TEXT)")
    return where


@pytest.fixture
def watch(store: Path) -> Iterator[LedgerWatch]:
    made = LedgerWatch(store)
    assert made.is_open()
    yield made
    made.close()


def is_told(watch: LedgerWatch) -> bool:
    poll = select.poll()
    for descriptor in watch.descriptors():
        poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(DEADLINE_MS))


def test_another_connection_that_commits_is_heard_of_each_time(watch: LedgerWatch, store: Path) -> None:
    with closing(sqlite3.connect(store / "ledger.sqlite")) as ledger:
        for what in ("one", "two"):
            while watch.take():
                pass
            with ledger:
                ledger.execute("INSERT INTO facts VALUES (?)", (what,))
            assert is_told(watch)
            assert watch.take()


def test_other_files_are_not_the_ledger(watch: LedgerWatch, store: Path) -> None:
    (store / "other").write_text("something")
    assert is_told(watch)
    assert not watch.take()


def test_a_ledger_that_takes_the_place_of_another_is_heard_of(watch: LedgerWatch, store: Path) -> None:
    (store / "copy").write_bytes((store / "ledger.sqlite").read_bytes())
    watch.take()
    (store / "copy").rename(store / "ledger.sqlite")
    assert is_told(watch)
    assert watch.take()


def test_a_store_that_goes_is_told_and_one_that_comes_is_heard_of_again(watch: LedgerWatch, store: Path) -> None:
    store.rename(store.with_name("gone"))
    assert is_told(watch)
    assert watch.take()
    assert watch.descriptors() == []
    assert not watch.is_open()
    store.mkdir()
    assert watch.is_open()
    (store / "ledger.sqlite").touch()
    assert is_told(watch)
    assert watch.take()


def test_nothing_is_left_open(store: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is wanted
    watch = LedgerWatch(store)
    assert watch.is_open()
    assert watch.is_open()
    watch.close()
    watch.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above
