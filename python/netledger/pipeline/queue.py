"""Closed generations waiting to be committed, and the thread that does it.

A slow or full disk delays commits and nothing else: generations wait in memory-mapped files of their own, are tried
again with a growing pause, and are never dropped.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from netledger.errors import NetledgerError
from netledger.pipeline.commit import Closed, Pipeline
from netledger.receipt import Receipt

WAITING_MAX = 12
"""With more intervals of a meter than this waiting, its open interval should grow instead of being cut."""

_PAUSE_FIRST_SECONDS = 1.0
_PAUSE_MAX_SECONDS = 60.0
_REPEAT_LOG_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    closed: Closed
    remarks: tuple[str, ...]
    is_left: bool


@dataclass(slots=True)
class _Line:
    """The intervals of one meter, oldest first, and when the first may be tried again."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    due: float = 0.0
    pause_seconds: float = _PAUSE_FIRST_SECONDS
    logged: float | None = None


@final
class CommitQueue:
    """Commits in one thread of its own, each meter's intervals in order. Safe to use from any thread.

    ``committed`` is called in that thread after each interval that is done.
    """

    def __init__(self, pipeline: Pipeline, *, committed: Callable[[Receipt], None]) -> None:
        self._pipeline = pipeline
        self._committed = committed
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def open(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, closed: Closed, *, remarks: tuple[str, ...] = (), is_left: bool = False) -> None:
        """Takes a generation over, with what :meth:`Pipeline.commit` is to know. Does not block."""
        with self._changed:
            line = self._lines.setdefault(closed.meter, _Line())
            line.waiting.append(_Waiting(closed, remarks, is_left))
            self._changed.notify_all()

    def waiting(self, meter: str) -> int:
        """How many intervals of a meter are not committed yet, the one being written included."""
        with self._changed:
            line = self._lines.get(meter)
            return len(line.waiting) if line else 0

    def close(self) -> int:
        """Tries everything that waits once more, then ends the thread. Blocks for the disk.

        Returns how many intervals could not be committed. Their generations stay as they are, for the next start.
        """
        with self._changed:
            self._closing = True
            for line in self._lines.values():
                line.due = 0.0
            self._changed.notify_all()
        self._thread.join()
        return sum(len(line.waiting) for line in self._lines.values())

    def _run(self) -> None:
        while (line := self._next()) is not None:
            first = line.waiting[0]
            closed = first.closed
            try:
                receipt = self._pipeline.commit(closed, remarks=first.remarks, is_left=first.is_left)
            except (NetledgerError, OSError) as error:
                self._failed(line, closed, error)
            except Exception as error:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
                _log.exception("commit_broke", extra={"fields": {"meter": closed.meter, "seq": closed.seq}})
                self._failed(line, closed, error)
            else:
                self._succeeded(line, receipt)

    def _next(self) -> _Line | None:
        """Waits for a line that may be tried; None when the thread is to end."""
        with self._changed:
            while True:
                now = time.monotonic()
                lines = [line for line in self._lines.values() if line.waiting]
                ready = [line for line in lines if line.due <= now]
                if ready:
                    return min(ready, key=lambda line: line.due)
                if self._closing:
                    return None
                self._changed.wait(min(line.due for line in lines) - now if lines else None)

    def _succeeded(self, line: _Line, receipt: Receipt) -> None:
        with self._changed:
            line.waiting.popleft()
            line.due, line.pause_seconds, line.logged = 0.0, _PAUSE_FIRST_SECONDS, None
            self._changed.notify_all()
        self._committed(receipt)

    def _failed(self, line: _Line, closed: Closed, error: Exception) -> None:
        now = time.monotonic()
        with self._changed:
            waiting = len(line.waiting)
            line.due = now + line.pause_seconds
            pause_seconds = line.pause_seconds
            line.pause_seconds = min(2 * line.pause_seconds, _PAUSE_MAX_SECONDS)
            is_news = line.logged is None or now - line.logged >= _REPEAT_LOG_SECONDS
            if is_news:
                line.logged = now
        if is_news:
            fields = {
                "meter": closed.meter,
                "seq": closed.seq,
                "waiting": waiting,
                "again_seconds": round(pause_seconds),
                "error": str(error),
            }
            _log.error("commit_failed", extra={"fields": fields})
