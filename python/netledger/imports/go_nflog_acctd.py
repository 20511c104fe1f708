"""CSV files of go-nflog-acctd: one for each period, named after its start and end in local time.

``START_END.csv`` holds a header and a line for each address, in any order, each with the start of the period. What
``netledger compat go-nflog-acctd`` writes is read as well: ``START_END.1.csv`` where a name was taken, and a row
``other``. A file of another name may hold several periods, as after ``cat``; it does not tell where they end.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from netledger.errors import OldFileError
from netledger.exports.go_nflog_acctd import HEADER
from netledger.imports.base import IPV6_HEADER_BYTES, Kind, OldPeriod, OldRow, packed, place
from netledger.receipt import COUNT_MAX
from netledger.reports.harmless import harmless

_NAME: Final = re.compile(
    r"(?P<start>\d{4}-\d\d-\d\d-\d{6})_(?P<end>\d{4}-\d\d-\d\d-\d{6})(?:\.(?P<ordinal>\d+))?\.csv"
)
_NAME_TIME: Final = "%Y-%m-%d-%H%M%S"
_ROW: Final = re.compile(
    rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),([^,\n]+),([0-9]{1,20}),([0-9]{1,20}),([0-9]{1,20}),([0-9]{1,20})\n"
)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_ROW_TIME: Final = "%Y-%m-%d %H:%M:%S"
_COLUMNS: Final = HEADER.decode().rstrip("\n").split(",")
# No line can be longer; a file of another kind may be one line of gigabytes.
_LINE_BYTES_MAX: Final = 200
# A negative prefix length made the old program write <nil>.
_NO_ADDRESS: Final = frozenset((b"other", b"<nil>"))
_FORM: Final = b"go-nflog-acctd period 1\n"


def periods(path: Path) -> Iterator[OldPeriod]:
    """The periods of a file, in its order. Holds the rows of one at a time.

    Raises:
        OldFileError: it cannot be read, or a line is not as the old program writes it.
    """
    try:
        with path.open("rb") as file:
            yield from _File(path, file).periods()
    except OSError as error:
        raise OldFileError(harmless(str(path)), "read", (error.strerror or str(error)).lower()) from error


KIND: Final = Kind(
    name="go-nflog-acctd",
    patterns=("*.csv",),
    is_it=lambda head: head.startswith(HEADER),
    periods=periods,
    meaning="merged super-packets",
    ipv6_header_bytes=IPV6_HEADER_BYTES,
)


class _File:
    """One file while it is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._named = self._name()
        self._seen: dict[datetime, int] = {}

    def periods(self) -> Iterator[OldPeriod]:
        lines: list[bytes] = []
        number = 0
        for number, line in enumerate(self._lines(), start=1):
            if number == 1 and line != HEADER:
                self._refuse(1, f"it does not begin with {_COLUMNS[0]},{_COLUMNS[1]},…", "is it of go-nflog-acctd?")
            is_header = line == HEADER
            if lines and (is_header or _time_of(line) != _time_of(lines[0])):
                yield self._period(lines, number - 1)
                lines = []
            if not is_header:
                lines.append(line)
        if number == 0:
            self._refuse(1, "it is empty", "even a period without packets has a header")
        if lines:
            yield self._period(lines, number)
        elif self._named is not None and not self._seen:
            yield self._empty()

    def _lines(self) -> Iterator[bytes]:
        number = 0
        while line := self._file.readline(_LINE_BYTES_MAX):
            number += 1
            if not line.endswith(b"\n"):
                what = (
                    "is longer than any row" if len(line) == _LINE_BYTES_MAX else "has no end: the file was cut there"
                )
                self._refuse(number, f"the line {what}", "take the file from where it is whole")
            yield line

    def _period(self, lines: list[bytes], last: int) -> OldPeriod:
        first = last - len(lines) + 1
        rows: dict[bytes | None, OldRow] = {}
        for number, line in enumerate(lines, start=first):
            row = self._row(line, number)
            if row.address in rows:
                self._refuse(
                    number, "the address stands twice in this period", "were files of two programs put together?"
                )
            rows[row.address] = row
        start, end, ordinal = self._times(lines[0], first)
        made = hashlib.sha256(_FORM + start.isoformat().encode() + b"\n")
        for line in sorted(lines):
            made.update(line)
        return OldPeriod(
            path=self._path,
            first_line=first,
            last_line=last,
            start=start,
            end=end,
            ordinal=ordinal,
            sha256=made.digest(),
            rows=tuple(rows.values()),
        )

    def _times(self, line: bytes, number: int) -> tuple[datetime, datetime | None, int]:
        start = self._moment(_time_of(line).decode(), _ROW_TIME, number)
        ordinal = self._seen.get(start, 0)
        self._seen[start] = ordinal + 1
        if self._named is None:
            return start, None, ordinal
        named, end, ordinal = self._named
        if start != named:
            self._refuse(number, f"its time {start} is not the start in the file's name", "give the file its name back")
        return start, end, ordinal

    def _empty(self) -> OldPeriod:
        assert self._named is not None  # noqa: S101  # the caller has looked
        start, end, ordinal = self._named
        made = hashlib.sha256(_FORM + start.isoformat().encode() + b"\n" + end.isoformat().encode() + b"\n")
        return OldPeriod(
            path=self._path,
            first_line=1,
            last_line=1,
            start=start,
            end=end,
            ordinal=ordinal,
            sha256=made.digest(),
            rows=(),
        )

    def _row(self, line: bytes, number: int) -> OldRow:
        found = _ROW.fullmatch(line)
        if found is None:
            self._refuse(number, _mistake(line))
        counters = [int(text) for text in found.groups()[2:]]
        if max(counters) > COUNT_MAX:
            self._refuse(number, f"{max(counters)} does not fit 64 bits")
        address = packed(found[2])
        if address is None and found[2] not in _NO_ADDRESS:
            self._refuse(number, f"{_shown(found[2])} is no address")
        return OldRow(address, *counters)

    def _name(self) -> tuple[datetime, datetime, int] | None:
        found = _NAME.fullmatch(self._path.name)
        if found is None:
            return None
        start, end = (self._moment(found[side], _NAME_TIME, 1) for side in ("start", "end"))
        return start, end, int(found["ordinal"] or 0)

    def _moment(self, text: str, form: str, number: int) -> datetime:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007  # the zone is the operator's to say
        except ValueError:
            self._refuse(number, f"{text} is no time")

    def _refuse(self, number: int, cause: str, hint: str | None = None) -> NoReturn:
        raise OldFileError(place(self._path, number), "", cause, hint)


def _time_of(line: bytes) -> bytes:
    return line.partition(b",")[0]


def _mistake(line: bytes) -> str:
    """What is wrong with a line that is no row."""
    fields = line.rstrip(b"\n").split(b",")
    if len(fields) != len(_COLUMNS):
        return f"it has {len(fields)} fields, and a row has {len(_COLUMNS)}"
    if not _TIME.fullmatch(fields[0].decode("utf-8", "replace")):
        return f"{_shown(fields[0])} is no time"
    for name, text in zip(_COLUMNS[2:], fields[2:], strict=True):
        if not re.fullmatch(rb"[0-9]{1,20}", text):
            return f"{name} {_shown(text)} is no whole number"
    return f"{_shown(fields[1])} is no address"


def _shown(text: bytes) -> str:
    return harmless(f'"{text.decode("utf-8", "backslashreplace")}"')
