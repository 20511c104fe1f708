"""How much comes per second, from readings of a counter that only grows."""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from netledger.intervals import SECOND_NS
from netledger.receipt import Count

_WINDOW_NS: Final = 5 * SECOND_NS
_APART_NS: Final = SECOND_NS // 2
_LEAST_NS: Final = SECOND_NS // 10


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What came per second.

    Attributes:
        packets: per second, rounded down.
        bytes: per second, rounded down.
        window_ns: over which time.
    """

    packets: int
    bytes: int
    window_ns: int


@final
class Rates:
    """The readings of the last seconds, few of them. Not safe for concurrent use.

    Args:
        now_ns: when counting began, by a clock that is never stepped.
    """

    def __init__(self, now_ns: int) -> None:
        self._readings: deque[tuple[int, Count]] = deque([(now_ns, Count(0, 0))])

    def read(self, now_ns: int, count: Count) -> Rate | None:
        """Notes a reading, and gives what came since one that is 5 seconds old, or a little older.

        None when counting began just now.
        """
        readings = self._readings
        while len(readings) > 1 and now_ns - readings[1][0] >= _WINDOW_NS:
            readings.popleft()
        before_ns, before = readings[0]
        if now_ns - readings[-1][0] >= _APART_NS:
            readings.append((now_ns, count))
        window_ns = now_ns - before_ns
        if window_ns < _LEAST_NS or not count.covers(before):
            return None
        came = count - before
        return Rate(
            packets=came.packets * SECOND_NS // window_ns,
            bytes=came.bytes * SECOND_NS // window_ns,
            window_ns=window_ns,
        )
