"""How much of an address the rows of a meter have: whose a row is depends on all of its prefix."""

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple, final

ADDRESS_BITS: Final = 128
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_V4_BITS: Final = 96


@final
class Lengths(NamedTuple):
    """Bits of an address that are kept."""

    ipv4: int = 32
    ipv6: int = 64

    def bits_of(self, address: bytes) -> int:
        """How many of the 128 bits of a row's address are meant.

        One with something behind the prefix was counted while the meter kept more of it, or is of another program.
        """
        bits = _V4_BITS + self.ipv4 if address.startswith(_V4_MAPPED) else self.ipv6
        return ADDRESS_BITS if int.from_bytes(address) & ((1 << (ADDRESS_BITS - bits)) - 1) else bits


DEFAULT: Final = Lengths()
"""Of meters that nothing is known of."""


@final
class Known(NamedTuple):
    """What a meter keeps of addresses from a moment on, UTC nanoseconds, until the next such line of it."""

    node: str
    meter: str
    since_ns: int
    lengths: Lengths


def prefix_lengths(connection: sqlite3.Connection) -> list[Known]:
    """What is known of all meters, by node, meter and time.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    rows = connection.execute("SELECT node, meter, since, ipv4, ipv6 FROM prefix_lengths ORDER BY node, meter, since")
    return [Known(node, meter, since_ns, Lengths(ipv4, ipv6)) for node, meter, since_ns, ipv4, ipv6 in rows]


def note_prefix_lengths(
    connection: sqlite3.Connection, *, node: str, meter: str, start_ns: int, lengths: Lengths
) -> None:
    """Notes what the rows of an interval are cut to, where it is not what is known already; in the transaction of it.

    Raises:
        sqlite3.Error: the ledger refuses.
    """
    found = connection.execute(
        "SELECT ipv4, ipv6 FROM prefix_lengths WHERE node = ? AND meter = ? AND since <= ? ORDER BY since DESC LIMIT 1",
        (node, meter, start_ns),
    ).fetchone()
    if (DEFAULT if found is None else Lengths(*found)) != lengths:
        connection.execute(
            "INSERT OR REPLACE INTO prefix_lengths VALUES (?, ?, ?, ?, ?)", (node, meter, start_ns, *lengths)
        )


def kinds_of(known: Sequence[Known]) -> list[Lengths]:
    """The lengths that differ, the default first: the places in it are what :func:`kind_sql` gives."""
    return list(dict.fromkeys([DEFAULT, *(one.lengths for one in known)]))


def kind_sql(known: Sequence[Known]) -> str:
    """Of a row, which of :func:`kinds_of` it is cut to."""
    kinds = kinds_of(known)
    # The latest line that is not after the row.
    cases = [
        f"WHEN node = {quoted(one.node)} AND meter = {quoted(one.meter)} AND interval_start >= {one.since_ns} "
        f"THEN {kinds.index(one.lengths)}"
        for one in reversed(known)
    ]
    return f"CASE {' '.join(cases)} ELSE 0 END" if cases else "0"


def quoted(text: str) -> str:
    """Text as a constant of SQL."""
    return "'" + text.replace("'", "''") + "'"
