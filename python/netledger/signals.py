"""Signals that wait in a pipe until somebody looks, so that none is missed between a look and a wait."""

import contextlib
import os
import select
import signal
from collections.abc import Collection
from types import FrameType, TracebackType
from typing import Final, Self, final

_BYTES: Final = 4096
_NO_SIGNAL: Final = 0


@final
class SignalPipe:
    """Catches signals while it is entered, which must be in the main thread; they do nothing else meanwhile.

    (``signal.sigtimedwait`` would be shorter, but gives garbage when the process was stopped and goes on after the time
    is over.)

    Args:
        numbers: which.
    """

    def __init__(self, numbers: Collection[signal.Signals]) -> None:
        self._numbers = numbers
        self._reader = self._writer = -1
        self._fd_before = -1
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """From now on they wait here."""
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in self._numbers:
            self._before[number] = signal.signal(number, _noted_in_the_pipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """They do what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself has given
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._reader)
        os.close(self._writer)

    def notify(self) -> None:
        """Ends the present or the next wait. May be called from any thread, while it is entered."""
        with contextlib.suppress(BlockingIOError):  # the pipe is full of reasons to wake up already
            os.write(self._writer, bytes((_NO_SIGNAL,)))

    def wait(self, seconds: float, descriptor: int = -1) -> list[int]:
        """Blocks for so long, until a signal or something on ``descriptor`` comes; gives the signals in order."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
        # Rounded up: waking a little early would mean turning round until the time has come.
        ready = [fd for fd, _event in poll.poll(max(0, -(-seconds * 1000 // 1)))]
        found = os.read(self._reader, _BYTES) if self._reader in ready else b""
        return [number for number in found if number != _NO_SIGNAL]


def _noted_in_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """Keeps the signal from doing what it does by itself, and interrupts nothing."""
