"""A log file, read strictly and in pieces: the lines that stand behind each other and were written within one period.

A file may be plain or compressed with gzip. What is added to it while it is read is left for the next time, and so is
a last line that has no end yet: nacctd writes blocks, not lines.
"""

import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, NoReturn, final

from netledger.errors import OldFileError
from netledger.imports.base import place
from netledger.imports.nacctd.detect import LINES_LOOKED_AT
from netledger.imports.nacctd.fields import MAXIMA, Fields, why_not
from netledger.reports.harmless import harmless

LINES_MAX: Final = 250_000
"""Lines of one piece: what is held in memory at a time."""
_LINE_BYTES_MAX: Final = 4_096
_STEP: Final = 4_096
_BLOCK_BYTES: Final = 1 << 20

Seen = Callable[[int], None]
"""Told how many bytes of the file are read."""


@final
@dataclass(slots=True)
class Piece:
    """Lines of one period.

    Attributes:
        period: which one, counted from 1970.
        first_line: the number of its first line in the file, from 1.
        lines: as they stand there, with their ends.
        values: the fields of each.
        is_open: there may be more of its period elsewhere: no other period follows behind it.
    """

    period: int
    first_line: int
    lines: list[bytes] = field(default_factory=list, repr=False)
    values: list[tuple[bytes, ...]] = field(default_factory=list, repr=False)
    is_open: bool = False

    @property
    def last_line(self) -> int:
        """The number of its last line."""
        return self.first_line + len(self.lines) - 1

    @property
    def first_second(self) -> int:
        """When its first line was written, seconds since 1970."""
        return int(self.values[0][0])

    @property
    def last_second(self) -> int:
        """The latest time that one of its lines has."""
        return max(map(int, {value[0] for value in self.values}))

    def sha256(self, count: int | None = None) -> bytes:
        """Of its first lines, or of all, whatever file they stand in."""
        return hashlib.sha256(b"".join(self.lines[:count])).digest()

    def cut(self, offset: int, count: int) -> "Piece":
        """So many of its lines, behind so many others."""
        end = offset + count
        return Piece(
            self.period,
            self.first_line + offset,
            self.lines[offset:end],
            self.values[offset:end],
            is_open=self.is_open or end < len(self.lines),
        )

    def without(self, count: int) -> "Piece":
        """What is behind its first lines."""
        return self.cut(count, len(self.lines) - count)


@final
class LogFile:
    """One file. May be read several times, and gives the same each time.

    Args:
        path: where it lies.
        period_seconds: how long a period is.

    Raises:
        OldFileError: it cannot be read.
    """

    def __init__(self, path: Path, period_seconds: int) -> None:
        self.path = path
        self.name = harmless(str(path))
        self.absolute = harmless(os.path.abspath(path))  # noqa: PTH100  # links stay as the operator named them
        self._period_seconds = period_seconds
        try:
            self.octets = path.stat().st_size
        except OSError as error:
            raise self._unreadable(error) from error
        self.unfinished_line: int | None = None

    def head(self) -> list[bytes]:
        """Its first whole lines, by which its fields are found out.

        Raises:
            OldFileError: it cannot be read, or is no text.
        """
        lines = []
        for line in self._lines():
            lines.append(line)
            if len(lines) == LINES_LOOKED_AT:
                break
        return lines

    def pieces(self, fields: Fields, seen: Seen) -> Iterator[Piece]:
        """Its lines period by period, in their order; never more than :data:`LINES_MAX` at once.

        Raises:
            OldFileError: it cannot be read, or a line has other fields.
        """
        piece: Piece | None = None
        written, period, match = b"", 0, fields.line.fullmatch
        for number, line in enumerate(self._lines(seen), start=1):
            found = match(line)
            if found is None:
                hint = "is it damaged, or were fields disabled meanwhile? correct the line, or cut the file there"
                self._refuse(number, why_not(line, fields), hint)
            values = found.groups()
            if values[0] != written:
                written = values[0]
                period = self._period(written, number)
            if piece is not None and (piece.period != period or len(piece.lines) == LINES_MAX):
                piece.is_open = piece.period == period
                yield piece
                piece = None
            if piece is None:
                piece = Piece(period, number)
            piece.lines.append(line)
            piece.values.append(values)
        if piece is not None:
            piece.is_open = True
            yield piece

    def sha256(self) -> str:
        """Of the file as it lies there, as ``sha256sum`` prints it; of a file that grows, of the part that was read.

        Raises:
            OldFileError: it cannot be read.
        """
        made = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                left = self.octets
                while left and (block := file.read(min(left, 1 << 20))):
                    made.update(block)
                    left -= len(block)
        except OSError as error:
            raise self._unreadable(error) from error
        return made.hexdigest()

    def refuse_line(self, number: int, cause: str) -> NoReturn:
        """Says what is wrong with a line.

        Raises:
            OldFileError: always.
        """
        self._refuse(number, cause, None)

    def _period(self, written: bytes, number: int) -> int:
        seconds = int(written)
        if not 0 < seconds <= MAXIMA["time"]:
            self._refuse(number, f"{seconds} is no time", None)
        return seconds // self._period_seconds

    def _lines(self, seen: Seen | None = None) -> Iterator[bytes]:
        number = 0
        self.unfinished_line = None
        try:
            with self.path.open("rb") as raw:
                bounded = io.BufferedReader(_Bounded(raw, self.octets), _BLOCK_BYTES)
                is_packed = bounded.peek(2)[:2] == b"\x1f\x8b"
                file: BinaryIO = gzip.GzipFile(fileobj=bounded) if is_packed else bounded  # type: ignore[assignment]  # reads as one
                while line := file.readline(_LINE_BYTES_MAX):
                    number += 1
                    if not line.endswith(b"\n"):
                        if len(line) == _LINE_BYTES_MAX:
                            self._refuse(number, "the line is longer than any that nacctd writes", None)
                        self.unfinished_line = number
                        return
                    if seen is not None and number % _STEP == 0:
                        seen(raw.tell())
                    yield line
        except EOFError:
            self._refuse(number + 1, "the compressed file ends here: it was cut", "unpack what there is: zcat")
        except (OSError, zlib.error) as error:
            raise self._unreadable(error) from error

    def _refuse(self, number: int, cause: str, hint: str | None) -> NoReturn:
        raise OldFileError(place(self.path, number), "", cause, hint)

    def _unreadable(self, error: Exception) -> OldFileError:
        text = error.strerror if isinstance(error, OSError) else None
        return OldFileError(self.name, "read", (text or str(error)).lower())


class _Bounded(io.RawIOBase):
    """The first bytes of a file, and no more than there were when its size was asked for."""

    def __init__(self, file: BinaryIO, octets: int) -> None:
        self._file = file
        self._left = octets

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what RawIOBase is called with
        block = self._file.read(min(len(buffer), self._left))
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)


def is_log(head: bytes) -> bool:
    """Whether a file is a log of nacctd, by its first bytes: a time in seconds, and a tab."""
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 1024)
        except zlib.error:
            return False
    time, tab, _ = head.partition(b"\t")
    return bool(tab) and time.isdigit() and len(time) in {9, 10}
