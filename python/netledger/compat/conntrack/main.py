"""The command: reads its words, does what they ask for by ``netledger.conntrack``, and ends as the old program did."""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from netledger.compat.conntrack.arguments import parse_arguments
from netledger.compat.conntrack.failures import words_for
from netledger.compat.conntrack.refusal import PROGRAM, Refusal
from netledger.compat.conntrack.run import run
from netledger.compat.conntrack.streams import Streams
from netledger.errors import NetledgerError
from netledger.intervals import SystemClock

__all__ = ["main"]

_STANDARD_FILES: Final = (0, 1, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``conntrack`` with the words behind its name; gives the exit status.

    0 is done, 1 failed or nothing there to get or delete, 2 a command line that is refused. ``-E`` runs until SIGINT or
    SIGTERM.
    """
    _live_as_a_program_of_c()
    words = sys.argv[1:] if argv is None else argv
    program = os.path.basename(sys.argv[0]) if argv is None else PROGRAM  # noqa: PTH119 - a name need not be UTF-8
    streams = Streams()
    try:
        return _obey(words, streams, program)
    except BrokenPipeError:
        # Ended by the signal, as everything in a pipe whose reader is gone.
        signal.raise_signal(signal.SIGPIPE)
        return 1


def _obey(words: Sequence[str], streams: Streams, program: str) -> int:
    request = None
    try:
        request = parse_arguments(words, streams.tell)
        return run(request, streams, SystemClock(), program)
    except Refusal as refusal:
        streams.tell(refusal.lines().rstrip("\n"))
        status = refusal.status
    except NetledgerError as error:
        streams.tell(Refusal(words_for(error, request)).lines().rstrip("\n"))
        status = 1
    # What was shown before it failed has happened.
    streams.flush()
    return status


def _live_as_a_program_of_c() -> None:
    """SIGINT and SIGPIPE end the process as they come; ``-E`` has its own way with the first.

    A standard file that is closed is no place for a socket: what is written there would be asked of the kernel.
    """
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    for descriptor in _STANDARD_FILES:
        try:
            os.fstat(descriptor)
        except OSError:
            # Read-only: writing there fails, as it does when nothing is open.
            os.open(os.devnull, os.O_RDONLY)
