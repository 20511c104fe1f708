"""Rows for people and programs: which columns, in which order, how many, and as text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netledger.receipt import rfc3339
from netledger.reports.addresses import addresses
from netledger.schema import COUNTER_COLUMNS, KEY_COLUMNS
from netledger.sources.base import Key

if TYPE_CHECKING:
    import pyarrow as pa

SORT_SUMS: Final = {"bytes": ("sent_bytes", "received_bytes"), "packets": ("sent_packets", "received_packets")}
"""Orders that are no column: sent and received together."""

_ACCOUNT: Final = "account"
_INTERVAL_START_NS: Final = "interval_start_ns"
_ORDER: Final = "order"
_NS_MAX: Final = 2**63 - 1

# Text is made for this many rows at a time, so that many rows cost no more memory than few.
_CHUNK_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows in their final order.

    Attributes:
        table: the native core's columns that the key asks for, ``interval_start_ns`` first if there are intervals.
        key: what the rows are added up by.
        interval_ns: length of an interval, or 0 where there is only one.
        left_out: how many more rows there are.
    """

    table: "pa.Table"
    key: Key
    interval_ns: int
    left_out: int

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def names(self) -> list[str]:
        """Names of the columns, as text has them."""
        interval = ["interval_start", "interval_end"] if self.interval_ns else []
        return [*interval, _ACCOUNT, *_key_columns(self.key), *COUNTER_COLUMNS]

    def as_text(self) -> Iterator["pa.RecordBatch"]:
        """The rows, a part at a time: addresses and times as text, numbers as numbers."""
        import pyarrow as pa

        for start in range(0, len(self), _CHUNK_ROWS):
            part = self.table.slice(start, _CHUNK_ROWS).combine_chunks()
            columns = self._interval_columns(part, rfc3339) if self.interval_ns else []
            columns += [self._text(part.column(name)) for name in self.names[len(columns) :]]
            yield pa.record_batch(columns, names=self.names)

    def as_values(self) -> "pa.Table":
        """The rows with addresses as text and times as time stamps."""
        import pyarrow as pa

        whole = self.table.combine_chunks()
        columns = []
        if self.interval_ns:
            utc = pa.timestamp("ns", "UTC")
            columns = [column.cast(utc) for column in self._interval_columns(whole, int)]
        columns += [self._text(whole.column(name)) for name in self.names[len(columns) :]]
        return pa.table(columns, names=self.names)

    def _interval_columns(self, part: "pa.Table", shown: Callable[[int], str | int]) -> list["pa.Array"]:
        """Start and end of each row's interval; intervals are few, so each is made into text once."""
        import pyarrow as pa

        encoded = part.column(_INTERVAL_START_NS).combine_chunks().dictionary_encode()
        starts = encoded.dictionary.to_pylist()
        ends = [min(start + self.interval_ns, _NS_MAX) for start in starts]
        return [pa.array([shown(ns) for ns in times]).take(encoded.indices) for times in (starts, ends)]

    def _text(self, column: "pa.ChunkedArray") -> "pa.Array":
        import pyarrow as pa

        array = column.combine_chunks()
        if not pa.types.is_fixed_size_binary(array.type):
            return array
        shown = addresses(
            array, ipv4_prefix_length=self.key.ipv4_prefix_length, ipv6_prefix_length=self.key.ipv6_prefix_length
        )
        return pa.array(shown, pa.string())


def arrange(table: "pa.Table", key: Key, *, interval_ns: int, sort: str, top: int | None) -> Rows:
    """Puts the rows of a batch in order: by interval, then by ``sort``, greatest counter or least key first.

    ``sort`` is ``bytes``, ``packets`` or a column; rows that are equal in it are in the order of their keys, so that
    the same rows always come out the same. With ``top`` only so many rows of each interval are kept.
    """
    import pyarrow as pa
    from pyarrow import compute

    names = [_ACCOUNT, *_key_columns(key)]
    intervals = [_INTERVAL_START_NS] if interval_ns else []
    table = table.select([*intervals, *names, *COUNTER_COLUMNS])
    account = table.column(_ACCOUNT).cast(pa.string())
    table = table.set_column(len(intervals), _ACCOUNT, account)
    first = (sort, "ascending" if sort in names else "descending")
    ordered = table
    if sort in SORT_SUMS:
        one, other = (table.column(name) for name in SORT_SUMS[sort])
        ordered, first = table.append_column(_ORDER, compute.add(one, other)), (_ORDER, "descending")
    rest = [(name, "ascending") for name in names if name != sort]
    keys = [*((name, "ascending") for name in intervals), first, *rest]
    table = table.take(compute.sort_indices(ordered, sort_keys=keys))
    kept = table if top is None else _first_of_each(table, top, is_split=bool(intervals))
    return Rows(table=kept, key=key, interval_ns=interval_ns, left_out=table.num_rows - kept.num_rows)


def _first_of_each(table: "pa.Table", top: int, *, is_split: bool) -> "pa.Table":
    import pyarrow as pa

    if not is_split:
        return table.slice(0, top)
    counts = table.column(_INTERVAL_START_NS).combine_chunks().value_counts().field("counts").to_pylist()
    pieces, start = [table.slice(0, 0)], 0
    for count in counts:
        pieces.append(table.slice(start, min(top, count)))
        start += count
    return pa.concat_tables(pieces)


def _key_columns(key: Key) -> list[str]:
    return [name for name in KEY_COLUMNS if name in key.columns]
