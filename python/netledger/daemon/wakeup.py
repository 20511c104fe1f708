"""Waiting for a signal, for another thread or for a deadline, whichever comes first."""

import contextlib
import os
import select
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Final, Self, final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

_OTHER_THREAD: Final = b"\0"  # no signal has this number


@final
class Wakeup:
    """Signals become bytes in a pipe that the main thread waits on, so that none is missed between look and wait.

    To be entered in the main thread; :meth:`notify` may be called from any.
    """

    def __init__(self) -> None:
        self._reader = self._writer = -1
        self._before: dict[signal.Signals, object] = {}
        self._fd_before = -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself has given
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._reader)
        os.close(self._writer)

    def notify(self) -> None:
        """Ends the present or the next wait."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of reasons to wake up already
            os.write(self._writer, _OTHER_THREAD)

    def wait(self, timeout_ns: int) -> Iterable[signal.Signals]:
        """Blocks until something happens or the time is over, and gives the signals that came, in order."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        # Rounded up: waking a little early would mean turning round until the time has come.
        if not poll.poll(-(-timeout_ns // 1_000_000)):
            return ()
        return [signal.Signals(number) for number in os.read(self._reader, 4096) if number in SIGNALS]


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Is there so that the signal interrupts nothing; the byte in the pipe is what counts."""
