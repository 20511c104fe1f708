#!/usr/bin/env python3
"""What a user would keep intervals in otherwise: a table of SQLite, a file of DuckDB, a directory of CSV files.

As a program it answers one question in a process of its own, as `netledger report` does: NAME DIRECTORY START END.
"""

import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import duckdb
import pyarrow as pa
from pyarrow import csv

from netledger.receipt import rfc3339
from netledger.schema import BATCH_COLUMNS, CONNECTION_COLUMNS

__all__ = ["RIVALS", "CsvDirectory", "DuckdbFile", "Rival", "SqliteTable"]

# Columns that no row of these has are in no file of ours either.
_COLUMNS: Final = tuple(column.name for column in BATCH_COLUMNS if column.name not in CONNECTION_COLUMNS)
_SUMS: Final = "sum(sent_bytes), sum(sent_packets), sum(received_bytes), sum(received_packets)"
_TOP: Final = "ORDER BY sum(sent_bytes) + sum(received_bytes) DESC LIMIT 10"
_PERIOD: Final = "interval_start >= ? AND interval_start < ?"
_BY_HOST: Final = f"SELECT account, host, {_SUMS} FROM traffic WHERE {_PERIOD} GROUP BY account, host {_TOP}"  # noqa: S608  # our own words


class Rival(Protocol):
    """A place for intervals."""

    def commit(self, batch: pa.RecordBatch, *, start_ns: int, end_ns: int) -> None:
        """Adds an interval."""

    def close(self) -> None:
        """Nothing more will be added."""

    def octets(self) -> int:
        """What it takes on the disk."""

    def by_host(self, start_ns: int, end_ns: int) -> list[tuple[object, ...]]:
        """The ten hosts that moved most."""


class SqliteTable:
    """One table with an index by time; every transaction is durable when it ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "traffic.sqlite"
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        for order in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
            self._connection.execute(order)
        names = ", ".join(("interval_start", "interval_end", "node", "meter", *_COLUMNS))
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS traffic ({names})")
        self._connection.execute("CREATE INDEX IF NOT EXISTS by_time ON traffic (interval_start)")

    def commit(self, batch: pa.RecordBatch, *, start_ns: int, end_ns: int) -> None:
        places = ", ".join("?" for _ in range(4 + len(_COLUMNS)))
        lines = zip(*(batch[name].to_pylist() for name in _COLUMNS), strict=True)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            f"INSERT INTO traffic VALUES ({places})",  # noqa: S608  # question marks
            ((start_ns, end_ns, "gw1", "lan", *line) for line in lines),
        )
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()

    def octets(self) -> int:
        return _octets(self._path.parent)

    def by_host(self, start_ns: int, end_ns: int) -> list[tuple[object, ...]]:
        return self._connection.execute(_BY_HOST, (start_ns, end_ns)).fetchall()


class DuckdbFile:
    """One table in a file of DuckDB, which makes each transaction durable too."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "traffic.duckdb"
        self._connection = duckdb.connect(str(self._path), config={"threads": 2, "memory_limit": "512MB"})
        kinds = {"host": "BLOB", "peer": "BLOB", "protocol": "UTINYINT", "host_port": "USMALLINT"}
        kinds |= {"peer_port": "USMALLINT", "account": "VARCHAR", "interface": "VARCHAR", "label": "VARCHAR"}
        own = ", ".join(f"{name} {kinds.get(name, 'UBIGINT')}" for name in _COLUMNS)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS traffic "
            f"(interval_start BIGINT, interval_end BIGINT, node VARCHAR, meter VARCHAR, {own})"
        )

    def commit(self, batch: pa.RecordBatch, *, start_ns: int, end_ns: int) -> None:
        rows = pa.Table.from_batches([batch])
        self._connection.register("arrived", rows)
        self._connection.execute(
            f"INSERT INTO traffic SELECT ?, ?, 'gw1', 'lan', {', '.join(_COLUMNS)} FROM arrived",  # noqa: S608  # names
            [start_ns, end_ns],
        )
        self._connection.unregister("arrived")

    def close(self) -> None:
        self._connection.close()

    def octets(self) -> int:
        return _octets(self._path.parent)

    def by_host(self, start_ns: int, end_ns: int) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = self._connection.execute(_BY_HOST, [start_ns, end_ns]).fetchall()
        return found


class CsvDirectory:
    """A file for each interval in the form of go-nflog-acctd, which syncs none of them; DuckDB adds them up."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def commit(self, batch: pa.RecordBatch, *, start_ns: int, end_ns: int) -> None:
        del end_ns
        hosts = batch["host"].to_pylist()
        texts = [None if host is None else socket.inet_ntop(socket.AF_INET, host[12:]) for host in hosts]
        start = rfc3339(start_ns).removesuffix("Z").replace("T", " ")
        columns = {"Time": pa.repeat(pa.scalar(start), len(texts)), "IP": pa.array(texts, pa.string())}
        names = {"SourceBytes": "sent_bytes", "SourcePackets": "sent_packets"}
        names |= {"DestBytes": "received_bytes", "DestPackets": "received_packets"}
        columns |= {name: batch[ours] for name, ours in names.items()}
        table = pa.table(columns).filter(pa.compute.is_valid(columns["IP"]))
        csv.write_csv(table, self._directory / f"{start_ns}.csv", csv.WriteOptions(quoting_style="none"))

    def close(self) -> None:
        """Nothing is open."""

    def octets(self) -> int:
        return _octets(self._directory)

    def by_host(self, start_ns: int, end_ns: int) -> list[tuple[object, ...]]:
        sums = "sum(SourceBytes), sum(SourcePackets), sum(DestBytes), sum(DestPackets)"
        files = str(self._directory / "*.csv").replace("'", "''")
        with duckdb.connect(config={"threads": 2, "memory_limit": "512MB"}) as connection:
            found: list[tuple[object, ...]] = connection.execute(
                f"SELECT 'host', IP, {sums} FROM read_csv('{files}') WHERE Time >= ? AND Time < ? GROUP BY IP "  # noqa: S608  # quoted above
                "ORDER BY sum(SourceBytes) + sum(DestBytes) DESC LIMIT 10",
                [_clock(start_ns), _clock(end_ns)],
            ).fetchall()
        return found


def _clock(moment_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment_ns // 10**9))


def _octets(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


RIVALS: Final[dict[str, Callable[[Path], Rival]]] = {
    "SQLite table": SqliteTable,
    "DuckDB file": DuckdbFile,
    "CSV of go-nflog-acctd": CsvDirectory,
}


def main() -> int:
    """Prints the answer; the exit status."""
    name, directory, start_ns, end_ns = sys.argv[1:]
    for line in RIVALS[name](Path(directory)).by_host(int(start_ns), int(end_ns)):
        print(*line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
