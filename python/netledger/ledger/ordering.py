"""All rows of a day in the order of a compacted file: by host, and then by interval and account.

Hosts and intervals are numbered in their order first, and names become numbers too, so that what is sorted is numbers
that all have the same width: that takes half the time and memory of addresses and text. Columns that are empty on
that day are not carried along.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from netledger.ledger.reader import VIEW
from netledger.ledger.rows import STORED_COLUMNS, stored_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_OF_INTERVAL: Final = ("interval_start", "interval_end", "node", "meter", "seq")
_NAMES: Final = ("account", "interface", "label")
_REST: Final = tuple(name for name in STORED_COLUMNS if name not in (*_OF_INTERVAL, "host"))

# What cannot be null in one table may be so in another: hosts of rows without one are numbered like all others.
_HOSTS: Final = (
    "CREATE TEMP TABLE hosts AS SELECT host, CAST(row_number() OVER (ORDER BY host) - 1 AS UINTEGER) AS place "  # noqa: S608  # our own words
    f"FROM (SELECT DISTINCT host FROM {VIEW})"
)
_INTERVALS: Final = (
    "CREATE TEMP TABLE intervals AS SELECT *, "  # noqa: S608  # our own words
    "CAST(row_number() OVER (ORDER BY interval_start, node, meter, seq) - 1 AS UINTEGER) AS place "
    f"FROM (SELECT DISTINCT {', '.join(_OF_INTERVAL)} FROM {VIEW})"
)


def in_order(connection: "duckdb.DuckDBPyConnection", batch_rows: int) -> Iterator["pa.RecordBatch"]:
    """The rows of the view ``traffic``, ordered by host, start of the interval, node, meter, number and account.

    In the types of the store. Blocks for the disk.

    Raises:
        duckdb.Error: a file cannot be read, or what does not fit into memory has no room on the disk.
    """
    for order in (_HOSTS, _INTERVALS):
        connection.execute(order)
    fields = {field.name: field.type for field in stored_schema()}
    host = connection.sql("SELECT host FROM hosts ORDER BY place").to_arrow_table()["host"]
    hosts = host.combine_chunks().cast(fields["host"])
    found = connection.sql("SELECT * FROM intervals ORDER BY place").to_arrow_table()
    intervals = {name: _encoded(found[name].combine_chunks(), fields[name]) for name in _OF_INTERVAL}
    there = _not_empty(connection)
    # By `sql`: `execute` may hand over batches in another order than was asked for.
    batches = connection.sql(
        f"SELECT hosts.place AS host_place, intervals.place AS interval_place, {', '.join(map(_narrow, there))} "  # noqa: S608  # our own words
        f"FROM {VIEW} JOIN hosts ON {VIEW}.host IS NOT DISTINCT FROM hosts.host "
        f"JOIN intervals USING ({', '.join(_OF_INTERVAL)}) ORDER BY host_place, interval_place, account"
    ).to_arrow_reader(batch_rows)
    for batch in batches:
        yield _as_rows(batch, hosts, intervals)


def _not_empty(connection: "duckdb.DuckDBPyConnection") -> list[str]:
    """Columns that some row has a value in. Their names become numbers, in the order of the names."""
    counts = connection.sql(f"SELECT {', '.join(f'count({name})' for name in _REST)} FROM {VIEW}").fetchall()[0]  # noqa: S608  # our own words
    there = [name for name, count in zip(_REST, counts, strict=True) if count]
    for name in there:
        if name in _NAMES:
            connection.execute(
                f"CREATE TYPE {name}_names AS ENUM "  # noqa: S608  # our own words
                f"(SELECT DISTINCT {name} FROM {VIEW} WHERE {name} IS NOT NULL ORDER BY {name})"
            )
    return there


def _narrow(name: str) -> str:
    return f"CAST({VIEW}.{name} AS {name}_names) AS {name}" if name in _NAMES else f"{VIEW}.{name}"


def _encoded(column: "pa.Array", kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    return column.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else column.cast(kind)


def _as_rows(batch: "pa.RecordBatch", hosts: "pa.Array", intervals: "dict[str, pa.Array]") -> "pa.RecordBatch":
    """The columns of the store, with what the numbers of hosts and intervals stand for."""
    import pyarrow as pa

    schema = stored_schema()
    columns = []
    for field in schema:
        if field.name == "host":
            column = hosts.take(batch["host_place"])
        elif field.name in intervals:
            column = intervals[field.name].take(batch["interval_place"])
        elif field.name not in batch.schema.names:
            column = pa.nulls(batch.num_rows, field.type)
        else:
            column = batch[field.name]
            column = column if column.type == field.type else column.cast(field.type)
        columns.append(column)
    return pa.record_batch(columns, schema=schema)
