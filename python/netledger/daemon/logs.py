"""Log lines as key=value on standard error: ``level=info meter=lan event=committed seq=12``."""

import logging
import sys
from collections.abc import Mapping


def set_up() -> None:
    """Sends all log lines to standard error, one line each. Time and host name are left to who collects them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KeyValueFormatter())
    logger = logging.getLogger("netledger")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


class KeyValueFormatter(logging.Formatter):
    """The message is the event; its fields are a mapping ``fields`` given as ``extra``, or stand in the message."""

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
        if record.exc_info:
            parts.append(f"traceback={_value(self.formatException(record.exc_info))}")
        return " ".join(parts)


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
