"""What totals by subject rest on: sums by subject where they are what is known, and rows joined to facts elsewhere."""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from netledger.ledger.added_rows import Adding, added_rows
from netledger.ledger.assignments import read_facts
from netledger.ledger.booked_rows import booked_rows, booked_sums
from netledger.ledger.booking import Bookings, Knowledge
from netledger.ledger.intervals import IntervalRow
from netledger.ledger.reader import Reader, Snapshot
from netledger.ledger.store import day_of
from netledger.ledger.subject_files import has_facts_at, stale_days

if TYPE_CHECKING:
    from pathlib import Path

    from netledger.ledger.reader import Connection


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """Where totals by subject come from.

    Attributes:
        rows: a connection with the view ``traffic``; its rows have their subjects.
        gone: UTC days of which there is nothing.
        days_outdated: UTC days whose rows were removed, and something was learnt of them since that changes whose they
            were: their totals are as it was known then.
        has_facts: whether anything was known of anybody.
        has_numbers: whether rows have a number too that says whose they are, with a table of what it means.
    """

    rows: Callable[[], "AbstractContextManager[Connection]"]
    gone: frozenset[str]
    days_outdated: frozenset[str]
    has_facts: bool
    has_numbers: bool = False


def basis(
    reader: Reader,
    snapshot: Snapshot,
    intervals: Sequence[IntervalRow],
    *,
    as_known_at_ns: int | None,
    is_of_sums: bool,
    adding: Adding | None = None,
) -> Basis:
    """What answers a question about subjects.

    ``is_of_sums`` says that sums of five minutes and hours can do it, and ``adding`` which rows may be added up to one.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    has_facts = reader.read(lambda connection: has_facts_at(connection, as_known_at_ns))

    @functools.cache
    def known() -> Knowledge:
        return Knowledge(
            reader.read(lambda connection: read_facts(connection, reader.store, as_known_at_ns=as_known_at_ns))
        )

    def bookings(files: "Sequence[Path]") -> Bookings:
        days = {_day_of(file) for file in files}
        spans = [(one.start_ns, one.end_ns) for one in intervals if day_of(one.start_ns) in days]
        return Bookings(known(), spans, snapshot.prefix_lengths)

    rollups = snapshot.subject_rollups
    if not is_of_sums or not rollups:
        return Basis(
            rows=lambda: _rows(reader, snapshot, bookings(snapshot.files), adding),
            gone=snapshot.days_dropped,
            days_outdated=frozenset(),
            has_facts=has_facts,
            has_numbers=bool(snapshot.files),
        )
    after_id = min(one.facts_upto for one in rollups) if as_known_at_ns is None else 0
    facts = reader.read(lambda connection: read_facts(connection, reader.store, after_id=after_id))
    stale = stale_days(rollups, facts, as_known_at_ns=as_known_at_ns)
    again = stale - snapshot.days_dropped
    late = set(snapshot.not_by_subject)
    files = [file for file in snapshot.files if file in late or _day_of(file) in again]
    return Basis(
        rows=lambda: booked_sums(
            reader,
            lambda: bookings(files),
            [one.path for one in rollups if one.day not in again],
            files,
            snapshot.prefix_lengths,
        ),
        gone=snapshot.subject_days_dropped,
        days_outdated=frozenset(stale & snapshot.days_dropped),
        has_facts=has_facts,
    )


def _rows(
    reader: Reader, snapshot: Snapshot, bookings: Bookings, adding: Adding | None
) -> "AbstractContextManager[Connection]":
    files, hours, others = snapshot.files, snapshot.rollups, snapshot.not_rolled_up
    if adding is not None and bookings.is_of_hosts and adding.suits(files):
        return added_rows(reader, bookings, files, adding, hours=hours, not_in_hours=others)
    return booked_rows(reader, bookings, files, hours=hours, not_in_hours=others)


def _day_of(file: "Path") -> str:
    return file.parent.name.removeprefix("day=")
