"""Standard output and standard error of the command."""

import os
from contextlib import suppress
from typing import Final, final

from netledger.compat.conntrack.refusal import Refusal

__all__ = ["Streams"]

_STANDARD_OUTPUT: Final = 1
_STANDARD_ERROR: Final = 2
_GATHERED_BYTES: Final = 1 << 16


@final
class Streams:
    """Gathers what goes to standard output until there is enough of it, or until :meth:`flush`."""

    def __init__(self) -> None:
        self._gathered: list[bytes] = []
        self._size = 0

    def out(self, text: str) -> None:
        """Text for standard output.

        Raises:
            BrokenPipeError: nobody reads it any more.
            Refusal: it cannot be written.
        """
        raw = text.encode(errors="surrogateescape")
        self._gathered.append(raw)
        self._size += len(raw)
        if self._size >= _GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is gathered; blocks as long as the reader is slow.

        Raises:
            BrokenPipeError, Refusal: as :meth:`out`.
        """
        rest = memoryview(b"".join(self._gathered))
        self._gathered, self._size = [], 0
        while rest:
            try:
                rest = rest[os.write(_STANDARD_OUTPUT, rest) :]
            except BrokenPipeError:
                raise
            except OSError as error:
                raise Refusal(f"Can't write to standard output: {error.strerror}") from error

    def tell(self, line: str) -> None:
        """One line on standard error, at once; a closed one is no reason to stop."""
        with suppress(OSError):
            os.write(_STANDARD_ERROR, f"{line}\n".encode(errors="surrogateescape"))
