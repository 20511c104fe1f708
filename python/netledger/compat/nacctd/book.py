"""The records, and what is kept of them on disk: the journal, the dump and the log."""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, final

from netledger.compat.nacctd.dump import NO_DUMP, Dump, digest_of, records_in
from netledger.compat.nacctd.journal import EMPTY, DamagedError, Journal, Noted, Pending
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.output import Output, OutputError, settle, size_of
from netledger.compat.nacctd.records import Counts, Flow, Records
from netledger.compat.nacctd.syslog import Syslog
from netledger.durable import Step, no_step
from netledger.intervals import SECOND_NS, Moment

__all__ = ["Book"]

_WRITER: Final = "nacctd (write)"
_DUMPER: Final = "nacctd (dump)"


class _Absorbed(NamedTuple):
    """What a generation has counted until a moment."""

    seq: int
    counts: list[Counts]
    last_ns: int
    is_left: bool


@final
class Book:
    """The records of one dump file. Not safe for concurrent use.

    What is counted is in memory and, until it is noted, in the table files of its generations. :attr:`noted` says up to
    which generation everything is durable here; only those may be released.

    Args:
        table: the settings.
        log: who is told.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, table: Table, log: Syslog, *, at_step: Step = no_step) -> None:
        self._log = log
        self._at_step = at_step
        self._table = table
        self._disabled = table.disabled
        self._journal = Journal(table.dumpfile)
        self._dump = Dump(table.dumpfile)
        self._dump_digest = digest_of(None)
        self._absorbed = 0
        self._pending: Pending | None = None
        self._replaces: str | None = None
        self._changed = False
        # What was absorbed while the directory of the dump file was not there, and so could not be read.
        self._unread: list[_Absorbed] | None = None
        self.noted = 0
        self.records = Records()

    @property
    def pending(self) -> bool:
        """Whether lines may be in the log of which that is not known for certain."""
        return self._pending is not None

    def open(self, now: Moment) -> None:
        """Reads back what an earlier process has left: each record once.

        A directory that is not there, or not yet mounted, is read when it comes. Until then nothing is written.

        Raises:
            OSError: the journal or the dump cannot be read, or not be moved aside.
        """
        if self._dump.path.parent.exists():
            self._open(now)
        else:
            self._unread = []

    def _open(self, now: Moment) -> None:
        noted = self._noted_before()
        content = self._dump.read()
        digest = digest_of(content)
        if noted is None and content:
            self._take_old_dump(content, now)
        elif noted is not None and content and digest not in {noted.dump, noted.dump_before}:
            aside = self._dump.set_aside()
            self._log.warning(f"dumpfile is not as it was left, and not read back: moved to {aside}")
        known = noted or EMPTY
        self._dump_digest = digest_of(self._dump.read())
        self._absorbed = self.noted = known.absorbed
        self.records.add(known.rest, last_ns=now.monotonic_ns)
        self._pending = known.pending
        self._replaces = known.replaces
        # A dump that is not the noted one was about to be written, or removed.
        self._changed = bool(self.records) or self._pending is not None or self._dump_digest != known.dump
        self._changed |= self._replaces is not None
        if known.pending is not None:
            self.settle(now)
        if self.records:
            self._log.info(f"{len(self.records)} records read back")

    def absorb(self, counts: Iterable[Counts], *, seq: int, last_ns: int, is_left: bool = False) -> None:
        """Adds what a generation has counted until a moment; ``is_left``: one of an earlier process."""
        before = len(self.records)
        counted = list(counts)
        if self._unread is not None:
            self._unread.append(_Absorbed(seq, counted, last_ns, is_left))
        self.records.add(counted, last_ns=last_ns)
        self._absorbed = seq
        self._changed |= bool(counted) or len(self.records) != before
        if not self._changed and self._unread is None:
            # Nothing was counted: whether this generation was noted makes no difference.
            self.noted = seq

    def note(self, now: Moment) -> bool:
        """Makes everything durable, and shows it in the dump. Tells whether that was possible."""
        self._move_late(now)
        self._read_late(now)
        if not self._changed:
            return True
        flows = self.records.all()
        shown = Pending(
            file="",
            offset=None,
            seconds=now.wall_ns // SECOND_NS,
            disabled=self._disabled,
            counts=tuple(self.records.counts(flows)),
        )
        content = b"".join(shown.chunks())
        if not self._write_journal(shown.counts, None, dump=digest_of(content)):
            return False
        self._changed = False
        self._at_step("noted")
        self._remove_replaced()
        try:
            self._dump.write(content)
        except OSError as error:
            self._log.error(f"error writing to file {self._dump.path}: {_text(error)}", ident=_DUMPER)
            self._changed = True
        else:
            self._dump_digest = digest_of(content)
        self._at_step("dumped")
        return True

    def write(self, path: str, flows: Sequence[Flow], now: Moment) -> bool:
        """Appends the lines of records to the log, and drops them. Tells whether that was possible.

        The log is opened even if there is nothing to write. A record that is not in it stays a record.
        """
        if self._pending is not None and not self.settle(now):
            return False
        try:
            with Output(path) as output:
                return self._write(output, flows, now)
        except OutputError as error:
            self._log.error(str(error), ident=_WRITER)
            return False

    def settle(self, now: Moment) -> bool:
        """Finds out whether pending lines are in the log; if not, they become records again."""
        pending = self._pending
        if pending is None:
            return True
        try:
            is_there = settle(pending.file, pending.offset, b"".join(pending.chunks()))
        except OSError as error:
            self._log.error(f"error reading file {pending.file}: {_text(error)}", ident=_WRITER)
            return False
        if not is_there:
            self._warn_of_doubles(pending)
            self.records.add(pending.counts, last_ns=now.monotonic_ns)
        self._pending = None
        self._changed = True
        self._at_step("settled")
        return True

    def move(self, table: Table, now: Moment) -> None:
        """Goes on with other settings; the dump may have another name.

        Then the records go there as soon as that is possible, and to those that an earlier process has left there.
        """
        self._table, self._disabled, self._changed = table, table.disabled, True
        self.note(now)

    def close(self) -> None:
        """Removes the journal when there is nothing in it.

        Raises:
            OSError: the disk refuses.
        """
        if not self.records and self._pending is None and not self._changed and self._dump_digest == NO_DUMP:
            self._journal.remove()

    def _move_late(self, now: Moment) -> None:
        """Takes the records to another dump file, where that is wished and can be done now."""
        journal, dump = Journal(self._table.dumpfile), Dump(self._table.dumpfile)
        if journal.path == self._journal.path:
            return
        if self._unread is not None:
            self._journal, self._dump = journal, dump  # nothing was ever read or written where they were
            return
        # A note holds lines of one time only.
        if not self.settle(now):
            return
        there = self._left_there(now)
        if there is None:
            return
        self._remove_replaced()
        self.records.add(there.records.counts(there.records.all()), last_ns=now.monotonic_ns)
        self._replaces = str(self._dump.path)
        self._journal, self._dump, self._dump_digest = journal, dump, there._dump_digest
        self._changed = True

    def _left_there(self, now: Moment) -> "Book | None":
        """What an earlier process has left where the records are to go, read as by a start there; None: not now."""
        there = Book(self._table, self._log)
        if not there._dump.path.parent.exists():
            self._log.error(f"error writing to file {there._journal.path}: {os.strerror(errno.ENOENT)}", ident=_DUMPER)
            return None
        try:
            there._set_aside_twin(self._dump.path)
            there.open(now)
        except OSError as error:
            self._log.error(f"error reading file {error.filename}: {_text(error)}", ident=_DUMPER)
            return None
        return there if there.note(now) and not there.pending else None

    def _set_aside_twin(self, replaced: Path) -> None:
        """Moves a journal that was about to replace another one out of the way of that: both have the same records.

        Raises:
            OSError: the disk refuses.
        """
        noted = self._noted_before()
        if noted is not None and noted.replaces == str(replaced):
            if self._dump.path.exists():
                self._dump.set_aside()  # made of the same
            aside = self._journal.set_aside("twin")
            self._log.warning(f"journal was about to replace that of {replaced}, which was read back: moved to {aside}")

    def _read_late(self, now: Moment) -> None:
        """Reads what :meth:`open` could not. What an earlier process has left may be in it already."""
        unread, records = self._unread, self.records
        if unread is None or not self._dump.path.parent.exists():
            return
        self.records = Records()
        try:
            self._open(now)
        except OSError as error:
            self._log.error(f"error reading file {error.filename}: {_text(error)}", ident=_DUMPER)
            self.records = records
            return
        known, self._unread = self._absorbed, None
        for seq, counts, last_ns, is_left in unread:
            self.absorb(() if is_left and seq <= known else counts, seq=seq, last_ns=last_ns)
        # Numbers of this process say nothing about those of a journal that it did not know.
        self.noted, self._changed = 0, True

    def _write(self, output: Output, flows: Sequence[Flow], now: Moment) -> bool:
        if not flows:
            return True
        if output.end_last_line():
            self._log.warning(f"file {output.path}: its last line was without an end")
        pending = Pending(
            file=os.path.abspath(output.path),  # noqa: PTH100  the working directory may be another one later
            offset=output.offset,
            seconds=now.wall_ns // SECOND_NS,
            disabled=self._disabled,
            counts=tuple(self.records.counts(flows)),
        )
        kept = set(flows)
        rest = tuple(self.records.counts(flow for flow in self.records.all() if flow not in kept))
        if not self._write_journal(rest, pending, dump=self._dump_digest):
            return False
        self._at_step("intended")
        self._changed = True
        try:
            output.append(pending.chunks())
        except OutputError as error:
            self._log.error(str(error), ident=_WRITER)
            self.records.remove(flows[: error.written])
            if not error.is_clean:
                self.records.remove(flows)
                self._pending = pending
            return False
        self._at_step("appended")
        self.records.remove(flows)
        return True

    def _warn_of_doubles(self, pending: Pending) -> None:
        """Says so when nobody can know whether lines are in the log."""
        count, file = len(pending.counts), pending.file
        if pending.offset is None:
            self._log.warning(f"{count} records may be in {file} twice: it is no regular file")
        elif size_of(file) < pending.offset:
            self._log.warning(f"{count} records may be in a compressed {file} already: they were about to be written")

    def _remove_replaced(self) -> None:
        """Removes what another dump file has left, once everything that was there is noted here."""
        if self._replaces is None:
            return
        try:
            Journal(self._replaces).remove()
            Dump(self._replaces).write(b"")
        except OSError as error:
            self._log.error(f"error removing {self._replaces}: {_text(error)}", ident=_DUMPER)
        self._replaces, self._changed = None, True
        self._at_step("replaced")

    def _write_journal(self, rest: tuple[Counts, ...], pending: Pending | None, *, dump: str) -> bool:
        if self._unread is not None:
            self._log.error(f"error writing to file {self._journal.path}: {os.strerror(errno.ENOENT)}", ident=_DUMPER)
            return False
        noted = Noted(
            absorbed=self._absorbed,
            dump=dump,
            dump_before=self._dump_digest,
            pending=self._pending if pending is None else pending,
            rest=rest,
            replaces=self._replaces,
        )
        try:
            self._journal.write(noted)
        except OSError as error:
            self._log.error(f"error writing to file {self._journal.path}: {_text(error)}", ident=_DUMPER)
            return False
        self.noted = self._absorbed
        return True

    def _noted_before(self) -> Noted | None:
        try:
            return self._journal.read()
        except DamagedError as error:
            aside = self._journal.set_aside("damaged")
            self._log.error(f"journal is damaged ({error}): moved to {aside}; the dump is read back instead")
            return None

    def _take_old_dump(self, content: bytes, now: Moment) -> None:
        counts = records_in(content, self._disabled)
        if counts is None:
            aside = self._dump.set_aside()
            self._log.warning(f"dumpfile has lines of other fields, and is not read back: moved to {aside}")
            return
        self.records.add(counts, last_ns=now.monotonic_ns)


def _text(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
