"""Files of an interval: what is in them, and that they are whole or not there."""

import csv
import errno
import json
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pytest

from netledger.durable import no_step
from netledger.errors import ExportError
from netledger.exports.csv import sums
from netledger.exports.directory import CsvFiles, JsonLines, Newest, file_name
from netledger.exports.files import write_atomically
from netledger.exports.format import Claim, Format
from netledger.exports.jsonl import receipt_of
from netledger.ledger.digest import canonical
from netledger.ledger.rows import stored_rows
from netledger.receipt import COUNT_MAX, Count, Receipt
from netledger.schema import COUNTER_COLUMNS, ROW_COLUMNS
from tests.unit.rows import RECEIPT, SECOND_NS, Row, batch, row

HOSTS = [
    row("external", received=(1, 1)),
    row("host", host="192.168.0.7", peer="10.0.0.1", protocol=6, sent=(5, 1), received=(7, 2)),
    row(
        "host",
        host="2001:db8::1",
        host_port=443,
        interface="eth0",
        label='a, "b"\n',
        zone=3,
        mark=16,
        sent=(COUNT_MAX, COUNT_MAX),
    ),
]


@dataclass(frozen=True)
class Committed:
    """An interval as the ledger gives it."""

    made: Receipt
    rows: pa.RecordBatch

    node = property(lambda self: self.made.node)
    meter = property(lambda self: self.made.meter)
    seq = property(lambda self: self.made.seq)
    start_ns = property(lambda self: self.made.start_ns)
    end_ns = property(lambda self: self.made.end_ns)
    receipt = property(lambda self: self.made.to_line().rstrip("\n"))

    def export(self, by: Format) -> None:
        by.write(self, self.rows, Claim(None, lambda _name: None), no_step)


def committed(rows: list[Row], receipt: Receipt = RECEIPT) -> Committed:
    table = canonical(stored_rows(receipt, batch(rows)))
    batches = table.to_batches()
    return Committed(receipt, batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema))


def exported(directory: Path) -> tuple[list[dict[str, str]], dict[str, object]]:
    (table,) = directory.glob("*.csv")
    (receipt,) = directory.glob("*.receipt.json")
    with table.open(newline="") as file:
        return list(csv.DictReader(file)), json.loads(receipt.read_text())


def lines_of(directory: Path) -> tuple[list[dict[str, object]], dict[str, object]]:
    (file,) = directory.glob("*.jsonl")
    *rows, last = file.read_text().splitlines()
    receipt = receipt_of(last)
    assert receipt is not None
    return [json.loads(line) for line in rows], receipt


def test_rows_become_lines_with_addresses_as_text(tmp_path: Path) -> None:
    exports = CsvFiles(tmp_path)
    committed(HOSTS).export(exports)
    rows, receipt = exported(exports.of("lan"))
    assert list(rows[0]) == [column.name for column in ROW_COLUMNS]
    assert [list(line.values())[4:] for line in rows] == [
        ["external", *[""] * 9, "0", "0", "1", "1"],
        ["host", "192.168.0.7", "10.0.0.1", "6", *[""] * 6, "5", "1", "7", "2"],
        ["host", "2001:db8::1", "", "", "443", "", "eth0", 'a, "b"\n', "3", "16", *[str(COUNT_MAX)] * 2, "0", "0"],
    ]
    assert list(rows[0].values())[:4] == ["2025-11-20T10:00:00Z", "2025-11-20T10:05:00Z", "gw1", "lan"]
    assert receipt == json.loads(RECEIPT.to_line())


def test_what_is_lost_is_the_last_line(tmp_path: Path) -> None:
    exports = CsvFiles(tmp_path)
    observed = replace(RECEIPT.observed, kernel=Count(20, 2000), accounted=Count(15, 1500))
    committed(HOSTS, replace(RECEIPT, observed=observed)).export(exports)
    rows, _ = exported(exports.of("lan"))
    assert len(rows) == 4
    assert list(rows[-1].values())[4:] == ["unattributed", *[""] * 9, "500", "5", "500", "5"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_many_rows_are_all_there(tmp_path: Path, form: str) -> None:
    many = 70_000  # more than are made into text at a time
    hosts = [row("host", host=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", sent=(n, 1)) for n in range(many)]
    exports = CsvFiles(tmp_path) if form == "csv" else JsonLines(tmp_path)
    committed(hosts).export(exports)
    rows, _ = exported(exports.of("lan")) if form == "csv" else lines_of(exports.of("lan"))
    assert [(line["host"], int(str(line["sent_bytes"]))) for line in rows] == [
        (h["host_text"], n) for n, h in enumerate(hosts)
    ]


def test_a_line_of_json_has_every_column_and_stands_for_itself(tmp_path: Path) -> None:
    exports = JsonLines(tmp_path)
    committed(HOSTS).export(exports)
    rows, receipt = lines_of(exports.of("lan"))
    assert [list(line) for line in rows] == [
        ["type", *[column.name for column in ROW_COLUMNS[:4]], "seq", *[column.name for column in ROW_COLUMNS[4:]]]
    ] * len(HOSTS)
    by_host = {line["host"]: line for line in rows}
    assert by_host["2001:db8::1"] == {
        "type": "traffic",
        "interval_start": "2025-11-20T10:00:00Z",
        "interval_end": "2025-11-20T10:05:00Z",
        "node": "gw1",
        "meter": "lan",
        "seq": 12,
        "account": "host",
        "host": "2001:db8::1",
        "peer": None,
        "protocol": None,
        "host_port": 443,
        "peer_port": None,
        "interface": "eth0",
        "label": 'a, "b"\n',
        "zone": 3,
        "mark": 16,
        "sent_bytes": COUNT_MAX,
        "sent_packets": COUNT_MAX,
        "received_bytes": 0,
        "received_packets": 0,
    }
    assert receipt == {"type": "receipt", **json.loads(RECEIPT.to_line())}


def test_the_sums_of_the_lines_are_those_of_the_receipt(tmp_path: Path) -> None:
    exports = JsonLines(tmp_path)
    hosts = [
        row("host", host="10.0.0.1", sent=(600, 6), received=(150, 1)),
        row("host", host="fd00::1", sent=(300, 3), received=(850, 9)),
        row("other", sent=(100, 1)),
    ]
    observed = replace(RECEIPT.observed, kernel=Count(12, 1300))
    committed(hosts, replace(RECEIPT, observed=observed)).export(exports)
    rows, receipt = lines_of(exports.of("lan"))
    totals = {name: sum(int(str(line[name])) for line in rows) for name in COUNTER_COLUMNS}
    assert totals["sent_bytes"] == totals["received_bytes"] == receipt["kernel_bytes"] == 1300
    assert totals["sent_packets"] == totals["received_packets"] == receipt["kernel_packets"] == 12


def test_an_interval_without_rows_is_its_receipt(tmp_path: Path) -> None:
    nothing = replace(RECEIPT, observed=replace(RECEIPT.observed, rows=0, kernel=Count(0, 0), accounted=Count(0, 0)))
    committed([], nothing).export(JsonLines(tmp_path))
    committed([], nothing).export(CsvFiles(tmp_path))
    rows, receipt = lines_of(tmp_path / "lan")
    assert (rows, receipt["rows"]) == ([], 0)
    assert exported(tmp_path / "lan")[0] == []


def test_a_line_that_is_no_receipt_is_none() -> None:
    assert receipt_of('{"type":"traffic","node":"gw1"}') is None


def test_the_files_are_named_after_the_interval() -> None:
    assert file_name(RECEIPT) == "20251120T100000Z_20251120T100500Z-00000012"
    late = replace(RECEIPT, end_ns=RECEIPT.end_ns + SECOND_NS // 2, seq=123_456_789)
    assert file_name(late) == "20251120T100000Z_20251120T100500Z-123456789"


def test_files_and_directories_are_not_for_everybody(tmp_path: Path) -> None:
    exports = CsvFiles(tmp_path / "new" / "store")
    before = os.umask(0)
    try:
        committed(HOSTS).export(exports)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in exports.of("lan").iterdir()} == {0o640}
    for directory in (tmp_path / "new", tmp_path / "new" / "store", exports.of("lan")):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o750


@pytest.mark.parametrize("form", [CsvFiles, JsonLines])
def test_what_is_there_is_never_written_to_again(tmp_path: Path, form: type[CsvFiles] | type[JsonLines]) -> None:
    exports = form(tmp_path)
    committed(HOSTS).export(exports)
    before = {path.name: path.stat().st_ino for path in exports.of("lan").iterdir()}
    committed(HOSTS).export(exports)
    assert {path.name: path.stat().st_ino for path in exports.of("lan").iterdir()} == before


@pytest.mark.parametrize("form", [CsvFiles, JsonLines])
def test_a_name_that_belongs_to_another_node_is_left_alone(
    tmp_path: Path, form: type[CsvFiles] | type[JsonLines]
) -> None:
    exports = form(tmp_path)
    committed(HOSTS).export(exports)
    before = {path.name: path.read_bytes() for path in exports.of("lan").iterdir()}
    with pytest.raises(ExportError, match="another interval has this name"):
        committed(HOSTS, replace(RECEIPT, node="gw2")).export(exports)
    assert {path.name: path.read_bytes() for path in exports.of("lan").iterdir()} == before


def test_rows_without_a_receipt_are_replaced(tmp_path: Path) -> None:
    exports = CsvFiles(tmp_path)
    exports.of("lan").mkdir()
    (exports.of("lan") / f"{file_name(RECEIPT)}.csv").write_text("half")
    committed(HOSTS).export(exports)
    assert len(exported(exports.of("lan"))[0]) == len(HOSTS)


def test_the_end_of_the_newest_interval_is_known_by_its_number(tmp_path: Path) -> None:
    exports = CsvFiles(tmp_path)
    assert exports.newest("lan", node="gw1") is None
    assert exports.newest_seq("lan") == 0
    committed(HOSTS, replace(RECEIPT, end_ns=RECEIPT.end_ns + 7)).export(exports)
    committed(HOSTS, replace(RECEIPT, seq=11, end_ns=RECEIPT.end_ns + 900 * SECOND_NS)).export(exports)
    committed(HOSTS, replace(RECEIPT, node="gw2", seq=13)).export(exports)
    assert exports.newest("lan", node="gw1") == Newest(12, RECEIPT.end_ns + 7)
    assert exports.newest("lan", node="gw2") == Newest(13, RECEIPT.end_ns)
    assert exports.newest_seq("lan") == 13


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"interval_end": 3}', '{"interval_end": "yesterday"}', "\xff"])
def test_a_receipt_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = CsvFiles(tmp_path).of("lan") / f"{file_name(RECEIPT)}.receipt.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ExportError, match=r"receipt.json: read: not a receipt"):
        CsvFiles(tmp_path).newest("lan", node="gw1")


def test_sums_are_exact_beyond_64_bits_of_a_wrapping_sum() -> None:
    assert sums(batch(HOSTS[1:2])) == (Count(1, 5), Count(2, 7))
    assert sums(batch([])) == (Count(0, 0), Count(0, 0))
    with pytest.raises(OverflowError):
        sums(batch(HOSTS))
    assert sums(batch(HOSTS[:2]).slice(1, 1)) == (Count(1, 5), Count(2, 7))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(_file: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ExportError) as caught:
        write_atomically(path, fail)
    assert str(caught.value) == f"{path}: write: no space left on device"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("form", [CsvFiles, JsonLines])
def test_a_directory_that_cannot_be_made_is_an_error_of_the_export(
    tmp_path: Path, form: type[CsvFiles] | type[JsonLines]
) -> None:
    (tmp_path / "exports").write_text("in the way")
    with pytest.raises(ExportError, match="not a directory"):
        committed(HOSTS).export(form(tmp_path / "exports"))
    with pytest.raises(ExportError, match="not a directory"):
        form(tmp_path / "exports").remove_leftovers()


def test_leftovers_of_all_meters_are_removed(tmp_path: Path) -> None:
    assert CsvFiles(tmp_path / "none").remove_leftovers() == []
    for meter in ("lan", "wan"):
        (tmp_path / meter).mkdir()
        (tmp_path / meter / ".x.csv.tmp").touch()
        (tmp_path / meter / "x.csv").touch()
    assert len(JsonLines(tmp_path).remove_leftovers()) == 2
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["x.csv", "x.csv"]
