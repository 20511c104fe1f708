"""Where named counters stood when their meter was last committed."""

import sqlite3
from pathlib import Path

from netledger.ledger.intervals import COUNTERS, interval_of, rows_of
from netledger.ledger.reader import Reader
from netledger.ledger.store import day_of
from netledger.receipt import Count
from netledger.schema import Kind, Table


def last_totals(store: Path, *, node: str, meter: str) -> dict[str, Count]:
    """What objects of nfacct had counted at the end of the newest interval of a meter, by the text of their name.

    Nothing where the ledger has no such interval, or its rows were removed because of their age.

    Raises:
        LedgerError: the ledger or a file cannot be read, or is damaged.
    """
    reader = Reader(store)
    if not reader.version():
        return {}
    return reader.read(lambda connection: _last(connection, store, node, meter))


def _last(connection: sqlite3.Connection, store: Path, node: str, meter: str) -> dict[str, Count]:
    # One without rows is of a time of which nothing is known.
    newest = connection.execute(
        "SELECT seq FROM intervals WHERE node = ? AND meter = ? AND rows > 0 ORDER BY seq DESC LIMIT 1", (node, meter)
    ).fetchone()
    interval = None if newest is None else interval_of(connection, store, node=node, meter=meter, seq=newest[0])
    if interval is None or interval.table is not Table.COUNTERS:
        return {}
    dropped = connection.execute(
        "SELECT 1 FROM days_dropped WHERE tab = ? AND day = ?", (COUNTERS, day_of(interval.start_ns))
    ).fetchone()
    if dropped:
        return {}
    columns = rows_of(connection, store, interval).select(["kind", "name", "total_packets", "total_bytes"]).to_pylist()
    return {
        one["name"]: Count(one["total_packets"], one["total_bytes"]) for one in columns if one["kind"] == Kind.NFACCT
    }
