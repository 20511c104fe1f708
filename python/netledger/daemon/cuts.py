"""Cuts at a hand-over: threads ask for the open intervals to end, and the main loop, which alone may, ends them."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, final

from netledger.daemon.meter import RunningMeter
from netledger.intervals import SECOND_NS, Clock, Moment

PAUSE_NS: Final = SECOND_NS
"""Over a long time intervals are cut so often at most."""
SAVED: Final = 8
"""So many cuts may follow each other at once after a quiet time: a line goes down, and comes up within a second."""
PATIENCE_SECONDS: Final = 10.0
"""How long somebody waits for a cut. A loop that takes longer is held up; who holds an address is kept all the same."""


@dataclass(slots=True)
class _Asked:
    """A cut that somebody waits for, or several."""

    is_done: threading.Event = field(default_factory=threading.Event)
    moment_ns: int = 0


@final
class Cuts:
    """Brings those who ask for a cut together with the loop that makes it.

    Args:
        clock: where the time comes from.
        wake: wakes the loop; may be called from any thread.
    """

    def __init__(self, clock: Clock, *, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._asked: _Asked | None = None
        self._planned: list[int] = []
        self._ended_ns = 0
        self._is_wanted = False
        self._paid_until_ns: int | None = None

    def want(self, *, is_wanted: bool) -> None:
        """Whether there are intervals to be cut; before it is told so there are none. Who waits need not any more."""
        with self._lock:
            self._is_wanted = is_wanted
            asked, self._asked = self._asked, None if not is_wanted else self._asked
        if not is_wanted and asked is not None:
            self._answer(asked, self._clock.now().wall_ns)

    @property
    def is_wanted(self) -> bool:
        """What was told by :meth:`want`."""
        return self._is_wanted

    def moment(self) -> int:
        """The moment at which a hand-over that happens now is to be booked, see :class:`Recorder`. For any thread.

        Blocks until the intervals are cut: a second at most, and no time where none is to be.
        """
        with self._lock:
            if not self._is_wanted:
                return self._clock.now().wall_ns
            asked = self._asked = self._asked or _Asked()
            self._wake()  # within the lock: who says that nothing is wanted may let go of what is woken
        if not asked.is_done.wait(PATIENCE_SECONDS):
            return self._clock.now().wall_ns
        return asked.moment_ns

    def plan(self, moments: Iterable[int]) -> None:
        """When intervals are to be cut in time to come, UTC nanoseconds; replaces what was planned. For any thread.

        What is not later than the newest cut is left out: the intervals have ended since.
        """
        with self._lock:
            self._planned = sorted({moment_ns for moment_ns in moments if moment_ns > self._ended_ns})
            if self._is_wanted:
                self._wake()

    def wait_ns(self) -> int | None:
        """How long until the loop should call :meth:`turn`; None while there is nothing to cut for."""
        now = self._clock.now()
        asked, planned = self._asked, self._planned
        if not self._is_wanted or (asked is None and not planned):
            return None
        wait_ns = 0 if asked is not None else planned[0] - now.wall_ns
        paid_ns = self._paid_until_ns
        rest_ns = 0 if paid_ns is None else paid_ns - (SAVED - 1) * PAUSE_NS - now.monotonic_ns
        return max(0, wait_ns, rest_ns)

    def turn(self, meters: Iterable[RunningMeter]) -> None:
        """Cuts the intervals of these meters if it is time for it, and not too many were cut lately."""
        if self.wait_ns() != 0:
            return
        with self._lock:
            # Who asks from now on did not ask before this cut.
            now = self._clock.now()
            asked, self._asked = self._asked, None
            past = [moment_ns for moment_ns in self._planned if moment_ns <= now.wall_ns]
            self._planned = self._planned[len(past) :]
        # Each cut costs a pause, which is paid from now on or behind those that are not paid yet.
        self._paid_until_ns = max(self._paid_until_ns or 0, now.monotonic_ns) + PAUSE_NS
        if asked is None and past and now.wall_ns - past[-1] < PAUSE_NS:
            now = Moment(past[-1], now.monotonic_ns)  # it was to be then, and waking up has taken a moment
        ends = [end_ns for meter in meters if (end_ns := meter.cut_for_assignment(now)) is not None]
        # They end at the same moment, but where one is cut for a boundary that has just passed, or the clock was set.
        moment_ns = max(ends, default=now.wall_ns)
        with self._lock:
            self._ended_ns = max(self._ended_ns, moment_ns)
        if asked is not None:
            self._answer(asked, moment_ns)

    def _answer(self, asked: _Asked, moment_ns: int) -> None:
        asked.moment_ns = moment_ns
        asked.is_done.set()
