"""The signals that the daemon takes, and those that it takes no notice of."""

import os
import select
import signal
from types import FrameType, TracebackType
from typing import Final, Self, final

__all__ = ["IGNORED", "TAKEN", "Signals"]

TAKEN: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGTSTP,
    signal.SIGCONT,
    signal.SIGABRT,
)
# SIGSEGV and its like stay what they are: whoever has destroyed its memory must not go on counting.
IGNORED: Final = (
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGURG,
    signal.SIGIO,
    signal.SIGXCPU,
    signal.SIGXFSZ,
    signal.SIGCHLD,
)
_BYTES: Final = 4096


@final
class Signals:
    """Catches signals while it is entered, which must be in the main thread. None that came before is missed."""

    def __init__(self) -> None:
        self._reader = self._writer = -1
        self._fd_before = -1
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (*TAKEN, *IGNORED):
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

    def wait(self, seconds: float, descriptor: int = -1) -> list[int]:
        """Blocks for so long, until a signal or something on ``descriptor`` comes; gives the signals in order."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        if descriptor >= 0:
            poll.register(descriptor, select.POLLIN)
        # Rounded up: waking a little early would mean turning round until the time has come.
        ready = [fd for fd, _event in poll.poll(max(0, -(-seconds * 1000 // 1)))]
        return list(os.read(self._reader, _BYTES)) if self._reader in ready else []


def _noted_in_the_pipe(_number: int, _frame: FrameType | None) -> None:
    """Keeps the signal from doing what it does by itself."""
