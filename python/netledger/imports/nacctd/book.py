"""What is new in logs, into the ledger: first whose the addresses were, then the traffic.

In this order a report never meets rows whose holder it cannot know yet. What was interrupted is simply repeated: facts
that are there are not written again, and of lines in several parts those are added that are missing.
"""

import functools
from dataclasses import dataclass, field
from typing import Final, final

from netledger.attribution.facts import Fact, Target, learnt_subject
from netledger.errors import LedgerError, OldFileError
from netledger.imports.nacctd.arrow import batch
from netledger.imports.nacctd.check import Addresses
from netledger.imports.nacctd.contested import Contested
from netledger.imports.nacctd.log import Piece, Seen
from netledger.imports.nacctd.parts import Part, parts
from netledger.imports.nacctd.plan import LogPlan, Mark, PlannedFile, Progress
from netledger.imports.nacctd.room import Room
from netledger.imports.nacctd.wish import NAME, SOURCE, LogWish, meaning
from netledger.ledger import Known, Ledger
from netledger.ledger.assignments import Assignments
from netledger.ledger.imported import ImportedLog
from netledger.receipt import Observed, Receipt
from netledger.reports.periods import Period

_ROWS_AT_ONCE: Final = 100_000
_PARTS_AT_ONCE: Final = 200

_Holder = tuple[str, int, int]


@final
@dataclass(slots=True)
class Booked:
    """What an import has done.

    Attributes:
        intervals: how many it made.
        rows: how many they have.
        facts: how many assignments are new.
        users: who stands in the lines.
        addresses: which addresses they had.
        contested: which of them another log gives to another user at the same time.
    """

    intervals: int = 0
    rows: int = 0
    facts: int = 0
    users: set[str] = field(default_factory=set)
    addresses: set[str] = field(default_factory=set)
    contested: set[str] = field(default_factory=set)


# The same few addresses get new holders all the time, and to read one is slow.
_target: Final = functools.lru_cache(maxsize=10_000)(Target.address)


@dataclass(slots=True)
class _Ready:
    """A part that is to be committed."""

    receipt: Receipt
    part: Part
    span: Period


@final
class Booking:
    """One import. ``book`` may be called once.

    Args:
        ledger: open, and nobody else's.
        assignments: of the same store.
        wish: what was asked for.
        todo: what is new.
        meter: what the ledger has of it.
    """

    def __init__(
        self, ledger: Ledger, assignments: Assignments, wish: LogWish, todo: LogPlan, meter: ImportedLog
    ) -> None:
        self._ledger = ledger
        self._assignments = assignments
        self._wish = wish
        self._todo = todo
        # What was interrupted is put where it was put before.
        again = {mark.sha256.hex() for one in todo.files for mark in one.wanted.values() if mark.missing}
        taken = (Period(one.start_ns, one.end_ns) for one in meter.booked if one.sha256 not in again)
        self._room = Room(taken, todo.period_seconds)
        self._seq = meter.last_seq
        self._addresses = Addresses()
        self._ready: list[_Ready] = []
        self._holders: dict[str, _Holder] = {}
        self._facts: list[Fact] = []
        self._contested = Contested(assignments.facts(source=SOURCE) if todo.is_new else ())
        self._done = Booked()

    def book(self, progress: Progress) -> Booked:
        """Commits what is new. Blocks for the disk.

        Raises:
            LedgerError: the disk is full, broken or refuses, or somebody else writes for this meter. What is booked is
                booked; repeat it later.
            OldFileError: a file was changed since it was read.
        """
        files = [one for one in self._todo.files if one.wanted]
        total, before = sum(one.log.octets for one in files), 0
        for one in files:

            def seen(octets: int, before: int = before) -> None:
                progress("book", before + octets, total)

            self._file(one, seen)
            before += one.log.octets
        self._flush()
        self._done.contested = {str(target) for target in self._contested.targets}
        return self._done

    def _file(self, one: PlannedFile, seen: Seen) -> None:
        file_sha256 = one.log.sha256()
        left = sorted(one.wanted, reverse=True)
        for piece in one.log.pieces(one.fields, seen):
            while left and left[-1] <= piece.last_line:
                mark = one.wanted[left[-1]]
                lines = piece.cut(left.pop() - piece.first_line, mark.lines)
                if lines.sha256() != mark.sha256:
                    raise self._changed(one)
                self._piece(one, lines, mark, file_sha256)
        if left:
            raise self._changed(one)

    def _piece(self, one: PlannedFile, piece: Piece, mark: Mark, file_sha256: str) -> None:
        found = parts(piece, one.fields, self._todo.whose)
        if mark.parts not in {0, len(found)}:
            cause = (
                f"lines {piece.first_line} to {piece.last_line} were booked in {mark.parts} parts, and not all of them"
            )
            raise LedgerError(
                str(self._ledger.store), "import", cause, "repeat it with the --users-in that it was begun with"
            )
        spans = self._room.spans(piece, found, is_first=piece.first_line == 1)
        for number, (part, span) in enumerate(zip(found, spans, strict=True), start=1):
            self._hold(part, span)
            if mark.parts and number not in mark.missing:
                continue
            self._seq += 1
            receipt = self._receipt(one, piece, part, span, (number, len(found)), file_sha256)
            self._ready.append(_Ready(receipt, part, span))
        if len(self._ready) >= _PARTS_AT_ONCE or sum(len(one.part.rows) for one in self._ready) >= _ROWS_AT_ONCE:
            self._flush()

    def _hold(self, part: Part, span: Period) -> None:
        """Notes whose addresses were; what follows without a gap is one assignment."""
        for host, user in part.holders.items():
            if user is None:
                continue
            address = host.decode()
            self._done.users.add(user)
            self._done.addresses.add(address)
            open_ = self._holders.get(address)
            if open_ is not None and open_[0] == user and open_[2] == span.start_ns:
                self._holders[address] = user, open_[1], span.end_ns
                continue
            self._close(address)
            self._holders[address] = user, span.start_ns, span.end_ns

    def _close(self, address: str) -> None:
        held = self._holders.pop(address, None)
        if held is not None:
            user, start_ns, end_ns = held
            self._facts.append(
                Fact(
                    target=_target(address),
                    valid_from_ns=start_ns,
                    valid_to_ns=end_ns,
                    subject=learnt_subject(user),
                    source=SOURCE,
                    detail={"meter": self._wish.meter},
                )
            )

    def _flush(self) -> None:
        for address in list(self._holders):
            self._close(address)
        added = self._assignments.add(self._contested.settled(self._facts))
        self._done.facts += sum(fact.is_claim for fact in added)
        self._facts.clear()
        for one in self._ready:
            if isinstance(self._ledger.commit(one.receipt, batch(one.part, self._addresses)), Known):
                cause = f"number {one.receipt.seq} was taken meanwhile"
                raise LedgerError(str(self._ledger.store), "import", cause, "import it again")
            self._done.intervals += 1
            self._done.rows += len(one.part.rows)
        self._ready.clear()

    def _receipt(
        self,
        one: PlannedFile,
        piece: Piece,
        part: Part,
        span: Period,
        number: tuple[int, int],
        file_sha256: str,
    ) -> Receipt:
        divided = "" if number[1] == 1 else f", part {number[0]} of {number[1]}, for an address changed hands"
        return Receipt(
            node=self._wish.node,
            meter=self._wish.meter,
            seq=self._seq,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            # Nobody knows; a step of the clock is not told by such files.
            monotonic_ns=span.end_ns - span.start_ns,
            observed=Observed(
                kernel=None,
                accounted=part.accounted,
                other=part.other,
                rows=len(part.rows),
                source=NAME,
                meaning=meaning(one.fields, self._wish.delay_seconds),
            ),
            remarks=(f"imported from {one.log.absolute}, lines {piece.first_line} to {piece.last_line}{divided}",),
            imported={
                "kind": NAME,
                "file": one.log.absolute,
                "file_sha256": file_sha256,
                "first_line": piece.first_line,
                "last_line": piece.last_line,
                "fields": str(one.fields),
                "period": piece.period,
                "period_seconds": self._todo.period_seconds,
                "first_second": piece.first_second,
                "last_second": piece.last_second,
                "lines": len(piece.lines),
                "sha256": piece.sha256().hex(),
                "part": number[0],
                "parts": number[1],
            },
        )

    def _changed(self, one: PlannedFile) -> OldFileError:
        return OldFileError(one.log.name, "import", "it was changed while it was read", "import it again")
