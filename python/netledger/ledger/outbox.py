"""What of the ledger is still to be exported: for each export, the intervals that it has not written.

An interval becomes due by the transaction that commits it, and stops being due when the export says that it is written.
In between every process may be killed: what is due is found again. The rows come from whatever files hold them then.
"""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from netledger.ledger import database
from netledger.ledger.digest import canonical
from netledger.ledger.files import explained, require_room
from netledger.ledger.intervals import IntervalRow, interval_of, rows_of

if TYPE_CHECKING:
    import pyarrow as pa


@final
@dataclass(frozen=True, slots=True)
class Due:
    """An interval that an export has not written.

    Attributes:
        node: the machine that counted.
        meter: the configured accounting.
        seq: the number of the interval.
        claim: the name that it was about to get when a process died, or None.
    """

    node: str
    meter: str
    seq: int
    claim: str | None


@final
class Outbox:
    """The due intervals of one export. To be used from one thread at a time, beside the store's writer.

    Args:
        store: directory of a store that has been opened by a :class:`netledger.ledger.Ledger`.
        export: name of the export.
    """

    def __init__(self, store: Path, export: str) -> None:
        self._store = store
        self._export = export
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Lets go of the ledger. May be called twice; whatever comes after opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def due(self) -> list[Due]:
        """What is due, the oldest first. Blocks for the disk.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with explained(self._store, "read"):
            rows = self._opened().execute(
                "SELECT node, meter, seq, claim FROM exports_due JOIN intervals USING (node, meter, seq) "
                "WHERE export = ? ORDER BY interval_start, node, meter, seq",
                (self._export,),
            )
            return [Due(*row) for row in rows]

    def interval(self, due: Due) -> IntervalRow:
        """The interval itself, with its receipt.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        return interval_of(self._opened(), self._store, node=due.node, meter=due.meter, seq=due.seq)

    def rows(self, interval: IntervalRow) -> "pa.RecordBatch":
        """All its rows, in the one order that does not depend on the files they lie in. Text is plain text.

        Raises:
            LedgerError: a file cannot be read, or the rows are not all there.
        """
        import pyarrow as pa

        table = canonical(pa.Table.from_batches([rows_of(self._opened(), self._store, interval)]))
        batches = table.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

    def claim(self, due: Due, name: str) -> None:
        """Notes durably which name the interval is about to get. Blocks for the disk.

        Raises:
            LedgerError: the disk is full, broken or refuses.
        """
        with explained(self._store, "note an export"):
            self._opened().execute(
                "UPDATE exports_due SET claim = ? WHERE export = ? AND node = ? AND meter = ? AND seq = ?",
                (name, self._export, due.node, due.meter, due.seq),
            )

    def done(self, due: Due) -> None:
        """Notes durably that the interval is written. Blocks for the disk.

        Raises:
            LedgerError: the disk is full, broken or refuses; the interval is still due.
        """
        with explained(self._store, "note an export"):
            self._opened().execute(
                "DELETE FROM exports_due WHERE export = ? AND node = ? AND meter = ? AND seq = ?",
                (self._export, due.node, due.meter, due.seq),
            )

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            with explained(self._store, "open"):
                # It is the writer who begins a ledger; where it is gone, its file system may not be mounted just now.
                (self._store / database.NAME).stat()
                require_room(self._store)
                self._connection = database.connect_writer(self._store)
        return self._connection
