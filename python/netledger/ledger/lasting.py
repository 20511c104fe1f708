"""What a source claims of now and later, without reading all that it has ever said.

An address of a dial-in pool has thousands of sessions behind it, and a start of the daemon asks for the last of each.
What was learnt before a fact that speaks of all time from before now on says nothing of now: reading begins there.
"""

import sqlite3
from collections.abc import Iterator
from typing import Final

_OF_TARGET: Final = "source = ?1 AND kind = ?2 AND target = ?3"
_IDS: Final = f"SELECT id FROM assignments WHERE {_OF_TARGET}"  # noqa: S608  # our own words


def ids_of_now(connection: sqlite3.Connection, source: str, now_ns: int) -> Iterator[int]:
    """The numbers of the facts that have a part in what a source claims of ``now_ns`` and later, by target and number.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    for kind, target in _targets(connection, source):
        oldest = _oldest(connection, source, kind, target, now_ns)
        # Both halves are read from the index alone. One that is over may have taken the beginning of one that lasts.
        both = f"{_IDS} AND valid_to IS NULL AND id >= ?4 UNION ALL {_IDS} AND valid_to IS NOT NULL AND id >= ?4"
        found = connection.execute(f"{both} ORDER BY id", (source, kind, target, oldest))
        yield from (int(number) for (number,) in found)


def sources(connection: sqlite3.Connection) -> Iterator[str]:
    """Who has ever said anything, by name; in the same way as targets are found.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    last = ""
    while (
        found := connection.execute(
            "SELECT source FROM assignments WHERE source > ? ORDER BY source LIMIT 1", (last,)
        ).fetchone()
    ) is not None:
        last = str(found[0])
        yield last


def _targets(connection: sqlite3.Connection, source: str) -> Iterator[tuple[str, str]]:
    """Each once: the index is asked for the next one, and not for all lines of each."""
    last = ("", "")
    while (
        found := connection.execute(
            "SELECT kind, target FROM assignments WHERE source = ? AND (kind, target) > (?, ?) "
            "ORDER BY kind, target LIMIT 1",
            (source, *last),
        ).fetchone()
    ) is not None:
        last = (str(found[0]), str(found[1]))
        yield last


def _oldest(connection: sqlite3.Connection, source: str, kind: str, target: str, now_ns: int) -> int:
    """The newest fact that speaks of all time from now on; 0 where there is none."""
    lasting = connection.execute(
        f"SELECT id, valid_from FROM assignments WHERE {_OF_TARGET} AND valid_to IS NULL ORDER BY id DESC",  # noqa: S608  # our own words
        (source, kind, target),
    )
    return next((int(number) for number, start_ns in lasting if start_ns <= now_ns), 0)
