"""Settings as a packet source takes them, and its rows as flows."""

from pathlib import Path

import pyarrow as pa
import pytest

from netledger.compat.nacctd.counting import NO_FLOW, Counted
from netledger.compat.nacctd.metering import config_of, rows_of_batch
from tests.unit.compat.nacctd.quiet import table_in

COUNTERS = {"sent_packets": pa.array([3, 4], pa.uint64()), "sent_bytes": pa.array([384, 400], pa.uint64())}
ADDRESS = pa.binary(16)


def batch(**columns: pa.Array) -> pa.RecordBatch:
    base = {
        "account": pa.array(["host", "other"]).dictionary_encode(),
        "host": pa.array([bytes(10) + b"\xff\xff\x0a\x09\x00\x01", None], ADDRESS),
        "peer": pa.array([bytes(10) + b"\xff\xff\x0a\x09\x00\x02", None], ADDRESS),
        "interface": pa.array(["eth0", None]).dictionary_encode(),
    }
    return pa.RecordBatch.from_pydict({**base, **columns, **COUNTERS})


def test_rows_are_flows_and_what_found_no_room_is_one() -> None:
    full = batch(
        protocol=pa.array([17, None], pa.uint8()),
        host_port=pa.array([4000, None], pa.uint16()),
        peer_port=pa.array([9000, None], pa.uint16()),
    )
    rows = rows_of_batch(full)
    assert rows == [Counted(17, 0x0A090001, 4000, 0x0A090002, 9000, "eth0", 3, 384), Counted(*NO_FLOW, 4, 400)]
    assert [row.has_no_flow for row in rows] == [False, True]


def test_columns_that_are_not_asked_for_are_nought() -> None:
    assert rows_of_batch(batch())[0] == Counted(0, 0x0A090001, 0, 0x0A090002, 0, "eth0", 3, 384)


def test_no_rows_are_no_flows() -> None:
    assert rows_of_batch(batch().slice(0, 0)) == []


@pytest.mark.parametrize(
    ("more", "columns"),
    [
        ("", ("host", "peer", "protocol", "host_port", "peer_port", "interface")),
        ("disable 3\ndisable 5\ndisable 9\n", ("host", "peer", "protocol", "host_port", "peer_port", "interface")),
        ("disable 4\ndisable 6\n", ("host", "peer", "protocol", "interface")),
        ("disable 2\n", ("host", "peer", "host_port", "peer_port", "interface")),
    ],
)
def test_only_the_fields_of_a_line_are_counted_by(tmp_path: Path, more: str, columns: tuple[str, ...]) -> None:
    assert config_of(table_in(tmp_path, more), tmp_path).key.columns == columns


def test_interfaces_are_meant_by_their_whole_name(tmp_path: Path) -> None:
    config = config_of(table_in(tmp_path, "iflimit eth0\niflimit p*\nnotdev lo\ndevice eth*1\n"), tmp_path)
    assert (config.interfaces, config.interfaces_excluded) == (("eth0", "p[*]"), ("lo",))
    assert (config.promiscuous, config.loopback, config.families) == (("eth*1",), True, (4,))
