"""Intervals of named counters in the ledger: beside traffic, in none of its sums, and guarded like it."""

import hashlib
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from netledger.ledger import Known
from netledger.ledger.last_named import last_totals
from netledger.ledger.maintain import maintain
from netledger.ledger.named import named_schema
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.receipt import Count
from netledger.schema import NAMED_BATCH_COLUMNS, Table
from tests.unit.memory_source import TestClock
from tests.unit.named import LATER_NS, add_named, mixed, named_rows
from tests.unit.store import add, filled, opened
from tests.unit.tampering import sql
from tests.unit.test_cli_main import netledger

ALL = ("--period", "2020..2030")
THEN = ("--period", "2025-11-20T10:05Z..2025-11-20T10:20Z")


def printed(*words: str | Path) -> str:
    done = netledger(*words)
    assert done.returncode in {0, 3}, done.stderr
    return done.stdout


def counted(store: Path, *options: str) -> list[dict[str, object]]:
    rows = json.loads(printed("report", "--counters", "--json", *ALL, "--store", store, *options))["rows"]
    assert isinstance(rows, list)
    return rows


def test_the_source_gives_the_columns_of_the_schema() -> None:
    built = named_rows().schema
    assert [(field.name, str(field.type)) for field in built] == [(one.name, one.arrow) for one in NAMED_BATCH_COLUMNS]


def test_reports_and_balances_of_traffic_know_nothing_of_named_counters(tmp_path: Path) -> None:
    with opened(tmp_path / "alone") as ledger:
        for seq in (1, 2, 3):
            add(ledger, seq)
    mixed(tmp_path / "mixed")
    for words in (("report", "--json", *THEN), ("report", "--csv", *THEN, "--by", "meter,host")):
        assert printed(*words, "--store", tmp_path / "mixed") == printed(*words, "--store", tmp_path / "alone")
    told = json.loads(printed("audit", "--json", "--store", tmp_path / "mixed"))
    assert told["balance"] == json.loads(printed("audit", "--json", "--store", tmp_path / "alone"))["balance"]
    assert [one["meter"] for one in told["intervals"]] == ["lan"] * 3 + ["rules"] * 3
    assert [one.get("table") for one in told["intervals"]] == [None] * 3 + ["counters"] * 3
    text = printed("audit", "--store", tmp_path / "mixed")
    assert "intervals   3: 3 exact" in text
    assert "counters    3 intervals of named counters beside them, see their meters" in text


def test_a_report_of_counters_has_each_by_name(tmp_path: Path) -> None:
    mixed(tmp_path)
    web = {"name": "web", "kind": "nfacct", "packets": 30, "bytes": 3_000}
    odd = {"name": 'a "b", c', "kind": "nfacct", "packets": 21, "bytes": 2_100}
    idle = {"name": "inet filter web", "kind": "nft", "packets": 0, "bytes": 0}
    assert counted(tmp_path) == [web, odd, idle]
    assert counted(tmp_path, "--sort", "name") == [odd, idle, web]
    assert counted(tmp_path, "--top", "1") == [web]
    assert counted(tmp_path, "--where", "name=w*", "--where", "kind!=nft") == [web]
    assert counted(tmp_path, "--where", "name!=*w?b") == [odd]
    assert counted(tmp_path, "--by", "kind") == [
        {"kind": "nfacct", "packets": 51, "bytes": 5_100},
        {"kind": "nft", "packets": 0, "bytes": 0},
    ]
    assert counted(tmp_path, "--where", "meter=lan") == []
    lines = printed("report", "--counters", "--csv", *ALL, "--store", tmp_path).splitlines()
    assert lines[:3] == ["name,kind,packets,bytes", "web,nfacct,30,3000", '"a ""b"", c",nfacct,21,2100']
    table = printed("report", "--counters", *ALL, "--store", tmp_path)
    assert "balance: 3 intervals, all exact; kernel 51 packets, 5,100 bytes = accounted" in table
    assert "total" not in table
    printed("report", "--counters", "--parquet", tmp_path / "x.parquet", *ALL, "--store", tmp_path)
    assert parquet.read_table(tmp_path / "x.parquet").to_pylist() == [web, odd, idle]


def test_two_meters_are_told_apart(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add_named(ledger, 1)
        add_named(ledger, 1, meter="others")
    found = counted(tmp_path)
    assert [(one["meter"], one["name"]) for one in found[:2]] == [("others", "web"), ("rules", "web")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--where", "host=10.0.0.1"], "named counters have no such thing"),
        (["--by", "host"], "no such column"),
        (["--sort", "host"], "not among the columns"),
        (["--per", "day"], "cannot go with --per, --direction, --names, --subject or --as-known-at"),
        (["--names"], "cannot go with --per, --direction, --names, --subject or --as-known-at"),
    ],
)
def test_what_counters_do_not_have_is_refused(tmp_path: Path, options: list[str], said: str) -> None:
    done = netledger("report", "--counters", *options, "--store", mixed(tmp_path))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_an_interrupted_interval_makes_a_report_doubtful(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add_named(ledger, 1, interrupted="1 counter was set back")
    done = netledger("report", "--counters", *ALL, "--store", tmp_path)
    assert done.returncode == 3
    assert "interrupted: rules on gw1" in done.stdout
    assert "1 counter was set back" in done.stdout


def test_what_was_committed_is_known_when_it_comes_again(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add_named(ledger, 1)
        assert isinstance(add_named(ledger, 1), Known)
    assert len(Reader(tmp_path).snapshot().counters) == 1
    assert Reader(tmp_path).snapshot().intervals == ()


def test_rows_are_verified_and_a_changed_one_is_named(tmp_path: Path) -> None:
    mixed(tmp_path)
    assert verify(Reader(tmp_path)) == []
    (path, *_) = Reader(tmp_path).snapshot().counter_files
    rows = parquet.read_table(path)
    changed = rows.set_column(rows.schema.get_field_index("packets"), "packets", rows["total_packets"])
    parquet.write_table(changed, path)
    found = {problem.what: problem.why for problem in verify(Reader(tmp_path))}
    assert found["gw1 rules 1"].startswith("its rows are gone (damaged: data/counters/")
    assert not any(" lan " in what for what in found)
    size, content = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    disguised = f"UPDATE files SET sha256 = X'{content}', octets = {size} WHERE tab = 'counters' AND id = 2"  # noqa: S608  # our own words
    sql(disguised)(tmp_path)
    found = {problem.what: problem.why for problem in verify(Reader(tmp_path))}
    assert found == {"gw1 rules 1": "its rows are not those that were committed"}


def test_a_closed_day_becomes_one_file_and_says_the_same(tmp_path: Path) -> None:
    mixed(tmp_path)
    before, chain = counted(tmp_path), printed("audit", "--verify", "--store", tmp_path)
    with opened(tmp_path, clock=TestClock(LATER_NS)) as ledger:
        assert maintain(ledger).days_compacted
    (path,) = Reader(tmp_path).snapshot().counter_files
    assert parquet.read_schema(path).names == named_schema().names
    names = parquet.read_table(path, columns=["name"])["name"].to_pylist()
    assert names == sorted(names, key=lambda name: (name == "inet filter web", name))
    assert counted(tmp_path) == before
    assert printed("audit", "--verify", "--store", tmp_path) == chain


def test_old_days_lose_their_rows_and_keep_their_receipts(tmp_path: Path) -> None:
    mixed(tmp_path)
    with opened(tmp_path, clock=TestClock(LATER_NS)) as ledger:
        kept = maintain(ledger, keep_days=1)
    assert (kept.days_dropped, kept.counter_days_dropped) == (("2025-11-20",), ("2025-11-20",))
    assert verify(Reader(tmp_path)) == []
    snapshot = Reader(tmp_path).snapshot()
    assert (len(snapshot.counters), snapshot.counter_files) == (3, ())
    done = netledger("report", "--counters", *ALL, "--json", "--store", tmp_path)
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert (told["rows"], told["balance"]["intervals"]) == ([], 3)
    assert any("rows of 1 UTC day were removed" in one for one in told["doubts"])


def test_the_newest_interval_tells_where_each_object_stands(tmp_path: Path) -> None:
    assert last_totals(tmp_path, node="gw1", meter="rules") == {}
    mixed(tmp_path)
    assert last_totals(tmp_path, node="gw1", meter="rules") == {"web": Count(30, 3_000), 'a "b", c': Count(7, 700)}
    assert last_totals(tmp_path, node="gw1", meter="lan") == {}
    assert last_totals(tmp_path, node="gw2", meter="rules") == {}
    with opened(tmp_path, clock=TestClock(LATER_NS)) as ledger:
        maintain(ledger, keep_days=1)
    assert last_totals(tmp_path, node="gw1", meter="rules") == {}


def test_files_are_those_of_traffic(tmp_path: Path) -> None:
    mixed(tmp_path)
    assert "counters" not in printed("files", "--store", tmp_path)


def test_an_interval_of_which_nothing_is_known_has_no_rows(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        add_named(ledger, 1, {}, interrupted="the machine was restarted")
    assert verify(Reader(tmp_path)) == []
    assert counted(tmp_path) == []


def test_a_receipt_of_traffic_says_no_more_than_before(tmp_path: Path) -> None:
    (one, *_) = Reader(filled(tmp_path, 1)).snapshot().intervals
    assert "table" not in json.loads(one.receipt)
    assert one.table is Table.TRAFFIC
