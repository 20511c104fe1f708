"""Housekeeping changes where rows lie, and never what they say."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from netledger.cli.main import app
from netledger.errors import DamageError, LedgerError
from netledger.intervals import DAY_NS
from netledger.ledger import Ledger
from netledger.ledger.intervals import interval_of, rows_of
from netledger.ledger.maintain import GRACE_NS, Kept, compact, maintain
from netledger.ledger.outbox import Outbox
from netledger.ledger.reader import Reader
from netledger.ledger.rows import LATER_COLUMNS, stored_schema
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import HOSTS, add, filled, opened

ROOT = Path(__file__).parents[2]
LATER_NS = START_NS + 2 * DAY_NS
PER_INTERVAL = (
    "SELECT meter, seq, account, host, sum(sent_bytes)::UBIGINT AS sent, sum(received_packets)::UBIGINT AS received, "
    "count(*) AS rows FROM traffic GROUP BY ALL ORDER BY ALL"
)


def totals(store: Path) -> list[dict[str, object]]:
    reader = Reader(store)
    rows: list[dict[str, object]] = reader.query(PER_INTERVAL, reader.snapshot()).to_pylist()
    return rows


def on_disk(store: Path) -> int:
    return len(list(store.rglob("*.parquet")))


def test_a_closed_day_becomes_one_file_and_every_total_stays(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    before = totals(tmp_path)
    assert len(before) == 2 * 5 * len(HOSTS)
    with opened(tmp_path, clock=TestClock(LATER_NS)) as ledger:
        assert maintain(ledger) == Kept(days_rolled_up=("2025-11-20",), days_compacted=("2025-11-20",))
        interval = interval_of(ledger.connection, tmp_path, node="gw1", meter="wan", seq=3)
        assert rows_of(ledger.connection, tmp_path, interval).num_rows == len(HOSTS)
    assert totals(tmp_path) == before
    (path,) = Reader(tmp_path).snapshot().files
    kept = [field for field in stored_schema() if field.name not in LATER_COLUMNS]
    assert parquet.read_schema(path).equals(pa.schema(kept))
    hosts = [one for one in parquet.read_table(path)["host"].to_pylist() if one is not None]
    assert hosts == sorted(hosts)
    assert verify(Reader(tmp_path)) == []


def test_a_day_that_is_not_closed_is_rolled_up_and_not_compacted(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with opened(tmp_path, clock=TestClock(START_NS + DAY_NS // 2)) as ledger:
        assert maintain(ledger) == Kept(days_rolled_up=("2025-11-20",))
        assert maintain(ledger) == Kept()
    assert len(Reader(tmp_path).snapshot().files) == 4


def test_a_reader_keeps_its_files_for_the_grace(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    reader = Reader(tmp_path)
    before = reader.snapshot()
    clock = TestClock(LATER_NS)
    with opened(tmp_path, clock=clock) as ledger:
        maintain(ledger)
        clock.advance(GRACE_NS - 1)
        assert maintain(ledger) == Kept()
        expected = reader.query(PER_INTERVAL, reader.snapshot())
        assert reader.query(PER_INTERVAL, before) == expected
        assert on_disk(tmp_path) == 8
        clock.advance(1)
        assert maintain(ledger) == Kept(files_removed=6)
    assert on_disk(tmp_path) == 2
    assert reader.query(PER_INTERVAL, reader.snapshot()) == expected
    assert verify(reader) == []


def test_what_comes_late_for_a_compacted_day_joins_it(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with opened(tmp_path, clock=TestClock(LATER_NS)) as ledger:
        maintain(ledger)
        add(ledger, 3)
        before = totals(tmp_path)
        assert maintain(ledger).days_compacted == ("2025-11-20",)
    assert totals(tmp_path) == before
    assert len(Reader(tmp_path).snapshot().files) == 1
    assert verify(Reader(tmp_path)) == []


def test_rows_that_are_too_old_go_and_receipts_stay(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    with opened(tmp_path) as ledger:
        for meter in ("lan", "wan"):
            add(ledger, 2, meter=meter, exports=["files"])
    clock = TestClock(START_NS + 40 * DAY_NS)
    with opened(tmp_path, clock=clock) as ledger:
        day = ("2025-11-20",)
        assert maintain(ledger, keep_days=41) == Kept(days_rolled_up=day, days_compacted=day)
        assert maintain(ledger, keep_days=30, keep_rollup_days=30) == Kept(days_dropped=day, rollup_days_dropped=day)
        clock.advance(GRACE_NS)
        maintain(ledger, keep_days=30, keep_rollup_days=30)
        assert on_disk(tmp_path) == 0
        snapshot = Reader(tmp_path).snapshot()
        assert len(snapshot.intervals) == 4
        assert snapshot.days_dropped == {"2025-11-20"}
        assert Outbox(tmp_path, "files").due() == []
        assert verify(Reader(tmp_path)) == []
        add(ledger, 3)
    assert verify(Reader(tmp_path)) == []


def test_a_file_that_was_changed_is_not_compacted(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = Reader(tmp_path).snapshot().files[1]
    path.write_bytes(path.read_bytes() + b"\0")
    with opened(tmp_path) as ledger, pytest.raises(DamageError, match="it is not the file that was committed"):
        compact(ledger, "2025-11-20")
    assert len(Reader(tmp_path).snapshot().files) == 4


def test_two_compactions_of_one_day_do_it_once(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    before = totals(tmp_path)
    done: list[bool] = []

    def at_step(name: str) -> None:
        if name == "named" and not done:
            with opened(tmp_path) as other:
                done.append(compact(other, "2025-11-20"))

    with opened(tmp_path, at_step=at_step) as ledger:
        done.append(compact(ledger, "2025-11-20"))
    assert done == [True, False]
    assert totals(tmp_path) == before
    assert on_disk(tmp_path) == 8
    assert verify(Reader(tmp_path)) == []


# Rolls up, compacts and removes, and kills itself when the step is done whose name and number it was given.
KEEPER = """
import os, signal, sys
from pathlib import Path
from netledger.ledger.maintain import GRACE_NS, maintain
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

steps = []
step, _, number = sys.argv[2].partition(" ")

def at_step(name):
    steps.append(name)
    if steps.count(step) == int(number):
        os.kill(os.getpid(), signal.SIGKILL)

clock = TestClock(int(sys.argv[3]))
with opened(Path(sys.argv[1]), clock=clock, at_step=at_step) as ledger:
    maintain(ledger)
    clock.advance(GRACE_NS)
    maintain(ledger)
"""


@pytest.mark.parametrize(
    "step",
    [
        *(f"{name} {number}" for name in ("written", "synced", "renamed", "named", "counted") for number in (1, 2)),
        "rolled_up 1",
        "replaced 1",
        "unlinked 1",
        "unlinked 4",
        "forgotten 1",
        "dropped 1",
    ],
)
def test_housekeeping_killed_at_any_step_changes_nothing(tmp_path: Path, step: str) -> None:
    filled(tmp_path, 3)
    before = totals(tmp_path)
    arguments = [sys.executable, "-c", KEEPER, str(tmp_path), step, str(LATER_NS)]
    assert subprocess.run(arguments, cwd=ROOT, check=False, timeout=120).returncode == -signal.SIGKILL
    assert totals(tmp_path) == before
    assert verify(Reader(tmp_path)) == []
    clock = TestClock(LATER_NS)
    with opened(tmp_path, clock=clock) as ledger:
        maintain(ledger)
        clock.advance(GRACE_NS)
        maintain(ledger)
    assert totals(tmp_path) == before
    assert verify(Reader(tmp_path)) == []
    assert on_disk(tmp_path) == 2


def test_the_commands_print_what_counts_and_what_was_done(tmp_path: Path) -> None:
    filled(tmp_path, 2)

    def run(*arguments: str) -> str:
        answer = CliRunner().invoke(app, [*arguments, "--store", str(tmp_path)])
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    assert len(run("files").splitlines()) == 4
    assert run("maintain") == "1 day rolled up, 1 day compacted, 0 days dropped, 0 files removed\n"
    (path,) = run("files").splitlines()
    assert run("files", "--sql") == f"read_parquet(['{path}'], hive_partitioning = false)\n"
    assert run("maintain", "--keep-days", "7") == "0 days rolled up, 0 days compacted, 1 day dropped, 0 files removed\n"
    assert run("files") == ""


def test_maintain_makes_no_store_where_none_is(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["maintain", "--store", str(tmp_path / "gone")])
    assert answer.exit_code == 1
    assert not (tmp_path / "gone").exists()


def test_a_disk_that_refuses_leaves_the_day_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    before = totals(tmp_path)

    def at_step(name: str) -> None:
        if name == "synced":
            raise OSError(28, os.strerror(28))

    ledger = Ledger(tmp_path, clock=TestClock(LATER_NS), at_step=at_step)
    ledger.open()
    with pytest.raises(LedgerError, match="no space left on device"):
        maintain(ledger)
    ledger.close()
    assert totals(tmp_path) == before
    assert on_disk(tmp_path) == 4


def test_files_are_gone_for_good_before_they_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut brings them back, as files that no ledger knows."""
    filled(tmp_path, 3)
    done: list[str] = []
    monkeypatch.setattr("netledger.ledger.maintain.sync_directory", lambda path: done.append(path.parent.name))
    clock = TestClock(LATER_NS)
    with opened(tmp_path, clock=clock, at_step=done.append) as ledger:
        maintain(ledger)
        clock.advance(GRACE_NS)
        maintain(ledger)
    removal = done[done.index("unlinked") :]
    assert removal.index("forgotten") > removal.index("traffic") > removal.index("unlinked")
