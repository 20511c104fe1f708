"""Old files into the ledger, each period once.

All files are read before anything is booked, so that a mistake in one is told at once and leaves nothing of it behind.
Then each period becomes an interval of its own, durable before the next; what was interrupted is simply repeated.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from netledger.errors import LedgerError, OldFileError, UsageError
from netledger.imports import rows
from netledger.imports.base import Kind, OldPeriod
from netledger.imports.clock import Candidates, candidates, decide, is_shown_twice
from netledger.ledger import Known, Ledger
from netledger.ledger.imported import ImportedMeter
from netledger.receipt import Count, Receipt
from netledger.reports.harmless import harmless
from netledger.reports.periods import Period
from netledger.reports.remarks import counted
from netledger.reports.zones import Zone

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""

_Key = tuple[str, int | None]
_Place = tuple[str, str, int]

_NOBODY: Final = "choose a name of its own for what is imported, as in --meter old_lan"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How files are to be understood, and to whom they are booked.

    Attributes:
        kind: whose files they are.
        node: the machine that counted.
        meter: what the accounting is called.
        zone: of the clock that they tell.
        interval_ns: how long a period is, where its file does not tell; else None.
        ipv6: what is done with bytes of IPv6.
    """

    kind: Kind
    node: str
    meter: str
    zone: Zone
    interval_ns: int | None
    ipv6: rows.Ipv6Bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A period that is new, and when it was.

    Attributes:
        period: it, without its rows.
        span: its time.
        is_ambiguous: the clock showed its local time twice.
        accounted: what its rows add up to.
        rows: how many it has.
        meaning: of their bytes.
        file_sha256: of the file that it is in, hexadecimal.
    """

    period: OldPeriod
    span: Period
    is_ambiguous: bool
    accounted: Count
    rows: int
    meaning: str
    file_sha256: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an import is to do.

    Attributes:
        new: periods to be booked, file by file.
        known: how many are booked already, or were read twice.
        overlapping: how many of the new ones overlap another period of the meter.
        refused: why some files are not imported, one error for each.
    """

    new: Sequence[Placed]
    known: int
    overlapping: int
    refused: Sequence[OldFileError]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    period: OldPeriod
    is_shown_twice: bool
    accounted: Count
    rows: int
    meaning: str
    file_sha256: str

    @property
    def key(self) -> _Key:
        """What tells whether it is the same content. Of an hour that comes twice both may be equal."""
        return self.period.sha256.hex(), self.period.ordinal if self.is_shown_twice else None

    @property
    def place(self) -> _Place:
        """Where it would be booked; two of the same place and other content contradict each other."""
        return self.period.start_text, self.period.end_text, self.period.ordinal


def plan(files: Sequence[Path], wish: Wish, meter: ImportedMeter, progress: Progress) -> Plan:
    """Reads the files, and finds what of them is new. Blocks for the disk.

    Raises:
        UsageError: the meter has intervals that were counted here.
    """
    if meter.counted:
        cause = f"the ledger has {counted(meter.counted, 'interval')} of it that {_were(meter.counted)} counted here"
        raise UsageError(f"--meter {wish.meter}", "", cause, _NOBODY)
    read: dict[Path, list[_Read]] = {}
    refused: list[OldFileError] = []
    for number, path in enumerate(files):
        progress("read", number, len(files))
        try:
            read.setdefault(path, _read(path, wish))
        except OldFileError as error:
            refused.append(error)
    new, known = _new(read, wish, meter, refused)
    taken = [Period(one.start_ns, one.end_ns) for one in meter.booked]
    spans = decide([found for _, found in new], taken, interval_ns=wish.interval_ns)
    return Plan(
        new=[
            Placed(
                period=one.period,
                span=span,
                is_ambiguous=found.is_ambiguous,
                accounted=one.accounted,
                rows=one.rows,
                meaning=one.meaning,
                file_sha256=one.file_sha256,
            )
            for (one, found), span in zip(new, spans, strict=True)
        ],
        known=known,
        overlapping=_overlapping(spans, taken),
        refused=refused,
    )


def book(ledger: Ledger, todo: Plan, wish: Wish, meter: ImportedMeter, progress: Progress) -> None:
    """Commits what is new. Blocks for the disk.

    Raises:
        LedgerError: the disk is full, broken or refuses, or somebody else writes for this meter. What is booked is
            booked; repeat it later.
        OldFileError: a file was changed since it was read.
    """
    by_file: dict[Path, dict[int, Placed]] = {}
    for one in sorted(todo.new, key=lambda one: one.span):
        by_file.setdefault(one.period.path, {})[one.period.first_line] = one
    done = 0
    for path, wanted in by_file.items():
        left = dict(wanted)
        for period in wish.kind.periods(path):
            place = left.get(period.first_line)
            if place is not None and place.period.sha256 == period.sha256:
                progress("book", done, len(todo.new))
                done += 1
                _commit(ledger, wish, place, period, meter.last_seq + done)
                del left[period.first_line]
        if left:
            raise OldFileError(harmless(str(path)), "import", "it was changed while it was read", "import it again")


def _commit(ledger: Ledger, wish: Wish, place: Placed, period: OldPeriod, seq: int) -> None:
    taken = rows.adjusted(period, wish.kind, wish.ipv6)
    lines = f"lines {period.first_line} to {period.last_line}"
    if period.first_line == period.last_line:
        lines = f"line {period.first_line}"
    file = harmless(os.path.abspath(period.path))  # noqa: PTH100  # links stay as the operator named them
    receipt = Receipt(
        node=wish.node,
        meter=wish.meter,
        seq=seq,
        start_ns=place.span.start_ns,
        end_ns=place.span.end_ns,
        # Nobody knows; a step of the clock is not told by such files.
        monotonic_ns=place.span.end_ns - place.span.start_ns,
        observed=rows.observed(taken, wish.kind, wish.ipv6),
        remarks=(f"imported from {file}, {lines}",),
        imported={
            "kind": wish.kind.name,
            "file": file,
            "file_sha256": place.file_sha256,
            "first_line": period.first_line,
            "last_line": period.last_line,
            "start": period.start_text,
            "end": period.end_text,
            "ordinal": period.ordinal,
            "timezone": wish.zone.name,
            "sha256": period.sha256.hex(),
        },
    )
    if isinstance(ledger.commit(receipt, rows.batch(taken)), Known):
        raise LedgerError(str(ledger.store), "import", f"number {seq} was taken meanwhile", "import it again")


def _read(path: Path, wish: Wish) -> list[_Read]:
    found = []
    for period in wish.kind.periods(path):
        try:
            seen = rows.observed(rows.adjusted(period, wish.kind, wish.ipv6), wish.kind, wish.ipv6)
        except OverflowError as error:
            raise OldFileError(period.place, "", "the sum of the period does not fit 64 bits") from error
        found.append(
            _Read(
                period=replace(period, rows=()),
                is_shown_twice=is_shown_twice(period.start, wish.zone),
                accounted=seen.accounted,
                rows=seen.rows,
                meaning=seen.meaning,
                file_sha256="",
            )
        )
    try:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OldFileError(harmless(str(path)), "read", (error.strerror or str(error)).lower()) from error
    return [replace(one, file_sha256=whole) for one in found]


def _new(
    read: dict[Path, list[_Read]], wish: Wish, meter: ImportedMeter, refused: list[OldFileError]
) -> tuple[list[tuple[_Read, Candidates]], int]:
    """What is not booked yet, and how much is; files that contradict what is booked are refused."""
    contents: set[_Key] = {(one.sha256, number) for one in meter.booked for number in (None, one.ordinal)}
    files: dict[_Place, str] = {(one.local_start, one.local_end, one.ordinal): one.file for one in meter.booked}
    new: list[tuple[_Read, Candidates]] = []
    known = 0
    # Of two copies the one counts whose name tells when the period ends.
    for path, found in sorted(read.items(), key=lambda item: any(one.period.end is None for one in item[1])):
        mine: dict[_Key, tuple[_Read, Candidates]] = {}
        places: dict[_Place, str] = {}
        try:
            for one in found:
                if one.key in contents or one.key in mine:
                    known += 1
                    continue
                other = files.get(one.place) or places.get(one.place)
                if other is not None:
                    raise _contradiction(one.period, other)
                mine[one.key] = one, candidates(one.period, wish.zone, wish.interval_ns)
                places[one.place] = harmless(str(path))
        except OldFileError as error:
            refused.append(error)
            continue
        new += mine.values()
        contents |= mine.keys()
        files |= places
    return new, known


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _overlapping(new: Sequence[Period], taken: Sequence[Period]) -> int:
    reached_ns, count = 0, 0
    for span, is_new in sorted([*((span, True) for span in new), *((span, False) for span in taken)]):
        count += is_new and span.start_ns < reached_ns
        reached_ns = max(reached_ns, span.end_ns)
    return count


def _contradiction(period: OldPeriod, file: str) -> OldFileError:
    return OldFileError(
        period.place,
        "",
        f"the period that begins at {period.start_text} was imported with other content, from {file}",
        "was the file changed since? what another machine or program counted goes to another --node or --meter",
    )
