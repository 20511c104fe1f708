"""What of some logs is new. Reads all of them, so that a mistake is told before anything is booked.

What is known is known by its lines. Those of a period that stand behind each other in a file are one content; a file
that grew begins with what is known already, and what follows is new. Lines of the same seconds with another content
were changed since, or are another machine's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from netledger.errors import OldFileError, UsageError
from netledger.imports.nacctd import detect
from netledger.imports.nacctd.check import Addresses, check
from netledger.imports.nacctd.fields import Fields, checked
from netledger.imports.nacctd.log import LogFile, Piece, Seen
from netledger.imports.nacctd.parts import with_users
from netledger.imports.nacctd.users import Whose
from netledger.imports.nacctd.wish import PERIOD_SECONDS, LogWish
from netledger.ledger.imported import BookedPart, ImportedLog
from netledger.receipt import ZERO, Count
from netledger.reports.remarks import counted

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""

_LISTED_MAX: Final = 4


@final
@dataclass(slots=True)
class Mark:
    """Lines that are known.

    Attributes:
        lines: how many.
        sha256: of them.
        first_second: when the first was written.
        last_second: when the last was.
        file: where they come from.
        missing: of lines that were booked in parts, those parts that an import did not come to any more.
        parts: how many parts there are; 0 where they are not booked yet.
    """

    lines: int
    sha256: bytes
    first_second: int
    last_second: int
    file: str
    missing: frozenset[int] = frozenset()
    parts: int = 0


@final
@dataclass(slots=True)
class PlannedFile:
    """A file that is to be imported.

    Attributes:
        log: it.
        fields: of its lines.
        are_given: somebody said which.
        wanted: what is new, by the number of its first line; in their order.
        lines: how many it has that are new.
        known: of how many periods it has lines that are not.
        known_lines: how many those are.
        accounted: what is new, added up.
        span: when the first and last of the new lines were written.
    """

    log: LogFile
    fields: Fields
    are_given: bool
    wanted: dict[int, Mark] = field(default_factory=dict)
    lines: int = 0
    known: int = 0
    known_lines: int = 0
    accounted: Count = ZERO
    span: tuple[int, int] | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogPlan:
    """What an import is to do.

    Attributes:
        files: in the order of their time.
        period_seconds: how long a period is.
        whose: tells which addresses are users'.
        refused: why some files are not imported, one error for each.
    """

    files: Sequence[PlannedFile]
    period_seconds: int
    whose: Whose
    refused: Sequence[OldFileError]

    @property
    def is_new(self) -> bool:
        """Whether there is something to be booked."""
        return any(one.wanted for one in self.files)


def plan(paths: Sequence[Path], wish: LogWish, meter: ImportedLog, progress: Progress) -> LogPlan:
    """Reads the files, and finds what of them is new. Blocks for the disk.

    Raises:
        UsageError: the meter has intervals from elsewhere, or its periods are of another length.
    """
    period_seconds = _period_seconds(wish, meter)
    refused: list[OldFileError] = []
    files = _found(paths, wish, period_seconds, refused)
    total = sum(one.log.octets for one in files)
    known, done, good = _known(meter.booked), 0, []
    addresses, whose = Addresses(), Whose(wish.networks)
    for one in files:

        def seen(octets: int, before: int = done) -> None:
            progress("read", before + octets, total)

        try:
            marks = _read(one, known, addresses, whose, seen)
        except OldFileError as error:
            refused.append(error)
        else:
            good.append(one)
            for period, mark in marks:
                known.setdefault(period, []).append(mark)
        done += one.log.octets
    return LogPlan(files=good, period_seconds=period_seconds, whose=whose, refused=refused)


def _period_seconds(wish: LogWish, meter: ImportedLog) -> int:
    if meter.others:
        cause = f"the ledger has {counted(meter.others, 'interval')} of it from elsewhere"
        hint = "choose a name of its own for what is imported, as in --meter old_lan"
        raise UsageError(f"--meter {wish.meter}", "", cause, hint)
    before = meter.booked[-1].period_seconds if meter.booked else wish.period_seconds or PERIOD_SECONDS
    if wish.period_seconds not in {None, before}:
        cause = f"what was imported into {wish.meter} before has intervals of {before} s"
        raise UsageError("--interval", "", cause, "leave it out, or take another --meter")
    return before


def _found(paths: Sequence[Path], wish: LogWish, period_seconds: int, refused: list[OldFileError]) -> list[PlannedFile]:
    """The files in the order of their times, with their fields. Empty ones, and those given twice, are left out."""
    heads: list[tuple[LogFile, list[bytes]]] = []
    for path in dict.fromkeys(paths):
        try:
            log = LogFile(path, period_seconds)
            if head := log.head():
                heads.append((log, head))
        except OldFileError as error:
            refused.append(error)
    choices = {id(log): _choices(log, head, wish, refused) for log, head in heads}
    sure = {one[0] for one in choices.values() if len(one) == 1}
    files = []
    for log, _ in sorted(heads, key=lambda item: (_first_time(item[1]), str(item[0].path))):
        found = choices[id(log)]
        # What one file leaves open the others may tell: all are of one table, mostly.
        fields = found[0] if len(found) == 1 else next(iter(sure & set(found)), None) if len(sure) == 1 else None
        if fields is None:
            if found:
                refused.append(_unclear(log, found))
            continue
        try:
            files.append(PlannedFile(log, checked(fields, f"{log.name}: {fields}"), are_given=wish.fields is not None))
        except UsageError as error:
            refused.append(OldFileError(f"{log.name}:1", "", error.cause or "", "lines that say more are needed"))
    return files


def _first_time(head: list[bytes]) -> int:
    time = head[0].split(b"\t", 1)[0].strip()
    return int(time) if time.isdigit() else 0


def _choices(log: LogFile, head: list[bytes], wish: LogWish, refused: list[OldFileError]) -> list[Fields]:
    if wish.fields is not None:
        return [wish.fields]
    found = detect.possible(head)
    if not found:
        # The line at which the choice of the lines before ends; the first one, where not even that fits any.
        number = next((n for n in range(1, len(head) + 1) if not detect.possible(head[:n])), 1)
        cause = "the line is none of nacctd, or has other fields than those before it"
        refused.append(
            OldFileError(f"{log.name}:{number}", "", cause, "where fields were disabled later, see --fields")
        )
    return found


def _unclear(log: LogFile, found: Sequence[Fields]) -> OldFileError:
    more = "" if len(found) <= _LISTED_MAX else f", or {counted(len(found) - _LISTED_MAX, 'other')}"
    listed = " or ".join(f"--fields {one}" for one in found[:_LISTED_MAX])
    return OldFileError(f"{log.name}:1", "", "its lines do not tell which fields they have", f"say {listed}{more}")


def _known(booked: Iterable[BookedPart]) -> dict[int, list[Mark]]:
    parts: dict[tuple[int, str], list[BookedPart]] = {}
    for one in booked:
        parts.setdefault((one.period, one.sha256), []).append(one)
    known: dict[int, list[Mark]] = {}
    for (period, sha256), found in parts.items():
        one = found[0]
        missing = frozenset(range(1, one.parts + 1)) - {part.part for part in found}
        mark = Mark(
            lines=one.lines,
            sha256=bytes.fromhex(sha256),
            first_second=one.first_second,
            last_second=one.last_second,
            file=one.file,
            missing=missing,
            parts=one.parts,
        )
        known.setdefault(period, []).append(mark)
    return known


def _read(
    one: PlannedFile, known: dict[int, list[Mark]], addresses: Addresses, whose: Whose, seen: Seen
) -> list[tuple[int, Mark]]:
    """Fills in what is new in a file, and gives it."""
    mine: list[tuple[int, Mark]] = []
    of_period: dict[int, list[Mark]] = {}
    # Lines of one second may be in several pieces that follow each other.
    together: list[Mark] = []
    above: dict[int, list[Mark]] = {}
    period = begun_line = -1
    for piece in one.log.pieces(one.fields, seen):
        check(piece, one.fields, one.log, addresses)
        whose.look(with_users(piece, one.fields))
        if piece.period != period:
            above.setdefault(period, []).extend(together)
            together, period, begun_line = [], piece.period, piece.first_line
        marks = [*known.get(period, ()), *of_period.get(period, ())]
        rest = piece
        while rest.lines and (mark := _begins_with(rest, marks)):
            if mark.missing:
                one.wanted[rest.first_line] = mark
                _count(one, rest, mark.lines)
            else:
                one.known += 1
                one.known_lines += mark.lines
            together.append(mark)
            rest = rest.without(mark.lines)
        if rest.lines:
            _refuse_set_back(one.log, rest, above.get(period, ()), begun_line)
            _refuse_changed(one.log, rest, [mark for mark in marks if mark not in together])
            new = Mark(len(rest.lines), rest.sha256(), rest.first_second, rest.last_second, one.log.name)
            together.append(new)
            mine.append((period, new))
            of_period.setdefault(period, []).append(new)
            one.wanted[rest.first_line] = new
            _count(one, rest, len(rest.lines))
    return mine


def _begins_with(piece: Piece, marks: Iterable[Mark]) -> Mark | None:
    for mark in marks:
        if mark.lines <= len(piece.lines) and mark.sha256 == piece.sha256(mark.lines):
            return mark
    return None


def _refuse_set_back(log: LogFile, rest: Piece, above: Iterable[Mark], begun_line: int) -> None:
    """Refuses lines of seconds that the file has above, with later ones between them."""
    for mark in above:
        first, last = max(rest.first_second, mark.first_second), min(rest.last_second, mark.last_second)
        if first <= last:
            cause = f"lines of the seconds {first} to {last} stand above already, and later ones behind them"
            hint = (
                f"the clock was set back there, or two logs were joined: cut the file before line {begun_line}, and "
                "import what follows with a --meter of its own"
            )
            raise OldFileError(f"{log.name}:{begun_line}", "", cause, hint)


def _refuse_changed(log: LogFile, rest: Piece, marks: Iterable[Mark]) -> None:
    for mark in marks:
        first, last = max(rest.first_second, mark.first_second), min(rest.last_second, mark.last_second)
        if first > last:
            continue
        cause = f"lines of the seconds {first} to {last} were imported with other content, from {mark.file}"
        # Lines of one second in two logs cannot be told from a log that was cut in front.
        hint = (
            "was the log put aside within this second? join both parts to one file, the older one first, and import it"
            if first == last
            else "was the file changed or cut since? what another machine or program counted goes to another --node "
            "or --meter"
        )
        raise OldFileError(f"{log.name}:{rest.first_line}", "", cause, hint)


def _count(one: PlannedFile, piece: Piece, lines: int) -> None:
    values = piece.values[:lines]
    numbers = []
    for name in ("count", "bytes"):
        place = one.fields.place(name)
        numbers.append(0 if place is None else sum(int(value[place]) for value in values))
    try:
        one.accounted += Count(*numbers)
    except OverflowError:
        one.log.refuse_line(piece.first_line, "what follows adds up to more than 64 bits hold")
    one.lines += lines
    first, last = piece.first_second, piece.last_second
    one.span = (min(first, one.span[0]), max(last, one.span[1])) if one.span else (first, last)
