"""Interfaces by name, as the naccttab has them."""

import errno
import os
import socket
from collections.abc import Iterable

__all__ = ["missing_device"]


def missing_device(names: Iterable[str]) -> OSError | None:
    """The error that asking for the first interface gives that is not there; None when all are."""
    for name in names:
        try:
            socket.if_nametoindex(name)
        except (OSError, ValueError):  # ValueError: a NUL inside
            return OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    return None
