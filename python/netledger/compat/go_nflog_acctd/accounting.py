"""The accounting itself: periods open and close, their files are written, a signal ends it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from netledger.compat.go_nflog_acctd.duration import SECOND_NS
from netledger.compat.go_nflog_acctd.files import Journal, Period, write_period
from netledger.compat.go_nflog_acctd.log import Log
from netledger.compat.go_nflog_acctd.messages import Batches, Event, closing_lines, event_line, is_verbose
from netledger.compat.go_nflog_acctd.options import Options
from netledger.compat.go_nflog_acctd.signals import EndSignals
from netledger.errors import SourceError
from netledger.exports.go_nflog_acctd import Row, csv_chunks
from netledger.exports.gotext import moment_text
from netledger.intervals import Clock, Moment, Schedule
from netledger.sources.base import Closed

__all__ = ["Accounting", "Counting"]

# How often the meter is asked for news, and the wall clock looked at again because it may have been stepped.
_QUIET_SECONDS = 1.0
_VERBOSE_SECONDS = 0.1


class Counting(Protocol):
    """What counts underneath."""

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open period and goes on with the next."""

    def close(self, *, now: Moment) -> Sequence[Closed]:
        """Closes the last period, with all that the kernel still held."""

    def trace(self) -> Sequence[Event]:
        """What happened since the last call.

        Raises:
            SourceError: nothing is received any more.
        """


class Accounting:
    """One run, from the first period to the last. Not safe for concurrent use."""

    def __init__(
        self,
        options: Options,
        counting: Counting,
        rows_of: Callable[[Closed], list[Row]],
        *,
        clock: Clock,
        journal: Journal,
        log: Log,
    ) -> None:
        self._options = options
        self._counting = counting
        self._rows_of = rows_of
        self._clock = clock
        self._journal = journal
        self._log = log
        self._batches = Batches()
        self._unwritten: list[Closed] = []

    def take(self, periods: Sequence[Closed]) -> None:
        """Writes periods, after those that could not be written before. What fails is kept for the next time."""
        self._unwritten.extend(periods)
        self._unwritten = [period for period in self._unwritten if not self._write(period)]

    def run(self, started: Moment, signals: EndSignals) -> int:
        """Accounts until a signal comes; gives the exit status.

        0 is done; 1 means that a period could not be written and waits for the next start.

        Raises:
            SourceError, OSError: nothing is received any more, or the last period cannot be closed. What has been
                counted is in the runtime directory.
        """
        log = self._log
        log.line("Starting accounting")
        schedule = Schedule(self._options.interval_ns, start_ns=started.wall_ns)
        log.line("Started accounting")
        log.detail(f"Next stats dump at {moment_text(schedule.boundary_ns)}")
        while (word := signals.wait(self._pause_seconds(schedule))) is None:
            self._tell_events()
            now = self._clock.now()
            if schedule.is_due(now):
                self._cut(schedule, now)
                log.detail(f"Next stats dump at {moment_text(schedule.boundary_ns)}")
        log.line(f"{word} received - shutting down")
        return self._stop()

    def _pause_seconds(self, schedule: Schedule) -> float:
        pause_seconds = _VERBOSE_SECONDS if self._options.verbose else _QUIET_SECONDS
        return min(pause_seconds, schedule.wait_ns(self._clock.now()) / SECOND_NS)

    def _cut(self, schedule: Schedule, now: Moment) -> None:
        end_ns = schedule.label(now)
        try:
            closed = self._counting.cut(label_end_ns=end_ns, now=now)
        except (SourceError, OSError) as error:
            # Nothing is lost: the open period goes on, and its file says so. (OSError: the runtime directory is full.)
            self._log.line(f"Failed to end the period: {error}")
            schedule.postpone(now)
            self.take(())
            return
        schedule.advance(end_ns)
        self._tell_events()
        self.take((closed,))

    def _stop(self) -> int:
        log = self._log
        log.line("Stopping accounting")
        log.detail("Wait for dump stats stop")
        log.detail("DumpStats stop")
        closed = self._counting.close(now=self._clock.now())
        self._tell_events()
        self._tell(self._batches.rest())
        self.take(closed)
        log.detail("Wait for engine stop")
        log.detail("Engine stop")
        log.line("Stopped accounting")
        for line in closing_lines(self._options.groups):
            log.detail(line)
        if self._unwritten:
            log.line(f"{len(self._unwritten)} periods could not be written: the next start writes them")
        log.line("Exit")
        return 1 if self._unwritten else 0

    def _tell_events(self) -> None:
        self._tell(self._batches.ordered(self._counting.trace()))

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            line = event_line(event, strict_bytes=self._options.strict_bytes)
            if is_verbose(event):
                self._log.detail(line)
            else:
                self._log.line(line)

    def _write(self, closed: Closed) -> bool:
        period = Period(seq=closed.seq, start_ns=closed.start.wall_ns, end_ns=closed.end.wall_ns)
        chunks = csv_chunks(self._rows_of(closed), start_ns=period.start_ns, strict_bytes=self._options.strict_bytes)
        directory = self._options.log_directory
        if not write_period(chunks, directory=directory, period=period, journal=self._journal, log=self._log):
            return False
        try:
            closed.release()
            self._journal.forget(period)
        except (SourceError, OSError) as error:
            # The journal knows that the file is there, so a later try only lets the counters go.
            self._log.line(f"Failed to let the counters go: {error}")
            return False
        return True
