"""Waiting for the signal that ends the program."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Self, final

__all__ = ["SIGNAL_WORDS", "EndSignals"]

# Go's words for the signals. SIGHUP ended the old program with everything lost; here it ends it like the others.
SIGNAL_WORDS = {
    signal.SIGINT: "interrupt",
    signal.SIGTERM: "terminated",
    signal.SIGQUIT: "quit",
    signal.SIGHUP: "hangup",
}


@final
class EndSignals:
    """Catches the signals of :data:`SIGNAL_WORDS` while it is entered, which must be in the main thread.

    A signal that came before :meth:`wait` is not missed: its number waits in a pipe. SIGHUP is left alone where it is
    ignored, as under ``nohup``. (``signal.sigtimedwait`` would be shorter, but gives garbage when the process was
    stopped and goes on after the time is over.)
    """

    def __init__(self) -> None:
        self._reader = self._writer = -1
        self._fd_before = -1
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in SIGNAL_WORDS:
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, _noted_in_the_pipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself has given
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> str | None:
        """Blocks for so long, or until a signal comes; gives its word, or None."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        # Rounded up: waking a little early would mean turning round until the time has come.
        if not poll.poll(-(-seconds * 1000 // 1)):
            return None
        words = (SIGNAL_WORDS.get(signal.Signals(number)) for number in os.read(self._reader, 4096))
        return next((word for word in words if word is not None), None)


def _noted_in_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """Keeps the signal from doing what it does by itself."""
