"""Numbers of bytes for people. Exact arithmetic on integers; only what is shown is rounded, half up."""

from enum import StrEnum
from typing import Final

_THOUSANDS: Final = 1000
_KIBI: Final = 1024
_PREFIXES: Final = "KMGTPE"


class Unit(StrEnum):
    """What bytes are shown in."""

    AUTO = "auto"
    B = "B"
    KB = "KB"
    MB = "MB"
    GB = "GB"
    TB = "TB"
    PB = "PB"
    EB = "EB"
    KIB = "KiB"
    MIB = "MiB"
    GIB = "GiB"
    TIB = "TiB"
    PIB = "PiB"
    EIB = "EiB"


_SIZES: Final = {
    Unit.B: 1,
    **{Unit(f"{letter}B"): _THOUSANDS ** (power + 1) for power, letter in enumerate(_PREFIXES)},
    **{Unit(f"{letter}iB"): _KIBI ** (power + 1) for power, letter in enumerate(_PREFIXES)},
}
_AUTOMATIC: Final = tuple(Unit(f"{letter}B") for letter in reversed(_PREFIXES))


def shown_bytes(number: int, unit: Unit) -> str:
    """A number of bytes: whole ones plain, others with three decimals; ``auto`` with four digits and its unit."""
    if unit is Unit.B:
        return f"{number:,}"
    if unit is not Unit.AUTO:
        return _rounded(number, _SIZES[unit], 3)
    for larger in _AUTOMATIC:
        size = _SIZES[larger]
        # What would be shown as 1000 of a unit is one of the next.
        if number * _THOUSANDS * 2 >= size * (_THOUSANDS * 2 - 1):
            return f"{_four_digits(number, size)} {larger}"
    return f"{number:,} B"


def _four_digits(number: int, size: int) -> str:
    for decimals in (3, 2, 1):
        text = _rounded(number, size, decimals)
        if len(text) <= len("1.000"):
            return text
    return _rounded(number, size, 0)


def _rounded(number: int, size: int, decimals: int) -> str:
    scale = 10**decimals
    whole, rest = divmod((number * scale * 2 + size) // (size * 2), scale)
    return f"{whole:,}.{rest:0{decimals}d}" if decimals else f"{whole:,}"
