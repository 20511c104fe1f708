"""Intervals in the bytes of go-nflog-acctd: one CSV for each, with what each address sent and received.

The old program knows addresses and nothing else. What has none but was counted, beyond ``rows_max`` or lost, is one
last line ``other``; ``external`` is the other end of what the addresses sent and received, and has no line.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, final

from netledger.durable import FILE_MODE, Step, make_directory
from netledger.errors import ExportError
from netledger.exports.csv import numbers
from netledger.exports.files import export_error
from netledger.exports.format import Claim, Exported, Side
from netledger.exports.gotext import file_stamp, row_stamp
from netledger.exports.periods import PeriodError, Written, publish
from netledger.schema import COUNTER_COLUMNS, Account

if TYPE_CHECKING:
    import pyarrow as pa

HEADER = b"Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets\n"

_ZEROS = b"\0" * 10
_V4_MAPPED = _ZEROS + b"\xff\xff"
_IPV6_HEADER_BYTES = 40
_ROWS_PER_CHUNK = 4096


class Row(NamedTuple):
    """What one address sent and received. ``address`` has 16 bytes; None is all that found no room in the table."""

    address: bytes | None
    source_bytes: int
    source_packets: int
    dest_bytes: int
    dest_packets: int


def is_ipv4(address: bytes) -> bool:
    """Whether 16 bytes are an IPv4 address (``::ffff:a.b.c.d``)."""
    return address.startswith(_V4_MAPPED)


def address_text(address: bytes | None) -> str:
    """A dotted quad, or IPv6 in lower case with its longest row of zero groups left out; ``other`` for None."""
    if address is None:
        return "other"
    if is_ipv4(address):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    if address.startswith(_ZEROS):
        # The system's library would write the end of such an address as a dotted quad.
        return ipaddress.IPv6Address(address).compressed
    return socket.inet_ntop(socket.AF_INET6, address)


def old_bytes(address: bytes | None, *, bytes_: int, packets: int) -> int:
    """Bytes as the old program counted them: of IPv6 the payload length only.

    A super-packet without a length counts 0 bytes already, so the subtraction ends at 0.
    """
    if address is None or is_ipv4(address):
        return bytes_
    return max(0, bytes_ - _IPV6_HEADER_BYTES * packets)


def csv_chunks(
    rows: Sequence[Row], *, start_ns: int, strict_bytes: bool, zone: tzinfo | None = None
) -> Iterator[bytes]:
    """A whole file, piece by piece: the header, then IPv4 before IPv6, each by address, the rest last.

    Times are local, or those of a zone.
    """
    yield HEADER
    stamp = row_stamp(start_ns, zone)
    ordered = sorted(rows, key=_order)
    for first in range(0, len(ordered), _ROWS_PER_CHUNK):
        chunk = ordered[first : first + _ROWS_PER_CHUNK]
        yield "".join(_line(row, stamp, strict_bytes=strict_bytes) for row in chunk).encode()


def _order(row: Row) -> tuple[int, bytes]:
    if row.address is None:
        return 2, b""
    return (0 if is_ipv4(row.address) else 1), row.address


def _line(row: Row, stamp: str, *, strict_bytes: bool) -> str:
    source_bytes, dest_bytes = row.source_bytes, row.dest_bytes
    if strict_bytes:
        source_bytes = old_bytes(row.address, bytes_=source_bytes, packets=row.source_packets)
        dest_bytes = old_bytes(row.address, bytes_=dest_bytes, packets=row.dest_packets)
    name = address_text(row.address)
    return f"{stamp},{name},{source_bytes},{row.source_packets},{dest_bytes},{row.dest_packets}\n"


def rows_by_address(batch: "pa.RecordBatch", side: Side) -> list[Row]:
    """Rows of an interval added up by host, with the columns of one side or both; what is zero there has no row."""
    counts: dict[bytes | None, list[int]] = {}
    names = (batch.column(name).to_pylist() for name in ("account", "host"))
    # By Python's own integers: they do not wrap.
    counters = (numbers(batch.column(name)).tolist() for name in COUNTER_COLUMNS)
    for account, host, *counted in zip(*names, *counters, strict=True):
        if account == Account.EXTERNAL:
            continue
        address = host if account == Account.HOST else None
        before = counts.get(address)
        counts[address] = counted if before is None else [one + more for one, more in zip(before, counted, strict=True)]
    rows = []
    for address, (sent_bytes, sent_packets, received_bytes, received_packets) in counts.items():
        sent = (sent_bytes, sent_packets) if side != "destination" else (0, 0)
        received = (received_bytes, received_packets) if side != "source" else (0, 0)
        if any((*sent, *received)):
            rows.append(Row(address, *sent, *received))
    return rows


@final
@dataclass(frozen=True, slots=True)
class _Notes:
    """Notes the name in the ledger, beside what is due. The ledger outlives the machine, and an inode may not."""

    directory: Path
    claim: Claim

    def intend(self, path: str, status: os.stat_result) -> None:
        self.claim.note(f"{status.st_size} {os.path.basename(path)}")  # noqa: PTH119 - a plain name

    def published(self) -> str | None:
        octets, _, name = (self.claim.noted or "").partition(" ")
        path = self.directory / name
        # The name was free when it was noted, and gets a file that is whole: so the file that has it is this one.
        if name and path.is_file() and path.stat().st_size == int(octets):
            return str(path)
        return None


@final
class PeriodFiles:
    """Writes each interval as ``DIRECTORY/START_END.csv``, as go-nflog-acctd did. For intervals of one meter.

    Args:
        directory: where; it is made when it is not there.
        side: whose bytes and packets are told.
        zone: of the names and times; None is the machine's own.
        strict_bytes: count IPv6 without its 40-byte header, as the old program did.
    """

    def __init__(self, directory: Path, *, side: Side, zone: tzinfo | None, strict_bytes: bool) -> None:
        self._directory = directory
        self._side = side
        self._zone = zone
        self._strict_bytes = strict_bytes

    def remove_leftovers(self) -> list[Path]:
        """Removes nothing: what a dead process began to write is due, and written again under the same name."""
        return []

    def write(self, interval: Exported, rows: "pa.RecordBatch", claim: Claim, at_step: Step) -> None:
        """Writes an interval. To repeat it after a crash, at any point of it, is harmless.

        Raises:
            ExportError: the disk is full, broken or refuses.
        """
        how = Written(
            directory=str(self._directory),
            stem="_".join(file_stamp(moment, self._zone) for moment in (interval.start_ns, interval.end_ns)),
            mode=FILE_MODE,
            notes=_Notes(self._directory, claim),
            tell=lambda _line: None,
            at_step=at_step,
        )
        chunks = csv_chunks(
            rows_by_address(rows, self._side),
            start_ns=interval.start_ns,
            strict_bytes=self._strict_bytes,
            zone=self._zone,
        )
        try:
            make_directory(self._directory)
            publish(chunks, how)
        except OSError as error:
            raise export_error(self._directory, "write", error) from error
        except PeriodError as error:
            raise ExportError(str(self._directory), "write", str(error)) from error
