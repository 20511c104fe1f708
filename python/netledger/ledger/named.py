"""A row of a named counter as the store has it: the columns of the schema, and ``seq`` beside them.

Each interval has a row for each counter that its meter keeps, also for those that stood still: that a counter was there
and counted nothing is something that was counted. So the newest interval tells where each counter stands.
"""

from typing import TYPE_CHECKING, Final

from netledger.ledger.rows import ArrowRows, column_of, stored_rows, stored_schema
from netledger.receipt import Receipt
from netledger.schema import INTERVAL_COLUMNS, NAMED_BATCH_COLUMNS, Table

if TYPE_CHECKING:
    import pyarrow as pa

NAMED_STORED_COLUMNS: Final = (
    *(column.name for column in INTERVAL_COLUMNS),
    "seq",
    *(column.name for column in NAMED_BATCH_COLUMNS),
)
"""In the order in which they lie in a file, and in which rows are ordered and digested."""

_NULLABLE: Final = frozenset(("quota", "quota_unit", "over_quota", "change"))


def named_schema() -> "pa.Schema":
    """The Arrow types of :data:`NAMED_STORED_COLUMNS`."""
    import pyarrow as pa

    name = pa.dictionary(pa.int32(), pa.string())
    own = {"over_quota": pa.uint8()} | dict.fromkeys(("kind", "name", "quota_unit", "change"), name)
    traffic = stored_schema()
    return pa.schema(
        [
            traffic.field(column)
            if column in traffic.names
            else pa.field(column, own.get(column, pa.uint64()), nullable=column in _NULLABLE)
            for column in NAMED_STORED_COLUMNS
        ]
    )


def schema_of(table: Table) -> "pa.Schema":
    """The Arrow types of the rows of one kind."""
    return stored_schema() if table is Table.TRAFFIC else named_schema()


def rows_to_store(receipt: Receipt, rows: ArrowRows) -> "pa.Table":
    """The rows of an interval as they are stored, whatever kind they are of; in the order they come.

    Raises:
        KeyError: a column is missing.
    """
    if receipt.observed.table is Table.TRAFFIC:
        return stored_rows(receipt, rows)
    import pyarrow as pa

    batch = pa.record_batch(rows)
    schema = named_schema()
    if not batch.num_rows:  # of a time that nothing is known of
        return schema.empty_table()
    return pa.table([column_of(receipt, batch, field) for field in schema], schema=schema)
