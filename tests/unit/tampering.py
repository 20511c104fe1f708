"""What somebody may do to a store who can write to it: with an editor, with a database tool, or with care."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

from netledger.ledger.reader import Reader

Tamper = Callable[[Path], None]
Change = Callable[[pa.Table], pa.Table]


def sql(*orders: str) -> Tamper:
    """Changes the ledger by a database tool, by one who knows how to get rid of the triggers.

    ``@lan2`` in an order stands for the line of that interval.
    """

    def tamper(store: Path) -> None:
        with sqlite3.connect(store / "ledger.sqlite") as connection:
            for name in ("intervals_stay", "intervals_are_final"):
                connection.execute(f"DROP TRIGGER {name}")
            for written in orders:
                order = written.replace("@lan2", "WHERE meter = 'lan' AND seq = 2")
                assert connection.execute(order).rowcount > 0, order

    return tamper


def file_of(store: Path, meter: str, seq: int) -> Path:
    """The file that counts and has the rows of an interval."""
    for path in Reader(store).snapshot().files:
        table = parquet.read_table(path, columns=["meter", "seq"])
        if pc.any(_is(table, meter, seq)).as_py():
            return path
    raise AssertionError(f"no rows of {meter} {seq}")


def rewrite(change: Change, *, is_clever: bool = True, meter: str = "lan", seq: int = 2) -> Tamper:
    """Changes the rows of an interval, in a file with right statistics; who is clever tells the ledger."""

    def tamper(store: Path) -> None:
        path = file_of(store, meter, seq)
        table = parquet.read_table(path)
        mask = _is(table, meter, seq)
        changed = change(table.filter(mask)).cast(table.schema)
        parquet.write_table(pa.concat_tables([table.filter(pc.invert(mask)), changed]), path)
        if is_clever:
            describe(store, path)

    return tamper


def describe(store: Path, path: Path) -> None:
    """Lets the ledger say of a file what it is now."""
    content, table = path.read_bytes(), parquet.read_table(path)
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        connection.execute(
            "UPDATE files SET octets = ?, sha256 = ?, rows = ?, interval_start = ?, interval_end = ? WHERE path = ?",
            (
                len(content),
                hashlib.sha256(content).digest(),
                table.num_rows,
                pc.min(table["interval_start"]).as_py() or 0,
                pc.max(table["interval_end"]).as_py() or 0,
                str(path.relative_to(store)),
            ),
        )


def flip(store: Path) -> None:
    """One bit in the middle of a file."""
    path = file_of(store, "lan", 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def unlink(store: Path) -> None:
    """A whole file."""
    file_of(store, "lan", 2).unlink()


def swap(store: Path) -> None:
    """Two files change places."""
    one, other = (file_of(store, "lan", seq) for seq in (2, 3))
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def swap_with_care(store: Path) -> None:
    """The same, and the ledger is told the right sums; what it says of their times stays."""
    swap(store)
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        for seq in (2, 3):
            path = file_of(store, "lan", seq)
            content = path.read_bytes()
            connection.execute(
                "UPDATE files SET octets = ?, sha256 = ? WHERE path = ?",
                (len(content), hashlib.sha256(content).digest(), str(path.relative_to(store))),
            )


def more_bytes(table: pa.Table) -> pa.Table:
    """A host has sent one more."""
    values = table["sent_bytes"].to_pylist()
    values[-1] += 1
    return table.set_column(table.column_names.index("sent_bytes"), "sent_bytes", pa.array(values, pa.uint64()))


def another_host(table: pa.Table) -> pa.Table:
    """What one host has sent is another's."""
    column = table.column_names.index("host")
    hosts = table["host"].to_pylist()
    others = [None if host is None else host[:-1] + b"\x63" for host in hosts]
    return table.set_column(column, "host", pa.array(others, pa.binary(16)))


def another_interval(table: pa.Table) -> pa.Table:
    """The last row belongs to an interval that was never counted."""
    numbers = [2] * (table.num_rows - 1) + [9]
    return table.set_column(table.column_names.index("seq"), "seq", pa.array(numbers, pa.uint64()))


def _is(table: pa.Table, meter: str, seq: int) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table["meter"].cast(pa.string()), meter), pc.equal(table["seq"], seq))
