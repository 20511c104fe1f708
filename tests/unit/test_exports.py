"""Files of an interval: what is in them, and that they are whole or not there."""

import csv
import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from netledger.errors import ExportError
from netledger.exports.csv import sums
from netledger.exports.directory import ExportDirectory, Newest, file_name
from netledger.exports.files import write_atomically
from netledger.receipt import COUNT_MAX, Count
from netledger.schema import ROW_COLUMNS
from tests.unit.rows import RECEIPT, SECOND_NS, batch, row

HOSTS = [
    row("host", host="192.168.0.7", peer="10.0.0.1", protocol=6, sent=(5, 1), received=(7, 2)),
    row("host", host="2001:db8::1", host_port=443, interface="eth0", label='a, "b"\n', sent=(COUNT_MAX, COUNT_MAX)),
    row("external", received=(1, 1)),
]


def exported(directory: Path) -> tuple[list[dict[str, str]], dict[str, object]]:
    (table,) = directory.glob("*.csv")
    (receipt,) = directory.glob("*.receipt.json")
    with table.open(newline="") as file:
        return list(csv.DictReader(file)), json.loads(receipt.read_text())


def test_rows_become_lines_with_addresses_as_text(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path)
    exports.write(RECEIPT, batch(HOSTS))
    rows, receipt = exported(exports.of("lan"))
    assert list(rows[0]) == [column.name for column in ROW_COLUMNS]
    assert [list(line.values())[4:] for line in rows] == [
        ["host", "192.168.0.7", "10.0.0.1", "6", "", "", "", "", "5", "1", "7", "2"],
        ["host", "2001:db8::1", "", "", "443", "", "eth0", 'a, "b"\n', str(COUNT_MAX), str(COUNT_MAX), "0", "0"],
        ["external", "", "", "", "", "", "", "", "0", "0", "1", "1"],
    ]
    assert list(rows[0].values())[:4] == ["2025-11-20T10:00:00Z", "2025-11-20T10:05:00Z", "gw1", "lan"]
    assert receipt == json.loads(RECEIPT.to_line())


def test_what_is_lost_is_the_last_line(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path)
    observed = replace(RECEIPT.observed, kernel=Count(20, 2000), accounted=Count(15, 1500))
    exports.write(replace(RECEIPT, observed=observed), batch(HOSTS))
    rows, _ = exported(exports.of("lan"))
    assert len(rows) == 4
    assert list(rows[-1].values())[4:] == ["unattributed", *[""] * 7, "500", "5", "500", "5"]


def test_many_rows_are_all_there(tmp_path: Path) -> None:
    many = 70_000  # more than are made into text at a time
    hosts = [row("host", host=f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", sent=(n, 1)) for n in range(many)]
    exports = ExportDirectory(tmp_path)
    exports.write(RECEIPT, batch(hosts))
    rows, _ = exported(exports.of("lan"))
    assert [(line["host"], line["sent_bytes"]) for line in rows] == [
        (h["host_text"], str(n)) for n, h in enumerate(hosts)
    ]


def test_the_files_are_named_after_the_interval() -> None:
    assert file_name(RECEIPT) == "20251120T100000Z_20251120T100500Z-00000012"
    late = replace(RECEIPT, end_ns=RECEIPT.end_ns + SECOND_NS // 2, seq=123_456_789)
    assert file_name(late) == "20251120T100000Z_20251120T100500Z-123456789"


def test_files_and_directories_are_not_for_everybody(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path / "new" / "store")
    before = os.umask(0)
    try:
        exports.write(RECEIPT, batch(HOSTS))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in exports.of("lan").iterdir()} == {0o640}
    for directory in (tmp_path / "new", tmp_path / "new" / "store", exports.of("lan")):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o750


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path)
    assert not exports.has(meter="lan", seq=12, start_ns=RECEIPT.start_ns)
    exports.write(RECEIPT, batch(HOSTS))
    before = exported(exports.of("lan"))
    exports.write(RECEIPT, batch(HOSTS))
    assert exported(exports.of("lan")) == before
    assert exports.has(meter="lan", seq=12, start_ns=RECEIPT.start_ns)
    assert not exports.has(meter="lan", seq=12, start_ns=RECEIPT.start_ns + SECOND_NS)
    assert not exports.has(meter="lan", seq=2, start_ns=RECEIPT.start_ns)


def test_the_end_of_the_newest_interval_is_known_by_its_number(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path)
    assert exports.newest("lan", node="gw1") is None
    assert exports.newest_seq("lan") == 0
    exports.write(replace(RECEIPT, end_ns=RECEIPT.end_ns + 7), batch(HOSTS))
    exports.write(replace(RECEIPT, seq=11, end_ns=RECEIPT.end_ns + 900 * SECOND_NS), batch(HOSTS))
    exports.write(replace(RECEIPT, node="gw2", seq=13), batch(HOSTS))
    assert exports.newest("lan", node="gw1") == Newest(12, RECEIPT.end_ns + 7)
    assert exports.newest("lan", node="gw2") == Newest(13, RECEIPT.end_ns)
    assert exports.newest_seq("lan") == 13


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"interval_end": 3}', '{"interval_end": "yesterday"}', "\xff"])
def test_a_receipt_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    path = ExportDirectory(tmp_path).of("lan") / f"{file_name(RECEIPT)}.receipt.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ExportError, match=r"receipt.json: read: not a receipt"):
        ExportDirectory(tmp_path).newest("lan", node="gw1")


def test_sums_are_exact_beyond_64_bits_of_a_wrapping_sum() -> None:
    assert sums(batch(HOSTS[:1])) == (Count(1, 5), Count(2, 7))
    assert sums(batch([])) == (Count(0, 0), Count(0, 0))
    with pytest.raises(OverflowError):
        sums(batch(HOSTS))


def test_a_slice_of_a_batch_keeps_its_addresses(tmp_path: Path) -> None:
    exports = ExportDirectory(tmp_path)
    exports.write(RECEIPT, batch(HOSTS).slice(1, 2))
    rows, _ = exported(exports.of("lan"))
    assert [line["host"] for line in rows] == ["2001:db8::1", ""]


def test_names_are_found_in_a_slice_too(tmp_path: Path) -> None:
    names = ["eth0", None, "eth1", "eth0", None, "eth2", "eth1", "eth0", None, "eth0", "eth2"]
    rows = [row("host", interface=name, sent=(n, n)) if name else row("external") for n, name in enumerate(names)]
    exports = ExportDirectory(tmp_path)
    exports.write(RECEIPT, batch(rows).slice(3, 7))
    told, _ = exported(exports.of("lan"))
    assert [line["interface"] or None for line in told] == names[3:10]
    assert [line["account"] for line in told] == ["host" if name else "external" for name in names[3:10]]
    assert sums(batch(rows).slice(3, 7))[0] == Count(3 + 5 + 6 + 7 + 9, 3 + 5 + 6 + 7 + 9)


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


def test_a_directory_that_cannot_be_made_is_an_error_of_the_export(tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("in the way")
    with pytest.raises(ExportError, match="not a directory"):
        ExportDirectory(tmp_path).write(RECEIPT, batch(HOSTS))


def test_pyarrow_understands_the_test_rows() -> None:
    assert isinstance(batch(HOSTS), pa.RecordBatch)
