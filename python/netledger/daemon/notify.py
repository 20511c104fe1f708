"""Tells systemd how far the service is (sd_notify(3)); does nothing where nobody asks for it."""

import os
import socket
from typing import Final

_VARIABLE: Final = "NOTIFY_SOCKET"


def tell(state: str) -> None:
    """Sends a state such as ``READY=1``. Does not block, and cannot fail: counting matters more than being watched."""
    address = os.environ.get(_VARIABLE)
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
        try:
            # A leading @ stands for the abstract name space, which begins with a zero byte.
            channel.sendto(state.encode(), f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError:
            return
