"""An interval is committed once, whole, and stays as it was."""

import hashlib
import os
import sqlite3
import stat
import struct
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from netledger.errors import DamageError, LedgerError
from netledger.ledger import Committed, Known, Ledger
from netledger.ledger.digest import canonical, chain, digest
from netledger.ledger.intervals import interval_of, rows_of
from netledger.ledger.rows import STORED_COLUMNS, as_stored, stored_rows, stored_schema
from netledger.receipt import COUNT_MAX, Count
from netledger.schema import ROW_COLUMNS
from tests.unit.memory_source import TestClock
from tests.unit.rows import RECEIPT, SECOND_NS, START_NS, Row, batch, row
from tests.unit.store import HOSTS, add, filled, opened, receipt_of

TEXTS = {"node", "meter", "account", "interface", "label"}
WIDTHS = {"protocol": 1, "host_port": 2, "peer_port": 2, "zone": 2, "mark": 4}


def intervals(store: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        return connection.execute("SELECT meter, seq FROM intervals ORDER BY meter, seq").fetchall()


def test_a_commit_is_a_file_and_a_line(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        done = ledger.commit(receipt_of(1, lost=Count(2, 300)), batch(HOSTS))
    assert isinstance(done, Committed)
    assert done.path is not None
    assert done.path.parent == tmp_path / "data" / "traffic" / "day=2025-11-20"
    rows = parquet.read_table(done.path).to_pylist()
    assert [one["account"] for one in rows] == ["external", "host", "host", "unattributed"]
    assert rows[-1]["sent_bytes"] == rows[-1]["received_bytes"] == 300
    assert sum(one["sent_packets"] for one in rows) == sum(one["received_packets"] for one in rows) == 12
    assert {(one["interval_start"], one["interval_end"], one["node"], one["meter"], one["seq"]) for one in rows} == {
        (START_NS, START_NS + 300 * SECOND_NS, "gw1", "lan", 1)
    }
    assert intervals(tmp_path) == [("lan", 1)]


def test_the_columns_are_those_of_the_schema_and_the_number(tmp_path: Path) -> None:
    assert [name for name in STORED_COLUMNS if name != "seq"] == [column.name for column in ROW_COLUMNS]
    with opened(tmp_path) as ledger:
        done = add(ledger, 1)
    assert isinstance(done, Committed)
    # Those that came later are there where a row has them: see test_ledger_connections.py.
    written = [field for field in stored_schema() if field.name not in ("zone", "mark")]
    assert parquet.read_table(done.path).schema.equals(pa.schema(written))


def test_what_comes_again_is_known_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        files = sorted(path for path in tmp_path.rglob("*.parquet"))
        # It may come back with a later end, from a process that was killed before it forgot it.
        later = replace(receipt_of(1), end_ns=START_NS + 400 * SECOND_NS)
        again = ledger.commit(later, batch(HOSTS))
    assert again == Known(receipt_of(1).to_line().rstrip("\n"))
    assert sorted(path for path in tmp_path.rglob("*.parquet")) == files


def test_a_number_that_belongs_to_another_interval_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        other = replace(receipt_of(1), start_ns=START_NS + SECOND_NS)
        with pytest.raises(LedgerError, match="number 1 of meter lan belongs to another interval"):
            ledger.commit(other, batch(HOSTS))


def test_an_interval_without_rows_needs_no_file(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        assert add(ledger, 1, []) == Committed(None)
        interval = interval_of(ledger.connection, tmp_path, node="gw1", meter="lan", seq=1)
        assert rows_of(ledger.connection, tmp_path, interval).num_rows == interval.rows == 0
    assert list(tmp_path.rglob("*.parquet")) == []


def test_rows_are_read_back_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for meter in ("lan", "wan"):
            add(ledger, 1, meter=meter)
        interval = interval_of(ledger.connection, tmp_path, node="gw1", meter="wan", seq=1)
        found = rows_of(ledger.connection, tmp_path, interval)
    expected = canonical(stored_rows(receipt_of(1, meter="wan"), batch(HOSTS)))
    assert found.to_pylist() == expected.to_pylist()
    assert interval.receipt == receipt_of(1, meter="wan").to_line().rstrip("\n")


def test_rows_that_are_gone_are_no_shorter_interval(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        interval = interval_of(ledger.connection, tmp_path, node="gw1", meter="lan", seq=1)
        ledger.connection.execute("DELETE FROM files")
        with pytest.raises(DamageError, match="has 0 of its 3 rows"):
            rows_of(ledger.connection, tmp_path, interval)


def test_a_receipt_of_other_rows_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger, pytest.raises(ValueError, match="a receipt of 2 rows for 3"):
        ledger.commit(receipt_of(1, rows=2), batch(HOSTS))


def test_counters_have_64_bits(tmp_path: Path) -> None:
    great = Count(COUNT_MAX, COUNT_MAX)
    receipt = replace(RECEIPT, observed=replace(RECEIPT.observed, kernel=great, accounted=great, rows=1))
    counted = (COUNT_MAX, COUNT_MAX)
    with opened(tmp_path) as ledger:
        ledger.commit(receipt, batch([row("external", sent=counted, received=counted)]))
        interval = interval_of(ledger.connection, tmp_path, node="gw1", meter="lan", seq=12)
        found = rows_of(ledger.connection, tmp_path, interval)
    assert interval.kernel == interval.accounted == great
    assert found["sent_bytes"].to_pylist() == [COUNT_MAX]


def test_files_are_for_the_group_and_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with opened(tmp_path / "deep" / "store") as ledger:
            add(ledger, 1)
            found = {path.name: path.stat().st_mode for path in (tmp_path / "deep").rglob("*")}
    finally:
        os.umask(before)
    assert found.keys() >= {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "lock", "data", "traffic"}
    wrong = {
        name: oct(mode)
        for name, mode in found.items()
        if stat.S_IMODE(mode) != (0o750 if stat.S_ISDIR(mode) else 0o640)
    }
    assert wrong == {}


def test_the_database_refuses_to_change_or_remove_an_interval(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        for order in ("DELETE FROM intervals", "UPDATE intervals SET rows = 4"):
            with pytest.raises(sqlite3.IntegrityError, match="an interval is never"):
                ledger.connection.execute(order)


def test_a_later_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    ledger = Ledger(tmp_path, clock=TestClock(START_NS))
    with pytest.raises(LedgerError, match="it has version 99, and this program knows ") as caught:
        ledger.open()
    assert caught.value.hint == "upgrade netledger"


def test_two_writers_of_one_store_make_one_chain(tmp_path: Path) -> None:
    with opened(tmp_path) as one, opened(tmp_path) as other:
        for seq in range(1, 6):
            add(one, seq)
            add(other, seq, meter="wan")
            assert isinstance(add(other, seq), Known)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        links = connection.execute("SELECT position, previous, chain FROM intervals ORDER BY position").fetchall()
    assert [position for position, *_ in links] == list(range(1, 11))
    assert [previous for _, previous, _ in links] == [bytes(32), *(link for *_, link in links[:-1])]


def test_of_two_writers_of_one_interval_one_makes_it_count(tmp_path: Path) -> None:
    outcomes: list[Committed | Known] = []

    def at_step(name: str) -> None:
        if name == "named":
            with opened(tmp_path) as other:
                outcomes.append(add(other, 1))

    with opened(tmp_path, at_step=at_step) as ledger:
        outcomes.append(add(ledger, 1))
    assert [type(outcome) for outcome in outcomes] == [Committed, Known]
    assert intervals(tmp_path) == [("lan", 1)]
    with opened(tmp_path):
        assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_the_log_of_the_database_stays_small(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for seq in range(1, 41):
            add(ledger, seq, [])
        assert (tmp_path / "ledger.sqlite-wal").stat().st_size < 512 * 1024


def by_hand(rows: pa.Table) -> bytes:
    """The digest as the words of its module have it, row by row and byte by byte."""
    lines = rows.to_pylist()
    names = list(lines[0])

    def place(line: dict[str, str | bytes | int | None]) -> list[tuple[bool, str | bytes | int]]:
        values = [line[name] for name in names]
        return [(value is not None, b"" if value is None else _ordered(value)) for value in values]

    lines.sort(key=place)
    made = hashlib.sha256(b"netledger rows 1\n" + struct.pack("<Q", len(lines)))
    for name in names:
        values = [line[name] for line in lines]
        if name in ("zone", "mark") and set(values) <= {None}:
            continue
        made.update(name.encode() + b"\0" + bytes(value is not None for value in values))
        if name in TEXTS:
            texts = [(value or "").encode() for value in values]
            made.update(b"".join(struct.pack("<i", len(text)) for text in texts) + b"".join(texts))
        elif name in ("host", "peer"):
            made.update(b"".join(value or bytes(16) for value in values))
        else:
            made.update(b"".join((value or 0).to_bytes(WIDTHS.get(name, 8), "little") for value in values))
    return made.digest()


def _ordered(value: str | bytes | int) -> str | bytes | int:
    return value.encode() if isinstance(value, str) else value


MANY = [
    row("host", host=f"10.0.{number % 7}.{number % 251}", label="é" * (number % 3), sent=(number, 1), host_port=number)
    for number in range(500)
] + [row("host", host="2001:db8::1", interface="eth0"), row("host"), row("external", received=(COUNT_MAX, 1))]


def test_the_digest_is_what_its_description_says() -> None:
    table = stored_rows(receipt_of(1, rows=len(MANY), lost=Count(1, 1)), batch(MANY))
    assert digest(canonical(table)) == by_hand(table)


def test_a_digest_stays_what_it_was_when_its_interval_was_committed() -> None:
    # Written down when the form was fixed: whoever changes it makes every store look tampered with.
    table = stored_rows(receipt_of(1, rows=len(MANY), lost=Count(1, 1)), batch(MANY))
    assert digest(canonical(table)).hex() == "1c4f65170b050b8c83ccb6f205821010c6a2db7ee86ce8ee9da721ca55d6ce5c"


NAMES = ["", "a", "z", "é", "\uffee", "\U0001f600"]
ADDRESSES = ["0.0.0.0", "10.0.0.1", "10.0.1.0", "2001:db8::1", "2001:db8:0:1::", "ff02::1"]  # noqa: S104  # none is bound
SOME_ROW = st.builds(
    row,
    st.sampled_from(["host", "external", "other"]),
    host=st.none() | st.sampled_from(ADDRESSES),
    peer=st.none() | st.sampled_from(ADDRESSES),
    protocol=st.none() | st.integers(0, 255),
    host_port=st.none() | st.sampled_from([0, 80, 65535]),
    label=st.none() | st.sampled_from(NAMES),
    zone=st.none() | st.sampled_from([0, 65535]),
    mark=st.none() | st.sampled_from([0, 2**32 - 1]),
    sent=st.tuples(st.sampled_from([0, 1, 2**63, COUNT_MAX]), st.integers(0, 3)),
)


@given(st.lists(SOME_ROW, min_size=1, max_size=20), st.integers(0, 19), st.integers(0, 19))
def test_any_rows_are_digested_as_described(rows: list[Row], first: int, cut: int) -> None:
    # Part of a batch, part of a table: what stands before and behind in their buffers must not count.
    part = batch(rows).slice(first % len(rows))
    table = stored_rows(receipt_of(1), part)
    place = cut % table.num_rows
    pieces = pa.concat_tables([table.slice(place), table.slice(0, place)])
    assert digest(canonical(table)) == digest(canonical(pieces)) == by_hand(table)
    assert digest(canonical(table.slice(place))) == by_hand(table.slice(place))


def test_rows_that_are_alike_are_all_digested() -> None:
    alike = [row(account, sent=(1, 1)) for account in ("other", "host", "other", "host", "host")]
    table = stored_rows(receipt_of(1), batch(alike))
    assert canonical(table)["account"].to_pylist() == ["host", "host", "host", "other", "other"]
    assert digest(canonical(table)) == by_hand(table)


def test_the_digest_does_not_depend_on_order_pieces_or_dictionaries() -> None:
    expected = digest(canonical(stored_rows(receipt_of(1), batch(MANY))))
    turned = stored_rows(receipt_of(1), batch(MANY[::-1]))
    pieces = pa.concat_tables([turned.slice(0, 100), turned.slice(100)])
    assert digest(canonical(turned)) == digest(canonical(pieces)) == expected
    assert digest(canonical(as_stored(canonical(turned)))) == expected


@pytest.mark.parametrize("name", STORED_COLUMNS)
def test_the_digest_depends_on_every_column(name: str) -> None:
    table = canonical(stored_rows(receipt_of(1), batch(HOSTS)))
    column = table[name].to_pylist()
    kind = table.schema.field(name).type
    changed = pa.scalar("x" if name in TEXTS else b"x" * 16 if name in ("host", "peer") else 77, kind).as_py()
    column[1] = changed
    other = table.set_column(table.column_names.index(name), name, pa.array(column, kind))
    assert digest(canonical(other)) != digest(table)


def test_null_is_neither_zero_nor_empty() -> None:
    rows = [row("host"), row("host", protocol=0), row("host", label=""), row("host", host="::")]
    assert len({digest(canonical(stored_rows(receipt_of(1), batch([one])))) for one in rows}) == len(rows)


def test_each_link_depends_on_all_that_comes_before() -> None:
    first, receipt, proof = bytes(32), '{"a":1}', bytes(range(32))
    expected = hashlib.sha256(first + receipt.encode() + proof).digest()
    assert chain(first, receipt, proof) == expected
    assert len({expected, chain(expected, receipt, proof), chain(first, '{"a":2}', proof)}) == 3


def test_a_store_that_is_moved_away_gets_all_of_an_interval_or_nothing(tmp_path: Path) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    with opened(store) as ledger:
        add(ledger, 1)
        store.rename(elsewhere)
        with pytest.raises(LedgerError, match="moved away or replaced"):
            add(ledger, 2)
        assert not store.exists()
        with opened(store), pytest.raises(LedgerError, match="moved away or replaced"):
            add(ledger, 2)
        assert intervals(store) == []
        store.rename(tmp_path / "another")
        elsewhere.rename(store)
        add(ledger, 2)
    assert intervals(store) == [("lan", 1), ("lan", 2)]
