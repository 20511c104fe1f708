"""Whatever is changed in hourly sums is named, by the rows or by the receipts."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from netledger.intervals import DAY_NS
from netledger.ledger.maintain import maintain, roll_up
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import add, filled, opened

Change = Callable[[pa.Table], pa.Table]
DAY = "2025-11-20"
LAN = "rollup_hour gw1 lan 2025-11-20T10:00:00Z"


def rolled_up(store: Path) -> Path:
    filled(store)
    with opened(store) as ledger:
        assert roll_up(ledger, DAY)
    return store


def without_rows(store: Path) -> Path:
    filled(store)
    with opened(store, clock=TestClock(START_NS + 9 * DAY_NS)) as ledger:
        assert maintain(ledger, keep_days=5).days_dropped == (DAY,)
    return store


def problems(store: Path) -> list[str]:
    return [str(problem) for problem in verify(Reader(store))]


def rollup_of(store: Path) -> Path:
    (path,) = Reader(store).snapshot().rollups
    return path


def rewrite(store: Path, change: Change) -> None:
    """Changes the sums, and mends what the ledger says of their file."""
    path = rollup_of(store)
    rows = change(parquet.read_table(path))
    parquet.write_table(rows, path)
    content = path.read_bytes()
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        connection.execute(
            "UPDATE files SET octets = ?, sha256 = ?, rows = ? WHERE tab = 'rollup_hour'",
            (len(content), hashlib.sha256(content).digest(), rows.num_rows),
        )


def more(name: str) -> Change:
    def change(rows: pa.Table) -> pa.Table:
        values = rows[name].to_pylist()
        values[0] += 1
        return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type))

    return change


def swapped_hosts(rows: pa.Table) -> pa.Table:
    values = rows["host"].to_pylist()
    hosts = dict.fromkeys(value for value in values if value is not None)
    one, other = hosts
    swapped = [{one: other, other: one}.get(value, value) for value in values]
    return rows.set_column(rows.column_names.index("host"), "host", pa.array(swapped, pa.binary(16)))


def less(rows: pa.Table) -> pa.Table:
    return rows.slice(1)


def renamed_meter(rows: pa.Table) -> pa.Table:
    values = ["dmz" if value == "wan" else value for value in rows["meter"].to_pylist()]
    return rows.set_column(rows.column_names.index("meter"), "meter", pa.array(values).dictionary_encode())


@pytest.mark.parametrize("form", [rolled_up, without_rows])
def test_sums_that_nobody_touched_are_in_order(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    assert problems(form(tmp_path)) == []
    # At the very moment of the test's clock at which the rows of its day were dropped.
    with opened(tmp_path, clock=TestClock(START_NS + 9 * DAY_NS)) as ledger:
        add(ledger, 4)
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (more("sent_bytes"), "the sums of 10.0.0.1 are not those of its rows"),
        (more("received_packets"), "the sums of 10.0.0.1 are not those of its rows"),
        (more("row_count"), "the sums of 10.0.0.1 are not those of its rows"),
        (swapped_hosts, "the sums of 10.0.0.2 are not those of its rows"),
        (less, "the sums of 10.0.0.1 are not those of its rows"),
    ],
)
def test_a_sum_that_is_not_that_of_its_rows_is_named(tmp_path: Path, change: Change, told: str) -> None:
    rewrite(rolled_up(tmp_path), change)
    assert f"{LAN}: {told}" in problems(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (more("sent_bytes"), [f"{LAN}: its sums are not those of the receipts"]),
        (more("received_packets"), [f"{LAN}: its sums are not those of the receipts"]),
        (more("row_count"), [f"{LAN}: it is made of 10 rows, and 9 were committed"]),
        (less, [f"{LAN}: it is made of 6 rows, and 9 were committed"]),
        (
            renamed_meter,
            [
                "rollup_hour gw1 dmz 2025-11-20T10:00:00Z: it is made of 9 rows, and 0 were committed",
                "rollup_hour gw1 wan 2025-11-20T10:00:00Z: it is made of 0 rows, and 9 were committed",
            ],
        ),
    ],
)
def test_without_rows_a_sum_that_is_not_that_of_the_receipts_is_named(
    tmp_path: Path, change: Change, told: list[str]
) -> None:
    rewrite(without_rows(tmp_path), change)
    assert problems(tmp_path) == told


@pytest.mark.parametrize("form", [rolled_up, without_rows])
def test_a_bit_of_a_file_of_sums_counts(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    path = rollup_of(form(tmp_path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (told,) = problems(tmp_path)
    assert told.endswith(
        "rolled-up-" + path.name.removeprefix("rolled-up-") + ": it is not the file that was committed"
    )


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("UPDATE files SET rolled_up = 0 WHERE path LIKE '%lan-00000002%'", "the sums of 10.0.0.1 are not those"),
        ("DELETE FROM files WHERE tab = 'rollup_hour'", "the sums of 10.0.0.1 are not those"),
    ],
)
def test_rows_that_are_said_to_be_in_sums_and_are_not_are_named(tmp_path: Path, order: str, told: str) -> None:
    rolled_up(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        assert connection.execute(order).rowcount > 0
    assert any(problem.startswith(f"{LAN}: {told}") for problem in problems(tmp_path))


def test_sums_of_damaged_rows_are_compared_with_receipts(tmp_path: Path) -> None:
    rolled_up(tmp_path)
    next(tmp_path.rglob("gw1-lan-00000002-*.parquet")).unlink()
    assert not any(problem.startswith("rollup_hour") for problem in problems(tmp_path))
    rewrite(tmp_path, more("sent_bytes"))
    assert f"{LAN}: its sums are not those of the receipts" in problems(tmp_path)


def test_sums_that_are_gone_with_the_rows_are_missed(tmp_path: Path) -> None:
    without_rows(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("DELETE FROM files WHERE tab = 'rollup_hour'")
    assert f"{LAN}: it is made of 0 rows, and 9 were committed" in problems(tmp_path)
