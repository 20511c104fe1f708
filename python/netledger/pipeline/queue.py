"""Closed generations waiting to be committed, and the thread that does it.

A slow or full disk delays commits and nothing else: generations wait in memory-mapped files of their own, are tried
again with a growing pause, and are never dropped.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

from netledger.errors import NetledgerError
from netledger.exports.formats import Export
from netledger.pipeline.attempt import Attempt
from netledger.pipeline.commit import Closed, Pipeline
from netledger.pipeline.problems import Problems, Trouble
from netledger.receipt import Receipt

WAITING_MAX = 12
"""With more intervals of a meter than this waiting, its open interval should grow instead of being cut."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    closed: Closed
    remarks: tuple[str, ...]


@dataclass(slots=True)
class _Line:
    """The intervals of one meter, oldest first."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    attempt: Attempt = field(default_factory=Attempt)


@final
class CommitQueue:
    """Commits in one thread of its own, each meter's intervals in order. Safe to use from any thread.

    An export holds nothing up: it writes what is in the ledger by then, in a thread of its own. ``committed`` is called
    in this one's thread after each interval that is done. What fails is noted in ``problems``.
    """

    def __init__(
        self, pipeline: Pipeline, *, committed: Callable[[Receipt], None], problems: Problems | None = None
    ) -> None:
        self._pipeline = pipeline
        self._problems = problems or Problems()
        self._committed = committed
        self._changed = threading.Condition()
        self._lines: dict[str, _Line] = {}
        self._exports: Sequence[Export] | None = None
        self._closing = False
        self._is_open = False
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)

    def open(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def put(self, closed: Closed, *, remarks: tuple[str, ...] = ()) -> None:
        """Takes a generation over, with what :meth:`Pipeline.commit` is to know. Does not block."""
        with self._changed:
            line = self._lines.setdefault(closed.meter, _Line())
            line.waiting.append(_Waiting(closed, remarks))
            self._changed.notify_all()

    def change_exports(self, wanted: Sequence[Export]) -> None:
        """Goes on with another list of exports from the next interval on. Does not block."""
        with self._changed:
            self._exports = tuple(wanted)
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
        """Whether a meter has committed intervals that some export has not written. Does not block."""
        return self._pipeline.is_export_due(meter)

    def close(self) -> int:
        """Tries everything that waits once more, then ends the thread. Blocks for the disk.

        Returns how many intervals could not be committed. Their generations stay as they are, for the next start.
        What could not be exported is in the ledger, for the next start too.
        """
        with self._changed:
            self._closing = True
            for line in self._lines.values():
                line.attempt.due = 0.0
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
        while (work := self._next()) is not None:
            work()
        self._pipeline.close()

    def _open_store(self) -> None:
        if not self._is_open:
            self._pipeline.open()
            self._is_open = True
            self._problems.clear(Trouble.STORE)

    def _next(self) -> Callable[[], None] | None:
        """Waits for something that may be done; None when the thread is to end."""
        with self._changed:
            while True:
                if self._exports is not None:
                    wanted, self._exports = self._exports, None
                    return lambda: self._change_exports(wanted)
                now = time.monotonic()
                lines = [line for line in self._lines.values() if line.waiting]
                ready = [line for line in lines if line.attempt.due <= now]
                if ready:
                    line = min(ready, key=lambda one: one.attempt.due)
                    return lambda: self._commit(line)
                if self._closing:
                    return None
                self._changed.wait(min(line.attempt.due for line in lines) - now if lines else None)

    def _change_exports(self, wanted: Sequence[Export]) -> None:
        try:
            self._pipeline.change_exports(wanted)
        except Exception:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("export_broke", extra={"fields": {"exports": ",".join(one.name for one in wanted)}})

    def _commit(self, line: _Line) -> None:
        first = line.waiting[0]
        closed = first.closed
        fields: dict[str, object] = {"meter": closed.meter, "seq": closed.seq}
        try:
            self._open_store()
            receipt = self._pipeline.commit(closed, remarks=first.remarks)
        except (NetledgerError, OSError) as error:
            self._commit_failed(line, fields, error)
        except Exception as error:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("commit_broke", extra={"fields": fields})
            self._commit_failed(line, fields, error)
        else:
            with self._changed:
                line.waiting.popleft()
                line.attempt = Attempt()
                self._problems.clear(Trouble.STORE, meter=closed.meter)
            self._committed(receipt)

    def _commit_failed(self, line: _Line, fields: dict[str, object], error: Exception) -> None:
        # Opened again by the next try: what is open on a file system that has failed stays failed when that is mended,
        # and keeps it from being unmounted and checked.
        self._pipeline.let_go()
        self._is_open = False
        with self._changed:
            pause_seconds = line.attempt.failed()
            waiting = len(line.waiting)
        self._problems.note_error(Trouble.STORE, error, meter=str(fields["meter"]))
        more: dict[str, object] = {"waiting": waiting, "again_seconds": round(pause_seconds), "error": str(error)}
        if isinstance(error, NetledgerError) and error.hint is not None:
            more["hint"] = error.hint
        _log.error("commit_failed", extra={"fields": fields | more})
