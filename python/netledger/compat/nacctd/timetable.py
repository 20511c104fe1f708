"""When the counters are cut and when records are written. Pure; all moments are nanoseconds of the monotonic clock."""

from typing import Final, Self, final

from netledger.intervals import SECOND_NS, Moment

__all__ = ["Timetable"]

# The first flush is about a second after the start, and at a whole second of the wall clock.
_FIRST_NS: Final = SECOND_NS // 2
# The old program compared whole seconds: a record had to be idle for fdelay and up to a second more, as it fell. So
# what is always active was never written, even with a delay of 0.
_MORE_NS: Final = SECOND_NS // 2


@final
class Timetable:
    """A flush each cycle, and a cut as long before it as a record has to be idle.

    What no packet came for since that cut is idle for longer than ``fdelay``: without a look at any single packet.

    Args:
        flush_seconds: length of a cycle; less than one is one.
        fdelay_seconds: how long a record has to be idle.
        flush_ns: when the next flush is.
    """

    def __init__(self, flush_seconds: int, fdelay_seconds: int, *, flush_ns: int) -> None:
        self._cycle_ns = max(flush_seconds, 1) * SECOND_NS
        self._idle_ns = fdelay_seconds * SECOND_NS + _MORE_NS
        self.flush_ns = flush_ns
        self._cut_ns = flush_ns

    @classmethod
    def starting(cls, flush_seconds: int, fdelay_seconds: int, now: Moment) -> Self:
        """The timetable of a program that starts now."""
        earliest_ns = now.wall_ns + _FIRST_NS
        wait_ns = -(-earliest_ns // SECOND_NS) * SECOND_NS - now.wall_ns
        table = cls(flush_seconds, fdelay_seconds, flush_ns=now.monotonic_ns + wait_ns)
        table._plan_cut(now.monotonic_ns)
        return table

    def changed(self, flush_seconds: int, fdelay_seconds: int, now: Moment) -> "Timetable":
        """With other lengths; the next flush comes no later than either says."""
        flush_ns = min(self.flush_ns, now.monotonic_ns + max(flush_seconds, 1) * SECOND_NS)
        table = Timetable(flush_seconds, fdelay_seconds, flush_ns=flush_ns)
        table._plan_cut(now.monotonic_ns)
        return table

    @property
    def next_ns(self) -> int:
        """When there is something to do."""
        return min(self.flush_ns, self._cut_ns)

    @property
    def idle_since_ns(self) -> int:
        """Records of which nothing came after this are written by the next flush."""
        return self.flush_ns - self._idle_ns

    def is_flush_due(self, now_ns: int) -> bool:
        """Whether records are to be written."""
        return now_ns >= self.flush_ns

    def is_cut_due(self, now_ns: int) -> bool:
        """Whether the counters are to be cut."""
        return now_ns >= self.next_ns

    def label_ns(self, now_ns: int) -> int:
        """Which moment a cut is for that is made now: the one that is due, unless it is late by a second."""
        due_ns = self.next_ns
        return due_ns if 0 <= now_ns - due_ns < SECOND_NS else now_ns

    def advance(self, now_ns: int) -> None:
        """What is due has been done. A flush that could not be made in its cycle is left out."""
        if now_ns >= self.flush_ns:
            self.flush_ns += ((now_ns - self.flush_ns) // self._cycle_ns + 1) * self._cycle_ns
        self._plan_cut(now_ns)

    def _plan_cut(self, now_ns: int) -> None:
        """The next moment that lies a multiple of a cycle before the one that a flush looks back to."""
        self._cut_ns = now_ns + self._cycle_ns - (now_ns - self.idle_since_ns) % self._cycle_ns
