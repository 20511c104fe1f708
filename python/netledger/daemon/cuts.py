"""Cuts at a hand-over: threads ask for the open intervals to end, and the main loop, which alone may, ends them."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, final

from netledger.daemon.meter import RunningMeter
from netledger.intervals import SECOND_NS, Clock

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
        self._is_wanted = False
        self._paid_until_ns: int | None = None

    def want(self, *, is_wanted: bool) -> None:
        """Whether there are intervals to be cut; before it is told so there are none. Who waits need not any more."""
        with self._lock:
            self._is_wanted = is_wanted
            asked, self._asked = self._asked, None if not is_wanted else self._asked
        if not is_wanted and asked is not None:
            self._answer(asked, self._clock.now().wall_ns)

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

    def wait_ns(self) -> int | None:
        """How long until the loop should call :meth:`turn`; None while nobody asks."""
        if self._asked is None:
            return None
        if self._paid_until_ns is None:
            return 0
        return max(0, self._paid_until_ns - (SAVED - 1) * PAUSE_NS - self._clock.now().monotonic_ns)

    def turn(self, meters: Iterable[RunningMeter]) -> None:
        """Cuts the intervals of these meters if somebody asks for it, and not too many were cut lately."""
        if self.wait_ns() != 0:
            return
        with self._lock:
            # Who asks from now on did not ask before this cut.
            asked, self._asked = self._asked, None
        if asked is None:
            return
        now = self._clock.now()
        # Each cut costs a pause, which is paid from now on or behind those that are not paid yet.
        self._paid_until_ns = max(self._paid_until_ns or 0, now.monotonic_ns) + PAUSE_NS
        ends = [end_ns for meter in meters if (end_ns := meter.cut_for_assignment(now)) is not None]
        # They end at the same moment, but where one is cut for a boundary that has just passed, or the clock was set.
        self._answer(asked, max(ends, default=now.wall_ns))

    def _answer(self, asked: _Asked, moment_ns: int) -> None:
        asked.moment_ns = moment_ns
        asked.is_done.set()
