"""What was imported into the ledger: which periods of which old files, so that none is booked twice."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.durable import FILE_MODE, inherit_owner, make_directory
from netledger.errors import LedgerError
from netledger.ledger.files import explained
from netledger.ledger.reader import Reader

_LOCK: Final = "import.lock"
_KEYS: Final = ("start", "end", "ordinal", "sha256", "file")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """A period of an old file that is in the ledger.

    Attributes:
        start_ns: its start, UTC nanoseconds since 1970.
        end_ns: its end.
        local_start: its start as the file has it.
        local_end: its end as the file has it; empty where it does not tell.
        ordinal: which one of several periods with that start it is.
        sha256: of its content, hexadecimal.
        file: where it came from.
    """

    start_ns: int
    end_ns: int
    local_start: str
    local_end: str
    ordinal: int
    sha256: str
    file: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMeter:
    """What the ledger has of a meter.

    Attributes:
        last_seq: its greatest number; 0 without one.
        counted: how many of its intervals were counted here, and not imported.
        booked: those that were imported.
    """

    last_seq: int = 0
    counted: int = 0
    booked: Sequence[Booked] = ()


def imported_meter(reader: Reader, *, node: str, meter: str) -> ImportedMeter:
    """What the ledger has of a meter; nothing where there is no ledger yet. Reads all receipts of the meter.

    Raises:
        LedgerError: it cannot be read, or is of another version.
    """
    if not reader.version():
        return ImportedMeter()

    def ask(connection: sqlite3.Connection) -> ImportedMeter:
        last, counted = connection.execute(
            "SELECT coalesce(max(seq), 0), count(*) FILTER (WHERE json_extract(receipt, '$.import') IS NULL) "
            "FROM intervals WHERE node = ? AND meter = ?",
            (node, meter),
        ).fetchone()
        told = ", ".join(f"json_extract(receipt, '$.import.{key}')" for key in _KEYS)
        rows = connection.execute(
            f"SELECT interval_start, interval_end, {told} FROM intervals "  # noqa: S608  # our own words
            "WHERE node = ? AND meter = ? AND json_extract(receipt, '$.import') IS NOT NULL",
            (node, meter),
        )
        return ImportedMeter(
            last_seq=last,
            counted=counted,
            booked=[
                Booked(
                    start_ns=start_ns,
                    end_ns=end_ns,
                    local_start=start,
                    local_end=end,
                    ordinal=ordinal,
                    sha256=sha256,
                    file=file,
                )
                for start_ns, end_ns, start, end, ordinal, sha256, file in rows
            ],
        )

    return reader.read(ask)


@contextlib.contextmanager
def one_at_a_time(store: Path) -> Iterator[None]:
    """Holds ``STORE/import.lock``: two imports at once could both find that a file is new.

    Raises:
        LedgerError: another import runs, or the store cannot be written.
    """
    with explained(store, "lock"):
        make_directory(store)
        descriptor = os.open(store / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        inherit_owner(store / _LOCK)
    try:
        with explained(store, "lock"):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerError(str(store), "import", "another import runs", "wait for it") from error
        yield
    finally:
        os.close(descriptor)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BookedPart:
    """A part of an old log that is in the ledger.

    Attributes:
        start_ns: its start, UTC nanoseconds since 1970.
        end_ns: its end.
        period: which one of those of ``period_seconds`` since 1970 its lines were written in.
        period_seconds: how long periods are.
        first_second: when the first of its lines was written, seconds since 1970.
        last_second: when the last one was.
        lines: of all parts together.
        sha256: of those lines, hexadecimal.
        part: which one of them it is, from 1.
        parts: how many there are.
        file: where they came from.
    """

    start_ns: int
    end_ns: int
    period: int
    period_seconds: int
    first_second: int
    last_second: int
    lines: int
    sha256: str
    part: int
    parts: int
    file: str


_PART_KEYS: Final = (
    "period", "period_seconds", "first_second", "last_second", "lines", "sha256", "part", "parts", "file",
)  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLog:
    """What the ledger has of a meter of old logs.

    Attributes:
        last_seq: its greatest number; 0 without one.
        others: how many of its intervals come from elsewhere.
        booked: those that were imported.
    """

    last_seq: int = 0
    others: int = 0
    booked: Sequence[BookedPart] = ()


def imported_log(reader: Reader, *, node: str, meter: str, kind: str) -> ImportedLog:
    """What the ledger has of a meter; nothing where there is no ledger yet. Reads all receipts of the meter.

    Raises:
        LedgerError: it cannot be read, or is of another version.
    """
    if not reader.version():
        return ImportedLog()

    def ask(connection: sqlite3.Connection) -> ImportedLog:
        last, others = connection.execute(
            "SELECT coalesce(max(seq), 0), count(*) FILTER (WHERE json_extract(receipt, '$.import.kind') IS NOT ?1) "
            "FROM intervals WHERE node = ?2 AND meter = ?3",
            (kind, node, meter),
        ).fetchone()
        told = ", ".join(f"json_extract(receipt, '$.import.{key}')" for key in _PART_KEYS)
        rows = connection.execute(
            f"SELECT interval_start, interval_end, {told} FROM intervals "  # noqa: S608  # our own words
            "WHERE node = ? AND meter = ? AND json_extract(receipt, '$.import.kind') = ? ORDER BY seq",
            (node, meter, kind),
        )
        booked = [
            BookedPart(start_ns=start_ns, end_ns=end_ns, **dict(zip(_PART_KEYS, rest, strict=True)))
            for start_ns, end_ns, *rest in rows
        ]
        return ImportedLog(last_seq=last, others=others, booked=booked)

    return reader.read(ask)
