"""A traffic row as the store has it: the columns of the schema, and ``seq`` beside them.

Times are UTC nanoseconds since 1970 as 64-bit integers, addresses 16 bytes with IPv4 in its v4-mapped form, names
dictionaries. ``seq`` makes each row tell to which interval it belongs, in compacted files too.
"""

from typing import TYPE_CHECKING, Final, Protocol

from netledger.receipt import ZERO, Receipt
from netledger.schema import BATCH_COLUMNS, COUNTER_COLUMNS, INTERVAL_COLUMNS, Account

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from pyarrow import parquet

STORED_COLUMNS: Final = (
    *(column.name for column in INTERVAL_COLUMNS),
    "seq",
    *(column.name for column in BATCH_COLUMNS),
)
"""In the order in which they lie in a file, and in which rows are ordered and digested."""

_ADDRESSES: Final = ("host", "peer")
_ADDRESS_BYTES: Final = 16
# Small enough that a question about some addresses skips most of a compacted file, large enough to compress well.
ROW_GROUP_ROWS: Final = 131_072
_COMPRESSION: Final = "zstd"


class ArrowRows(Protocol):
    """Rows of a closed generation, by Arrow's PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The schema and the array as capsules."""


def stored_schema() -> "pa.Schema":
    """The Arrow types of :data:`STORED_COLUMNS`."""
    import pyarrow as pa

    name = pa.dictionary(pa.int32(), pa.string())
    kinds = {
        "interval_start": pa.int64(),
        "interval_end": pa.int64(),
        "node": name,
        "meter": name,
        "seq": pa.uint64(),
        "account": name,
        "host": pa.binary(_ADDRESS_BYTES),
        "peer": pa.binary(_ADDRESS_BYTES),
        "protocol": pa.uint8(),
        "host_port": pa.uint16(),
        "peer_port": pa.uint16(),
        "interface": name,
        "label": name,
    }
    # What is not named above is a counter, and never null; nor is what every row has.
    always = {"interval_start", "interval_end", "node", "meter", "seq", "account"}
    return pa.schema(
        [
            pa.field(column, kinds.get(column, pa.uint64()), nullable=column in kinds and column not in always)
            for column in STORED_COLUMNS
        ]
    )


def stored_rows(receipt: Receipt, rows: ArrowRows) -> "pa.Table":
    """The rows of an interval as they are stored, the one for *unattributed* included; in the order they come.

    Raises:
        KeyError: a column is missing.
    """
    import pyarrow as pa

    schema = stored_schema()
    batch = pa.record_batch(rows)
    interval = {
        "interval_start": receipt.start_ns,
        "interval_end": receipt.end_ns,
        "node": receipt.node,
        "meter": receipt.meter,
        "seq": receipt.seq,
    }
    lost = receipt.observed.unattributed
    missing = {
        "account": str(Account.UNATTRIBUTED),
        "sent_bytes": lost.bytes,
        "sent_packets": lost.packets,
        "received_bytes": lost.bytes,
        "received_packets": lost.packets,
    }
    columns = []
    for field in schema:
        if field.name in interval:
            value = pa.scalar(interval[field.name], _plain(field.type))
            column = pa.repeat(value, batch.num_rows + (lost != ZERO))
        else:
            parts = [batch.column(field.name).cast(_plain(field.type))]
            if lost != ZERO:
                parts.append(pa.array([missing.get(field.name)], _plain(field.type)))
            column = pa.concat_arrays(parts)
        columns.append(column.dictionary_encode() if pa.types.is_dictionary(field.type) else column)
    return pa.table(columns, schema=schema)


def as_stored(plain: "pa.Table") -> "pa.Table":
    """Rows with text as plain text, in the types of the store."""
    import pyarrow as pa

    schema = stored_schema()
    columns = []
    for field in schema:
        column = plain.column(field.name)
        if pa.types.is_dictionary(field.type):
            columns.append(column.dictionary_encode().cast(field.type))
        else:
            columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)


def parquet_writer(path: "Path") -> "parquet.ParquetWriter":
    """Writes a Parquet file of rows as they are stored; a context manager. Not durable by itself.

    Raises:
        OSError: the disk is full, broken or refuses.
    """
    from pyarrow import parquet

    delta = dict.fromkeys(COUNTER_COLUMNS, "DELTA_BINARY_PACKED") | dict.fromkeys(_ADDRESSES, "DELTA_BYTE_ARRAY")
    return parquet.ParquetWriter(
        path,
        stored_schema(),
        compression=_COMPRESSION,
        # Ordered addresses and counters hardly repeat: a dictionary makes them twice as large, and slower.
        use_dictionary=[name for name in STORED_COLUMNS if name not in delta],
        column_encoding=delta,
        write_page_index=True,
        write_page_checksum=True,
    )


def _plain(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind
