"""Durations as people write them: ``90s``, ``5m``, ``1h``, ``1d``."""

import re
from typing import Final

DAY_SECONDS: Final = 86_400
INTERVAL_MAX_SECONDS: Final = 31 * DAY_SECONDS

_UNITS: Final = {"d": DAY_SECONDS, "h": 3600, "m": 60, "s": 1}
_NAMES: Final = {"d": "day", "h": "hour", "m": "minute", "s": "second"}
_SHAPE: Final = re.compile(r"([1-9][0-9]{0,6})([smhd])")


def parse(text: str) -> int | None:
    """The duration in seconds, or None when the text is none."""
    match = _SHAPE.fullmatch(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def render(seconds: int) -> str:
    """A duration of whole seconds in the largest unit that fits: ``300`` is ``5m``."""
    unit, size = next((unit, size) for unit, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // size}{unit}"


def words(seconds: int) -> str:
    """The same for a sentence: ``7 minutes``."""
    text = render(seconds)
    number, unit = int(text[:-1]), _NAMES[text[-1]]
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def divides_days(seconds: int) -> bool:
    """Whether boundaries at multiples of it fall on every midnight, or on midnights only."""
    return DAY_SECONDS % seconds == 0 or seconds % DAY_SECONDS == 0


def neighbours(seconds: int) -> list[int]:
    """The next shorter and the next longer duration that divides days, in the same unit."""
    unit = _UNITS[render(seconds)[-1]]
    if seconds > DAY_SECONDS:
        shorter = seconds // DAY_SECONDS * DAY_SECONDS
        return [shorter, shorter + DAY_SECONDS]
    divisors = [size for size in range(unit, DAY_SECONDS + 1, unit) if DAY_SECONDS % size == 0]
    return [max(size for size in divisors if size < seconds), min(size for size in divisors if size > seconds)]
