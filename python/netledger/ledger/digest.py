"""What proves that rows and receipts are those that were committed.

The *digest* of an interval is SHA-256 over its rows in canonical order and form. It does not depend on the file they
lie in, so that it survives compaction:

- the text ``netledger rows 1`` with a line feed, then the number of rows as 8 bytes;
- the rows ordered by all columns, the first column first: nulls before values, addresses and UTF-8 text byte by byte,
  numbers by value;
- column by column: its name and a zero byte; for each row one byte, 1 where there is a value and 0 where there is
  none; then the values. Numbers have their width, addresses 16 bytes, null is zeros. Text is the length of each value
  in bytes as 4 bytes each, then all values joined; null has length 0.

All numbers are little-endian. The columns are those of :data:`netledger.ledger.rows.STORED_COLUMNS`; of those that came
later than the first digest, :data:`netledger.ledger.rows.LATER_COLUMNS`, one takes part only where a row has a value in
it. So the digest of rows that have none is what it was before there were such columns.

The *chain* of an interval is SHA-256 over the chain of the node's interval before it (32 zero bytes before the first),
the receipt as the JSON text that is stored, and the digest.
"""

import hashlib
import sys
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from netledger.ledger.rows import LATER_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST_BYTES: Final = 32
FIRST_PREVIOUS: Final = bytes(DIGEST_BYTES)
"""What stands before the first interval of a node."""

_FORM: Final = b"netledger rows 1\n"
_ADDRESS_BYTES: Final = 16
_LENGTH_BYTES: Final = 4
_PARTS_MAX: Final = 8


def chain(previous: bytes, receipt: str, digest: bytes) -> bytes:
    """The link that belongs to an interval."""
    return hashlib.sha256(previous + receipt.encode() + digest).digest()


def canonical(rows: "pa.Table") -> "pa.Table":
    """The rows in canonical order, each column in one piece, names as dictionaries in the order of their bytes."""
    import pyarrow as pa

    columns = [_with_ordered_names(_whole(column)) for column in rows.columns]
    # A column with one value does not change the order and is not moved, and most columns of an interval are such.
    places = [place for place, column in enumerate(columns) if not _is_constant(column)]
    if places:
        order = _order([columns[place] for place in places])
        for place in places if order is not None else ():
            columns[place] = columns[place].take(order)
    fields = [field.with_type(column.type) for field, column in zip(rows.schema, columns, strict=True)]
    return pa.table(columns, schema=pa.schema(fields))


def digest(rows: "pa.Table") -> bytes:
    """The digest of rows that are canonical already, as :func:`canonical` gives them."""
    made = hashlib.sha256(_FORM)
    made.update(rows.num_rows.to_bytes(8, "little"))
    for name, chunks in zip(rows.column_names, rows.columns, strict=True):
        if name in LATER_COLUMNS and chunks.null_count == rows.num_rows:
            continue
        made.update(name.encode() + b"\0")
        for part in _parts(_whole(chunks)) if rows.num_rows else ():
            made.update(part)
    return made.digest()


def _parts(column: "pa.Array") -> Iterator[bytes | memoryview]:
    """What is digested of a column with rows in it: where there are values, and the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    count, is_names = len(column), pa.types.is_dictionary(column.type)
    yield _values(column.is_valid().cast(pa.uint8())) if column.null_count else b"\1" * count
    if column.null_count == count:
        yield bytes(count * (_LENGTH_BYTES if is_names else column.type.bit_width // 8))
    elif is_names and len(column.dictionary) == 1 and not column.null_count:
        text = column.dictionary[0].as_py().encode()
        yield len(text).to_bytes(_LENGTH_BYTES, "little") * count
        yield text * count
    elif is_names:
        plain = column.cast(column.type.value_type)
        yield _values(pc.binary_length(plain).fill_null(0))
        yield _text(pc.fill_null(plain, ""))
    elif column.null_count:
        zero = bytes(column.type.byte_width) if pa.types.is_fixed_size_binary(column.type) else 0
        yield _values(pc.fill_null(column, zero))
    else:
        yield _values(column)


def _whole(column: "pa.ChunkedArray") -> "pa.Array":
    """A column in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


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


def _with_ordered_names(column: "pa.Array") -> "pa.Array":
    """A column of names as numbers that are in the order of the names, and names that occur; others as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string(column.type):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return column
    names = column.dictionary.to_pylist()
    # By code point is by UTF-8 byte.
    used = sorted({names[number] for number in pc.unique(column.indices).to_pylist() if number is not None})
    if used == names:
        return column
    places = {name: place for place, name in enumerate(used)}
    numbers = pa.array([places.get(name) for name in names], pa.int32()).take(column.indices)
    return pa.DictionaryArray.from_arrays(numbers, pa.array(used, pa.string()))


def _order(columns: "list[pa.Array]") -> "pa.Array | None":
    """Where the rows stand in their order, by the first column first; None where they may stay as they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, *rest = columns
    if not pa.types.is_dictionary(first.type) or first.null_count or len(first.dictionary) > _PARTS_MAX:
        return _sorted(columns)
    # Rows of each account for themselves: those of hosts have something in all columns of the key, and to order
    # values is quick as long as there is no null among them.
    parts = []
    for place in range(len(first.dictionary)):
        part = pc.indices_nonzero(pc.equal(first.indices, place))
        order = _sorted([column.take(part) for column in rest])
        parts.append(part if order is None else part.take(order))
    return pa.concat_arrays(parts)


def _sorted(columns: "list[pa.Array]") -> "pa.Array | None":
    """As :func:`_order`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = [key for column in columns for key in _keys(column)]
    if not keys:
        return None
    # A batch and not a table: that is sorted in another, slower way.
    names = [str(number) for number in range(len(keys))]
    rows = pa.record_batch(keys, names=names)
    return pc.sort_indices(rows, sort_keys=[(name, "ascending", "at_start") for name in names])


def _keys(column: "pa.Array") -> "list[pa.Array]":
    """Numbers that put rows into the order of a column; none if it has the same value in all of them."""
    import pyarrow as pa

    if _is_constant(column):
        return []
    if pa.types.is_dictionary(column.type):
        return [column.indices]
    if pa.types.is_fixed_size_binary(column.type):
        return [half for half in _halves(column) if not _is_constant(half)]
    return [column]


def _halves(column: "pa.FixedSizeBinaryArray") -> "list[pa.Array]":
    """Addresses as two numbers each: to order them takes half the time that it takes to order bytes."""
    import pyarrow as pa

    assert column.type.byte_width == _ADDRESS_BYTES  # noqa: S101  # what the schema has
    # From a whole byte of the bits that say where there is a value.
    first, end = column.offset & ~7, column.offset + len(column)
    valid, values = column.buffers()
    numbers = array("Q")
    numbers.frombytes(memoryview(values).cast("B")[first * _ADDRESS_BYTES : end * _ADDRESS_BYTES])
    if sys.byteorder == "little":
        numbers.byteswap()
    bits = None if valid is None else valid.slice(first >> 3)
    return [
        pa.Array.from_buffers(
            pa.uint64(), len(column), [bits, pa.py_buffer(numbers[half::2])], offset=column.offset - first
        )
        for half in (0, 1)
    ]


def _is_constant(column: "pa.Array") -> bool:
    """Whether all values are known to be the same; of addresses that is looked at later."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.null_count:
        return bool(column.null_count == len(column))
    if pa.types.is_fixed_size_binary(column.type):
        return len(column) == 0
    least, greatest = pc.min_max(column.indices if pa.types.is_dictionary(column.type) else column).values()
    return bool(least == greatest)
