"""Sums by subject: what a row of the table ``rollup_5min_subject`` is, how it is made, and when it is made again.

A row is the sum over the rows of all intervals that begin in five minutes of UTC, by node, meter, account, subject,
reason, and whether the subject held the address for a part of the interval only. What is nobody's is added up by the
hour instead, and has the host: it may become known later that it was somebody's at another time, and then its reason
is another one.

A file says what its rows come to by the facts up to a number. What is learnt later changes it where the new fact and
the rows have time in common; until it is made again, the rows of its day are read instead.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netledger.attribution.facts import Fact
from netledger.intervals import DAY_NS, HOUR_NS
from netledger.ledger import database
from netledger.ledger.assignments import read_facts
from netledger.ledger.booked_rows import SUM_MARK, SUMMED_COLUMNS, booked_rows
from netledger.ledger.booking import NAMED, NUMBER, Bookings, Knowledge
from netledger.ledger.files import explained
from netledger.ledger.intervals import TRAFFIC
from netledger.ledger.merging import Input, Made, Recipe, inputs_of, made_of, selected
from netledger.ledger.prefixes import prefix_lengths
from netledger.ledger.reader import VIEW, Reader
from netledger.ledger.rollup import HOURLY
from netledger.ledger.rows import stored_schema
from netledger.ledger.store import Ledger, insert_file
from netledger.ledger.subject_files import ROLLUP_SUBJECT, SLOT_NS, SubjectRollup, stale_days, subject_rollups
from netledger.receipt import parse_rfc3339
from netledger.schema import COUNTER_COLUMNS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

KEYS: Final = (*SUMMED_COLUMNS, "subject", "reason", "is_partly", "host", "interface", SUM_MARK)
"""What tells rows apart. The last three are there where ``subject`` is not."""
_ADDED: Final = ", ".join(f"CAST(sum({name}) AS UBIGINT) AS {name}" for name in COUNTER_COLUMNS)
_ORDER: Final = (
    "subject NULLS LAST, host, interval_start, node, meter, account, reason, is_partly, interface, " + SUM_MARK
)


def subject_schema() -> "pa.Schema":
    """The Arrow types of :data:`KEYS`, the counters and ``row_count``."""
    import pyarrow as pa

    rows, name = stored_schema(), pa.dictionary(pa.int32(), pa.string())
    own = {"subject": name, "reason": name, SUM_MARK: pa.uint32()}
    keys = [pa.field(key, own[key]) if key in own else None for key in KEYS]
    fields = [
        field or (pa.field(key, pa.bool_(), nullable=False) if key == "is_partly" else rows.field(key))
        for key, field in zip(KEYS, keys, strict=True)
    ]
    counters = [rows.field(counter) for counter in COUNTER_COLUMNS]
    return pa.schema([*fields, *counters, pa.field("row_count", pa.uint64(), nullable=False)])


def summed_select(rows: str) -> str:
    """Sums by subject of rows with their subjects, as SQL; each key once."""
    length = f"CASE WHEN is_lone THEN {HOUR_NS} ELSE {SLOT_NS} END"
    places = ", ".join(
        f"CASE WHEN is_lone THEN {name} END AS {mine}"
        for name, mine in (("host", "host"), ("interface", "interface"), ("mark", SUM_MARK))
    )
    return (
        f"WITH sums AS (SELECT interval_start // {length} * {length} AS slot, {length} AS length, "  # noqa: S608  # our own words
        f"node, meter, account, is_lone, {NUMBER}, {places}, {_ADDED}, CAST(count(*) AS UBIGINT) AS row_count "
        f"FROM {rows} GROUP BY ALL) "
        "SELECT slot AS interval_start, slot + length AS interval_end, node, meter, account, "
        "CASE WHEN is_lone THEN NULL ELSE subject END AS subject, "
        "CASE WHEN is_lone THEN NULL ELSE reason END AS reason, "
        f"is_partly, host, interface, {SUM_MARK}, {', '.join(COUNTER_COLUMNS)}, row_count "
        f"FROM sums JOIN {NAMED} ON sums.{NUMBER} = {NAMED}.{NUMBER}"
    )


class SubjectSums:
    """Makes sums by subject in housekeeping: facts are read once, for all days.

    Args:
        ledger: of the store.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        with explained(ledger.store, "read assignments"):
            newest = ledger.connection.execute("SELECT max(id) FROM assignments").fetchone()[0]
            self._lengths = prefix_lengths(ledger.connection)
        self._known: Knowledge | None = None
        self.facts_upto = int(newest or 0)
        """The number of the newest fact; 0 without any. Then nothing is added up by subject."""

    def waiting(self, *, before_ns: int, from_day: str) -> list[str]:
        """Days with rows that begin before a moment and are not added up, or not by what is known now."""
        if not self.facts_upto:
            return []
        with explained(self._ledger.store, "read"):
            rows = self._ledger.connection.execute(
                "SELECT DISTINCT day FROM files WHERE tab = ? AND NOT by_subject AND interval_start < ? AND day >= ? "
                "AND dropped_at IS NULL",
                (TRAFFIC, before_ns, from_day),
            ).fetchall()
        return sorted({day for (day,) in rows} | {day for day in self.stale() if day >= from_day})

    def stale(self) -> set[str]:
        """Days with rows whose sums are not what is known now."""
        with explained(self._ledger.store, "read"):
            rollups = subject_rollups(self._ledger.connection, self._ledger.store)
            gone = self._ledger.connection.execute("SELECT day FROM days_dropped WHERE tab = ?", (TRAFFIC,)).fetchall()
            return stale_days(rollups, self._newer(rollups)) - {day for (day,) in gone}

    def confirm(self) -> None:
        """Notes of all sums that what was learnt since changes nothing, so that nobody has to look again.

        Raises:
            LedgerError: the ledger refuses.
        """
        with explained(self._ledger.store, "confirm"), database.transaction(self._ledger.connection):
            rollups = subject_rollups(self._ledger.connection, self._ledger.store)
            newer = self._newer(rollups)
            for one in rollups:
                if one.facts_upto < self.facts_upto and one.is_as_known(newer):
                    self._ledger.connection.execute(
                        "UPDATE subject_rollups SET facts_upto = ? WHERE file = (SELECT id FROM files WHERE path = ?)",
                        (self.facts_upto, str(one.path.relative_to(self._ledger.store))),
                    )

    def add_up(self, day: str, *, before_ns: int | None = None, is_whole: bool = False) -> bool:
        """Adds up what is not added up yet of a day, and begins before a moment; says whether that was done.

        All of it is added up anew where something was learnt of it, and where ``is_whole`` asks for one file. Blocks
        for the disk.

        Raises:
            LedgerError: the disk is full, broken or refuses.
            DamageError: a file is not what was committed, or a total would change. Nothing was changed.
        """
        if not self.facts_upto:
            return False
        with explained(self._ledger.store, f"add up {day} by subject"):
            connection = self._ledger.connection
            rollups = subject_rollups(connection, self._ledger.store, day=day)
            files = inputs_of(connection, TRAFFIC, day)
            new = [one for one in files if not one.is_by_subject and (before_ns is None or one.start_ns < before_ns)]
            is_again = bool(stale_days(rollups, self._newer(rollups))) or (
                is_whole and (len(rollups) > 1 or bool(rollups and new))
            )
            inputs = [one for one in files if one.is_by_subject or one in new] if is_again else new
            if not inputs:
                return False
            made = made_of(self._ledger, inputs, day, self._recipe(day))
            return self._count(made, inputs, day, is_again=is_again)

    def _newer(self, rollups: Sequence[SubjectRollup]) -> list[Fact]:
        """What was learnt since the oldest of the sums was made or confirmed, as far as it is known here."""
        after_id = min((one.facts_upto for one in rollups), default=self.facts_upto)
        newer = read_facts(self._ledger.connection, self._ledger.store, after_id=after_id)
        return [fact for fact in newer if fact.id <= self.facts_upto]

    def _recipe(self, day: str) -> Recipe:
        if self._known is None:
            facts = read_facts(self._ledger.connection, self._ledger.store)
            self._known = Knowledge([fact for fact in facts if fact.id <= self.facts_upto])
        start_ns = parse_rfc3339(f"{day}T00:00:00Z")
        spans = self._ledger.connection.execute(
            "SELECT DISTINCT interval_start, interval_end FROM intervals "
            "WHERE interval_start >= ? AND interval_start < ?",
            (start_ns, start_ns + DAY_NS),
        ).fetchall()
        bookings = Bookings(self._known, spans, self._lengths)

        def view(reader: Reader, files: Sequence[Path]) -> "AbstractContextManager[duckdb.DuckDBPyConnection]":
            is_made = files[0].parent.parent.name == ROLLUP_SUBJECT
            return reader.hours(files, ()) if is_made else booked_rows(reader, bookings, files)

        return Recipe(
            name="rolled-up",
            tab_before=TRAFFIC,
            tab=ROLLUP_SUBJECT,
            is_replacing=False,
            read=selected(f"{summed_select(VIEW)} ORDER BY {_ORDER}"),
            schema=subject_schema,
            sums_before=HOURLY.sums_before,
            sums_after=HOURLY.sums_after,
            view=view,
        )

    def _count(self, made: Made, inputs: Sequence[Input], day: str, *, is_again: bool) -> bool:
        """Names the new file in one transaction, instead of those before where all was added up again."""
        ledger, is_removed = self._ledger, True
        try:
            with database.transaction(ledger.connection):
                if not set(inputs_of(ledger.connection, TRAFFIC, day)).issuperset(inputs):
                    return False
                if is_again:
                    ledger.connection.execute(
                        "UPDATE files SET dropped_at = ? WHERE tab = ? AND day = ? AND dropped_at IS NULL",
                        (ledger.now_ns(), ROLLUP_SUBJECT, day),
                    )
                insert_file(ledger, ROLLUP_SUBJECT, day, made.file, start_ns=made.start_ns, end_ns=made.end_ns)
                ledger.connection.execute(
                    "INSERT INTO subject_rollups SELECT (SELECT id FROM files WHERE path = ?), ?, "  # noqa: S608  # integers
                    f"min(interval_start), max(interval_end) FROM files WHERE id IN ({_numbers(inputs)})",
                    (str(made.file.path.relative_to(ledger.store)), self.facts_upto),
                )
                ledger.connection.execute(f"UPDATE files SET by_subject = 1 WHERE id IN ({_numbers(inputs)})")  # noqa: S608  # as above
                ledger.at_step("rolled_up")
                # From here on nobody can tell whether it counts, should the end of the transaction fail.
                is_removed = False
        finally:
            if is_removed:
                made.file.path.unlink(missing_ok=True)
        ledger.at_step("counted")
        return True


def _numbers(inputs: Sequence[Input]) -> str:
    return ", ".join(str(one.number) for one in inputs)
