"""Numbers of the command line: decimal, ``0x`` hexadecimal, or octal with a leading 0, as C reads them."""

import re

from netledger.compat.conntrack.refusal import Refusal

__all__ = ["parse_decimal", "parse_number", "parse_number_and_mask"]

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", re.ASCII)
_UINT32_MAX = (1 << 32) - 1


def parse_number(text: str, option: str, maximum: int = _UINT32_MAX) -> int:
    """A number of at most ``maximum``; ``option`` is as it is written, for the message.

    The old program took what it could not read for 0, and the rest of what did not fit: with ``-D`` that deletes
    flows that nobody has named.

    Raises:
        Refusal: no number, or one that does not fit.
    """
    number = _read(text)
    if number is None or number > maximum:
        raise Refusal(f"unexpected value '{text}' with {option} option")
    return number


def parse_decimal(text: str, option: str, maximum: int) -> int:
    """The same for a number that is decimal even with leading zeros.

    Raises:
        Refusal: no number, or one that does not fit.
    """
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_UINT32_MAX)) or int(text) > maximum:
        raise Refusal(f"unexpected value '{text}' with {option} option")
    return int(text)


def parse_number_and_mask(text: str, option: str) -> tuple[int, int]:
    """``VALUE`` or ``VALUE/MASK``; without a mask all 32 bits count.

    Raises:
        Refusal: one of them is no 32-bit number.
    """
    value, slash, mask = text.partition("/")
    numbers = _read(value), _read(mask) if slash else _UINT32_MAX
    if numbers[0] is None or numbers[1] is None or max(numbers[0], numbers[1]) > _UINT32_MAX:
        raise Refusal(f"unexpected value '{text}' with {option} option")
    return numbers[0], numbers[1]


def _read(text: str) -> int | None:
    # No more digits than 32 bits can have in octal, so that a long row of them costs no time.
    if _NUMBER.fullmatch(text) is None or len(text) > 12:  # noqa: PLR2004 - 0, and 11 octal digits
        return None
    if text[:2] in ("0x", "0X"):
        return int(text[2:], 16)
    return int(text, 8 if text.startswith("0") else 10)
