"""One running meter: its source, its schedule, and handing closed generations to the queue."""

import contextlib
import logging
from collections.abc import Iterator
from typing import final

from netledger.config import Meter
from netledger.daemon.choice import Chosen
from netledger.errors import NetledgerError, SourceError
from netledger.intervals import DAY_NS, SECOND_NS, Clock, Moment, Schedule
from netledger.pipeline import WAITING_MAX, CommitQueue
from netledger.pipeline.problems import Problems, Trouble
from netledger.sources.base import NO_PAST, Glance, LiveRows, Past, Source

_PAUSE_FIRST_NS = SECOND_NS
_PAUSE_MAX_NS = 60 * SECOND_NS

# A clock that was further ahead than this was simply wrong. To follow it would mean not to cut until that time comes.
_AHEAD_MAX_NS = DAY_NS

_log = logging.getLogger(__name__)


@final
class RunningMeter:
    """Cuts when an interval is due; times come from the clock that is given.

    To be used from one thread, but that any may call :meth:`glance` and :meth:`live`, and ask when the interval began.
    """

    def __init__(
        self,
        name: str,
        config: Meter,
        source: Source,
        *,
        queue: CommitQueue,
        clock: Clock,
        chosen: Chosen,
        problems: Problems | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.chosen = chosen
        self._source = source
        self._queue = queue
        self._clock = clock
        self._problems = problems or Problems(clock)
        self._schedule: Schedule | None = None
        self._has_failed = False
        self._again_ns = 0
        self._pause_ns = _PAUSE_FIRST_NS
        self._is_behind = False
        self._remarks: tuple[str, ...] = ()

    def open(self, past: Past = NO_PAST) -> None:
        """Starts to count. What a dead process left is handed to the queue before anything else.

        ``past`` is what is known of earlier intervals. If the clock has been stepped back behind the end of the newest,
        the first interval starts there all the same, so that no two overlap.

        Raises:
            SourceError: as the source has it.
        """
        now = self._not_before(past.end_ns, self._clock.now())
        with _explained(self.name, "open"):
            left = self._source.open(now, past)
        for closed in left:
            _log.info("taken_over", extra={"fields": {"meter": self.name, "seq": closed.seq}})
            self._queue.put(closed)
        start_ns = max([now.wall_ns, *(closed.end.wall_ns for closed in left)])
        self._schedule = Schedule(self.config.interval_seconds * SECOND_NS, start_ns=start_ns)

    def wait_ns(self) -> int:
        """How long until there is something to do, by the present clocks."""
        now = self._clock.now()
        if self._has_failed:
            return max(0, self._again_ns - now.monotonic_ns)
        return self._opened().wait_ns(now)

    def cut_if_due(self) -> None:
        """Closes the interval if its time has come. Blocks for tens of milliseconds.

        With too many intervals waiting for the store the open one goes on to its next boundary.
        """
        schedule = self._opened()
        now = self._clock.now()
        self._tell_if_behind(schedule.wait_ns(now))
        # One that failed is tried again even if it was not due, as after USR1: it may have come half way.
        is_due = now.monotonic_ns >= self._again_ns if self._has_failed else schedule.is_due(now)
        if not is_due:
            return
        waiting = self._queue.waiting(self.name)
        if waiting > WAITING_MAX:
            self._remark(f"{waiting} intervals waited for the store, so this one was not cut in time")
            _log.warning("not_cut", extra={"fields": {"meter": self.name, "waiting": waiting}})
            self._has_failed = False
            if schedule.is_due(now):
                schedule.postpone(now)
            return
        self.cut()

    def cut_for_assignment(self, now: Moment) -> int | None:
        """Closes the interval because an address goes to somebody else, and says where it ended, UTC nanoseconds.

        None if it was not closed: the source cannot, or too many intervals wait for the store.
        """
        if self._has_failed or self._queue.waiting(self.name) > WAITING_MAX:
            return None
        return self._opened().start_ns if self.cut(now) else None

    def cut(self, now: Moment | None = None) -> bool:
        """Closes the interval now. When the source cannot, counting goes on and the cut is tried again soon.

        Says whether it is closed. ``now`` is for several meters that are cut together, so that their intervals end at
        the same moment.
        """
        schedule = self._opened()
        now = now or self._clock.now()
        try:
            with _explained(self.name, "cut"):
                closed = self._source.cut(label_end_ns=schedule.label(now), now=now)
        except NetledgerError as error:
            self._failed(error, now)
            return False
        self._has_failed, self._pause_ns = False, _PAUSE_FIRST_NS
        self._problems.clear(Trouble.CUT, meter=self.name)
        # The end is the source's to tell: it may be that of an earlier try that came half way.
        schedule.advance(closed.end.wall_ns)
        self._queue.put(closed, remarks=self._taken_remarks())
        return True

    def _tell_if_behind(self, wait_ns: int) -> None:
        is_behind = wait_ns > 2 * self.config.interval_seconds * SECOND_NS
        if is_behind and not self._is_behind:
            hint = "the open interval goes on until the clock is there again; a restart begins a new one"
            fields = {"meter": self.name, "wait_seconds": wait_ns // SECOND_NS, "hint": hint}
            _log.warning("clock_stepped_back", extra={"fields": fields})
            why = "the open interval goes on until the clock has come back to its end"
            self._problems.note(Trouble.CLOCK, why, meter=self.name, hint="set the clock right, or restart the service")
        elif self._is_behind and not is_behind:
            self._problems.clear(Trouble.CLOCK, meter=self.name)
        self._is_behind = is_behind

    def _not_before(self, last_end_ns: int | None, now: Moment) -> Moment:
        if last_end_ns is None or last_end_ns <= now.wall_ns:
            return now
        ahead_ns = last_end_ns - now.wall_ns
        is_followed = ahead_ns <= _AHEAD_MAX_NS
        fields = {
            "meter": self.name,
            "ahead_seconds": ahead_ns // SECOND_NS,
            "hint": "it starts where that one ends"
            if is_followed
            else "the clock was far ahead then: they will overlap",
        }
        _log.warning("clock_behind_last_interval", extra={"fields": fields})
        return Moment(last_end_ns, now.monotonic_ns) if is_followed else now

    def _failed(self, error: NetledgerError, now: Moment) -> None:
        self._remark(f"it could not be cut in time: {error}")
        fields = {"meter": self.name, "error": error, "again_seconds": self._pause_ns // SECOND_NS}
        if error.hint is not None:
            fields["hint"] = error.hint
        _log.error("cut_failed", extra={"fields": fields})
        self._problems.note_error(Trouble.CUT, error, meter=self.name)
        self._has_failed, self._again_ns = True, now.monotonic_ns + self._pause_ns
        self._pause_ns = min(2 * self._pause_ns, _PAUSE_MAX_NS)

    def what_broke(self) -> NetledgerError | None:
        """Why the source does not count any more, or None while it does. Blocks for a moment."""
        try:
            self._source.stats()
        except NetledgerError as error:
            return error
        return None

    @property
    def start_ns(self) -> int | None:
        """Where the open interval starts, UTC nanoseconds; None before :meth:`open`."""
        return None if self._schedule is None else self._schedule.start_ns

    def glance(self) -> Glance:
        """How far it is.

        Raises:
            SourceError: it does not count.
        """
        return self._source.glance()

    def live(self, *, top: int | None, sort: str) -> LiveRows:
        """The rows of the open interval, see :meth:`netledger.sources.base.Source.live`.

        Raises:
            SourceError: it does not count.
            ValueError: ``sort`` is not known.
        """
        return self._source.live(top=top, sort=sort)

    def close(self, *, keep_rules: bool) -> None:
        """Closes the last interval and ends counting.

        Raises:
            SourceError: as the source has it.
        """
        now = self._clock.now()
        if self._schedule is not None:
            # The same end as a cut would get, so that it is behind the start whatever the wall clock did.
            now = Moment(self._schedule.label(now), now.monotonic_ns)
        with _explained(self.name, "close"):
            last = self._source.close(now=now, keep_rules=keep_rules)
        for closed in last:
            self._queue.put(closed, remarks=self._taken_remarks())

    def _remark(self, text: str) -> None:
        # The last one says it all: the interval may grow over many boundaries.
        self._remarks = (text,)

    def _taken_remarks(self) -> tuple[str, ...]:
        remarks, self._remarks = self._remarks, ()
        return remarks

    def _opened(self) -> Schedule:
        if self._schedule is None:
            message = f"meter {self.name} is not open"
            raise RuntimeError(message)
        return self._schedule


@contextlib.contextmanager
def _explained(name: str, operation: str) -> Iterator[None]:
    """A full or broken disk below a source is a failure of that source."""
    try:
        yield
    except OSError as error:
        subject = f"meter {name}" if error.filename is None else f"meter {name}: {error.filename}"
        raise SourceError(subject, operation, (error.strerror or str(error)).lower()) from error
