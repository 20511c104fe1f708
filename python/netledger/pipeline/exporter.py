"""One export at work: a thread of its own that writes what is due, the oldest first, and tries again what failed.

It holds nothing else up. What is due stands in the ledger, so that a process may be killed at any moment.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.durable import Step, no_step
from netledger.errors import ExportError, NetledgerError
from netledger.exports.format import Claim, Format
from netledger.exports.formats import Export
from netledger.intervals import Clock
from netledger.ledger.outbox import Due, Outbox
from netledger.pipeline.attempt import PAUSE_MAX_SECONDS, Attempt
from netledger.pipeline.problems import Problems, Trouble

CLOSE_SECONDS: Final = 10.0
"""How long the end of the program waits for exports. What is not written then is due at the next start."""

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ExportState:
    """How an export fares.

    Attributes:
        name: its name.
        format: the form of its files.
        directory: where they are.
        due: committed intervals that it has not written.
        error: why it could not write the last one it tried, or None.
        hint: how to mend that, or None.
        since_ns: since when it fails, UTC nanoseconds, or None.
        next_try_seconds: how long until it tries again, or None while it does not fail.
    """

    name: str
    format: str
    directory: Path
    due: int
    error: str | None = None
    hint: str | None = None
    since_ns: int | None = None
    next_try_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Trouble:
    error: str
    hint: str | None
    since_ns: int


@final
class Exporter:
    """Writes the intervals of one export. Its methods may be called from any thread.

    Args:
        export: what to write, and where.
        store: directory of the store, which is open.
        clock: tells since when it fails.
        problems: where it is noted that it fails.
        after: one that had the same name before; it is waited for.
        at_step: told each step of writing.
    """

    def __init__(
        self,
        export: Export,
        *,
        store: Path,
        clock: Clock,
        problems: Problems,
        after: "Exporter | None" = None,
        at_step: Step = no_step,
    ) -> None:
        self.export = export
        self._writer: Format = export.writer()
        self._outbox = Outbox(store, export.name)
        self._clock = clock
        self._problems = problems
        self._after = after
        self._at_step = at_step
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"export {export.name}", daemon=True)
        self._attempt = Attempt()
        self._trouble: _Trouble | None = None
        self._due: Counter[str] = Counter()
        self._noticed: Counter[str] = Counter()
        self._has_work = True
        self._is_ending = False
        self._closes_at: float | None = None

    def start(self) -> None:
        """Begins with what is due already. Does not block."""
        self._thread.start()

    def notice(self, meter: str) -> None:
        """Tells that another interval of a meter is due. Does not block."""
        with self._changed:
            self._due[meter] += 1
            self._noticed[meter] += 1
            self._has_work = True
            self._changed.notify_all()

    def end(self) -> None:
        """Has it stop behind the interval that it is writing; the rest is still due. Does not block."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Has it try once more what is due, for at most :data:`CLOSE_SECONDS`, and then stop. Does not block."""
        with self._changed:
            self._closes_at = time.monotonic() + CLOSE_SECONDS
            self._has_work = True
            self._attempt.due = 0.0
            self._changed.notify_all()

    def join(self, seconds: float | None = None) -> bool:
        """Waits for its end, and says whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def is_due(self, meter: str) -> bool:
        """Whether it has intervals of a meter to write. Does not block for the disk."""
        with self._changed:
            return self._due[meter] > 0

    def state(self) -> ExportState:
        """How it fares now. Does not block for the disk."""
        with self._changed:
            trouble = self._trouble
            return ExportState(
                name=self.export.name,
                format=self.export.format,
                directory=self.export.directory,
                due=self._due.total(),
                error=trouble.error if trouble else None,
                hint=trouble.hint if trouble else None,
                since_ns=trouble.since_ns if trouble else None,
                next_try_seconds=max(0.0, self._attempt.due - time.monotonic()) if trouble else None,
            )

    def _run(self) -> None:
        self._wait_for_the_one_before()
        self._guarded(self._remove_leftovers)
        while self._wait():
            self._guarded(self._write_due)
            # What is open on a file system that has failed keeps it from being unmounted and mended.
            self._outbox.close()
        self._problems.clear(Trouble.EXPORT, export=self.export.name)

    def _wait_for_the_one_before(self) -> None:
        """Two at once would write the same interval. What hangs for good, a network disk, say, is told."""
        while self._after is not None and not self._after.join(PAUSE_MAX_SECONDS):
            directory = str(self._after.export.directory)
            self._failed(ExportError(directory, "write", "a write from before the change hangs"))
        self._after = None

    def _wait(self) -> bool:
        """Waits for something to do; False when there is nothing to come."""
        with self._changed:
            while not self._is_ending:
                pause = self._attempt.due - time.monotonic()
                if self._has_work and pause <= 0:
                    self._has_work = False
                    return True
                if self._closes_at is not None:
                    return False
                self._changed.wait(pause if self._has_work else None)
            return False

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (NetledgerError, OSError) as error:
            self._failed(error)
        except Exception as error:  # noqa: BLE001  # the top of a thread: it outlives what nobody thought of
            _log.exception("export_broke", extra={"fields": {"export": self.export.name}})
            self._failed(error)

    def _remove_leftovers(self) -> None:
        for path in self._writer.remove_leftovers():
            _log.info("leftover_removed", extra={"fields": {"export": self.export.name, "file": path}})

    def _write_due(self) -> None:
        """Writes all that is due. A meter whose interval fails waits with it, for they are written in order.

        Raises:
            NetledgerError, OSError: what failed first; it is still due.
        """
        with self._changed:
            self._noticed.clear()
        # Of a meter that was taken out something may be left, as long as it could not be forgotten.
        due = [one for one in self._outbox.due() if self.export.wants(one.meter)]
        with self._changed:
            # What came meanwhile may be among them. Rather one too many for a moment than none where there is one.
            self._due = Counter(one.meter for one in due) + self._noticed
        failed: dict[str, NetledgerError | OSError] = {}
        for one in due:
            if self._is_out_of_time():
                break
            if one.meter in failed:
                continue
            try:
                self._write(one)
            except (NetledgerError, OSError) as error:
                failed[one.meter] = error
        if failed:
            raise next(iter(failed.values()))
        self._succeeded()

    def _write(self, due: Due) -> None:
        interval = self._outbox.interval(due)
        claim = Claim(due.claim, lambda name: self._outbox.claim(due, name))
        self._writer.write(interval, self._outbox.rows(interval), claim, self._at_step)
        self._outbox.done(due)
        self._at_step("done")
        with self._changed:
            self._due[due.meter] -= 1

    def _is_out_of_time(self) -> bool:
        with self._changed:
            return self._is_ending or (self._closes_at is not None and time.monotonic() >= self._closes_at)

    def _succeeded(self) -> None:
        with self._changed:
            had_trouble, self._trouble = self._trouble is not None, None
            self._attempt = Attempt()
        self._problems.clear(Trouble.EXPORT, export=self.export.name)
        if had_trouble:
            _log.info("export_resumed", extra={"fields": {"export": self.export.name}})

    def _failed(self, error: Exception) -> None:
        with self._changed:
            pause_seconds = self._attempt.failed()
            since_ns = self._trouble.since_ns if self._trouble else self._clock.now().wall_ns
            hint = error.hint if isinstance(error, NetledgerError) else None
            self._trouble = _Trouble(str(error), hint, since_ns)
            self._has_work = True
            due = self._due.total()
        self._problems.note_error(Trouble.EXPORT, error, export=self.export.name)
        fields: dict[str, object] = {
            "export": self.export.name,
            "due": due,
            "again_seconds": round(pause_seconds),
            "error": str(error),
        }
        if hint is not None:
            fields["hint"] = hint
        _log.error("export_failed", extra={"fields": fields})
