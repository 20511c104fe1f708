"""An import of assignments that is killed has done all or nothing, and is simply done again."""

import subprocess
import sys
from pathlib import Path

import pytest

from netledger.intervals import SystemClock
from netledger.ledger.assignments import Assignments
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.rows import wait_until
from tests.unit.store import filled

LINES = 20_000


def _bytes_of(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:  # not there yet, or not any more
        return -1


@pytest.mark.parametrize("octets", [0, 100_000, 1_000_000, 2_500_000])
def test_all_or_nothing_of_an_import_that_is_killed(tmp_path: Path, octets: int) -> None:
    store = tmp_path / "store"
    filled(store)
    book = Assignments(store, SystemClock())
    table = tmp_path / "who.csv"
    table.write_text("".join(f"10.0.{n >> 8}.{n & 255},user {n},2026-11-20\n" for n in range(LINES)))
    argv = [sys.executable, "-m", "netledger", "assignments", "import", str(table), "--store", str(store)]
    log = store / "ledger.sqlite-wal"
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    # The log grows while facts are added, and the commit is its last piece.
    wait_until(lambda: process.poll() is not None or _bytes_of(log) >= octets, "written facts", seconds=60)
    process.kill()  # where it has ended by now, all was done
    process.wait()
    assert len(book.facts()) in {0, LINES}
    assert verify(Reader(store)) == []
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    assert len(book.facts()) == LINES
    assert verify(Reader(store)) == []
