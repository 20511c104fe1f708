"""Log lines as key=value on standard error: ``level=info meter=lan event=committed seq=12``.

What goes wrong again and again is said once a minute, with how often it was.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TextIO, final

REPEAT_SECONDS: Final = 60.0
"""How long the same warning or error is counted instead of printed."""

# Kinds of trouble are few; this bounds what a fault nobody thought of may remember.
_KINDS_MAX: Final = 256

# How syslog numbers them (sd-daemon(3)).
_PRIORITIES: Final = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))
_DEBUG: Final = "<7>"
_DIGITS: Final = re.compile(r"\d+")
_VARIABLE: Final = "JOURNAL_STREAM"


def set_up() -> None:
    """Sends all log lines to standard error, one line each. Time and host name are left to who collects them."""
    handler = RepeatHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter(has_priority=is_journal(sys.stderr.fileno(), os.environ.get(_VARIABLE))))
    logger = logging.getLogger("netledger")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def is_journal(descriptor: int, variable: str | None) -> bool:
    """Whether a file descriptor is the journal's; ``variable`` is what systemd says of it, ``device:inode``."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    # Compared, for the variable is inherited by whoever is started with its output elsewhere.
    return variable == f"{status.st_dev}:{status.st_ino}"


@dataclass(slots=True)
class _Kind:
    """What was said of one kind of trouble: when, and what has come since without being said."""

    said_seconds: float
    last: logging.LogRecord | None = None
    unsaid: int = 0


@final
class RepeatHandler(logging.StreamHandler[TextIO]):
    """Writes lines; the same warning or error again within a minute is counted, and told with ``repeated=17``.

    That many of its kind came since the last one that was written. The same is what has the same event, meter and
    words; numbers may differ. Safe to use from any thread.

    Args:
        stream: where lines go.
        clock: seconds that are never stepped.
    """

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._kinds: dict[tuple[object, ...], _Kind] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Writes or counts one; what is due of others is written first. Called with the lock held."""
        now = self._clock()
        self._say_due(now)
        if record.levelno < logging.WARNING:
            super().emit(record)
            return
        key = _kind(record)
        kind = self._kinds.get(key)
        if kind is not None:
            kind.last = record
            kind.unsaid += 1
            return
        if len(self._kinds) >= _KINDS_MAX:
            self._forget(next(iter(self._kinds)))
        self._kinds[key] = _Kind(now)
        super().emit(record)

    def say_due(self) -> None:
        """Writes what was counted and has its minute behind it. To be called from time to time."""
        self.acquire()
        try:
            self._say_due(self._clock())
        finally:
            self.release()

    def say_all(self) -> None:
        """Writes all that was counted. What comes later is written as ever."""
        self.acquire()
        try:
            for key in list(self._kinds):
                self._forget(key)
        finally:
            self.release()

    def close(self) -> None:
        """Writes all that was counted; Python itself calls this at the end."""
        self.say_all()
        super().close()

    def _say_due(self, now: float) -> None:
        # In the order in which they were last spoken of, so that the first that is not due ends it.
        while self._kinds:
            key = next(iter(self._kinds))
            if now - self._kinds[key].said_seconds < REPEAT_SECONDS:
                return
            if self._forget(key):
                self._kinds[key] = _Kind(now)

    def _forget(self, key: tuple[object, ...]) -> bool:
        """Ends the count of a kind, and writes it if there is one; says whether there was."""
        kind = self._kinds.pop(key)
        if kind.last is None:
            return False
        # The handler is the only one to see the record now: the others have had it when it came.
        kind.last.repeated = kind.unsaid
        super().emit(kind.last)
        return True


def say_due() -> None:
    """Has what was counted instead of written said, where it is due. To be called from time to time."""
    for handler in _repeat_handlers():
        handler.say_due()


def say_all() -> None:
    """Has all of it said, before the last line that is to stand in the log."""
    for handler in _repeat_handlers():
        handler.say_all()


def _repeat_handlers() -> list[RepeatHandler]:
    return [handler for handler in logging.getLogger("netledger").handlers if isinstance(handler, RepeatHandler)]


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    fields = getattr(record, "fields", None)
    if not isinstance(fields, Mapping):
        return (record.levelno, _without_numbers(record.getMessage()))
    words = (
        # The cause of a failure names files, and those have numbers in their names. A mistake in a configuration has
        # the number of its line, and each of them is to be said.
        (name, _without_numbers(str(value)) if name == "error" else str(value))
        for name, value in fields.items()
        if not isinstance(value, int)
    )
    return (record.levelno, record.getMessage(), *words)


def _without_numbers(text: str) -> str:
    return _DIGITS.sub("#", text)


class KeyValueFormatter(logging.Formatter):
    """The message is the event; its fields are a mapping ``fields`` given as ``extra``, or stand in the message.

    Args:
        has_priority: begin each line with its level as the journal reads it.
    """

    def __init__(self, *, has_priority: bool = False) -> None:
        super().__init__()
        self._has_priority = has_priority

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = getattr(record, "fields", None)
        parts = [f"level={record.levelname.lower()}"]
        if isinstance(fields, Mapping):
            if "meter" in fields:
                parts.append(f"meter={_value(fields['meter'])}")
            parts.append(f"event={_value(record.getMessage())}")
            parts += [f"{key}={_value(value)}" for key, value in fields.items() if key != "meter"]
        else:
            parts.append(f"event={_printable(record.getMessage())}")
        if (repeated := getattr(record, "repeated", 1)) > 1:
            parts.append(f"repeated={repeated}")
        if record.exc_info:
            parts.append(f"traceback={_value(self.formatException(record.exc_info))}")
        line = " ".join(parts)
        return f"{_priority(record.levelno)}{line}" if self._has_priority else line


def _priority(level: int) -> str:
    return next((prefix for least, prefix in _PRIORITIES if level >= least), _DEBUG)


def _value(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "=\\'):
        return text
    escaped = _printable(text.replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{escaped}"'


def _printable(text: str) -> str:
    # What comes from outside, such as the name of an interface, must not begin a line of its own.
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
