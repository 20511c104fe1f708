"""A traffic row as the store has it: the columns of the schema, and ``seq`` beside them.

Times are UTC nanoseconds since 1970 as 64-bit integers, addresses 16 bytes with IPv4 in its v4-mapped form, names
dictionaries. ``seq`` makes each row tell to which interval it belongs, in compacted files too.

Columns that came later than the first files, :data:`LATER_COLUMNS`, are in a file only where one of its rows has a
value in them, and then its name says so. In memory they are always there.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final, Protocol

from netledger.durable import TEMPORARY
from netledger.receipt import ZERO, Receipt
from netledger.schema import (
    BATCH_COLUMNS,
    CONNECTION_COLUMNS,
    COUNTER_COLUMNS,
    INTERVAL_COLUMNS,
    NAMED_COUNTER_COLUMNS,
    Account,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from pyarrow import parquet

_OF_INTERVAL: Final = (*(column.name for column in INTERVAL_COLUMNS), "seq")
STORED_COLUMNS: Final = (
    *_OF_INTERVAL,
    *(column.name for column in BATCH_COLUMNS),
)
"""In the order in which they lie in a file, and in which rows are ordered and digested."""

LATER_COLUMNS: Final = CONNECTION_COLUMNS
"""Those of :data:`STORED_COLUMNS` that rows of the first version of the ledger had not."""
_WIDE: Final = ".wide.parquet"
_NARROW: Final = ".parquet"

_ADDRESSES: Final = ("host", "peer")
_ADDRESS_BYTES: Final = 16
# Small enough that a question about some addresses skips most of a compacted file, large enough to compress well.
ROW_GROUP_ROWS: Final = 131_072
_COMPRESSION: Final = "zstd"
# Nobody looks for rows by their counters, and all accounts are in nearly every file.
_WITHOUT_STATISTICS: Final = frozenset(("account", "kind", *COUNTER_COLUMNS, *NAMED_COUNTER_COLUMNS))


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
        "zone": pa.uint16(),
        "mark": pa.uint32(),
    }
    # What is not named above is a counter, and never null; nor is what every row has.
    always = {"interval_start", "interval_end", "node", "meter", "seq", "account"}
    return pa.schema(
        [
            pa.field(column, kinds.get(column, pa.uint64()), nullable=column in kinds and column not in always)
            for column in STORED_COLUMNS
        ]
    )


def file_suffix(*, is_wide: bool) -> str:
    """How the name of a file ends: ``is_wide`` says that it has :data:`LATER_COLUMNS`."""
    return _WIDE if is_wide else _NARROW


def is_wide(path: "str | Path") -> bool:
    """Whether a file has :data:`LATER_COLUMNS`. Its name tells: to open each file of a month takes too long."""
    return str(path).removesuffix(TEMPORARY).endswith(_WIDE)


def needs_wide(rows: "pa.Table") -> bool:
    """Whether some row has a value in :data:`LATER_COLUMNS`."""
    later = (name for name in LATER_COLUMNS if name in rows.column_names)
    return any(rows[name].null_count < rows.num_rows for name in later)


def columns_in(path: "Path", names: Iterable[str]) -> list[str]:
    """Those of the columns that a file of this name has."""
    return [name for name in names if is_wide(path) or name not in LATER_COLUMNS]


def stored_rows(receipt: Receipt, rows: ArrowRows) -> "pa.Table":
    """The rows of an interval as they are stored, the one for *unattributed* included; in the order they come.

    Raises:
        KeyError: a column is missing.
    """
    import pyarrow as pa

    schema = stored_schema()
    batch = pa.record_batch(rows)
    lost = receipt.observed.unattributed
    missing = {
        "account": str(Account.UNATTRIBUTED),
        "sent_bytes": lost.bytes,
        "sent_packets": lost.packets,
        "received_bytes": lost.bytes,
        "received_packets": lost.packets,
    }
    has_lost = lost != ZERO
    columns = []
    for field in schema:
        column = column_of(receipt, batch, field, more=int(has_lost))
        if has_lost and field.name not in _OF_INTERVAL:
            column = pa.concat_arrays([column, pa.array([missing.get(field.name)], field.type)])
        columns.append(column)
    return pa.table(columns, schema=schema)


def column_of(receipt: Receipt, batch: "pa.RecordBatch", field: "pa.Field", *, more: int = 0) -> "pa.Array":
    """One column of the batch in the type of the store.

    Where the interval gives the value it is there for so many ``more`` rows.

    Raises:
        KeyError: the batch has no such column.
    """
    interval: dict[str, str | int] = {
        "interval_start": receipt.start_ns,
        "interval_end": receipt.end_ns,
        "node": receipt.node,
        "meter": receipt.meter,
        "seq": receipt.seq,
    }
    if field.name in interval:
        return _repeated(interval[field.name], batch.num_rows + more, field.type)
    return _stored(batch.column(field.name), field.type)


def as_stored(plain: "pa.Table", schema: "pa.Schema | None" = None) -> "pa.Table":
    """Rows with text as plain text, in the types of the store; those of traffic where no others are given."""
    import pyarrow as pa

    schema = schema or stored_schema()
    columns = []
    for field in schema:
        column = plain.column(field.name)
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.table(columns, schema=schema)


def same_in_all(interval: "pa.Table") -> frozenset[str]:
    """Columns of an interval that are known to have one value in all rows."""
    empty = (name for name in interval.column_names if interval[name].null_count == interval.num_rows)
    return frozenset((*_OF_INTERVAL, *empty))


def parquet_writer(
    path: "Path", schema: "pa.Schema | None" = None, *, same: Collection[str] = (), is_by_host: bool = False
) -> "parquet.ParquetWriter":
    """Writes a Parquet file of rows as they are stored; a context manager. Not durable by itself.

    They are rows of traffic where no other schema is given. Columns that have the ``same`` value in all rows take a
    few bytes, and nothing is gained by compressing them. ``is_by_host`` says that a host has its rows, and many of
    them, behind each other.

    Raises:
        OSError: the disk is full, broken or refuses.
    """
    from pyarrow import parquet

    schema = schema or stored_schema()
    # Ordered addresses and counters hardly repeat: a dictionary makes them larger, and slower. Where they do repeat
    # it makes sums by host twice as quick.
    addresses = [name for name in _ADDRESSES if not (is_by_host and name == "host")]
    counters = (*COUNTER_COLUMNS, *NAMED_COUNTER_COLUMNS)
    own = dict.fromkeys(counters, "DELTA_BINARY_PACKED") | dict.fromkeys(addresses, "DELTA_BYTE_ARRAY")
    own = {name: encoding for name, encoding in own.items() if name in schema.names}
    return parquet.ParquetWriter(
        path,
        schema,
        compression={name: "none" if name in same else _COMPRESSION for name in schema.names},
        use_dictionary=[name for name in schema.names if name not in own],
        column_encoding=own,
        write_statistics=[name for name in schema.names if name not in _WITHOUT_STATISTICS],
        write_page_index=True,
        write_page_checksum=True,
    )


def _repeated(value: str | int, count: int, kind: "pa.DataType") -> "pa.Array":
    """A column with the same value in all rows, without looking at each."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        # Not from a list: for each Arrow looks in vain for NumPy and pandas, which takes longer than all the rest.
        names = pa.repeat(pa.scalar(value, kind.value_type), 1)
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, kind.index_type), count), names)
    return pa.repeat(pa.scalar(value, kind), count)


def _stored(column: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    """A column of a batch in the type of the store."""
    import pyarrow as pa

    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), kind)
    if pa.types.is_dictionary(column.type) and pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(column.indices.cast(kind.index_type), column.dictionary)
    return column.cast(kind)
