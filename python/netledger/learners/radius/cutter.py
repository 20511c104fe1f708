"""Cuts for hand-overs that have happened, without waiting for them.

An access server tells of a session when it has begun. So no cut can come before the traffic of the new holder, and an
answer need not wait for it: the hand-over is booked when it was, and the open intervals end within the second behind.
"""

import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, final

from netledger.errors import LedgerError

_END_SECONDS: Final = 5.0


@final
class Cutter:
    """Asks for cuts in a thread of its own. As a context manager it ends with it.

    Args:
        cut: ends the open intervals, and blocks until it has; see :meth:`Recorder.cut_moment`.
    """

    def __init__(self, cut: Callable[[], int]) -> None:
        self._cut = cut
        self._is_wanted = threading.Event()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name="cuts for radius", daemon=True)

    def __enter__(self) -> Self:
        """It can be asked."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Blocks until the last cut is over, some seconds at most."""
        self._is_over = True
        self._is_wanted.set()
        self._thread.join(_END_SECONDS)

    def ask(self) -> None:
        """There is to be a cut as soon as there may be one. Does not block."""
        self._is_wanted.set()

    def _run(self) -> None:
        while self._is_wanted.wait() and not self._is_over:
            self._is_wanted.clear()
            with contextlib.suppress(LedgerError):  # the daemon is about to end, and ends the intervals anyway
                self._cut()
