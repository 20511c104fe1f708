"""When an interval ends and what it is called.

Intervals are half-open and aligned to UTC multiples of their length; the first and the last may be partial. The wall
clock decides, and it may be stepped in both directions: whatever it does, the end of one interval is the start of the
next, and none is empty or negative. What passed by the monotonic clock stands beside it.
"""

import time
from dataclasses import dataclass
from typing import Protocol, final

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS

_LATE_MAX_NS = SECOND_NS


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """One point in time by two clocks, in nanoseconds.

    Attributes:
        wall_ns: UTC since 1970.
        monotonic_ns: since boot, time asleep included; never stepped.
    """

    wall_ns: int
    monotonic_ns: int


class Clock(Protocol):
    """Tells the time. Tests have their own."""

    def now(self) -> Moment:
        """The present moment."""


@final
class SystemClock:
    """The clocks of this machine."""

    def now(self) -> Moment:
        """The present moment; the two clocks are read one after the other."""
        wall_ns = time.time_ns()  # noqa: TID251  # this class is where the time comes from
        return Moment(wall_ns, time.clock_gettime_ns(time.CLOCK_BOOTTIME))  # noqa: TID251  # the same


def boundary_after(wall_ns: int, interval_ns: int) -> int:
    """The next UTC multiple of ``interval_ns`` that is strictly later than ``wall_ns``."""
    return (wall_ns // interval_ns + 1) * interval_ns


@final
class Schedule:
    """The open interval of one meter: when it is due, and which end it gets.

    Not safe for concurrent use. All times are nanoseconds.
    """

    __slots__ = ("_boundary_ns", "_interval_ns", "_start_ns")

    def __init__(self, interval_ns: int, *, start_ns: int) -> None:
        if interval_ns <= 0:
            message = "an interval has a length"
            raise ValueError(message)
        self._interval_ns = interval_ns
        self._start_ns = start_ns
        self._boundary_ns = boundary_after(start_ns, interval_ns)

    @property
    def start_ns(self) -> int:
        """Where the open interval starts, as it is labelled."""
        return self._start_ns

    @property
    def boundary_ns(self) -> int:
        """When the open interval is due, by the wall clock."""
        return self._boundary_ns

    def wait_ns(self, now: Moment) -> int:
        """How long until the open interval is due; 0 when it is.

        The wall clock may be stepped while the caller waits, so look again from time to time.
        """
        return max(0, self._boundary_ns - now.wall_ns)

    def is_due(self, now: Moment) -> bool:
        """Whether the open interval is to be cut."""
        return now.wall_ns >= self._boundary_ns

    def label(self, now: Moment) -> int:
        """The end that the open interval gets when it is cut now; changes nothing.

        A cut that comes a little late (less than a second and less than half an interval) is labelled with the
        boundary that it was meant for. Later ones, and early ones, say when they really were. With a clock that was
        stepped back behind the start of the interval no true end exists: the shortest interval is given.
        """
        late_ns = now.wall_ns - self._boundary_ns
        if 0 <= late_ns < _LATE_MAX_NS and late_ns * 2 < self._interval_ns:
            return self._boundary_ns
        return max(now.wall_ns, self._start_ns + 1)

    def advance(self, end_ns: int) -> None:
        """Opens the next interval where the last one ended.

        Raises:
            ValueError: the end is not behind the start.
        """
        if end_ns <= self._start_ns:
            message = f"an interval that starts at {self._start_ns} cannot end at {end_ns}"
            raise ValueError(message)
        self._start_ns = end_ns
        self._boundary_ns = boundary_after(end_ns, self._interval_ns)

    def postpone(self, now: Moment) -> None:
        """Lets the open interval grow to the next boundary from now."""
        self._boundary_ns = boundary_after(max(now.wall_ns, self._boundary_ns), self._interval_ns)
