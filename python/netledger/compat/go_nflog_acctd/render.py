"""Rows and messages in the bytes of the old program."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netledger.compat.go_nflog_acctd.gotext import row_stamp

__all__ = ["HEADER", "Row", "address_text", "csv_chunks", "is_ipv4", "old_bytes"]

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


def csv_chunks(rows: Sequence[Row], *, start_ns: int, strict_bytes: bool) -> Iterator[bytes]:
    """A whole file, piece by piece: the header, then IPv4 before IPv6, each by address, the rest last."""
    yield HEADER
    stamp = row_stamp(start_ns)
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
