"""The rows of a compacted day: all of them, in order, whatever they have in their columns."""

from pathlib import Path

import pyarrow as pa
import pytest

from netledger.ledger.ordering import in_order
from netledger.ledger.reader import Reader
from netledger.ledger.rows import STORED_COLUMNS, as_stored, stored_schema
from tests.unit.rows import Row, row
from tests.unit.store import HOSTS, add, opened

VARIED = [
    *HOSTS,
    row("other", sent=(70, 1)),
    row("unattributed", received=(3, 1)),
    row("host", host="10.0.0.1", label="é", sent=(1, 1)),
    row("host", host="10.0.0.1", label="", peer="10.9.9.9", peer_port=53, sent=(1, 1)),
    row("host", host="::", interface="eth1", host_port=0, sent=(2**64 - 1, 2**64 - 1)),
]


@pytest.mark.parametrize("rows", [HOSTS[:1], [row("external", sent=(1, 1))], VARIED], ids=["one", "no host", "varied"])
def test_rows_come_in_order_with_all_they_have(rows: list[Row], tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for seq in (2, 1, 3):
            for meter in ("wan", "lan"):
                add(ledger, seq, rows, meter=meter)
    reader = Reader(tmp_path)
    with reader.rows(reader.snapshot().files) as connection:
        found = pa.Table.from_batches(in_order(connection, 7))
        every_column = ", ".join(STORED_COLUMNS)
        order = "host, interval_start, node, meter, seq, account"
        asked = connection.sql(f"SELECT {every_column} FROM traffic ORDER BY {order}").to_arrow_table()  # noqa: S608  # our own words
    assert found.schema == stored_schema()
    keys = order.split(", ")
    assert found.select(keys).to_pylist() == as_stored(asked).select(keys).to_pylist()
    # Rows that are equal in these may stand either way round.
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, as_stored(asked).to_pylist()))
