"""Durations as the Go programming language writes them: ``300ms``, ``1h30m``, ``7m0s``. All values are nanoseconds."""

import re

__all__ = ["DAY_NS", "SECOND_NS", "duration_text", "parse_duration"]

SECOND_NS = 1_000_000_000
DAY_NS = 24 * 3600 * SECOND_NS

# Both signs for micro are in use: U+00B5 (micro sign) and U+03BC (Greek mu).
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": SECOND_NS,
    "m": 60 * SECOND_NS,
    "h": 3600 * SECOND_NS,
}
_PART = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]+)")
_INT64_MAX = (1 << 63) - 1


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as ``-1.5h`` or ``1m40s``.

    A fraction that is no whole number of nanoseconds is cut off, as Go does.

    Raises:
        ValueError: the text is not a duration, or does not fit 64 bits.
    """
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total_ns = 0
    position = 0
    while position < len(rest):
        part = _PART.match(rest, position)
        if part is None:
            raise ValueError(text)
        total_ns += _part_ns(part, text)
        position = part.end()
    # One more negative number than positive ones fits 64 bits.
    if position == 0 or total_ns > _INT64_MAX + negative:
        raise ValueError(text)
    return -total_ns if negative else total_ns


def _part_ns(part: re.Match[str], text: str) -> int:
    whole, _, fraction, unit = part.groups()
    unit_ns = _UNITS_NS.get(unit)
    if unit_ns is None or not (whole or fraction):
        raise ValueError(text)
    part_ns = int(whole or "0") * unit_ns
    if fraction:
        part_ns += int(fraction) * unit_ns // 10 ** len(fraction)
    return part_ns


def duration_text(duration_ns: int) -> str:
    """The duration as Go prints it: ``5m0s``, ``36h0m0s``, ``1.5s``, ``500ms``, ``0s``."""
    if duration_ns == 0:
        return "0s"
    sign = "-" if duration_ns < 0 else ""
    rest_ns = abs(duration_ns)
    if rest_ns < SECOND_NS:
        for unit, unit_ns in (("ms", 1_000_000), ("\u00b5s", 1_000), ("ns", 1)):
            if rest_ns >= unit_ns:
                return f"{sign}{_decimal(rest_ns, unit_ns)}{unit}"
    minutes, seconds_ns = divmod(rest_ns, 60 * SECOND_NS)
    seconds = f"{_decimal(seconds_ns, SECOND_NS)}s"
    if not minutes:
        return f"{sign}{seconds}"
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}h{minutes}m{seconds}" if hours else f"{sign}{minutes}m{seconds}"


def _decimal(value_ns: int, unit_ns: int) -> str:
    whole, fraction = divmod(value_ns, unit_ns)
    digits = f"{fraction:0{len(str(unit_ns)) - 1}d}".rstrip("0") if fraction else ""
    return f"{whole}.{digits}" if digits else str(whole)
