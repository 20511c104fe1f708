"""Housekeeping: hourly sums, one file for each closed day, and old days without their rows.

Each step can be killed at any moment and repeated. A reader that took its list of files before a step goes on reading
them: files that do not count any more stay for :data:`GRACE_NS`.
"""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from netledger.durable import sync_directory
from netledger.errors import DamageError
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger import database
from netledger.ledger.dropping import drop_days
from netledger.ledger.files import explained
from netledger.ledger.intervals import COUNTERS, ROLLUP_HOUR, TRAFFIC
from netledger.ledger.progress import Progress, no_progress
from netledger.ledger.recovery import alone_in_housekeeping, remove_unfinished
from netledger.ledger.rollup import closed_before_ns, compact, roll_up
from netledger.ledger.spill import remove_left
from netledger.ledger.store import Ledger, day_of
from netledger.ledger.subject_files import ROLLUP_SUBJECT
from netledger.ledger.subject_rollup import SubjectSums

__all__ = ["CLOSED_AFTER_NS", "GRACE_NS", "Kept", "compact", "maintain", "remove_dropped", "roll_up"]

GRACE_NS: Final = 15 * 60 * SECOND_NS
"""How long a file outlives the moment from which it does not count: longer than the longest question."""

CLOSED_AFTER_NS: Final = 6 * 3600 * SECOND_NS
"""How long after its end a day is closed: intervals that waited for a full disk are in by then, as a rule."""


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """What housekeeping has done.

    Attributes:
        days_rolled_up: days of which rows were added up by the hour.
        days_compacted: days that are one file now.
        days_by_subject: days of which rows were added up by subject.
        days_dropped: days whose rows were too old.
        rollup_days_dropped: days whose hourly sums were too old as well.
        counter_days_dropped: days whose rows of named counters were too old.
        files_removed: files that did not count any more.
    """

    days_rolled_up: tuple[str, ...] = ()
    days_compacted: tuple[str, ...] = ()
    days_dropped: tuple[str, ...] = ()
    rollup_days_dropped: tuple[str, ...] = ()
    files_removed: int = 0
    counter_days_dropped: tuple[str, ...] = ()
    days_by_subject: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """One housekeeping under way."""

    ledger: Ledger
    # The first day whose rows stay, and the first whose hourly sums do; what is empty keeps all.
    rows_from: str
    hours_from: str
    progress: Progress
    rolled_up: list[str] = field(default_factory=list)
    compacted: list[str] = field(default_factory=list)
    by_subject: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    removed: int = 0
    damage: list[DamageError] = field(default_factory=list)

    def release(self) -> None:
        """Drops what is too old, and removes what has been dropped long enough."""
        waiting = SubjectSums(self.ledger).stale()
        for tab in (TRAFFIC, ROLLUP_HOUR, COUNTERS, ROLLUP_SUBJECT):
            before = self.hours_from if tab in {ROLLUP_HOUR, ROLLUP_SUBJECT} else self.rows_from
            self.dropped[tab] += drop_days(self.ledger, tab, before, hours_from=self.hours_from, waiting=waiting)
        self.removed += remove_dropped(self.ledger)

    def each(self, what: str, days: Sequence[str], act: Callable[[str], bool]) -> list[str]:
        """Does something with each day; one that is damaged holds up no other. Gives the days where it was done."""
        done = []
        for number, day in enumerate(days):
            self.progress(f"{what} {day}", number, len(days))
            try:
                if act(day):
                    done.append(day)
            except DamageError as error:
                self.damage.append(error)
        return done


def maintain(
    ledger: Ledger,
    *,
    keep_days: int | None = None,
    keep_rollup_days: int | None = None,
    progress: Progress = no_progress,
) -> Kept:
    """Rolls up closed hours, compacts closed days, drops what is too old, and removes what is dropped.

    Rows go when their day began more than ``keep_days`` ago, and not before they are rolled up. Hourly sums go after
    ``keep_rollup_days``, and never before the rows. Where nothing is given, nothing goes.

    Waits for another housekeeping of the same store. Blocks for the disk; a day of nine million rows takes some
    seconds and at most half a gigabyte of memory.

    Raises:
        LedgerError: the disk is full, broken or refuses. What is done is done; repeat it later.
        DamageError: a file is not what was committed, or a total would change. Nothing was changed there, and all
            else is done.
    """
    rows_from, hours_from = _first_days(ledger.now_ns(), keep_days, keep_rollup_days)
    work = _Work(ledger, rows_from, hours_from, progress)
    with (
        explained(ledger.store, "keep in order"),
        alone_in_housekeeping(ledger.store, at_wait=lambda: progress("wait for another housekeeping", 0, 1)),
    ):
        old_ns = ledger.now_ns() - GRACE_NS
        remove_unfinished(ledger.store, ledger.connection, older_than_ns=old_ns)
        remove_left(ledger.store, older_than_ns=old_ns)
        # First of all, for the disk may be full.
        work.release()
        before_ns = closed_before_ns(ledger.now_ns())
        waiting = _to_roll_up(ledger, before_ns, hours_from)
        work.rolled_up += work.each("roll up", waiting, lambda day: roll_up(ledger, day, before_ns=before_ns))
        sums = SubjectSums(ledger)
        waiting = sums.waiting(before_ns=before_ns, from_day=hours_from)
        work.by_subject += work.each("add up by subject", waiting, lambda day: sums.add_up(day, before_ns=before_ns))
        sums.confirm()
        work.release()
        work.compacted += work.each("compact", _to_compact(ledger), lambda day: _compact(ledger, sums, day))
        progress("remove", 1, 1)
        work.removed += remove_dropped(ledger)
    if work.damage:
        raise work.damage[0]
    return Kept(
        tuple(work.rolled_up),
        tuple(work.compacted),
        tuple(work.dropped[TRAFFIC]),
        tuple(work.dropped[ROLLUP_HOUR]),
        work.removed,
        tuple(work.dropped[COUNTERS]),
        tuple(work.by_subject),
    )


def _compact(ledger: Ledger, sums: SubjectSums, day: str) -> bool:
    # First, for what is not in sums by subject stays out of the file of those that are.
    is_added_up = sums.add_up(day, is_whole=True)
    return compact(ledger, day) or is_added_up


def remove_dropped(ledger: Ledger) -> int:
    """Removes files that have not counted for longer than the grace, and says how many.

    Raises:
        LedgerError: one cannot be removed.
    """
    with explained(ledger.store, "remove"):
        old = ledger.connection.execute(
            "SELECT id, path FROM files WHERE dropped_at IS NOT NULL AND dropped_at <= ?",
            (ledger.now_ns() - GRACE_NS,),
        ).fetchall()
        for _, path in old:
            (ledger.store / path).unlink(missing_ok=True)
            ledger.at_step("unlinked")
        directories = {(ledger.store / path).parent for _, path in old}
        for directory in directories:
            # Without this a power cut brings back files that are forgotten by then.
            with contextlib.suppress(FileNotFoundError):  # another process has removed it
                sync_directory(directory)
        # Forgotten after they are gone: the other way round a crash would leave files that nobody knows.
        with database.transaction(ledger.connection):
            ledger.connection.executemany("DELETE FROM files WHERE id = ?", [(number,) for number, _ in old])
            ledger.at_step("forgotten")
        for directory in directories:
            with contextlib.suppress(OSError):  # it is not empty, or another process came first
                directory.rmdir()
    return len(old)


def _first_days(now_ns: int, keep_days: int | None, keep_rollup_days: int | None) -> tuple[str, str]:
    """The first day whose rows are kept, and the first whose hourly sums are."""
    if keep_days is None:
        return "", ""
    # Before 1970 nothing was counted: whoever keeps more days than there were keeps all.
    rows_from = day_of(max(0, now_ns - keep_days * DAY_NS))
    if keep_rollup_days is None:
        return rows_from, ""
    return rows_from, day_of(max(0, now_ns - max(keep_days, keep_rollup_days) * DAY_NS))


def _to_roll_up(ledger: Ledger, before_ns: int, hours_from: str) -> list[str]:
    """Days with rows of closed hours that are not rolled up, and whose hourly sums are to be kept."""
    with explained(ledger.store, "read"):
        rows = ledger.connection.execute(
            "SELECT DISTINCT day FROM files WHERE tab = ? AND NOT rolled_up AND interval_start < ? AND day >= ? "
            "AND dropped_at IS NULL ORDER BY day",
            (TRAFFIC, before_ns, hours_from),
        ).fetchall()
    return [day for (day,) in rows]


def _to_compact(ledger: Ledger) -> list[str]:
    """Closed days of which there is more than one file of rows, or of hourly sums."""
    with explained(ledger.store, "read"):
        rows = ledger.connection.execute(
            "SELECT DISTINCT day FROM files WHERE day < ? AND dropped_at IS NULL GROUP BY tab, day HAVING count(*) > 1 "
            "ORDER BY day",
            (day_of(ledger.now_ns() - CLOSED_AFTER_NS),),
        ).fetchall()
    return [day for (day,) in rows]
