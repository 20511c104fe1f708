"""Hourly sums count beside rows, never instead of them without a transaction, and never change a total."""

import sqlite3
from pathlib import Path

import pytest
from pyarrow import parquet

from netledger.errors import DamageError
from netledger.intervals import DAY_NS, HOUR_NS
from netledger.ledger.maintain import GRACE_NS, Kept, compact, maintain, roll_up
from netledger.ledger.reader import Reader
from netledger.ledger.rollup import HOUR_CLOSED_AFTER_NS, rollup_schema
from netledger.ledger.verify import verify
from netledger.receipt import COUNT_MAX, Count, parse_rfc3339
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS, batch, row
from tests.unit.store import HOSTS, add, filled, opened, receipt_of

DAY = "2025-11-20"


def rollups(store: Path) -> list[Path]:
    return list(Reader(store).snapshot().rollups)


def marks(store: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        return connection.execute(
            "SELECT tab, rolled_up FROM files WHERE dropped_at IS NULL ORDER BY tab, rolled_up"
        ).fetchall()


def test_a_row_is_what_a_host_did_in_an_hour_of_utc(tmp_path: Path) -> None:
    filled(tmp_path, 13)
    with opened(tmp_path) as ledger:
        assert roll_up(ledger, DAY)
        assert not roll_up(ledger, DAY)
    (path,) = rollups(tmp_path)
    assert path.parent == tmp_path / "data" / "rollup_hour" / f"day={DAY}"
    assert parquet.read_schema(path).equals(rollup_schema())
    lines = parquet.read_table(path).to_pylist()
    assert len(lines) == 2 * 2 * len(HOSTS)
    first = [one for one in lines if one["meter"] == "lan" and one["interval_start"] == START_NS]
    assert {one["interval_end"] for one in lines} == {START_NS + HOUR_NS, START_NS + 2 * HOUR_NS}
    assert [(one["account"], one["sent_bytes"], one["received_packets"], one["row_count"]) for one in first] == [
        ("host", 12 * 900, 0, 12),
        ("host", 0, 12 * 10, 12),
        ("external", 12 * 100, 0, 12),
    ]
    assert marks(tmp_path) == [("rollup_hour", 0), *[("traffic", 1)] * 26]
    assert verify(Reader(tmp_path)) == []


def test_only_closed_hours_are_rolled_up(tmp_path: Path) -> None:
    filled(tmp_path, 13)
    clock = TestClock(START_NS + HOUR_NS + HOUR_CLOSED_AFTER_NS - 1)
    with opened(tmp_path, clock=clock) as ledger:
        assert maintain(ledger) == Kept()
        clock.advance(1)
        assert maintain(ledger) == Kept(days_rolled_up=(DAY,))
        assert len(Reader(tmp_path).snapshot().not_rolled_up) == 2
        clock.advance(HOUR_NS)
        maintain(ledger)
    assert len(rollups(tmp_path)) == 2
    assert Reader(tmp_path).snapshot().not_rolled_up == ()


def test_what_comes_late_counts_at_once_and_is_rolled_up_later(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    clock = TestClock(START_NS + 2 * DAY_NS)
    with opened(tmp_path, clock=clock) as ledger:
        maintain(ledger)
        add(ledger, 3)
        snapshot = Reader(tmp_path).snapshot()
        assert (len(snapshot.files), len(snapshot.rollups), len(snapshot.not_rolled_up)) == (2, 1, 1)
        assert maintain(ledger) == Kept(days_rolled_up=(DAY,), days_compacted=(DAY,))
        snapshot = Reader(tmp_path).snapshot()
        assert (len(snapshot.files), len(snapshot.rollups), len(snapshot.not_rolled_up)) == (1, 1, 0)
        # The same hour was rolled up twice; in one file its hosts stand once.
        assert parquet.ParquetFile(snapshot.rollups[0]).metadata.num_rows == 2 * len(HOSTS)
        assert verify(Reader(tmp_path)) == []


def test_two_that_roll_up_one_day_do_it_once(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    done: list[bool] = []

    def at_step(name: str) -> None:
        if name == "named" and not done:
            with opened(tmp_path) as other:
                done.append(roll_up(other, DAY))

    with opened(tmp_path, at_step=at_step) as ledger:
        done.append(roll_up(ledger, DAY))
    assert done == [True, False]
    assert len(list((tmp_path / "data" / "rollup_hour").rglob("*.parquet"))) == 1
    assert verify(Reader(tmp_path)) == []


def test_a_compaction_under_way_while_its_files_are_rolled_up_is_given_up(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    done: list[bool] = []

    def at_step(name: str) -> None:
        if name == "named" and not done:
            with opened(tmp_path) as other:
                done.append(compact(other, DAY))

    with opened(tmp_path, at_step=at_step) as ledger:
        done.append(roll_up(ledger, DAY))
    assert done == [True, False]
    assert marks(tmp_path) == [("rollup_hour", 0), ("traffic", 1)]
    assert verify(Reader(tmp_path)) == []


def test_a_disk_that_refuses_the_transaction_leaves_no_file(tmp_path: Path) -> None:
    filled(tmp_path, 2)

    def at_step(name: str) -> None:
        if name == "rolled_up":
            raise OSError(28, "No space left on device")

    with opened(tmp_path, at_step=at_step) as ledger, pytest.raises(Exception, match="no space left"):
        roll_up(ledger, DAY)
    assert list((tmp_path / "data" / "rollup_hour").rglob("*.parquet")) == []
    assert marks(tmp_path) == [("traffic", 0)] * 4


def test_a_sum_beyond_64_bits_is_refused_and_holds_up_no_other_day(tmp_path: Path) -> None:
    great = [row("external", sent=(COUNT_MAX, 1), received=(COUNT_MAX, 1))]
    starts = ["2026-11-20T10:00:00Z", "2026-11-20T10:05:00Z", "2026-11-21T10:00:00Z"]
    book(tmp_path, [Booked(start, great) for start in starts])
    with opened(tmp_path, clock=TestClock(parse_rfc3339("2026-11-25T00:00:00Z"))) as ledger:
        with pytest.raises(DamageError, match="a sum does not fit 64 bits; nothing was changed"):
            maintain(ledger)
        assert marks(tmp_path) == [("rollup_hour", 0), ("traffic", 0), ("traffic", 0), ("traffic", 1)]
        # Nor are rows dropped that are in no rollup.
        with pytest.raises(DamageError, match="64 bits"):
            maintain(ledger, keep_days=1)
    snapshot = Reader(tmp_path).snapshot()
    assert snapshot.days_dropped == {"2026-11-21"}
    assert len(snapshot.not_rolled_up) == 2
    assert ask(tmp_path, period="2026-11-21").totals.total["sent_bytes"] == COUNT_MAX


def test_detail_goes_and_totals_of_hosts_stay_proven(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        ledger.commit(receipt_of(2, lost=Count(3, 400)), batch(HOSTS))
    clock = TestClock(START_NS + 40 * DAY_NS)
    with opened(tmp_path, clock=clock) as ledger:
        # What is not rolled up yet is so before it goes.
        assert maintain(ledger, keep_days=30) == Kept(days_rolled_up=(DAY,), days_dropped=(DAY,))
        clock.advance(GRACE_NS)
        assert maintain(ledger, keep_days=30) == Kept(files_removed=2)
        assert [path.parent.parent.name for path in tmp_path.rglob("*.parquet")] == ["rollup_hour"]
        assert verify(Reader(tmp_path)) == []
        add(ledger, 3)
        found = ask(tmp_path, period=DAY)
        assert found.totals.total["sent_packets"] == found.balance.accounted.packets + 3 == 33
        assert maintain(ledger, keep_days=30, keep_rollup_days=39).rollup_days_dropped == (DAY,)
    assert verify(Reader(tmp_path)) == []
    assert len(ask(tmp_path, period=DAY).totals) == 0


def test_rows_without_hourly_sums_are_dropped_with_them_where_both_are_too_old(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with opened(tmp_path, clock=TestClock(START_NS + 40 * DAY_NS)) as ledger:
        assert maintain(ledger, keep_days=30, keep_rollup_days=30) == Kept(days_dropped=(DAY,))
        add(ledger, 3)
        assert ask(tmp_path, period=DAY).totals.total["sent_packets"] == 0
        assert maintain(ledger, keep_days=30, keep_rollup_days=30) == Kept(days_dropped=(DAY,))
    assert rollups(tmp_path) == []
    assert verify(Reader(tmp_path)) == []
