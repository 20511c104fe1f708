"""An interval as CSV: the columns of :data:`netledger.schema.ROW_COLUMNS`, one line for each row.

Addresses are text, times RFC 3339 in UTC, integers plain, what is not known is empty.
"""

import socket
import struct
from typing import TYPE_CHECKING, BinaryIO, Final, Literal, Protocol

from netledger.receipt import COUNT_MAX, ZERO, Count, rfc3339
from netledger.schema import BATCH_COLUMNS, INTERVAL_COLUMNS, ROW_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

_ADDRESS_BYTES = 16
# By bits: how Python's memory views call unsigned integers.
_FORMATS: Final[dict[int, Literal["B", "H", "I", "Q"]]] = {8: "B", 16: "H", 32: "I", 64: "Q"}
_HALF_BITS: Final = 32
_MARKS = ',"\r\n'
_V4_MAPPED = bytes(10) + b"\xff\xff"

CHUNK_ROWS = 65_536
"""Text is made for this many rows at a time, so that a big interval costs no more memory than a small one."""


class ArrowRows(Protocol):
    """Rows of a closed generation, by Arrow's PyCapsule interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The schema and the array as capsules."""


class Labelled(Protocol):
    """What all rows of an interval have in common. A receipt is one, and so is an interval of the ledger."""

    @property
    def node(self) -> str:
        """The machine that counted."""

    @property
    def meter(self) -> str:
        """The configured accounting."""

    @property
    def seq(self) -> int:
        """The number of the interval."""

    @property
    def start_ns(self) -> int:
        """Its start, UTC nanoseconds since 1970."""

    @property
    def end_ns(self) -> int:
        """Its end, UTC nanoseconds since 1970."""


def write_rows(file: BinaryIO, rows: ArrowRows, interval: Labelled) -> None:
    """Writes the header and the rows.

    Blocks for the disk; a million rows take a few seconds.

    Raises:
        OSError: the disk is full, broken or refuses.
    """
    # Imported when the first interval is written: it is the heaviest thing this program uses.
    import pyarrow as pa
    from pyarrow import csv

    batch = pa.record_batch(rows)
    file.write((",".join(column.name for column in ROW_COLUMNS) + "\n").encode())
    # Arrow quotes every text or none. Quotes cost a third of the file, and are hardly ever needed.
    style = "needed" if _has_marks(batch, interval) else "none"
    options = csv.WriteOptions(include_header=False, quoting_style=style)
    for start in range(0, batch.num_rows, CHUNK_ROWS):
        csv.write_csv(as_text(batch.slice(start, CHUNK_ROWS), interval), file, options)


def sums(rows: ArrowRows) -> tuple[Count, Count]:
    """All that was sent, and all that was received.

    Raises:
        OverflowError: a sum does not fit 64 bits.
    """
    import pyarrow as pa

    batch = pa.record_batch(rows)
    return (
        Count(_total(batch, "sent_packets"), _total(batch, "sent_bytes")),
        Count(_total(batch, "received_packets"), _total(batch, "received_bytes")),
    )


def named_sums(rows: ArrowRows) -> tuple[Count, Count]:
    """All that named counters have counted, as far as 64 bits hold it; twice, for it has no directions."""
    import pyarrow as pa

    batch = pa.record_batch(rows)
    if not batch.num_rows:
        return ZERO, ZERO
    found = Count(min(COUNT_MAX, _total(batch, "packets")), min(COUNT_MAX, _total(batch, "bytes")))
    return found, found


def _total(batch: "pa.RecordBatch", name: str) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    # In two halves: a sum of 64-bit integers would wrap silently, and one by Python's own takes ten times as long.
    half, low = pa.scalar(_HALF_BITS, pa.uint64()), pa.scalar((1 << _HALF_BITS) - 1, pa.uint64())
    column = batch.column(name)
    upper = pc.sum(pc.shift_right(column, half)).as_py() or 0
    lower = pc.sum(pc.bit_wise_and(column, low)).as_py() or 0
    return (upper << _HALF_BITS) + lower


def _has_marks(batch: "pa.RecordBatch", interval: Labelled) -> bool:
    """Whether some text has a character that means something to CSV."""
    import pyarrow as pa

    texts = [interval.node, interval.meter]
    for column in batch.columns:
        names = column.dictionary_encode() if pa.types.is_string(column.type) else column
        if pa.types.is_dictionary(names.type):
            texts += [text for text in names.dictionary.to_pylist() if text is not None]
    return any(mark in text for text in texts for mark in _MARKS)


def as_text(batch: "pa.RecordBatch", interval: Labelled) -> "pa.RecordBatch":
    """The rows with the columns of the interval, addresses and times as text, numbers as numbers."""
    import pyarrow as pa

    values = (rfc3339(interval.start_ns), rfc3339(interval.end_ns), interval.node, interval.meter)
    columns: list[pa.Array] = [pa.repeat(value, batch.num_rows) for value in values]
    for column in BATCH_COLUMNS:
        array = batch.column(column.name)
        if pa.types.is_fixed_size_binary(array.type):
            array = pa.array(_addresses(array), pa.string())
        elif pa.types.is_dictionary(array.type):
            array = pa.array(_names(array), pa.string())
        columns.append(array)
    return pa.record_batch(columns, names=[column.name for column in (*INTERVAL_COLUMNS, *BATCH_COLUMNS)])


# From here on values are read from the raw buffers. Making a Python object of each by Arrow's own means takes five
# times as long, and its functions for whole columns load another 12 MB into a process that stays for months.


def _addresses(array: "pa.Array") -> list[str | None]:
    if array.null_count == len(array):
        return [None] * len(array)
    raw = array.buffers()[1].slice(array.offset * _ADDRESS_BYTES, len(array) * _ADDRESS_BYTES).to_pybytes()
    ntop, v4, v6 = socket.inet_ntop, socket.AF_INET, socket.AF_INET6
    texts: list[str | None] = [
        ntop(v4, address[12:]) if address.startswith(_V4_MAPPED) else ntop(v6, address)
        for (address,) in struct.iter_unpack(f"{_ADDRESS_BYTES}s", raw)
    ]
    return _without_nulls(array, texts)


def _names(array: "pa.DictionaryArray") -> list[str | None]:
    if array.null_count == len(array):
        return [None] * len(array)
    names = dict(enumerate(array.dictionary.to_pylist()))
    # What stands in the place of a null may be no index at all.
    return _without_nulls(array, [names.get(index) for index in numbers(array.indices)])


def numbers(array: "pa.Array") -> "memoryview[int]":
    """The values of an array of unsigned integers; those in the place of nulls mean nothing."""
    values: memoryview[int] = memoryview(array.buffers()[1]).cast("B").cast(_FORMATS[array.type.bit_width])
    return values[array.offset : array.offset + len(array)]


def _without_nulls(array: "pa.Array", values: list[str | None]) -> list[str | None]:
    if array.null_count:
        valid = memoryview(array.buffers()[0]).cast("B")
        for index in range(len(array)):
            position = array.offset + index
            if not valid[position >> 3] >> (position & 7) & 1:
                values[index] = None
    return values
