"""What ``audit --verify`` prints of a store, with which exit code, and how it goes on."""

import json
from pathlib import Path

from netledger.intervals import DAY_NS
from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import filled, opened
from tests.unit.tampering import flip, sql
from tests.unit.test_cli_main import netledger


def audit(store: Path, *options: str) -> tuple[int, str]:
    done = netledger("audit", "--store", store, *options)
    return done.returncode, done.stdout + done.stderr


def test_audit_says_that_all_is_well(tmp_path: Path) -> None:
    filled(tmp_path)
    status, text = audit(tmp_path, "--verify")
    assert status == 0, text
    assert "intervals   6: 6 exact" in text
    assert "verified    gw1: 6 intervals, chain ends with " in text


def test_audit_tells_tampering_by_exit_code_4(tmp_path: Path) -> None:
    flip(filled(tmp_path))
    assert audit(tmp_path)[0] == 0
    status, text = audit(tmp_path, "--verify")
    assert status == 4
    assert "not what was committed: gw1 lan 2: its rows are gone" in text
    assert "verified" not in text
    status, text = audit(tmp_path, "--verify", "--json")
    assert status == 4
    assert any("gw1 lan 2" in one["what"] for one in json.loads(text)["problems"])


def test_the_whole_store_is_verified_whatever_was_asked_for(tmp_path: Path) -> None:
    flip(filled(tmp_path))
    assert (
        audit(tmp_path, "--verify", "--period", "2025-11-20T10:10Z..2025-11-20T10:15Z", "--where", "meter=wan")[0] == 4
    )


def test_audit_of_a_receipt_that_is_none_names_it(tmp_path: Path) -> None:
    sql("UPDATE intervals SET receipt = '{' WHERE meter = 'lan' AND seq = 2")(filled(tmp_path))
    status, text = audit(tmp_path, "--verify")
    assert status == 4
    assert "interval 2 of meter lan of gw1 has no receipt" in text


def test_audit_of_a_ruined_ledger_is_no_failure_like_any_other(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"x" * path.stat().st_size)
    status, text = audit(tmp_path, "--verify")
    assert status == 4
    assert "file is not a database" in text


def test_rows_that_retention_removed_are_told_and_no_fault(tmp_path: Path) -> None:
    filled(tmp_path)
    with opened(tmp_path, clock=TestClock(START_NS + 40 * DAY_NS)) as ledger:
        maintain(ledger, keep_days=30)
    status, text = audit(tmp_path, "--verify")
    assert status == 0
    assert "removed     the rows of 1 UTC day, because of their age: 2025-11-20; receipts stay\n" in text
    assert json.loads(audit(tmp_path, "--json")[1])["days_dropped"] == ["2025-11-20"]


def test_each_file_and_each_day_is_told_while_it_is_verified(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    verify(Reader(filled(tmp_path)), progress=lambda *step: told.append(step))
    assert told == [*(("files", number, 6) for number in range(6)), ("rows of 2025-11-20", 0, 1)]
