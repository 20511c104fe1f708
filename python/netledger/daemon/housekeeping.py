"""The store is kept in order by a child process: once an hour, beside the counting and never in its way.

It is ``netledger maintain --idle``, which may be killed at any moment. So it is ended at once when the daemon stops.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final, final

from netledger.config import Config, Retention
from netledger.intervals import HOUR_NS, SECOND_NS, Clock, Moment
from netledger.ledger.rollup import HOUR_CLOSED_AFTER_NS
from netledger.pipeline.problems import Problems, Trouble

# Not at once: a start has to take over what is left, and what waits for the store goes first.
_FIRST_NS: Final = 60 * SECOND_NS
# After the hour is closed for those that roll it up.
_AFTER_HOUR_NS: Final = HOUR_CLOSED_AFTER_NS + 30 * SECOND_NS
_PAUSE_NS: Final = 60 * SECOND_NS
_PAUSE_MAX_NS: Final = HOUR_NS
_END_SECONDS: Final = 5.0
_TOLD_BYTES: Final = 65_536
_OF_THE_SERVICE_MANAGER: Final = frozenset(("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))

_log = logging.getLogger(__name__)


@final
class Housekeeping:
    """Starts the child when it is due, and says what it did. To be used in one thread; nothing here blocks.

    Args:
        config: whose store, and how long what is kept.
        clock: where the time comes from.
        problems: where it is noted that it fails.
        command: the program, before its options.
        first_ns: how long after the beginning it is started for the first time.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        problems: Problems | None = None,
        command: Sequence[str] = (),
        first_ns: int = _FIRST_NS,
    ) -> None:
        self._problems = problems or Problems(clock)
        self._store = config.store
        self._keep = config.ledger
        self._clock = clock
        # Not from the working directory, where anybody may have put a module of that name.
        self._command = list(command) or [sys.executable, "-P", "-m", "netledger", "maintain", "--idle", "--json"]
        self._not_before_ns = clock.now().monotonic_ns + first_ns
        self._hour: int | None = None
        self._failures = 0
        self._child: _Child | None = None

    def turn(self) -> None:
        """Looks after the child, or starts one when an hour has closed. To be called from time to time."""
        now = self._clock.now()
        if self._child is not None:
            code = self._child.ended()
            if code is None:
                return
            self._judge(self._child, code, now)
            self._child = None
        hour = (now.wall_ns - _AFTER_HOUR_NS) // HOUR_NS
        if now.monotonic_ns >= self._not_before_ns and (hour != self._hour or self._failures):
            self._hour = hour
            self._start(now)

    def reload(self, config: Config) -> None:
        """Takes over how long what is kept; in effect from the next time on."""
        if config.ledger != self._keep:
            self._keep = config.ledger
            self._hour = None

    def stop(self) -> None:
        """Ends the child wherever it is; what it had not finished is done by the next one."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _start(self, now: Moment) -> None:
        # What the daemon knows, not the file: that may have been changed, and refused.
        options = ["--config", os.devnull, "--store", self._store, *_kept(self._keep)]
        try:
            self._child = _Child([*self._command, *options], now.monotonic_ns)
        except OSError as error:
            self._fail((error.strerror or str(error)).lower(), now)

    def _judge(self, child: "_Child", code: int, now: Moment) -> None:
        text, errors = child.told()
        if code:
            lines = [line for line in errors.splitlines() if line.strip()]
            told = [line for line in lines if line.startswith("netledger: ")] or lines
            words = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            self._fail(told[-1].removeprefix("netledger: ") if told and code > 0 else words, now)
            return
        self._failures = 0
        self._problems.clear(Trouble.HOUSEKEEPING)
        done = {key: value if isinstance(value, int) else len(value) for key, value in json.loads(text).items()}
        if any(done.values()):
            seconds = (now.monotonic_ns - child.started_ns) / SECOND_NS
            _log.info("housekeeping_done", extra={"fields": {**done, "seconds": round(seconds, 1)}})

    def _fail(self, cause: str, now: Moment) -> None:
        pause_ns = min(_PAUSE_NS << self._failures, _PAUSE_MAX_NS)
        self._failures += 1
        self._not_before_ns = now.monotonic_ns + pause_ns
        hint = "netledger maintain says more; counting and commits go on"
        self._problems.note(Trouble.HOUSEKEEPING, cause, hint=hint)
        fields = {"error": cause, "again_seconds": pause_ns // SECOND_NS, "hint": hint}
        _log.error("housekeeping_failed", extra={"fields": fields})


@final
class _Child:
    """A process that prints into memory, so that nobody has to read along."""

    def __init__(self, command: Sequence[str], started_ns: int) -> None:
        self.started_ns = started_ns
        self._files = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("out", "errors")]
        environment = {key: value for key, value in os.environ.items() if key not in _OF_THE_SERVICE_MANAGER}
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1], env=environment
            )
        except OSError:
            self._close()
            raise

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def told(self) -> tuple[str, str]:
        """What it printed and its errors, of each the end."""
        texts = []
        for file in self._files:
            size = os.fstat(file).st_size
            texts.append(os.pread(file, _TOLD_BYTES, max(0, size - _TOLD_BYTES)).decode(errors="replace"))
        self._close()
        return texts[0], texts[1]

    def kill(self) -> None:
        """Ends it now, and waits for the kernel to do so, unless a disk holds it up."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_SECONDS)
        self._close()

    def _close(self) -> None:
        for file in self._files:
            os.close(file)


def _kept(keep: Retention) -> list[str]:
    options: list[str] = []
    for name, days in (("--keep-days", keep.keep_detail_days), ("--keep-rollup-days", keep.keep_rollups_days)):
        if days is not None:
            options += [name, str(days)]
    return options
