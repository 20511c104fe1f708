"""Learners while the daemon runs: a thread for each, started again after growing pauses when it fails.

They have nothing to do with the meters, but for the recorder: no meter waits for a learner.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, final

from netledger.attribution.learning import Recorder
from netledger.config import Config
from netledger.config.attribution import Attribution
from netledger.errors import LearnerError, NetledgerError
from netledger.intervals import SECOND_NS, Clock
from netledger.learners.base import Learner, LearnerStatus, Standing, State, Stop
from netledger.live.shape import AttributionStatus
from netledger.pipeline.problems import Problems, Trouble
from netledger.receipt import rfc3339

PAUSE_SECONDS_MAX: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
# One that has followed its source for so long has not failed at once: then the pauses begin anew.
_STEADY_NS: Final = 60 * SECOND_NS
_JOIN_SECONDS: Final = 10.0

LearnerFactory = Callable[[str, Attribution, Clock], Learner]
"""Makes the learner of an ``[attribution.NAME]``; inert until it is run."""

_log = logging.getLogger(__name__)


@final
class Learners:
    """Runs the learners of the configuration from :meth:`open` to :meth:`close`.

    Args:
        config: which there are.
        clock: where the time comes from.
        record: who keeps what they learn.
        problems: where it is noted that one does not learn.
        make_learner: the learner of one table.
    """

    def __init__(
        self, config: Config, clock: Clock, *, record: Recorder, problems: Problems, make_learner: LearnerFactory
    ) -> None:
        self._wanted = dict(config.attribution)
        self._clock = clock
        self._record = record
        self._problems = problems
        self._make_learner = make_learner
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def open(self) -> None:
        """Starts them. Their threads have the network namespace of the one that calls this."""
        for name, wanted in self._wanted.items():
            self._start(name, wanted)

    def let_go(self, config: Config) -> None:
        """Ends those that are not wanted any more, or changed. Blocks until what they held is free for others."""
        self._end([name for name, wanted in self._wanted.items() if config.attribution.get(name) != wanted])

    def take_up(self, config: Config) -> None:
        """Starts what is wanted and does not run; the others go on undisturbed. To be called behind :meth:`let_go`."""
        self._wanted = dict(config.attribution)
        for name, wanted in self._wanted.items():
            if name not in self._running:
                self._start(name, wanted)

    def close(self) -> None:
        """Ends them all. Blocks for some seconds at most."""
        self._end(list(self._running))

    def look(self) -> tuple[AttributionStatus, ...]:
        """How each is, by name; notes as a problem what is wrong. May be called from any thread."""
        with self._lock:
            running = [self._running[name] for name in sorted(self._running)]
        found = [(one, one.status()) for one in running]
        failures = [f"{one.name}: {status.error}" for one, status in found if status.error is not None]
        hints = [status.error.hint for _, status in found if status.error is not None]
        hint = hints[0] if len(hints) == 1 else None
        self._problems.set(Trouble.ATTRIBUTION, "; ".join(failures) or None, hint=hint or "the log says more")
        return tuple(_shown(one, status) for one, status in found)

    def _start(self, name: str, wanted: Attribution) -> None:
        running = _Running(name, wanted, self._make_learner(name, wanted, self._clock), self._record, self._clock)
        with self._lock:
            self._running[name] = running
        running.start()

    def _end(self, names: Iterable[str]) -> None:
        with self._lock:
            over = [self._running.pop(name) for name in names if name in self._running]
        for one in over:
            one.tell_to_stop()
        for one in over:
            one.join()


@final
class _Running:
    """One learner, and the thread that it runs in."""

    def __init__(self, name: str, wanted: Attribution, learner: Learner, record: Recorder, clock: Clock) -> None:
        self.name = name
        self.source = wanted.source
        self._learner = learner
        self._record = record
        self._clock = clock
        self._stop = Stop()
        self._failed = Standing(clock)
        self._is_resting = False
        self._thread = threading.Thread(target=self._run, name=f"attribution {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell_to_stop(self) -> None:
        self._stop.set()

    def join(self) -> None:
        self._thread.join(_JOIN_SECONDS)
        if self._thread.is_alive():
            # Its descriptor stays open: it still looks at it.
            _log.error("learner_does_not_stop", extra={"fields": {"attribution": self.name}})
        else:
            self._stop.close()

    def status(self) -> LearnerStatus:
        """What the learner says, or that it has failed."""
        said, failed = self._learner.status(), self._failed.status()
        # Until it follows its source again, a try alone is no success.
        if failed.error is None or not (self._is_resting or said.state is State.STARTING):
            return said
        return replace(said, state=failed.state, since_ns=failed.since_ns, error=failed.error)

    def _run(self) -> None:
        pause_seconds = _PAUSE_SECONDS
        while True:
            began_ns = self._clock.now().monotonic_ns
            error = self._once()
            if self._stop.is_set():
                return
            if self._clock.now().monotonic_ns - began_ns >= _STEADY_NS:
                pause_seconds = _PAUSE_SECONDS
            self._tell(error, pause_seconds)
            self._is_resting = True
            if self._stop.wait(pause_seconds):
                return
            pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)
            self._is_resting = False

    def _once(self) -> NetledgerError:
        """Runs it until it ends, and says why it did."""
        _log.info("learning", extra={"fields": {"attribution": self.name, "source": self.source}})
        try:
            self._learner.run(self._record, self._stop)
        except NetledgerError as error:
            return error
        except Exception as error:  # noqa: BLE001  # the top of a thread: a fault in one learner must not end the others
            _log.exception("learner_broke")
            return LearnerError(
                f"attribution {self.name}", "", repr(error), "this is a fault of the program: report it"
            )
        return LearnerError(f"attribution {self.name}", "", "it has ended by itself")

    def _tell(self, error: NetledgerError, pause_seconds: float) -> None:
        fields: dict[str, object] = {"attribution": self.name, "error": error, "again_seconds": int(pause_seconds)}
        _log.error("learner_failed", extra={"fields": fields | ({"hint": error.hint} if error.hint else {})})
        self._failed.failed(error)


def _shown(running: _Running, status: LearnerStatus) -> AttributionStatus:
    return AttributionStatus(
        name=running.name,
        source=running.source,
        state=str(status.state),
        since=rfc3339(status.since_ns),
        facts=status.facts,
        last_learnt=None if status.last_ns is None else rfc3339(status.last_ns),
        refused=status.refused,
        refused_reasons=dict(status.refused_reasons),
        why=None if status.error is None else str(status.error),
        hint=None if status.error is None else status.error.hint,
    )
