"""Who counts by the pins of a meter: one process at a time.

The lock in the runtime directory keeps others out that see the same one. But the pins are named by its path. Processes
in two mount namespaces, such as containers, may see two directories of one path and the same BPF file system: then the
second one would take off what the first one counts by.
"""

import fcntl
import os
from pathlib import Path
from typing import final

from netledger.errors import InUseError, PermissionDeniedError

_HINT = "stop it first, or give one of them another `runtime`: pins are named by its path"


@final
class Claim:
    """A lock of the kernel on the directory of a meter's pins; it ends with the process, however that ends.

    Args:
        meter: its name.
        directory: of its pins, in a BPF file system.
    """

    def __init__(self, meter: str, directory: Path) -> None:
        self._meter = meter
        self._directory = directory
        self._descriptor: int | None = None

    def take(self) -> None:
        """Keeps others out of the directory; does not wait. Again when it was removed and made anew.

        Where there is none yet nothing is kept.

        Raises:
            InUseError: another process has it.
            PermissionDeniedError: it may not be opened.
        """
        try:
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError as error:
            cause, hint = (error.strerror or str(error)).lower(), "run as root, or as the user that counted before"
            raise PermissionDeniedError(str(self._directory), "open", cause, hint) from error
        except OSError:
            return  # what is in its place is told by who needs it
        if self._is_held(descriptor):
            os.close(descriptor)
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            cause = f"another process counts for it: it has {self._directory}"
            raise InUseError(f"meter {self._meter}", "open", cause, _HINT) from None
        self.let_go()
        self._descriptor = descriptor

    def let_go(self) -> None:
        """Lets others in. May be called twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _is_held(self, descriptor: int) -> bool:
        return self._descriptor is not None and os.path.sameopenfile(self._descriptor, descriptor)
