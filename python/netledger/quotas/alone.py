"""One process at a time changes the kernel's objects of a store's quotas: the daemon's look, or a command's reset.

The steps of a reset are seen by everybody: that it is about to be made stands in the ledger, and then the object has
nothing. Who looks in between would take the process that makes it for dead, and finish its work a second time.
"""

import fcntl
import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from netledger.errors import QuotaError

LOOK_SECONDS: Final = 1.0
"""How long the daemon's look waits for a command that is in the middle of a reset."""
COMMAND_SECONDS: Final = 20.0
"""How long a command waits for the daemon's look."""

_AGAIN_MILLISECONDS: Final = 5


@contextmanager
def alone(store: Path, *, seconds: float) -> Iterator[None]:
    """Nobody else is in here for the same store; the kernel lets go when the process ends. Waits so long at most.

    Raises:
        QuotaError: another process is in here all the time, or the store is not there.
    """
    try:
        # The directory itself: a file of root's would be one that the user of the service cannot open.
        descriptor = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise QuotaError(f"quotas of {store}", "lock", (error.strerror or str(error)).lower()) from error
    try:
        end = time.monotonic() + seconds
        while not _has(descriptor):
            if time.monotonic() >= end:
                hint = "is a netledger stopped by a debugger or SIGSTOP? let it go on"
                raise QuotaError(f"quotas of {store}", "lock", "another process changes them all the time", hint)
            select.select([], [], [], _AGAIN_MILLISECONDS / 1000)
        yield
    finally:
        os.close(descriptor)


def _has(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
