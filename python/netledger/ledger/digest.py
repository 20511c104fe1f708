"""What proves that rows and receipts are those that were committed.

The *digest* of an interval is SHA-256 over its rows in canonical order and form. It does not depend on the file they
lie in, so that it survives compaction:

- the text ``netledger rows 1`` with a line feed, then the number of rows as 8 bytes;
- the rows ordered by all columns, the first column first: nulls before values, addresses and UTF-8 text byte by byte,
  numbers by value;
- column by column: its name and a zero byte; for each row one byte, 1 where there is a value and 0 where there is
  none; then the values. Numbers have their width, addresses 16 bytes, null is zeros. Text is the length of each value
  in bytes as 4 bytes each, then all values joined; null has length 0.

All numbers are little-endian. The columns are those of :data:`netledger.ledger.rows.STORED_COLUMNS`.

The *chain* of an interval is SHA-256 over the chain of the node's interval before it (32 zero bytes before the first),
the receipt as the JSON text that is stored, and the digest.
"""

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST_BYTES: Final = 32
FIRST_PREVIOUS: Final = bytes(DIGEST_BYTES)
"""What stands before the first interval of a node."""

_FORM: Final = b"netledger rows 1\n"


def chain(previous: bytes, receipt: str, digest: bytes) -> bytes:
    """The link that belongs to an interval."""
    return hashlib.sha256(previous + receipt.encode() + digest).digest()


def canonical(rows: "pa.Table") -> "pa.Table":
    """The rows in canonical order, each column in one piece and text as plain text."""
    import pyarrow as pa

    columns = []
    for field, column in zip(rows.schema, rows.columns, strict=True):
        is_names = pa.types.is_dictionary(field.type)
        columns.append((column.cast(field.type.value_type) if is_names else column).combine_chunks())
    plain = pa.table(columns, names=rows.column_names)
    # A column with one value does not change the order, and most columns of an interval are such.
    keys = [(name, "ascending", "at_start") for name in plain.column_names if not _is_constant(rows.column(name))]
    return plain.take(_order(plain, keys)).combine_chunks() if keys else plain


def digest(rows: "pa.Table") -> bytes:
    """The digest of rows that are canonical already, as :func:`canonical` gives them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    made = hashlib.sha256(_FORM)
    made.update(rows.num_rows.to_bytes(8, "little"))
    for name, chunks in zip(rows.column_names, rows.columns, strict=True):
        made.update(name.encode() + b"\0")
        if not rows.num_rows:
            continue
        column = chunks.combine_chunks()
        made.update(_values(column.is_valid().cast(pa.uint8())))
        if pa.types.is_string(column.type):
            made.update(_values(pc.binary_length(column).fill_null(0)))
            made.update(_text(pc.fill_null(column, "")))
        elif pa.types.is_fixed_size_binary(column.type):
            made.update(_values(pc.fill_null(column, bytes(column.type.byte_width))))
        else:
            made.update(_values(column.fill_null(0)))
    return made.digest()


def _values(column: "pa.Array") -> memoryview:
    """The bytes of fixed-width values, without what stands before or behind them in their buffer."""
    width = column.type.bit_width // 8
    raw = memoryview(column.buffers()[1]).cast("B")
    return raw[column.offset * width : (column.offset + len(column)) * width]


def _text(column: "pa.StringArray") -> memoryview:
    """All values joined, as UTF-8."""
    _, offsets, content = column.buffers()
    if content is None:
        return memoryview(b"")
    bounds = memoryview(offsets).cast("B").cast("i")
    return memoryview(content).cast("B")[bounds[column.offset] : bounds[column.offset + len(column)]]


def _is_constant(column: "pa.ChunkedArray") -> bool:
    import pyarrow.compute as pc

    if column.null_count:
        return bool(column.null_count == len(column))
    if not len(column):
        return True
    first = column[0]
    return bool(pc.all(pc.equal(column, first)).as_py())


def _order(rows: "pa.Table", keys: list[tuple[str, str, str]]) -> "pa.Array":
    import pyarrow.compute as pc

    return pc.sort_indices(rows, sort_keys=keys)
