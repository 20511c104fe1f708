"""The signals that the daemon takes, and those that it takes no notice of."""

import signal
from typing import Final

from netledger.signals import SignalPipe

__all__ = ["IGNORED", "TAKEN", "signals"]

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


def signals() -> SignalPipe:
    """Catches all of them while it is entered."""
    return SignalPipe((*TAKEN, *IGNORED))
