"""What is to be told to the log daemon: a level and a text. Pure."""

from dataclasses import dataclass
from enum import IntEnum
from typing import final

__all__ = ["Level", "Said"]


class Level(IntEnum):
    """How grave it is, as syslog numbers it."""

    ERR = 3
    WARNING = 4
    INFO = 6
    DEBUG = 7


@final
@dataclass(frozen=True, slots=True)
class Said:
    """One message. The text is as the old program sent it, its line feed included where it had one.

    Attributes:
        level: how grave it is.
        text: what is said.
    """

    level: Level
    text: str
