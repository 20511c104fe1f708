"""A writer that is killed after any step leaves a store in which each interval is whole or not there."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from netledger.errors import LedgerError
from netledger.ledger import Committed, Known, Ledger
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import add, filled, opened

ROOT = Path(__file__).parents[2]
STEPS = ["written", "synced", "renamed", "named", "inserted", "committed"]

# Commits one interval, and kills itself when the step is done whose name it was given.
WRITER = """
import os, signal, sys
from pathlib import Path
from tests.unit.store import add, opened

def at_step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

with opened(Path(sys.argv[1]), at_step=at_step) as ledger:
    add(ledger, 2)
"""


def run(script: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, check=False, timeout=120).returncode


def files(store: Path) -> set[str]:
    return {path.name for path in (store / "data").rglob("*") if path.is_file()}


def named(store: Path) -> set[str]:
    return {path.name for path in Reader(store).snapshot().files}


@pytest.mark.parametrize("step", STEPS)
def test_a_writer_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path, step: str) -> None:
    filled(tmp_path, 1)
    assert run(WRITER, str(tmp_path), step) == -signal.SIGKILL
    is_there = step == "committed"
    assert len(Reader(tmp_path).snapshot().intervals) == 2 + is_there
    left = files(tmp_path) - named(tmp_path)
    assert len(left) == (not is_there)
    with opened(tmp_path) as ledger:
        assert files(tmp_path) == named(tmp_path)
        assert isinstance(add(ledger, 2), Known if is_there else Committed)
    assert len(Reader(tmp_path).snapshot().intervals) == 3
    assert files(tmp_path) == named(tmp_path)
    assert verify(Reader(tmp_path)) == []


def test_every_step_has_its_kill(tmp_path: Path) -> None:
    done: list[str] = []
    with opened(tmp_path, at_step=done.append) as ledger:
        add(ledger, 1)
    assert done == STEPS


def test_nothing_is_removed_while_another_writer_lives(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def at_step(name: str) -> None:
        if name in ("written", "named"):
            before = files(tmp_path)
            other = Ledger(tmp_path, clock=TestClock(START_NS))
            assert other.open().removed == ()
            other.close()
            assert files(tmp_path) == before
            seen.append(before)

    with opened(tmp_path, at_step=at_step) as ledger:
        add(ledger, 1)
    assert len(seen) == 2
    assert verify(Reader(tmp_path)) == []


def test_files_of_a_ledger_that_was_replaced_are_not_taken_for_leftovers(tmp_path: Path) -> None:
    filled(tmp_path, 20)
    before = files(tmp_path)
    for path in tmp_path.glob("ledger.sqlite*"):
        path.unlink()
    ledger = Ledger(tmp_path, clock=TestClock(START_NS))
    found = ledger.open()
    ledger.close()
    assert {path.name for path in found.kept} == before == files(tmp_path)
    assert found.removed == ()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def at_step(name: str) -> None:
        if name == "written":
            raise OSError(28, os.strerror(28))

    with opened(tmp_path, at_step=at_step) as ledger, pytest.raises(LedgerError, match="no space left on device"):
        add(ledger, 1)
    assert files(tmp_path) == set()


def test_a_transaction_that_fails_keeps_its_file_and_uses_it_again(tmp_path: Path) -> None:
    """What SQLite could not make durable may be there after a power cut; then its file has to be there too."""
    with opened(tmp_path) as ledger:
        blocker = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
        ledger.connection.execute("PRAGMA busy_timeout = 0")
        for _ in range(3):
            blocker.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="database is locked"):
                add(ledger, 1)
            blocker.execute("ROLLBACK")
            (left,) = files(tmp_path)
        blocker.close()
        add(ledger, 1)
    assert named(tmp_path) == {left}
    assert verify(Reader(tmp_path)) == []


# Commits interval after interval, and says on its standard output which are acknowledged.
BUSY_WRITER = """
import sys
from pathlib import Path
from netledger.ledger import Committed
from tests.unit.store import add, opened

with opened(Path(sys.argv[1])) as ledger:
    for seq in range(int(sys.argv[2]), 1_000_000):
        if isinstance(add(ledger, seq), Committed):
            sys.stdout.write(f"{seq}\\n")
            sys.stdout.flush()
"""


def test_what_was_acknowledged_outlives_kill_9_at_any_moment(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    for life in range(1, 6):
        first = max(acknowledged, default=0)
        arguments = [sys.executable, "-c", BUSY_WRITER, str(tmp_path), str(max(1, first))]
        with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged.extend(int(writer.stdout.readline()) for _ in range(3 * life))
            writer.kill()
            # What it had said before it died, and nobody has read yet.
            acknowledged += [
                int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")
            ]
    found = [one.seq for one in Reader(tmp_path).snapshot().intervals]
    assert len(acknowledged) == len(set(acknowledged)) >= 45
    assert set(acknowledged) <= set(found)
    assert found == list(range(1, max(found) + 1))
    with opened(tmp_path):
        assert files(tmp_path) == named(tmp_path)
    assert verify(Reader(tmp_path)) == []


def test_a_ledger_that_was_lost_takes_no_rows_with_it(tmp_path: Path) -> None:
    store = filled(tmp_path, 3)
    rows = sorted(store.glob("data/*/day=*/*.parquet"))
    for path in store.glob("ledger.sqlite*"):
        path.unlink()
    ledger = Ledger(store, clock=TestClock(START_NS))
    leftovers = ledger.open()
    ledger.close()
    assert len(rows) > 1
    assert leftovers.kept == tuple(rows)
    assert sorted(store.glob("data/*/day=*/*.parquet")) == rows
