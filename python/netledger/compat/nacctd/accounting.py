"""The accounting itself: counters are cut, records are kept and written, signals are followed."""

import signal
from collections.abc import Callable, Sequence
from typing import Final, final

from netledger.compat.nacctd.book import Book
from netledger.compat.nacctd.counting import Counted, Counting, Cut
from netledger.compat.nacctd.debugging import DebugFile, Topic
from netledger.compat.nacctd.filters import filter_of
from netledger.compat.nacctd.holders import Holders, rows_with_users
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.records import Counts, Flow, narrowed
from netledger.compat.nacctd.signals import IGNORED
from netledger.compat.nacctd.syslog import Syslog
from netledger.compat.nacctd.timetable import Timetable
from netledger.compat.nacctd.users import Users
from netledger.errors import SourceError
from netledger.intervals import SECOND_NS, Clock, Moment
from netledger.signals import SignalPipe

__all__ = ["Accounting", "records_of"]

_MILLISECOND_NS: Final = 1_000_000
_LOOK_SECONDS: Final = 1.0
_FULL: Final = 0.5
# Generations that are not released yet. They are released by a note in the journal, which costs as much as all records.
_WAITING_MAX: Final = 8
# When the disk takes no notes, flushes stop cutting here; what is counted stays in the open generation.
_HELD_MAX: Final = 64

Reload = Callable[[], Table | None]
"""Reads the naccttab again; None: it is refused, and why has been told."""


def records_of(rows: Sequence[Counted], holders: Holders, table: Table) -> list[Counts]:
    """The records that the rows of a generation make, with who held their addresses meanwhile."""
    counts_here = filter_of(table)
    kept = [row for row in rows if row.has_no_flow or counts_here(row.source, row.destination, row.device)]
    users = rows_with_users(((row.source, row.destination, row.device) for row in kept), holders, table)
    counts = []
    for row, user in zip(kept, users, strict=True):
        flow = Flow(*row[:6], user)
        counts.append((narrowed(flow, table.disabled), row.packets, row.size))
    return counts


@final
class Accounting:
    """One run, from the first packet to the last. Not safe for concurrent use."""

    def __init__(
        self,
        table: Table,
        book: Book,
        counting: Counting,
        users: Users,
        *,
        clock: Clock,
        log: Syslog,
        debug: DebugFile,
        reload: Reload,
        started: Moment,
    ) -> None:
        self._table = table
        self._book = book
        self._counting = counting
        self._users = users
        self._clock = clock
        self._log = log
        self._debug = debug
        self._reload = reload
        self._held: list[Cut] = []
        self._may_write = True
        self._left_out = 0
        self._dropped = self._without_room = 0
        self._start_ns = started.monotonic_ns
        self._timetable = Timetable.starting(table.flush_seconds, table.fdelay_seconds, started)

    def take(self, left: Sequence[Cut]) -> None:
        """Adds what an earlier process has counted, with the users of that time, and makes it durable."""
        now = self._clock.now()
        for cut in left:
            if cut.seq > self._book.noted:
                self._absorb(cut, now.monotonic_ns, is_left=True)
            else:
                self._held.append(cut)
        self._note(now)

    def run(self, signals: SignalPipe) -> int:
        """Accounts until a signal ends it, and gives that signal. What could not be written waits for the next start.

        Raises:
            SourceError, OSError: nothing is received any more. What has been counted is kept.
        """
        while True:
            for number in signals.wait(self._pause_seconds(), self._users.fileno()):
                if number in {signal.SIGINT, signal.SIGTERM}:
                    self._debug.tell(Topic.STATE, "entering daemon_stop")
                    self._stop()
                    return number
                self._follow(number)
            self._look_around()
            self._keep_time()

    def _pause_seconds(self) -> float:
        now_ns = self._clock.now().monotonic_ns
        due_ns = min(self._timetable.next_ns, self._users.due_ns)
        return max(0.0, min(_LOOK_SECONDS, (due_ns - now_ns) / SECOND_NS))

    def _look_around(self) -> None:
        """Follows who gets and who loses an address, and makes room before there is none."""
        now = self._clock.now()
        if self._users.look(now):
            # What was counted until now is the old holders'. The note of the new ones is there before the cut.
            self._users.note(now)
            if self._cut(now):
                self._users.hand_over(self._clock.now())
        if self._counting.fullness() > _FULL:
            self._cut(now)
        if len(self._held) > _WAITING_MAX:
            self._note(now)

    def _keep_time(self) -> None:
        now = self._clock.now()
        if not self._timetable.is_cut_due(now.monotonic_ns):
            return
        label_ns = self._timetable.label_ns(now.monotonic_ns)
        if len(self._held) < _HELD_MAX:
            self._cut(now, label_ns)
        if self._timetable.is_flush_due(now.monotonic_ns):
            self._flush(now)
        self._timetable.advance(now.monotonic_ns)

    def _cut(self, now: Moment, label_ns: int | None = None) -> bool:
        try:
            cut = self._counting.cut(now)
        except (SourceError, OSError) as error:
            # Nothing is lost: the open generation goes on. (OSError: the runtime directory is full.)
            self._log.error(f"error closing the counters: {error}")
            return False
        self._start_ns = now.monotonic_ns
        self._absorb(cut, now.monotonic_ns if label_ns is None else label_ns)
        return True

    def _absorb(self, cut: Cut, last_ns: int, *, is_left: bool = False) -> None:
        rows = cut.rows()
        self._without_room += sum(row.packets for row in rows if row.has_no_flow)
        counts = records_of(rows, self._users.holders_at(cut.start_ns), self._table)
        self._book.absorb(counts, seq=cut.seq, last_ns=last_ns, is_left=is_left)
        self._held.append(cut)

    def _flush(self, now: Moment) -> None:
        self._debug.tell(Topic.STATE, "write_log called")
        if not self._may_write:
            self._debug.tell(Topic.STATE, "flushing delayed (may_write == 0)")
        elif self._left_out > 0:
            self._left_out -= 1
            self._log.info("flushing delayed due to error")
        else:
            flows = self._book.records.idle_since(self._timetable.idle_since_ns)
            if self._book.write(self._table.file, flows, now):
                self._debug.tell(Topic.STATE, f"* write finished, count = {len(flows)}")
            else:
                self._left_out = self._table.errdelay_cycles
        self._note(now)
        self._tell_losses()

    def _note(self, now: Moment) -> None:
        self._book.note(now)
        self._release()

    def _release(self) -> None:
        """Lets go of the generations that the journal has."""
        while self._held and self._held[0].seq <= self._book.noted:
            try:
                self._held[0].release()
            except (SourceError, OSError) as error:
                self._log.error(f"error removing counters: {error}")
                return
            del self._held[0]
        self._users.forget(self._held[0].start_ns if self._held else self._start_ns)

    def _tell_losses(self) -> None:
        dropped = self._counting.dropped_packets()
        self._debug.tell(Topic.STATS, f"dropped:{dropped} records:{len(self._book.records)}")
        if dropped > self._dropped:
            self._log.warning(f"{dropped - self._dropped} packets were lost: the kernel had no room for them")
        if self._without_room:
            self._log.warning(f"{self._without_room} packets are written without their flow: there were too many")
        self._dropped, self._without_room = dropped, 0

    def _follow(self, number: int) -> None:
        what = "ignoring" if number in IGNORED else "handling"
        self._debug.tell(Topic.SIG, f"got signal {number}, {what}")
        match number:
            case signal.SIGHUP:
                self._debug.tell(Topic.STATE, "received SIGHUP, rereading config")
                self._change()
            case signal.SIGUSR1:
                self._debug.mask += 1
            case signal.SIGUSR2:
                self._debug.mask = 0
                self._log.debug("turning off debugging")
            case signal.SIGWINCH:
                self._log.debug(f"nacctd, revisions:\nnetledger {_version()}")
            case signal.SIGTSTP:
                self._debug.tell(Topic.STATE, "received SIGTSTP")
                self._may_write = False
            case signal.SIGCONT:
                self._debug.tell(Topic.STATE, "received SIGCONT")
                self._may_write = True
            case signal.SIGABRT:
                self._debug.tell(Topic.STATE, "reopening socket")
                self._reopen(self._table, self._clock.now())
            case _:
                pass  # one of those that are caught so that they do nothing

    def _change(self) -> None:
        """Goes on with the settings of the file as it is now. What was counted until now is booked by the old ones."""
        table = self._reload()
        now = self._clock.now()
        if table is None or not self._switch(table, now):
            self._log.error("the settings stay as they were")
            return
        self._timetable = self._timetable.changed(table.flush_seconds, table.fdelay_seconds, now)
        self._debug.mask = table.debug
        self._table = table
        self._book.move(table, now)
        self._users.move(table, now)

    def _switch(self, table: Table, now: Moment) -> bool:
        if counting_of(table) == counting_of(self._table):
            return self._cut(now)
        return self._reopen(table, now)

    def _reopen(self, table: Table, now: Moment) -> bool:
        """Ends the counting and begins it again; tells whether by the settings of ``table``.

        Raises:
            SourceError, OSError: it cannot begin any more, not even as before.
        """
        self._note(now)
        if self._held:
            self._log.error("the disk takes no notes: what is counted now cannot be closed")
            return False
        self._tell_losses()
        for cut in self._counting.close(now):
            self._absorb(cut, now.monotonic_ns)
        self._note(now)
        self._start_ns = now.monotonic_ns
        self._dropped = 0
        is_new = self._open_again(table, now)
        passed_ns = self._clock.now().monotonic_ns - now.monotonic_ns
        self._log.warning(
            f"the sockets were opened anew: for up to {-(-passed_ns // _MILLISECOND_NS)} ms nobody counted"
        )
        return is_new

    def _open_again(self, table: Table, now: Moment) -> bool:
        try:
            self._counting.open(table, now, absorbed=self._book.noted)
        except (SourceError, OSError) as error:
            self._log.error(f"{error}")
            self._counting.open(self._table, now, absorbed=self._book.noted)
            return False
        return True

    def _stop(self) -> None:
        now = self._clock.now()
        self._tell_losses()
        for cut in self._counting.close(now):
            self._absorb(cut, now.monotonic_ns)
        if not self._book.write(self._table.file, self._book.records.all(), now):
            self._log.info(f"{len(self._book.records)} records are kept: the next start writes them")
        self._debug.tell(Topic.STATE, "wrote final log")
        self._note(now)
        if not self._held:
            self._book.close()


def counting_of(table: Table) -> tuple[object, ...]:
    """What of the settings decides what is counted underneath."""
    return (
        table.disabled & {2, 4, 6},
        table.ignoremask,
        table.ignorenets,
        table.dontignores,
        table.hostlimits,
        table.iflimits,
        table.notdevs,
        table.devices,
    )


def _version() -> str:
    from netledger import __version__  # noqa: PLC0415  asked for by hand only

    return __version__
