"""Rows of an old file as the ledger takes them, and what they add up to."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from netledger.imports.base import V4_MAPPED, Kind, OldPeriod, OldRow
from netledger.receipt import WITHOUT_IPV6_HEADER, Count, Observed
from netledger.schema import BATCH_COLUMNS, COUNTER_COLUMNS, Account

if TYPE_CHECKING:
    import pyarrow as pa

_ADDRESS_BYTES: Final = 16


class Ipv6Bytes(StrEnum):
    """What is done with bytes of IPv6, which some old programs count without the IP header."""

    WITHOUT_HEADER = "without-header"
    """Kept as they are; the receipt says so."""
    ADD_HEADER = "add-header"
    """The header of each packet is added; the receipt says so."""
    WITH_HEADER = "with-header"
    """They are whole already, as in files that netledger wrote itself."""


def adjusted(period: OldPeriod, kind: Kind, ipv6: Ipv6Bytes) -> Sequence[OldRow]:
    """The rows with the bytes that are to be booked."""
    if ipv6 is not Ipv6Bytes.ADD_HEADER or not kind.ipv6_header_bytes:
        return period.rows
    size = kind.ipv6_header_bytes
    return [
        row._replace(
            sent_bytes=row.sent_bytes + size * row.sent_packets,
            received_bytes=row.received_bytes + size * row.received_packets,
        )
        if _is_ipv6(row)
        else row
        for row in period.rows
    ]


def observed(rows: Sequence[OldRow], kind: Kind, ipv6: Ipv6Bytes) -> Observed:
    """What the receipt says of the rows. Nothing can be proven of them: there is no count to compare with.

    Raises:
        OverflowError: a sum does not fit 64 bits.
    """
    return Observed(
        kernel=None,
        accounted=_sum(rows),
        other=_sum(row for row in rows if row.address is None),
        rows=len(rows),
        source=kind.name,
        meaning="; ".join((kind.meaning, *_of_ipv6(rows, kind, ipv6))),
    )


def batch(rows: Sequence[OldRow]) -> "pa.RecordBatch":
    """The rows as Arrow columns, as the native core names them."""
    import pyarrow as pa

    names = pa.dictionary(pa.uint8(), pa.string())
    kinds = {"host": pa.binary(_ADDRESS_BYTES), "account": names} | dict.fromkeys(COUNTER_COLUMNS, pa.uint64())
    empty = {"peer": pa.binary(_ADDRESS_BYTES), "protocol": pa.uint8(), "interface": names, "label": names}
    empty |= {"host_port": pa.uint16(), "peer_port": pa.uint16(), "zone": pa.uint16(), "mark": pa.uint32()}
    values: dict[str, list[str | int | bytes | None]] = {
        "account": [str(Account.OTHER if row.address is None else Account.HOST) for row in rows],
        "host": [row.address for row in rows],
        **{name: [getattr(row, name) for row in rows] for name in COUNTER_COLUMNS},
    }
    return pa.record_batch(
        [
            pa.array(values[column.name], kinds[column.name])
            if column.name in values
            else pa.nulls(len(rows), empty[column.name])
            for column in BATCH_COLUMNS
        ],
        names=[column.name for column in BATCH_COLUMNS],
    )


def _of_ipv6(rows: Iterable[OldRow], kind: Kind, ipv6: Ipv6Bytes) -> Iterable[str]:
    size = kind.ipv6_header_bytes
    if not size or ipv6 is Ipv6Bytes.WITH_HEADER or not any(_is_ipv6(row) for row in rows):
        return
    if ipv6 is Ipv6Bytes.ADD_HEADER:
        yield f"bytes of IPv6 with {size} a packet added for the IP header"
    else:
        yield f"{WITHOUT_IPV6_HEADER} ({size} a packet)"


def _sum(rows: Iterable[OldRow]) -> Count:
    """Each packet once: it was sent or received by the address that it is booked to."""
    packets = octets = 0
    for row in rows:
        packets += row.sent_packets + row.received_packets
        octets += row.sent_bytes + row.received_bytes
    return Count(packets, octets)


def _is_ipv6(row: OldRow) -> bool:
    return row.address is not None and not row.address.startswith(V4_MAPPED)
