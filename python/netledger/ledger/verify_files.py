"""What lies in the store and should not, or is said to be gone and is there."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netledger.durable import TEMPORARY
from netledger.ledger.reader import Reader

# Between the name of a file and the commit that speaks of it there are milliseconds, on a busy disk some seconds.
_UNDER_WAY_SECONDS: Final = 60.0


def file_problems(reader: Reader) -> Iterator[tuple[str, str]]:
    """Files, as what and why: those that no ledger names, and those of days whose rows are said to be removed.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    # Looked for before the ledger is read: what is committed meanwhile is named by then.
    found = sorted(path for path in (reader.store / "data").glob("*/day=*/*") if _is_settled(path))
    named, contradictions = reader.read(_told)
    for path in found:
        name = str(path.relative_to(reader.store))
        if name not in named:
            yield name, "no ledger names it; it counts in no report. A process that died left it, or somebody added it"
    for name, day in contradictions:
        yield name, f"the rows of {day} are marked as removed because of their age, and these are still there"


def _is_settled(path: Path) -> bool:
    try:
        age = time.time() - path.stat().st_mtime  # noqa: TID251  # of a file, which the machine's own clock has stamped
    except FileNotFoundError:
        return False
    return not path.name.endswith(TEMPORARY) and age > _UNDER_WAY_SECONDS


def _told(connection: sqlite3.Connection) -> tuple[set[str], list[tuple[str, str]]]:
    named = {path for (path,) in connection.execute("SELECT path FROM files")}
    # What came late for such a day was committed after the mark, by a coarse clock at the same moment, and stays.
    contradictions = connection.execute(
        "SELECT files.path, files.day FROM files JOIN days_dropped USING (tab, day) "
        "WHERE files.dropped_at IS NULL AND files.committed_at < days_dropped.dropped_at ORDER BY files.path"
    ).fetchall()
    return named, contradictions
