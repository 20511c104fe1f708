"""The columns, and that the native core builds the same ones."""

from pathlib import Path

import pyarrow as pa

from netledger import schema
from netledger._core import KeySpec, PcapReader
from tests.unit.memory_source import EMPTY_CAPTURE


def test_the_native_core_builds_these_columns(tmp_path: Path) -> None:
    capture = tmp_path / "empty.pcap"
    capture.write_bytes(EMPTY_CAPTURE)
    reader = PcapReader(str(capture), key=KeySpec(columns=schema.KEY_COLUMNS[:1]), rows_max=10)
    while reader.read(1 << 20):
        pass
    built = pa.record_batch(reader.batch()).schema
    assert [(field.name, str(field.type)) for field in built] == [(c.name, c.arrow) for c in schema.BATCH_COLUMNS]
    assert {field.name for field in built if field.nullable} == set(schema.KEY_COLUMNS)


def test_a_row_has_the_columns_of_its_interval_first() -> None:
    interval = ["interval_start", "interval_end", "node", "meter"]
    keys = ["host", "peer", "protocol", "host_port", "peer_port", "interface", "label", "zone", "mark"]
    counters = ["sent_bytes", "sent_packets", "received_bytes", "received_packets"]
    assert [column.name for column in schema.ROW_COLUMNS] == [*interval, "account", *keys, *counters]


def test_each_column_says_what_it_means() -> None:
    assert all(column.meaning.endswith(".") for column in schema.ROW_COLUMNS)
    assert len({column.name for column in schema.ROW_COLUMNS}) == len(schema.ROW_COLUMNS)


def test_counters_are_the_last_columns() -> None:
    assert tuple(column.name for column in schema.BATCH_COLUMNS[-4:]) == schema.COUNTER_COLUMNS
