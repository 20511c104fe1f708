"""Where the lines go: standard error with a time stamp, or the system's log daemon."""

import os
import socket
from contextlib import suppress
from typing import Protocol

from netledger.exports.gotext import log_stamp, syslog_stamp
from netledger.intervals import Clock

__all__ = ["Log", "SyslogError"]

_STANDARD_ERROR = 2
# The old program logged as the kernel (facility 0), which a program is not; this one as what it is: a daemon.
_PRIORITY = 3 << 3 | 6
_ADDRESSES = ("/dev/log", "/var/run/syslog", "/var/run/log")
_SEND_SECONDS = 1.0


class SyslogError(Exception):
    """No log daemon listens here."""


class _Sink(Protocol):
    def write(self, wall_ns: int, text: str) -> None: ...


class _StandardError:
    def write(self, wall_ns: int, text: str) -> None:
        # A closed pipe must not end the accounting.
        with suppress(OSError):
            os.write(_STANDARD_ERROR, os.fsencode(f"{log_stamp(wall_ns)} {text}\n"))


class _Syslog:
    def __init__(self, program: str) -> None:
        self._program = program
        self._fallback = _StandardError()
        self._socket = _connect()

    def write(self, wall_ns: int, text: str) -> None:
        line = os.fsencode(f"<{_PRIORITY}>{syslog_stamp(wall_ns)} {self._program}[{os.getpid()}]: {text}\n")
        try:
            self._socket.sendall(line)
        except OSError:
            self._again(line, wall_ns, text)

    def _again(self, line: bytes, wall_ns: int, text: str) -> None:
        """The log daemon may have been restarted; when it is gone, the line is not."""
        try:
            self._socket.close()
            self._socket = _connect()
            self._socket.sendall(line)
        except (OSError, SyslogError):
            self._fallback.write(wall_ns, text)


def _connect() -> socket.socket:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        for address in _ADDRESSES:
            connection = socket.socket(socket.AF_UNIX, kind)
            # A log daemon that hangs delays a line by this long, never the counting.
            connection.settimeout(_SEND_SECONDS)
            try:
                connection.connect(address)
            except OSError:
                connection.close()
            else:
                return connection
    raise SyslogError("Unix syslog delivery error")


class Log:
    """The program's lines. Not safe for concurrent use."""

    def __init__(self, clock: Clock, *, program: str, verbose: bool) -> None:
        self._clock = clock
        self._program = program
        self._verbose = verbose
        self._sink: _Sink = _StandardError()

    def to_syslog(self) -> None:
        """Sends all further lines to the log daemon.

        Raises:
            SyslogError: none listens.
        """
        self._sink = _Syslog(self._program)

    def line(self, text: str) -> None:
        """Writes one line."""
        self._sink.write(self._clock.now().wall_ns, text)

    def detail(self, text: str) -> None:
        """Writes one line if ``-verbose`` asks for it."""
        if self._verbose:
            self.line(text)
