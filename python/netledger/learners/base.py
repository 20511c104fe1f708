"""What every learner has: the contract, the signal to stop, and what it says of itself."""

import contextlib
import os
import select
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol, final

from netledger.attribution.facts import Fact
from netledger.attribution.learning import Recorder
from netledger.errors import NetledgerError
from netledger.intervals import SECOND_NS, Clock

TOLD_BACK_NS: Final = 24 * 3600 * SECOND_NS
"""How old a time may be that a source tells."""
_REASONS_MAX: Final = 32
_OTHER_REASONS: Final = "other reasons"
_NOTICED_NS: Final = 2 * SECOND_NS
"""What is told of so shortly ago has been noticed at once: then the cut is where it changed hands."""


class State(StrEnum):
    """What a learner is doing. Scripts hold on to these words."""

    STARTING = "starting"
    """It has not found its source yet."""
    FOLLOWING = "following"
    """What happens there is learnt."""
    WAITING = "waiting"
    """Its source is not there, or cannot be read; it looks again by itself."""
    FAILED = "failed"
    """It ended; it is started again after a pause."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerStatus:
    """What a learner says of itself.

    Attributes:
        state: what it is doing.
        since_ns: since when, UTC nanoseconds.
        facts: how many it has told the recorder since the daemon began.
        last_ns: when the last of them was, or None.
        error: what is wrong, or None.
        refused: how much of what its source told was no address, no name or no time, since the daemon began.
        refused_reasons: how much of it for which reason.
    """

    state: State
    since_ns: int
    facts: int = 0
    last_ns: int | None = None
    error: NetledgerError | None = None
    refused: int = 0
    refused_reasons: Mapping[str, int] = field(default_factory=dict, hash=False)


class Learner(Protocol):
    """Follows one source. ``run`` is called in a thread of its own, and again after it has failed."""

    def run(self, record: Recorder, stop: "Stop") -> None:
        """Blocks until it is told to stop. What it has learnt stays, however it ends.

        Its standing starts with each call, and follows as soon as the source is there.

        Raises:
            NetledgerError: its source is broken, or the ledger refuses. It is called again after a pause, and then
                begins with what ``open_claims`` says, for it may have missed something.
        """

    def status(self) -> LearnerStatus:
        """How it is. Called from other threads, and never blocks."""


@final
class Stop:
    """Tells a learner to stop. What is waited for beside it goes into ``poll`` with its descriptor."""

    def __init__(self) -> None:
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_set = threading.Event()

    def fileno(self) -> int:
        """Becomes readable when it is time to stop, and stays so."""
        return self._descriptor

    def is_set(self) -> bool:
        """Whether it is time to stop."""
        return self._is_set.is_set()

    def set(self) -> None:
        """It is time to stop. May be called twice, from any thread."""
        if not self._is_set.is_set():
            self._is_set.set()
            os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float | None = None, *descriptors: int) -> bool:
        """Blocks until one of the descriptors can be read, the time is over, or it is time to stop: then it is True."""
        poll = select.poll()
        for descriptor in (self._descriptor, *descriptors):
            poll.register(descriptor, select.POLLIN)
        # Rounded up: waking a little early would mean turning round until the time has come.
        poll.poll(None if seconds is None else -int(-seconds * 1000 // 1))
        return self._is_set.is_set()

    def close(self) -> None:
        """Frees the descriptor, when the learner has ended."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


@final
class Standing:
    """Keeps what a learner says of itself. Safe to use from any thread; no call blocks.

    Args:
        clock: where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._status = LearnerStatus(state=State.STARTING, since_ns=clock.now().wall_ns)

    def status(self) -> LearnerStatus:
        """As it is now."""
        with self._lock:
            return self._status

    def starts(self) -> None:
        """It looks for its source: the first thing that ``run`` says."""
        self._turn(State.STARTING, None)

    def follows(self) -> None:
        """Its source is there, and what happens there is learnt."""
        self._turn(State.FOLLOWING, None)

    def waits(self, error: NetledgerError) -> None:
        """Its source is not there, or cannot be read; it looks again by itself."""
        self._turn(State.WAITING, error)

    def failed(self, error: NetledgerError) -> None:
        """It has ended."""
        self._turn(State.FAILED, error)

    def refused(self, why: str, count: int = 1) -> None:
        """So much of what its source told could not be, and why."""
        with self._lock:
            known = self._status.refused_reasons
            # What comes from the network must not fill the memory, whatever it makes of a reason.
            kept = why if why in known or len(known) < _REASONS_MAX else _OTHER_REASONS
            reasons = {**known, kept: known.get(kept, 0) + count}
            self._status = replace(self._status, refused=self._status.refused + count, refused_reasons=reasons)

    def learn(self, record: Recorder, facts: Sequence[Fact]) -> None:
        """Has facts kept, and counts them.

        Raises:
            LedgerError: as :meth:`Recorder.learn`.
        """
        if not facts:
            return
        record.learn(facts)
        now_ns = self._clock.now().wall_ns
        with self._lock:
            self._status = replace(self._status, facts=self._status.facts + len(facts), last_ns=now_ns)

    def _turn(self, state: State, error: NetledgerError | None) -> None:
        now_ns = self._clock.now().wall_ns
        with self._lock:
            since_ns = self._status.since_ns if self._status.state is state else now_ns
            self._status = replace(self._status, state=state, since_ns=since_ns, error=error)


def moment(told_ns: int | None, cut_ns: int) -> int:
    """When something changed hands that is learnt now: what the source told, where that can be, else the cut.

    Args:
        told_ns: when it was, as the source tells; None where it tells no time.
        cut_ns: what :meth:`Recorder.cut_moment` gave when it was noticed.

    A time to come is wrong, and one of more than a day ago is of a source that tells old things. One of just now is the
    cut itself, where the books were closed for it.
    """
    if told_ns is None or not _NOTICED_NS <= cut_ns - told_ns <= TOLD_BACK_NS:
        return cut_ns
    return told_ns
