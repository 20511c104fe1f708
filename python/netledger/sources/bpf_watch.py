"""A thread that looks once a second whether all is still as it should be. The kernel tells of nothing of it."""

import threading
from collections.abc import Callable
from typing import Final, final

from netledger.errors import NetledgerError, SourceError

SECONDS: Final = 1.0
ENDED: Final = "its thread has ended, for the reason above"
"""By an exception that nobody foresaw: Python prints it where the log is."""


@final
class Watch:
    """Calls a function once a second, in a thread of the network namespace of who opens it.

    Args:
        look: what to call. What it raises is kept for :meth:`check`, until a later call succeeds.
        seconds: how often.
    """

    def __init__(self, look: Callable[[], None], *, seconds: float = SECONDS) -> None:
        self._look = look
        self._seconds = seconds
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: NetledgerError | OSError | None = None

    def open(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=self._run, name="bpf", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends. Not for who holds what ``look`` waits for; may be called twice, and without :meth:`open`."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def check(self) -> None:
        """Whether the last look succeeded, and there will be another one.

        Raises:
            NetledgerError: what it said, or that nobody looks any more.
        """
        if self._thread is not None and not self._thread.is_alive():
            raise SourceError("watch", "look", ENDED)
        match self._error:
            case OSError() as error:
                subject = str(error.filename or "watch")
                raise SourceError(subject, "look", (error.strerror or str(error)).lower()) from error
            case NetledgerError() as error:
                raise error
            case None:
                return

    def _run(self) -> None:
        while not self._end.wait(self._seconds):
            try:
                self._look()
            except (NetledgerError, OSError) as error:
                self._error = error
            else:
                self._error = None
