"""The fields of a line: nacctd writes all ten, less those that ``disable`` in its table leaves out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final

from netledger.errors import UsageError

NAMES: Final = ("time", "proto", "src", "sport", "dst", "dport", "count", "bytes", "device", "user")
"""In the order in which they stand in a line; ``disable N`` leaves out the one at place N, from 1."""

_ADDRESS: Final = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9a-fA-F.]*:[0-9a-fA-F:.]*"
_FORMS: Final = {
    "time": "[0-9]{1,10}",
    "proto": "[0-9]{1,3}",
    "src": _ADDRESS,
    "sport": "[0-9]{1,5}",
    "dst": _ADDRESS,
    "dport": "[0-9]{1,5}",
    "count": "[0-9]{1,20}",
    "bytes": "[0-9]{1,20}",
    "device": r"[^\t\n]{1,64}",
    # The first line of a file that somebody has written: it may be empty, and have tabs in it.
    "user": r"[^\n]*",
}
MAXIMA: Final = {
    "time": 9_000_000_000,
    "proto": 0xFF,
    "sport": 0xFFFF,
    "dport": 0xFFFF,
    "count": 0xFFFF_FFFF_FFFF_FFFF,
    "bytes": 0xFFFF_FFFF_FFFF_FFFF,
}
"""The greatest value of each number; a later time has no place in a ledger of nanoseconds."""
MEANINGS: Final = {
    "time": "time",
    "proto": "protocol number",
    "src": "address",
    "sport": "port",
    "dst": "address",
    "dport": "port",
    "count": "number of packets",
    "bytes": "number of bytes",
    "device": "interface",
    "user": "user",
}


@final
@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields the lines of a file have.

    Attributes:
        names: in their order.
        line: matches a whole line with its end; a group for each field.
    """

    names: tuple[str, ...]
    line: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = r"\t".join(f"({_FORMS[name]})" for name in self.names)
        object.__setattr__(self, "line", re.compile(f"{parts}\n".encode()))

    def place(self, name: str) -> int | None:
        """Where a field stands, from 0; None where it is left out."""
        return self.names.index(name) if name in self.names else None

    def __str__(self) -> str:
        return ",".join(self.names)


ALL: Final = Fields(NAMES)
CLASSIC: Final = Fields(tuple(name for name in NAMES if name != "count"))
"""What the table that comes with net-acct asks for: field 7 disabled."""


def parse(text: str) -> Fields:
    """``--fields``: names in their order, or the numbers of a table's ``disable``, as in ``-7``.

    Raises:
        UsageError: there is no such field, they are in another order, or there is nothing to be booked.
    """
    names = tuple(word.strip() for word in text.split(","))
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"--fields {text}", "", f"there is no field {unknown[0]!r}", f"there are {','.join(NAMES)}")
    if list(names) != sorted(set(names), key=NAMES.index):
        raise UsageError(
            f"--fields {text}", "", "not in the order of a line, or twice", f"the order is {','.join(NAMES)}"
        )
    return checked(Fields(names), f"--fields {text}")


def checked(fields: Fields, subject: str) -> Fields:
    """The same, if there is something to be booked.

    Raises:
        UsageError: the lines tell no time, or neither packets nor bytes.
    """
    if "time" not in fields.names:
        raise UsageError(subject, "", "lines without a time were never written", f"begin with {NAMES[0]}")
    if not {"count", "bytes"} & set(fields.names):
        raise UsageError(subject, "", "neither count nor bytes: there is nothing to be booked")
    return fields


def why_not(line: bytes, fields: Fields) -> str:
    """What is wrong with a line that does not match."""
    found = line.rstrip(b"\n").split(b"\t")
    if len(found) != len(fields.names):
        return f"it has {len(found)} fields, and a line has {len(fields.names)}: {fields}"
    for name, text in zip(fields.names, found, strict=True):
        if not re.fullmatch(_FORMS[name].encode(), text):
            return f"{shown(text)} is no {MEANINGS[name]}"
    return "it is no line of a log"


def shown(text: bytes, *, length_max: int = 60) -> str:
    """A value as it may stand in a message."""
    whole = text.decode("utf-8", "backslashreplace")
    seen = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in whole[:length_max])
    return f'"{seen}{"…" if len(whole) > length_max else ""}"'


def without(names: Sequence[str]) -> Fields:
    """All fields but these."""
    return Fields(tuple(name for name in NAMES if name not in names))
