"""Zone and mark came later: rows with them and rows of before lie beside each other, and nothing old has changed."""

import hashlib
import io
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from pyarrow import parquet

from netledger.errors import UsageError
from netledger.ledger import Committed
from netledger.ledger.intervals import interval_of, rows_of
from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader, read_parquet
from netledger.ledger.verify import verify
from netledger.receipt import parse_rfc3339
from netledger.reports.written import Prefixes, write_csv
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.released import answers, answers_of, unpacked
from tests.unit.rows import Row, row
from tests.unit.store import HOSTS, add, opened

FLOWS: list[Row] = [
    row("host", host="10.0.0.1", zone=0, mark=0, received=(600, 6)),
    row("host", host="10.0.0.1", zone=3, mark=0x10, sent=(500, 5)),
    row("host", host="10.0.0.2", zone=65_535, mark=2**32 - 1, sent=(500, 5), received=(300, 3)),
    row("external", received=(100, 1)),
]
BEFORE: list[Row] = [row("host", host="10.0.0.1", sent=(40, 1), received=(40, 1))]
LATER = ("zone", "mark")


def named(path: Path | None) -> list[str]:
    assert path is not None
    return list(parquet.read_schema(path).names)


def test_a_file_has_the_later_columns_where_a_row_has_a_value_in_them(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        old, new = add(ledger, 1), add(ledger, 2, FLOWS)
        one = add(ledger, 3, [row("host", host="10.0.0.1", zone=0, sent=(1000, 10), received=(1000, 10))])
    assert isinstance(old, Committed)
    assert isinstance(new, Committed)
    assert isinstance(one, Committed)
    assert not {*LATER} & {*named(old.path)}
    assert [name for name in named(new.path) if name not in named(old.path)] == [*LATER]
    assert named(one.path) == named(new.path)


def test_rows_come_back_with_and_without_them(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        add(ledger, 2, FLOWS)
        wanted = [interval_of(ledger.connection, tmp_path, node="gw1", meter="lan", seq=seq) for seq in (1, 2)]
        found = [rows_of(ledger.connection, tmp_path, one) for one in wanted]
    assert found[0].schema.names == found[1].schema.names
    assert [found[0]["zone"].null_count, found[0]["mark"].null_count] == [len(HOSTS)] * 2
    assert sorted((line["zone"], line["mark"]) for line in found[1].to_pylist() if line["zone"] is not None) == [
        (0, 0), (3, 16), (65_535, 2**32 - 1),
    ]  # fmt: skip


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_report_adds_up_old_rows_and_new_ones(tmp_path: Path, is_compacted: bool) -> None:
    book(tmp_path, [Booked("2026-11-20T10:00:00Z", BEFORE), Booked("2026-11-20T11:00:00Z", FLOWS)])
    if is_compacted:
        with opened(tmp_path, clock=TestClock(parse_rfc3339("2026-11-23T00:00:00Z"))) as ledger:
            assert maintain(ledger).days_compacted == ("2026-11-20",)
        assert [named(path)[-6:-4] for path in Reader(tmp_path).snapshot().files] == [[*LATER]]
    assert verify(Reader(tmp_path)) == []
    columns = ask(tmp_path, by=["zone", "mark"], where=["account=host"]).totals.columns
    got = dict(zip(zip(columns["zone"], columns["mark"], strict=True), columns["sent_bytes"], strict=True))
    assert got == {(None, None): 40, (0, 0): 0, (3, 16): 500, (65_535, 2**32 - 1): 500}
    assert ask(tmp_path, by=["host"], where=["host=10.0.0.1"]).totals.total["received_bytes"] == 640


@pytest.mark.parametrize(
    ("where", "sent"),
    [
        (["zone=3"], 500),
        (["zone = 3"], 500),
        (["zone=3,65535"], 1000),
        (["zone!=3"], 500),
        (["mark=0x10"], 500),
        (["mark=16"], 500),
        (["mark=0xFFFFFFFF", "zone=65535"], 500),
        (["mark!=0x10,4294967295"], 0),
    ],
)
def test_a_condition_takes_the_rows_that_have_it(tmp_path: Path, where: list[str], sent: int) -> None:
    book(tmp_path, [Booked("2026-11-20T10:00:00Z", BEFORE), Booked("2026-11-20T11:00:00Z", FLOWS)])
    assert ask(tmp_path, by=[], where=where).totals.total["sent_bytes"] == sent


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("zone=65536", "65536 is no zone; write it as 3, up to 65535"),
        ("zone=eth0", "eth0 is no zone"),
        ("mark=0x100000000", "0x100000000 is no mark; write it as 16 or 0x10, up to 0xffffffff"),
        ("mark=4294967296", "is no mark"),
        ("mark=-1", "is no mark"),
        ("mark=010x", "is no mark"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(tmp_path: Path, where: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(tmp_path, where=[where])
    assert said in f"{caught.value.cause}; {caught.value.hint}"


def test_csv_has_them_as_numbers(tmp_path: Path) -> None:
    book(tmp_path, [Booked("2026-11-20T11:00:00Z", FLOWS)])
    write_csv(ask(tmp_path, by=["zone", "mark"], where=["zone=65535"]), Prefixes(), text := io.StringIO())
    assert text.getvalue().splitlines()[1] == "65535,4294967295,500,5,300,3"


def test_other_programs_read_old_and_new_files_together(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add(ledger, 1)
        only_old = read_parquet(Reader(tmp_path).snapshot().files)
        add(ledger, 2, FLOWS)
    assert "union_by_name" not in only_old
    mixed = read_parquet(Reader(tmp_path).snapshot().files)
    with duckdb.connect(":memory:") as connection:
        asked = f"SELECT zone, count(*) FROM {mixed} GROUP BY zone ORDER BY zone"  # noqa: S608  # our own words
        zones = connection.execute(asked).fetchall()
    assert zones == [(0, 1), (3, 1), (65_535, 1), (None, 4)]


def test_a_zone_that_was_taken_away_or_changed_is_found(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        done = add(ledger, 1, FLOWS)
    assert isinstance(done, Committed)
    assert done.path is not None
    changed = parquet.read_table(done.path)
    place = changed.column_names.index("zone")
    zones = [None if zone == 3 else zone for zone in changed["zone"].to_pylist()]
    parquet.write_table(changed.set_column(place, "zone", pa.array(zones, pa.uint16())), done.path)
    with opened(tmp_path) as ledger:
        state = (done.path.stat().st_size, hashlib.sha256(done.path.read_bytes()).digest())
        ledger.connection.execute("UPDATE files SET octets = ?, sha256 = ?", state)
    (problem,) = verify(Reader(tmp_path))
    assert problem.why == "its rows are not those that were committed"


def test_a_store_of_the_first_version_takes_flows_and_says_the_same_of_all_before(tmp_path: Path) -> None:
    store = unpacked(1, tmp_path)
    flows = Booked("2026-11-20T23:30:00Z", FLOWS, meter="flows")
    with opened(store):
        before = answers(store)
    assert before == answers_of(1)
    book(store, [flows])
    with opened(store, clock=TestClock(parse_rfc3339("2026-11-23T00:00:00Z"))) as ledger:
        assert "2026-11-20" in maintain(ledger).days_compacted
    after = answers(store)
    assert after["problems"] == []
    proofs = [(one[:3], one[6]) for one in after["intervals"] if one[1] != "flows"]  # type: ignore[attr-defined]  # lists out of JSON
    assert proofs == [(one[:3], one[6]) for one in before["intervals"]]  # type: ignore[attr-defined]  # as above
