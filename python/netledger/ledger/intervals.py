"""Intervals read back from the ledger: their receipts, and their rows out of whatever files hold them now."""

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.errors import DamageError, LedgerError
from netledger.ledger.files import explained
from netledger.ledger.named import schema_of
from netledger.receipt import Count, Status
from netledger.schema import Table

if TYPE_CHECKING:
    import pyarrow as pa

TRAFFIC: Final = str(Table.TRAFFIC)
"""The kind of rows that every total is made of."""
COUNTERS: Final = str(Table.COUNTERS)
"""The kind of rows that tell of named counters of the kernel; see :mod:`netledger.ledger.named`."""
ROLLUP_HOUR: Final = "rollup_hour"
"""The kind of rows that tell what each host did in an hour; see :mod:`netledger.ledger.rollup`."""

_COLUMNS: Final = "node, meter, seq, interval_start, interval_end, rows, receipt, digest, position, previous, chain"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A committed interval: its receipt, and what proves that nobody has changed it since.

    Attributes:
        node: the machine that counted.
        meter: the configured accounting.
        seq: its number; with node and meter its identity.
        start_ns: its start, UTC nanoseconds since 1970; belongs to it.
        end_ns: its end; belongs to the next one.
        status: how far it is proven.
        kernel: the kernel's own count, or None.
        accounted: what is in the rows of addresses.
        lost: what the kernel counted and is in none of them.
        other: the part of ``accounted`` that has no detail.
        rows: how many rows it has.
        reason: why it is not simply exact, or None.
        receipt: the receipt as it was committed, JSON in one line without its end.
        digest: SHA-256 of its rows.
        position: in the chain of its node, from 1.
        previous: the chain of the node's interval before.
        chain: its own.
        table: what kind of rows it has.
    """

    node: str
    meter: str
    seq: int
    start_ns: int
    end_ns: int
    status: Status
    kernel: Count | None
    accounted: Count
    lost: Count
    other: Count
    rows: int
    reason: str | None
    receipt: str
    digest: bytes
    position: int
    previous: bytes
    chain: bytes
    table: Table = Table.TRAFFIC


def interval_of(connection: sqlite3.Connection, store: Path, *, node: str, meter: str, seq: int) -> IntervalRow:
    """One interval.

    Raises:
        LedgerError: it is not there, or cannot be read.
    """
    with explained(store, "read"):
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM intervals WHERE node = ? AND meter = ? AND seq = ?",  # noqa: S608  # our own words
            (node, meter, seq),
        ).fetchone()
    if row is None:
        raise LedgerError(str(store), "read", f"there is no interval {seq} of meter {meter} of {node}")
    return as_interval(store, row)


def intervals_of(
    connection: sqlite3.Connection, store: Path, *, start_ns: int | None = None, end_ns: int | None = None
) -> list[IntervalRow]:
    """Intervals that begin in [start, end), by node, meter and number; None leaves that side open.

    Raises:
        LedgerError: they cannot be read.
    """
    with explained(store, "read"):
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM intervals "  # noqa: S608  # our own words
            "WHERE (?1 IS NULL OR interval_start >= ?1) AND (?2 IS NULL OR interval_start < ?2) "
            "ORDER BY node, meter, seq",
            (start_ns, end_ns),
        ).fetchall()
    return [as_interval(store, row) for row in rows]


Row = tuple[str, str, int, int, int, int, str, bytes, int, bytes, bytes]


def as_interval(store: Path, row: Row) -> IntervalRow:
    """A line of the table ``intervals``.

    Raises:
        LedgerError: its receipt is none.
    """
    node, meter, seq, start_ns, end_ns, rows, text, digest, position, previous, chain = row
    try:
        told = json.loads(text)
        has_kernel = told["kernel_packets"] is not None
        return IntervalRow(
            node=node,
            meter=meter,
            seq=seq,
            start_ns=start_ns,
            end_ns=end_ns,
            status=Status(told["status"]),
            kernel=Count(told["kernel_packets"], told["kernel_bytes"]) if has_kernel else None,
            accounted=Count(told["accounted_packets"], told["accounted_bytes"]),
            lost=Count(told["lost_packets"], told["lost_bytes"]),
            other=Count(told["other_packets"], told["other_bytes"]),
            rows=rows,
            reason=told["reason"],
            receipt=text,
            digest=digest,
            position=position,
            previous=previous,
            chain=chain,
            table=Table(told.get("table", Table.TRAFFIC)),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamageError(str(store), "read", f"interval {seq} of meter {meter} of {node} has no receipt") from error


def rows_of(connection: sqlite3.Connection, store: Path, interval: IntervalRow) -> "pa.RecordBatch":
    """All rows of an interval, whether its day is compacted or not, in the types of the store.

    Raises:
        LedgerError: a file cannot be read, or the rows are not all there.
    """
    import pyarrow as pa
    from pyarrow import compute as pc
    from pyarrow import parquet

    with explained(store, "read"):
        paths = connection.execute(
            "SELECT path FROM files WHERE tab = ? AND dropped_at IS NULL AND interval_start < ? AND interval_end > ?",
            (str(interval.table), interval.end_ns, interval.start_ns),
        ).fetchall()
        found = [schema_of(interval.table).empty_table()]
        wanted = {"node": interval.node, "meter": interval.meter, "seq": interval.seq}
        for (path,) in paths:
            with parquet.ParquetFile(store / path) as file:
                for number in range(file.num_row_groups):
                    table = file.read_row_group(number)
                    for name, value in wanted.items():
                        table = table.filter(pc.equal(table[name], pa.scalar(value, _plain(table[name].type))))
                    found.append(table)
    rows = pa.concat_tables(found, promote_options="permissive").unify_dictionaries().combine_chunks()
    if rows.num_rows != interval.rows:
        raise DamageError(
            str(store),
            "read",
            f"interval {interval.seq} of meter {interval.meter} of {interval.node} has {rows.num_rows} of its "
            f"{interval.rows} rows",
            "netledger audit --verify",
        )
    batches = rows.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema)


def _plain(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind
