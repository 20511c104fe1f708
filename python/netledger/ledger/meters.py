"""What the ledger knows of each meter beyond a period: what stands beside it, and which numbers are missing."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from netledger.ledger.reader import Reader


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A committed interval, without its receipt.

    Attributes:
        node: the machine that counted.
        meter: the configured accounting.
        start_ns: its start, UTC nanoseconds since 1970.
        end_ns: its end.
    """

    node: str
    meter: str
    start_ns: int
    end_ns: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Numbers that a meter has given to intervals which are not in the ledger.

    Attributes:
        node: the machine that counted.
        meter: the configured accounting.
        first: the least number that is missing.
        last: the greatest of those that are missing together.
        start_ns: the end of the interval with the number before.
        end_ns: the start of the interval with the number behind; may be before ``start_ns`` if the clock was stepped.
    """

    node: str
    meter: str
    first: int
    last: int
    start_ns: int
    end_ns: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What stands around a period.

    Attributes:
        before: of each meter, the interval that begins before the period and ends last.
        after: of each meter, the first interval that begins behind the period.
        holes: numbers that are missing, of any time.
    """

    before: Sequence[Edge]
    after: Sequence[Edge]
    holes: Sequence[Hole]


def surroundings(reader: Reader, *, start_ns: int | None, end_ns: int | None) -> Surroundings:
    """What stands around [start, end), UTC nanoseconds; nothing stands beyond a side that is None.

    Reads a line of each interval there is.

    Raises:
        LedgerError: there is no store, it cannot be read, or is of another version.
    """

    def ask(connection: sqlite3.Connection) -> Surroundings:
        # Of the line that has the greatest or the least value SQLite gives the other columns too.
        before = connection.execute(
            "SELECT node, meter, interval_start, max(interval_end) FROM intervals WHERE interval_start < ? "
            "GROUP BY node, meter",
            (start_ns,),
        )
        after = connection.execute(
            "SELECT node, meter, min(interval_start), interval_end FROM intervals WHERE interval_start >= ? "
            "GROUP BY node, meter",
            (end_ns,),
        )
        holes = connection.execute(
            "SELECT node, meter, seq + 1, next_seq - 1, interval_end, next_start FROM ("
            "SELECT node, meter, seq, interval_end, lead(seq) OVER one AS next_seq, "
            "lead(interval_start) OVER one AS next_start FROM intervals "
            "WINDOW one AS (PARTITION BY node, meter ORDER BY seq)) WHERE next_seq > seq + 1 ORDER BY 1, 2, 3"
        )
        return Surroundings(
            before=[_edge(row) for row in before],
            after=[_edge(row) for row in after],
            holes=[
                Hole(node=node, meter=meter, first=first, last=last, start_ns=one_end, end_ns=next_start)
                for node, meter, first, last, one_end, next_start in holes
            ],
        )

    return reader.read(ask)


def _edge(row: tuple[str, str, int, int]) -> Edge:
    node, meter, start_ns, end_ns = row
    return Edge(node=node, meter=meter, start_ns=start_ns, end_ns=end_ns)
