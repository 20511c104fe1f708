"""What was appended to a file since the last look; all of it when it is another file, or was written anew."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.errors import LearnerError

BYTES_MAX: Final = 1 << 30
"""A larger file is refused."""
_SEAL_BYTES: Final = 256


@final
@dataclass(frozen=True, slots=True)
class Piece:
    """What is new.

    Attributes:
        raw: the bytes.
        is_whole: whether it is the file from its beginning.
        version: another one whenever something was written into it.
    """

    raw: bytes
    is_whole: bool
    version: tuple[int, int, int]


@final
class Tail:
    """Reads one file. To be used from one thread.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._at = 0
        self._seal = b""

    def read(self) -> Piece:
        """What is new since the last call.

        Raises:
            LearnerError: the file is not there, cannot be read, or is too large.
        """
        try:
            with self._path.open("rb", buffering=0) as file:
                status = os.fstat(file.fileno())
                identity = (status.st_dev, status.st_ino)
                is_whole = identity != self._identity or not self._goes_on(file.fileno(), status.st_size)
                at = 0 if is_whole else self._at
                if status.st_size - at > BYTES_MAX:
                    raise LearnerError(str(self._path), "read", f"it has more than {BYTES_MAX} bytes")
                file.seek(at)
                raw = file.read(BYTES_MAX)
        except OSError as error:
            self._identity = None
            hint = None
            if isinstance(error, PermissionError):
                hint = "let the user of the service read it, and its directory: put him into the group of the server"
            raise LearnerError(str(self._path), "read", (error.strerror or str(error)).lower(), hint) from error
        self._identity, self._at = identity, at + len(raw)
        self._seal = (raw if is_whole else self._seal + raw)[-_SEAL_BYTES:]
        return Piece(raw, is_whole, (status.st_ino, status.st_size, status.st_mtime_ns))

    def _goes_on(self, descriptor: int, size: int) -> bool:
        """Whether what was read last still stands where it stood: a file can be emptied and grow between two looks."""
        if size < self._at:
            return False
        return os.pread(descriptor, len(self._seal), self._at - len(self._seal)) == self._seal
