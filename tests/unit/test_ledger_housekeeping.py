"""Housekeeping cleans up behind those that were killed, one process at a time, and holds little in memory."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from netledger.intervals import DAY_NS
from netledger.ledger.maintain import GRACE_NS, Kept, maintain
from netledger.ledger.reader import Reader
from netledger.ledger.recovery import alone_in_housekeeping, remove_unfinished
from netledger.ledger.spill import remove_left
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, START_NS, row
from tests.unit.store import add, filled, opened


def test_what_killed_housekeepings_left_goes_while_others_write(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    day = tmp_path / "data" / "rollup_hour" / "day=2025-11-20"
    day.mkdir(parents=True)
    left = [day / "rolled-up-00000000.parquet", day / "rolled-up-11111111.parquet.tmp"]
    foreign = day / "whatever.parquet"
    clock = TestClock(START_NS)
    with opened(tmp_path), opened(tmp_path, clock=clock) as ledger:
        for path in (*left, foreign):
            path.write_bytes(b"x")
        now_ns = left[0].stat().st_mtime_ns
        clock.wall_ns = now_ns + GRACE_NS + SECOND_NS
        # Who is just writing a file is not disturbed.
        assert remove_unfinished(tmp_path, ledger.connection, older_than_ns=now_ns) == []
        maintain(ledger)
    assert [path for path in left if path.exists()] == []
    assert foreign.exists()
    assert len(Reader(tmp_path).snapshot().rollups) == 1
    assert Reader(tmp_path).snapshot().days_dropped == frozenset()


def test_one_housekeeping_at_a_time(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    done: list[Kept] = []
    told = threading.Event()

    def other() -> None:
        with opened(tmp_path, clock=TestClock(START_NS + DAY_NS)) as ledger:
            done.append(maintain(ledger, progress=lambda what, _done, _all: told.set() if "wait" in what else None))

    thread = threading.Thread(target=other)
    with alone_in_housekeeping(tmp_path):
        thread.start()
        assert told.wait(90)
        assert done == []
    thread.join(30)
    assert [one.days_rolled_up for one in done] == [("2025-11-20",)]


def test_what_does_not_fit_into_memory_goes_to_a_directory_of_its_own_inside_the_store(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for seq in range(1, 4):
            add(ledger, seq, [row("host", host=f"10.{one >> 8}.{one & 255}.1") for one in range(20_000)])
    seen: list[str] = []
    rows = 0
    with Reader(tmp_path, memory_megabytes=48, threads=1).rows(Reader(tmp_path).snapshot().files) as connection:
        question = "SELECT hash(range, host, seq) AS place, seq, range FROM traffic, range(60) ORDER BY place"
        for batch in connection.sql(question).to_arrow_reader(100_000):
            seen = seen or [path.name for path in (tmp_path / "tmp").iterdir()]
            rows += batch.num_rows
    assert rows == 3 * 20_000 * 60
    assert [name.partition("-")[0] for name in seen] == [str(os.getpid())]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_killed_processes_spilled_is_removed(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    dead, alive = (tmp_path / "tmp" / f"{pid}-00000000" for pid in (int(ended.stdout), os.getpid()))
    for path in (dead, alive):
        path.mkdir()
        (path / "x.tmp").write_bytes(b"x")
    now_ns = dead.stat().st_mtime_ns
    remove_left(tmp_path, older_than_ns=now_ns)
    assert dead.exists()
    remove_left(tmp_path, older_than_ns=now_ns + 1)
    assert not dead.exists()
    assert alive.exists()
