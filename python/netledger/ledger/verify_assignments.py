"""Are all facts of whose an address was still there, in their order?"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

_WHAT = "assignments"


def assignment_problems(connection: "sqlite3.Connection") -> Iterator[tuple[str, str]]:
    """What is wrong with them, as what and why. Numbers go up by one, and no fact is learnt before the one in front.

    Raises:
        sqlite3.Error: the ledger cannot be read.
    """
    ever = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'assignments'").fetchone()
    expected, learnt_ns = 1, 0
    for number, learnt_at in connection.execute("SELECT id, learnt_at FROM assignments ORDER BY id"):
        if number != expected:
            yield _WHAT, _gone(expected, number - 1)
        if learnt_at < learnt_ns:
            yield f"assignment {number}", "it says that it was learnt before the one in front of it"
        expected, learnt_ns = number + 1, learnt_at
    if ever is not None and int(ever[0]) >= expected:
        yield _WHAT, _gone(expected, int(ever[0]))


def _gone(first: int, last: int) -> str:
    return f"number {first} is gone" if first == last else f"numbers {first} to {last} are gone"
