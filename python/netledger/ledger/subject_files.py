"""Files of sums by subject, and whether what was learnt since they were made changes anything in them."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Fact
from netledger.intervals import SECOND_NS

ROLLUP_SUBJECT: Final = "rollup_5min_subject"
"""The kind of rows that tell what each subject did in five minutes; see :mod:`netledger.ledger.subject_rollup`."""

SLOT_NS: Final = 300 * SECOND_NS
"""How long a row of a subject is."""


@final
@dataclass(frozen=True, slots=True)
class SubjectRollup:
    """A file of sums by subject that counts.

    Attributes:
        path: the file.
        day: the UTC day in which the intervals of its rows begin.
        facts_upto: the number of the newest fact that was known, or that is known to change nothing.
        rows_from_ns: the least start of its rows' intervals, UTC nanoseconds.
        rows_to_ns: the greatest end of them.
    """

    path: Path
    day: str
    facts_upto: int
    rows_from_ns: int
    rows_to_ns: int

    def is_as_known(self, facts: Iterable[Fact], *, as_known_at_ns: int | None = None) -> bool:
        """Whether it says what its rows come to now, or as it was known at a moment.

        A fact changes nothing outside of its own time. ``facts`` are those with greater numbers than ``facts_upto`` at
        least, and all facts where a moment is given.
        """
        return not any(
            (fact.id > self.facts_upto) == (as_known_at_ns is None or fact.learnt_ns <= as_known_at_ns)
            for fact in facts
            if fact.valid_from_ns < self.rows_to_ns and fact.end_ns > self.rows_from_ns
        )


def subject_rollups(
    connection: sqlite3.Connection,
    store: Path,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    day: str | None = None,
) -> list[SubjectRollup]:
    """Those that count, of a time or of a day.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    rows = connection.execute(
        "SELECT path, day, facts_upto, rows_from, rows_to FROM files JOIN subject_rollups ON id = file "
        "WHERE tab = ?1 AND dropped_at IS NULL AND (?2 IS NULL OR interval_end > ?2) "
        "AND (?3 IS NULL OR interval_start < ?3) AND (?4 IS NULL OR day = ?4) ORDER BY day, id",
        (ROLLUP_SUBJECT, start_ns, end_ns, day),
    )
    return [SubjectRollup(store / path, *rest) for path, *rest in rows]


def stale_days(
    rollups: Sequence[SubjectRollup], facts: Sequence[Fact], *, as_known_at_ns: int | None = None
) -> set[str]:
    """Days of which a file does not say what its rows come to; ``facts`` as for :meth:`SubjectRollup.is_as_known`."""
    return {one.day for one in rollups if not one.is_as_known(facts, as_known_at_ns=as_known_at_ns)}


def has_facts_at(connection: sqlite3.Connection, as_known_at_ns: int | None = None) -> bool:
    """Whether anything was known of anybody, at a moment or now.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    found = connection.execute(
        "SELECT 1 FROM assignments WHERE ?1 IS NULL OR learnt_at <= ?1 LIMIT 1", (as_known_at_ns,)
    ).fetchone()
    return found is not None
