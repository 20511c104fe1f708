"""Becoming a daemon the old way."""

import os
from typing import Final

__all__ = ["fork_away", "let_go"]

_DESCRIPTORS_MAX: Final = 1024


def fork_away() -> bool:
    """Goes on in a child of its own session; True in the parent, which is to end.

    Nothing may run besides yet. The working directory and the umask stay.

    Raises:
        OSError: there is no room for another process.
    """
    if os.fork():
        return True
    os.setsid()
    return False


def let_go() -> None:
    """Closes all files of whoever started it; standard input, output and error are empty afterwards."""
    os.closerange(3, _DESCRIPTORS_MAX)
    empty = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(empty, descriptor)
    if empty > 2:  # noqa: PLR2004  standard error
        os.close(empty)
