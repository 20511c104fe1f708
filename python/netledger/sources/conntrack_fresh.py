"""How young the numbers of flows are that somebody looks at.

Flows that go on say nothing by themselves: they have to be read. Who looks may wait for that, but only a small part of
the time goes to it, however many flows there are and however often somebody looks.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final, final

from netledger.errors import SourceError

_REST_SECONDS: Final = 1.0
_REST_FACTOR: Final = 100  # so a hundredth of the time, at most


@final
class Fresh:
    """Reads flows anew, unless that was done a moment ago. Safe to use from any thread.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._again_at = 0.0

    def make(self, refresh: Callable[[], None]) -> None:
        """Calls ``refresh`` if it is time. While another thread does, the numbers that are there have to do."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            began = self._clock()
            if began < self._again_at:
                return
            # Flows that cannot be listed now: the next cut says so, if it is still so. Older numbers have to do.
            with contextlib.suppress(SourceError):
                refresh()
            ended = self._clock()
            self._again_at = ended + max(_REST_SECONDS, _REST_FACTOR * (ended - began))
        finally:
            self._lock.release()
