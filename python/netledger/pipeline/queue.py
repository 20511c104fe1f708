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
from netledger.pipeline.problems import Problems, Trouble
from netledger.receipt import Receipt

WAITING_MAX = 12
"""With more intervals of a meter than this waiting, its open interval should grow instead of being cut."""

_PAUSE_FIRST_SECONDS = 1.0
_PAUSE_MAX_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    closed: Closed
    remarks: tuple[str, ...]
    is_left: bool


@dataclass(slots=True)
class _Attempt:
    """When something that failed may be tried again."""

    due: float = 0.0
    pause_seconds: float = _PAUSE_FIRST_SECONDS

    def failed(self) -> float:
        """How many seconds to wait."""
        pause_seconds = self.pause_seconds
        self.due = time.monotonic() + pause_seconds
        self.pause_seconds = min(2 * pause_seconds, _PAUSE_MAX_SECONDS)
        return pause_seconds


@dataclass(slots=True)
class _Line:
    """The intervals of one meter, oldest first, and whether the ledger has some that were not exported."""

    meter: str
    waiting: deque[_Waiting] = field(default_factory=deque)
    commit: _Attempt = field(default_factory=_Attempt)
    is_export_due: bool = False
    export: _Attempt = field(default_factory=_Attempt)

    def due(self) -> float | None:
        """When there is something to do; None when there is nothing."""
        times = [self.commit.due] if self.waiting else []
        return min([*times, *([self.export.due] if self.is_export_due else [])], default=None)


@final
class CommitQueue:
    """Commits in one thread of its own, each meter's intervals in order. Safe to use from any thread.

    An export that fails holds nothing up: the interval is in the ledger by then, and is exported from there later.
    ``committed`` is called in that thread after each interval that is done. What fails is noted in ``problems``.
    """

    def __init__(
        self, pipeline: Pipeline, *, committed: Callable[[Receipt], None], problems: Problems | None = None
    ) -> None:
        self._pipeline = pipeline
        self._problems = problems or Problems()
        self._committed = committed
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._closing = False
        self._is_open = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def open(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, closed: Closed, *, remarks: tuple[str, ...] = (), is_left: bool = False) -> None:
        """Takes a generation over, with what :meth:`Pipeline.commit` is to know. Does not block."""
        with self._changed:
            line = self._lines.setdefault(closed.meter, _Line(closed.meter))
            line.waiting.append(_Waiting(closed, remarks, is_left))
            self._changed.notify_all()

    def export_due(self, meter: str) -> None:
        """Has the intervals of a meter exported that the ledger has and nobody exported. Does not block."""
        with self._changed:
            self._lines.setdefault(meter, _Line(meter)).is_export_due = True
            self._changed.notify_all()

    def is_alive(self) -> bool:
        """Whether its thread runs; without it nothing would be committed any more."""
        return self._thread.is_alive()

    def waiting(self, meter: str) -> int:
        """How many intervals of a meter are not committed yet, the one being written included."""
        with self._changed:
            line = self._lines.get(meter)
            return len(line.waiting) if line else 0

    def is_export_due(self, meter: str) -> bool:
        """Whether a meter has committed intervals that are not exported yet."""
        with self._changed:
            line = self._lines.get(meter)
            return line is not None and line.is_export_due

    def close(self) -> int:
        """Tries everything that waits once more, then ends the thread. Blocks for the disk.

        Returns how many intervals could not be committed. Their generations stay as they are, for the next start.
        What could not be exported is in the ledger, for the next start too.
        """
        with self._changed:
            self._closing = True
            for line in self._lines.values():
                line.commit.due = line.export.due = 0.0
            self._changed.notify_all()
        self._thread.join()
        return sum(len(line.waiting) for line in self._lines.values())

    def _run(self) -> None:
        try:
            self._open_store()
        except (NetledgerError, OSError) as error:
            # A full disk, say. Counting goes on, and each commit tries again.
            hint = error.hint if isinstance(error, NetledgerError) else None
            fields = {"error": error, "hint": hint or "it is tried again with each commit"}
            _log.error("store_not_open", extra={"fields": fields})
            self._problems.note_error(Trouble.STORE, error)
        while (line := self._next()) is not None:
            # Commits come first: what is counted is safe before anything else is done.
            if line.waiting and line.commit.due <= time.monotonic():
                self._commit(line)
            else:
                self._export(line)
        self._pipeline.close()

    def _open_store(self) -> None:
        if not self._is_open:
            for meter in self._pipeline.open():
                self.export_due(meter)
            self._is_open = True
            self._problems.clear(Trouble.STORE)

    def _next(self) -> _Line | None:
        """Waits for a line that may be tried; None when the thread is to end."""
        with self._changed:
            while True:
                now = time.monotonic()
                lines = [(due, line) for line in self._lines.values() if (due := line.due()) is not None]
                ready = [(due, line) for due, line in lines if due <= now]
                if ready:
                    return min(ready, key=lambda one: one[0])[1]
                if self._closing:
                    return None
                self._changed.wait(min(due for due, _ in lines) - now if lines else None)

    def _commit(self, line: _Line) -> None:
        first = line.waiting[0]
        closed = first.closed
        fields: dict[str, object] = {"meter": closed.meter, "seq": closed.seq}
        try:
            self._open_store()
            done = self._pipeline.commit(closed, remarks=first.remarks, is_left=first.is_left)
        except (NetledgerError, OSError) as error:
            self._commit_failed(line, fields, error)
        except Exception as error:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("commit_broke", extra={"fields": fields})
            self._commit_failed(line, fields, error)
        else:
            with self._changed:
                line.waiting.popleft()
                line.commit = _Attempt()
                self._problems.clear(Trouble.STORE, meter=line.meter)
                if done.export_error is not None:
                    line.is_export_due = True
                self._changed.notify_all()
            if done.export_error is not None:
                self._export_failed(line, done.export_error)
            self._committed(done.receipt)

    def _export(self, line: _Line) -> None:
        try:
            self._pipeline.export_due(line.meter)
        except (NetledgerError, OSError) as error:
            self._export_failed(line, error)
        except Exception as error:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("export_broke", extra={"fields": {"meter": line.meter}})
            self._export_failed(line, error)
        else:
            with self._changed:
                line.is_export_due = False
                line.export = _Attempt()
                self._problems.clear(Trouble.EXPORT, meter=line.meter)

    def _commit_failed(self, line: _Line, fields: dict[str, object], error: Exception) -> None:
        with self._changed:
            pause_seconds = line.commit.failed()
            waiting = len(line.waiting)
        self._problems.note_error(Trouble.STORE, error, meter=line.meter)
        more: dict[str, object] = {"waiting": waiting, "again_seconds": round(pause_seconds), "error": str(error)}
        _log.error("commit_failed", extra={"fields": fields | more})

    def _export_failed(self, line: _Line, error: Exception) -> None:
        with self._changed:
            pause_seconds = line.export.failed()
        self._problems.note_error(Trouble.EXPORT, error, meter=line.meter)
        fields = {"meter": line.meter, "again_seconds": round(pause_seconds), "error": str(error)}
        _log.error("export_failed", extra={"fields": fields})
