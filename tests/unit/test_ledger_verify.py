"""Whatever is changed in a store is named."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from netledger.cli.main import app
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.receipt import Count
from tests.unit.rows import batch
from tests.unit.store import HOSTS, add, filled, opened, receipt_of

Tamper = Callable[[Path], None]


def problems(store: Path) -> list[str]:
    return [str(problem) for problem in verify(Reader(store))]


def sql(*orders: str) -> Tamper:
    """Changes the ledger as one with a database tool would, who knows how to get rid of the triggers."""

    def tamper(store: Path) -> None:
        with sqlite3.connect(store / "ledger.sqlite") as connection:
            for name in ("intervals_stay", "intervals_are_final"):
                connection.execute(f"DROP TRIGGER {name}")
            for order in orders:
                assert connection.execute(order).rowcount > 0, order

    return tamper


def file_of(store: Path, meter: str, seq: int) -> Path:
    (path,) = store.rglob(f"gw1-{meter}-{seq:08d}-*.parquet")
    return path


def rewrite(change: Callable[[pa.Table], pa.Table], *, is_clever: bool) -> Tamper:
    """Changes the rows of lan 2; who is clever mends what the ledger says of the file."""

    def tamper(store: Path) -> None:
        path = file_of(store, "lan", 2)
        parquet.write_table(change(parquet.read_table(path)), path)
        if is_clever:
            content = path.read_bytes()
            with sqlite3.connect(store / "ledger.sqlite") as connection:
                connection.execute(
                    "UPDATE files SET octets = ?, sha256 = ? WHERE path LIKE ?",
                    (len(content), hashlib.sha256(content).digest(), f"%{path.name}"),
                )

    return tamper


def more_bytes(table: pa.Table) -> pa.Table:
    values = table["sent_bytes"].to_pylist()
    values[-1] += 1
    return table.set_column(table.column_names.index("sent_bytes"), "sent_bytes", pa.array(values, pa.uint64()))


def another_interval(table: pa.Table) -> pa.Table:
    return table.set_column(
        table.column_names.index("seq"), "seq", pa.array([2] * (table.num_rows - 1) + [9], pa.uint64())
    )


def flip(store: Path) -> None:
    path = file_of(store, "lan", 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


NOT_ITS_ROWS = "gw1 lan 2: its rows are not those that were committed"

TAMPERED: list[tuple[str, Tamper, list[str]]] = [
    ("a bit of a file", flip, ["it is not the file that was committed", "gw1 lan 2: its rows are gone (damaged"]),
    ("a file", lambda store: file_of(store, "lan", 2).unlink(), ["it is not there", "gw1 lan 2: its rows are gone"]),
    ("a value", rewrite(more_bytes, is_clever=True), [NOT_ITS_ROWS]),
    (
        "a row less",
        rewrite(lambda table: table.slice(1), is_clever=True),
        ["gw1 lan 2: it has 2 rows, and 3 were committed"],
    ),
    (
        "a row more",
        rewrite(lambda table: pa.concat_tables([table, table.slice(0, 1)]), is_clever=True),
        ["gw1 lan 2: it has 4 rows, and 3 were committed"],
    ),
    (
        "a row moved to another interval",
        rewrite(another_interval, is_clever=True),
        ["gw1 lan 2: it has 2 rows", "gw1 lan 9: the store has rows of it, but no interval"],
    ),
    ("a file that is not named", sql("DELETE FROM files WHERE path LIKE '%lan-00000002%'"), ["its rows are gone"]),
    (
        "a receipt",
        sql('UPDATE intervals SET receipt = replace(receipt, \'"reason":null\', \'"reason":""\') WHERE seq = 2'),
        ["gw1 lan 2: its receipt or its digest was changed", "gw1 wan 2: its receipt or its digest was changed"],
    ),
    (
        "a column",
        sql("UPDATE intervals SET interval_end = interval_end + 1 WHERE meter = 'lan' AND seq = 2"),
        ["gw1 lan 2: the ledger's columns are not what its receipt says"],
    ),
    (
        "an interval and its rows",
        sql(
            "DELETE FROM files WHERE path LIKE '%lan-00000002%'",
            "DELETE FROM intervals WHERE meter = 'lan' AND seq = 2",
        ),
        ["gw1: 1 taken out of the chain, place 3; numbers that are not there: lan 2"],
    ),
    (
        "an interval, but not its rows",
        sql("DELETE FROM intervals WHERE meter = 'lan' AND seq = 2"),
        ["gw1: 1 taken out of the chain, place 3", "gw1 lan 2: the store has rows of it, but no interval"],
    ),
    (
        "the last interval",
        sql("DELETE FROM files WHERE path LIKE '%wan-00000003%'", "DELETE FROM intervals WHERE position = 6"),
        ["gw1: 1 taken out of the chain, place 6"],
    ),
    (
        "two intervals exchanged",
        sql(
            "UPDATE intervals SET position = -1 WHERE position = 2",
            "UPDATE intervals SET position = 2 WHERE position = 3",
            "UPDATE intervals SET position = 3 WHERE position = -1",
        ),
        ["gw1 lan 2: it does not follow the interval before it", "gw1 wan 1: it does not follow"],
    ),
    (
        "an interval that nobody counted",
        sql(
            "INSERT INTO intervals SELECT node, 'dmz', seq, interval_start, interval_end, status, 0, "
            "replace(receipt, '\"lan\"', '\"dmz\"'), digest, 7, chain, zeroblob(32), 0 FROM intervals "
            "WHERE meter = 'lan' AND seq = 2"
        ),
        ["gw1 dmz 2: its receipt or its digest was changed", "gw1 dmz 2: the chain does not end with it"],
    ),
]


def test_a_store_that_nobody_touched_is_in_order(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path) as ledger:
        add(ledger, 4, [])
        ledger.commit(receipt_of(5, lost=Count(3, 400)), batch(HOSTS))
    assert problems(tmp_path) == []


@pytest.mark.parametrize(("tamper", "expected"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED])
def test_what_was_changed_is_named(tmp_path: Path, tamper: Tamper, expected: list[str]) -> None:
    tamper(filled(tmp_path))
    found = problems(tmp_path)
    for text in expected:
        assert any(text in problem for problem in found), found


@pytest.mark.parametrize("position", [0, 30, 60, 99])
def test_any_bit_of_a_file_counts(tmp_path: Path, position: int) -> None:
    path = file_of(filled(tmp_path, 1), "lan", 1)
    content = bytearray(path.read_bytes())
    content[len(content) * position // 100] ^= 0x10
    path.write_bytes(content)
    assert any(path.name in problem for problem in problems(tmp_path))


def audit(store: Path, *options: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, ["audit", "--store", str(store), *options])
    return answer.exit_code, answer.output


def test_audit_says_that_all_is_well(tmp_path: Path) -> None:
    filled(tmp_path)
    status, text = audit(tmp_path, "--verify")
    assert status == 0, text
    assert "intervals   6: 6 exact" in text
    assert "verified    gw1: 6 intervals, chain ends with " in text


def test_audit_names_what_is_lost_with_exit_code_3(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        ledger.commit(receipt_of(2, lost=Count(3, 400)), batch(HOSTS))
    status, text = audit(tmp_path)
    assert status == 3
    assert "lossy       gw1 lan 2  2025-11-20T10:05:00Z to 2025-11-20T10:10:00Z  lost 3 packets, 400 bytes" in text
    status, text = audit(tmp_path, "--json")
    told = json.loads(text)
    assert status == 3
    assert told["balance"]["lost_bytes"] == 400
    assert [(one["seq"], one["status"], one["rows"]) for one in told["intervals"]] == [(1, "exact", 3), (2, "lossy", 4)]


def test_audit_tells_tampering_by_exit_code_4(tmp_path: Path) -> None:
    flip(filled(tmp_path))
    assert audit(tmp_path)[0] == 0
    status, text = audit(tmp_path, "--verify", "--json")
    assert status == 4
    assert any("gw1 lan 2" in one["what"] for one in json.loads(text)["problems"])


def test_audit_of_a_ruined_ledger_is_no_failure_like_any_other(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"x" * path.stat().st_size)
    status, text = audit(tmp_path, "--verify")
    assert status == 4
    assert "file is not a database" in text
