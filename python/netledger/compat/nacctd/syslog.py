"""Where the messages go: the log daemon, in datagrams as the C library makes them."""

import logging
import os
import socket
import threading
from contextlib import suppress
from typing import Final, final

from netledger.compat.nacctd.said import Level, Said
from netledger.exports.gotext import syslog_stamp
from netledger.intervals import SECOND_NS, Clock

__all__ = ["NAME", "Syslog", "SyslogHandler"]

NAME: Final = "nacctd"
_ADDRESS: Final = "/dev/log"
_USER: Final = 1 << 3
_DAEMON: Final = 3 << 3
# A log daemon that hangs delays one message by this long, and then none for a while; never the counting.
_SEND_SECONDS: Final = 1.0
_DEAF_NS: Final = 10 * SECOND_NS
_STANDARD_ERROR: Final = 2
_WORDS: Final = {
    "counted_at_both": "each packet counts at both: {interfaces}; leave one of them out with notdev",
    "forwarded_counts_twice": "what this machine forwards counts where it comes in and where it goes out;"
    " leave the interfaces of one side out with notdev",
    "interface_not_there": "iflimit {interface}: there is no such interface now",
}


@final
class Syslog:
    """Sends messages. Any thread may do so.

    The old program said nothing when no log daemon listened. Here a warning or an error then goes to standard error, as
    long as there is one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._socket: socket.socket | None = None
        self._deaf_until_ns = 0
        self._lock = threading.Lock()

    def tell(self, said: Said, *, ident: str = NAME) -> None:
        """Sends one message in the name of ``ident``. Blocks for a second at most."""
        self._send(said, f"<{_DAEMON | said.level}>", ident)

    def tell_as_user(self, said: Said) -> None:
        """Sends one message the way a program does that has not said yet that it is a daemon."""
        self._send(said, f"<{_USER | said.level}>", NAME)

    def error(self, text: str, *, ident: str = NAME) -> None:
        """Tells that something has failed."""
        self.tell(Said(Level.ERR, f"{text}\n"), ident=ident)

    def warning(self, text: str) -> None:
        """Tells that something is not as the operator may think."""
        self.tell(Said(Level.WARNING, f"{text}\n"))

    def info(self, text: str) -> None:
        """Tells what the program does."""
        self.tell(Said(Level.INFO, f"{text}\n"))

    def debug(self, text: str) -> None:
        """Tells a detail."""
        self.tell(Said(Level.DEBUG, f"{text}\n"))

    def close(self) -> None:
        """Lets go of the log daemon. The next message finds it again."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send(self, said: Said, priority: str, ident: str) -> None:
        stamp = syslog_stamp(self._clock.now().wall_ns)
        datagram = os.fsencode(f"{priority}{stamp} {ident}: {said.text}")
        with self._lock:
            is_sent = self._try(datagram)
        if not is_sent and said.level <= Level.WARNING:
            with suppress(OSError):
                os.write(_STANDARD_ERROR, os.fsencode(f"{ident}: {said.text}"))

    def _try(self, datagram: bytes) -> bool:
        # The log daemon may have been started again since the last message.
        for _attempt in range(2):
            try:
                self._connected().send(datagram)
            except (TimeoutError, BlockingIOError):
                self._deaf_until_ns = self._clock.now().monotonic_ns + _DEAF_NS
                return False
            except OSError:
                self.close()
            else:
                return True
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                connection.connect(_ADDRESS)
            except OSError:
                connection.close()
                raise
            self._socket = connection
        is_deaf = self._clock.now().monotonic_ns < self._deaf_until_ns
        self._socket.settimeout(0 if is_deaf else _SEND_SECONDS)
        return self._socket


@final
class SyslogHandler(logging.Handler):
    """What the rooms below have to say goes to the log daemon, too, in words that a naccttab knows."""

    def __init__(self, syslog: Syslog) -> None:
        super().__init__(logging.WARNING)
        self._syslog = syslog

    def emit(self, record: logging.LogRecord) -> None:
        """Sends one record."""
        level = Level.ERR if record.levelno >= logging.ERROR else Level.WARNING
        fields = getattr(record, "fields", {})
        words = _WORDS.get(record.msg)
        others = " ".join((record.getMessage(), *(f"{name}={value}" for name, value in fields.items())))
        text = others if words is None else words.format_map(fields)
        self._syslog.tell(Said(level, f"{text}\n"))
