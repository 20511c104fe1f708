"""Lines of ``list``, read back.

A line as ``list`` writes it, with its twenty digits (twelve in its youth), is read to the byte: a name is all that
stands between ``} = `` and the last semicolon, with blanks, semicolons and ends of line in it. What people write is
read as the old program reads it (any digits, any blanks, no semicolon in a name), but for blanks in names, which do not
cut them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, final

from netledger.compat.nfacct.arguments import RefusalError, fitting, message, number
from netledger.nfacct import NAME_BYTES_MAX, Quota, Unit

__all__ = ["Line", "read"]

_BLANKS: Final = b" \t\n\v\f\r"
_LINE_BYTES_MAX: Final = 4096
_UNITS: Final = {b"byte": Unit.BYTES, b"packet": Unit.PACKETS}

_EXACT: Final = re.compile(
    rb"\{ pkts = (\d{12,20}), bytes = (\d{12,20})"
    rb"(?:, quota = (\d{12,20}), mode = (byte|packet), overquota = (?:yes|no))? \} = "
)
# C's sscanf: a blank in its pattern is any number of blanks, also none.
_NUMBER: Final = rb"[ \t\n\v\f\r]*([+-]?[0-9]+)"
_LOOSE: Final = re.compile(
    (
        rb"\{_pkts_=" + _NUMBER + rb",_bytes_=" + _NUMBER + rb"(?:,_quota_=" + _NUMBER + rb",_mode_=_(\w+)"
        rb"(?:,_overquota_=_(?:yes|no))?)?_\}_=_"
    ).replace(b"_", rb"[ \t\n\v\f\r]*")
)


@final
@dataclass(frozen=True, slots=True)
class Line:
    """An object to be made, with what it has counted already."""

    name: bytes
    packets: int
    octets: int
    quota: Quota | None


def read(source: BinaryIO, *, is_strict: bool) -> Iterator[Line]:
    """The objects of a text, each as soon as its line is there. Blocks while ``source`` does.

    Raises:
        RefusalError: a line is none of ``list``; those before it have been given.
        OSError: ``source`` cannot be read.
    """
    while text := source.readline(_LINE_BYTES_MAX):
        yield _line(_whole(text, source), is_strict=is_strict)


def _whole(text: bytes, source: BinaryIO) -> bytes:
    """A line, together with those that follow when its name has ends of line in it."""
    head = _EXACT.match(text)
    while head and b";" not in text[head.end() :] and len(text) - head.end() <= NAME_BYTES_MAX:
        more = source.readline(_LINE_BYTES_MAX)
        if not more:
            break
        text += more
    return text


def _line(text: bytes, *, is_strict: bool) -> Line:
    text = text.partition(b"\0")[0]
    if b";" not in text:
        raise RefusalError(message(b"invalid line"))
    # Up to the first semicolon, unless it is a line of `list` and ends in one: a remark may stand behind it.
    body = text.partition(b";")[0]
    head = _EXACT.match(text)
    if head is not None:
        stripped = text.rstrip(_BLANKS)
        name = (stripped[:-1] if stripped.endswith(b";") else body)[head.end() :]
    elif (head := _LOOSE.match(body)) is not None:
        name = body[head.end() :].strip(_BLANKS)
    if head is None or not name:
        raise RefusalError(message(b"error reading input"))
    packets, octets, limit = (number(digits) if digits else None for digits in head.group(1, 2, 3))
    unit = _UNITS.get(head[4]) if head[4] else None
    if packets is None or octets is None or (limit is None) != (unit is None):
        raise RefusalError(message(b"error reading input"))
    quota = None if limit is None or unit is None else Quota(limit, unit)
    return Line(fitting(name, is_strict=is_strict), packets, octets, quota)
