"""What every kind of old file is read into: periods with rows, in the words of the ledger."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple, final

from netledger.reports.harmless import harmless

IPV6_HEADER_BYTES: Final = 40
V4_MAPPED: Final = bytes(10) + b"\xff\xff"
"""What stands in front of an IPv4 address."""


class OldRow(NamedTuple):
    """What one address sent and received.

    ``address`` has 16 bytes; None is what the old program added up without one.
    """

    address: bytes | None
    sent_bytes: int
    sent_packets: int
    received_bytes: int
    received_packets: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OldPeriod:
    """One period of an old file.

    Attributes:
        path: the file.
        first_line: its first line of this period, from 1.
        last_line: its last line of this period.
        start: as the clock on the wall showed it, without a zone.
        end: the same; None where the file does not tell.
        ordinal: which one of several periods with this very start it is, from 0: where the clock is set back it shows
            the same hour twice.
        sha256: of start and rows, whatever file they lie in and in which order. Without rows, of start and end.
        rows: one for each address.
    """

    path: Path
    first_line: int
    last_line: int
    start: datetime
    end: datetime | None
    ordinal: int
    sha256: bytes
    rows: tuple[OldRow, ...] = field(repr=False)

    @property
    def place(self) -> str:
        """Where it stands: ``FILE:LINE``."""
        return place(self.path, self.first_line)

    @property
    def start_text(self) -> str:
        """Its start in the one form in which it is compared."""
        return self.start.isoformat(sep=" ")

    @property
    def end_text(self) -> str:
        """The same of its end; empty where the file does not tell."""
        return "" if self.end is None else self.end.isoformat(sep=" ")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A program whose files can be read.

    Attributes:
        name: of the program.
        patterns: what its files in a directory are called, as shells match names.
        is_it: whether a file is one of its, by its first bytes.
        periods: the periods of a file, in its order. Raises OldFileError at the first thing that is wrong.
        meaning: what a packet and a byte of its are.
        ipv6_header_bytes: how many bytes of each IPv6 packet it does not count.
    """

    name: str
    patterns: tuple[str, ...]
    is_it: Callable[[bytes], bool]
    periods: Callable[[Path], Iterator[OldPeriod]]
    meaning: str
    ipv6_header_bytes: int = 0


def place(path: Path, line: int) -> str:
    """``FILE:LINE``, where editors and people jump to."""
    return f"{harmless(str(path))}:{line}"


def packed(text: bytes) -> bytes | None:
    """The 16 bytes of an address; None where the text is none."""
    try:
        if b":" in text:
            return socket.inet_pton(socket.AF_INET6, text.decode("ascii"))
        return V4_MAPPED + socket.inet_pton(socket.AF_INET, text.decode("ascii"))
    except (OSError, ValueError):
        return None
