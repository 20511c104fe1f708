"""A table file that an older program left in the runtime directory is taken over, and its rows are those it counted.

``tests/unit/tables/layout_1.table.xz`` was written by the last core that knew no zone and no mark, on a little-endian
machine: 20 packets of three hosts (10.0.0.0/8 is local, prefixes of 24 bits), each to a peer of its own.
"""

import lzma
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from netledger._core import recover
from netledger.schema import BATCH_COLUMNS

KEPT = Path(__file__).parent / "tables" / "layout_1.table.xz"


@pytest.mark.skipif(sys.byteorder != "little", reason="a table file never leaves its machine, and has its byte order")
def test_the_rows_of_an_older_table_file_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "left.table"
    path.write_bytes(lzma.decompress(KEPT.read_bytes()))
    generation = recover(str(path))
    assert (generation.totals.received_packets, generation.totals.received_bytes) == (20, sum(range(60, 80)))
    rows = pa.record_batch(generation.batch({2: "eth2", 3: "eth3"}))
    assert rows.schema.names == [column.name for column in BATCH_COLUMNS]
    lines = rows.to_pylist()
    hosts = [line for line in lines if line["account"] == "host"]
    # One network of 24 bits each; all have the same ports and came in by the same interface.
    assert sorted((line["host"][-4:], line["sent_packets"]) for line in hosts) == [
        (bytes([10, 0, 0, 0]), 7),
        (bytes([10, 0, 1, 0]), 7),
        (bytes([10, 0, 2, 0]), 6),
    ]
    assert {(line["protocol"], line["host_port"], line["peer_port"], line["interface"]) for line in hosts} == {
        (17, 40_000, 53, "eth2")
    }
    assert {line["zone"] for line in lines} == {line["mark"] for line in lines} == {None}
    generation.release()
    assert not path.exists()
