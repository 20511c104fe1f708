"""What is due for which export: by the commit itself, until it is written, whatever happens in between."""

from pathlib import Path

import pytest

from netledger.errors import LedgerError
from netledger.ledger.maintain import compact
from netledger.ledger.outbox import Due, Outbox
from tests.unit.store import HOSTS, add, filled, opened, receipt_of


def seqs(outbox: Outbox) -> list[tuple[str, int]]:
    return [(due.meter, due.seq) for due in outbox.due()]


def test_an_interval_is_due_for_each_export_until_that_one_has_written_it(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for seq in (1, 2, 3):
            add(ledger, seq, exports=["a", "b"] if seq > 1 else ["a"])
        add(ledger, 1, meter="wan", exports=["b"])
        add(ledger, 2, exports=["late"])
        a, b = Outbox(tmp_path, "a"), Outbox(tmp_path, "b")
        assert seqs(a) == [("lan", 1), ("lan", 2), ("lan", 3)]
        assert seqs(b) == [("wan", 1), ("lan", 2), ("lan", 3)]
        assert seqs(Outbox(tmp_path, "late")) == []
        a.done(a.due()[1])
        assert seqs(a) == [("lan", 1), ("lan", 3)]
        assert seqs(b) == [("wan", 1), ("lan", 2), ("lan", 3)]
        a.close()
        assert seqs(a) == [("lan", 1), ("lan", 3)]


def test_what_nobody_wants_is_forgotten_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for seq in (1, 2):
            add(ledger, seq, exports=["a", "b"])
            add(ledger, seq, meter="wan", exports=["a", "b"])
        assert ledger.drop_due(lambda export, meter: (export, meter) != ("b", "wan")) == {("b", "wan"): 2}
        assert len(Outbox(tmp_path, "a").due()) == 4
        assert seqs(Outbox(tmp_path, "b")) == [("lan", 1), ("lan", 2)]
        assert ledger.drop_due(lambda _export, _meter: True) == {}


def test_a_claim_stays_with_what_is_due(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1, exports=["a", "b"])
    outbox = Outbox(tmp_path, "a")
    outbox.claim(outbox.due()[0], "a name")
    outbox.close()
    assert Outbox(tmp_path, "a").due() == [Due("gw1", "lan", 1, "a name")]
    assert Outbox(tmp_path, "b").due() == [Due("gw1", "lan", 1, None)]


def test_rows_come_in_one_order_before_and_after_a_compaction(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    with opened(tmp_path) as ledger:
        add(ledger, 3, HOSTS[::-1], exports=["a"])
        outbox = Outbox(tmp_path, "a")
        (due,) = outbox.due()
        before = outbox.rows(outbox.interval(due))
        assert compact(ledger, "2025-11-20")
        after = outbox.rows(outbox.interval(due))
    assert before.equals(after)
    assert before["account"].to_pylist() == ["external", "host", "host"]
    assert outbox.interval(due).receipt == receipt_of(3).to_line().rstrip("\n")


def test_an_interval_without_rows_has_its_columns(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1, [], exports=["a"])
    outbox = Outbox(tmp_path, "a")
    rows = outbox.rows(outbox.interval(outbox.due()[0]))
    assert (rows.num_rows, "sent_bytes" in rows.schema.names) == (0, True)


def test_a_store_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no such file"):
        Outbox(tmp_path / "gone", "a").due()
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError, match="no such file"):
        Outbox(tmp_path / "empty", "a").due()
    assert list((tmp_path / "empty").iterdir()) == []
