"""Waiting for the signal that ends the program."""

import signal
from contextlib import ExitStack
from types import TracebackType
from typing import Self, final

from netledger.signals import SignalPipe

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
    """Catches the signals of :data:`SIGNAL_WORDS` while it is entered, see :class:`SignalPipe`.

    SIGHUP is left alone where it is ignored, as under ``nohup``.
    """

    def __init__(self) -> None:
        self._exits = ExitStack()
        self._pipe = SignalPipe(())

    def __enter__(self) -> Self:
        is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        taken = [number for number in SIGNAL_WORDS if number != signal.SIGHUP or not is_nohup]
        self._pipe = self._exits.enter_context(SignalPipe(taken))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def wait(self, seconds: float) -> str | None:
        """Blocks for so long, or until a signal comes; gives its word, or None."""
        words = (SIGNAL_WORDS.get(signal.Signals(number)) for number in self._pipe.wait(seconds))
        return next((word for word in words if word is not None), None)
