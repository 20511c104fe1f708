"""Tells systemd how far the service is (sd_notify(3)); does nothing where nobody asks for it."""

import os
import socket
from collections.abc import Mapping
from typing import Final, final

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PROCESS: Final = "WATCHDOG_PID"
# So many signs of life in the time after which systemd believes that there is none.
_SIGNS: Final = 3


@final
class ServiceManager:
    """The systemd that started this process, or nobody.

    Nothing here blocks or fails: counting matters more than being watched.

    Args:
        environment: where systemd says what it wants to know.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get(_SOCKET, "")
        self._status = ""
        self._watchdog_ns = _watchdog_ns(environment) if self._address else 0

    def sign_of_life_ns(self) -> int | None:
        """How often it wants to hear :meth:`alive`; None when it does not."""
        return self._watchdog_ns // _SIGNS or None

    def ready(self, status: str) -> None:
        """All meters count; or, after a reload, they are being brought to what is wanted."""
        self._status = status
        self._tell(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again; :meth:`ready` comes when that is done."""
        self._tell("RELOADING=1\nSTATUS=Reading the configuration again.")

    def alive(self, status: str) -> None:
        """A sign of life, with one sentence for who asks how it goes."""
        told = ["WATCHDOG=1"] if self._watchdog_ns else []
        if status != self._status:
            told.append(f"STATUS={status}")
            self._status = status
        if told:
            self._tell("\n".join(told))

    def stopping(self) -> None:
        """The program is about to end."""
        self._tell("STOPPING=1\nSTATUS=Closing the intervals and committing them.")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the abstract name space, which begins with a zero byte.
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto(state.encode(), address)
            except OSError:
                return


def _watchdog_ns(environment: Mapping[str, str]) -> int:
    text, process = environment.get(_WATCHDOG, ""), environment.get(_WATCHDOG_PROCESS, "")
    # It may be meant for the process that started this one.
    is_meant = process in {"", str(os.getpid())}
    return int(text) * 1000 if text.isdecimal() and is_meant else 0
