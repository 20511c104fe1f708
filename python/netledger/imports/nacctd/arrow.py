"""Rows of a part as Arrow columns, as the native core names them."""

from typing import TYPE_CHECKING, Final

from netledger.imports.nacctd.check import Addresses
from netledger.imports.nacctd.parts import Part
from netledger.reports.harmless import harmless
from netledger.schema import BATCH_COLUMNS, COUNTER_COLUMNS, Account

if TYPE_CHECKING:
    import pyarrow as pa

_ADDRESS_BYTES: Final = 16


def batch(part: Part, addresses: Addresses) -> "pa.RecordBatch":
    """The rows of a part."""
    import pyarrow as pa

    hosts, peers, protocols, host_ports, peer_ports, devices, users, are_sent = zip(*part.rows, strict=True)
    packets, octets = zip(*part.rows.values(), strict=True)
    zeros = (0,) * len(part.rows)

    def only(values: tuple[int, ...], *, if_sent: bool) -> list[int]:
        return [value if is_sent is if_sent else 0 for value, is_sent in zip(values, are_sent, strict=True)]

    is_mixed = not all(are_sent)
    texts = {text: _text(text) for text in set(devices)}
    address, port = pa.binary(_ADDRESS_BYTES), pa.uint16()
    columns: dict[str, pa.Array] = {
        "account": _names([str(Account.OTHER if host is None else Account.HOST) for host in hosts], pa.uint8()),
        "host": pa.array([_packed(text, addresses) for text in hosts], address),
        "peer": pa.array([_packed(text, addresses) for text in peers], address),
        "protocol": pa.array([_number(text) for text in protocols], pa.uint8()),
        "host_port": pa.array([_number(text) for text in host_ports], port),
        "peer_port": pa.array([_number(text) for text in peer_ports], port),
        "interface": _names([texts[text] for text in devices], pa.uint32()),
        "label": _names(list(users), pa.uint32()),
        "sent_bytes": pa.array(only(octets, if_sent=True) if is_mixed else octets, pa.uint64()),
        "sent_packets": pa.array(only(packets, if_sent=True) if is_mixed else packets, pa.uint64()),
        "received_bytes": pa.array(only(octets, if_sent=False) if is_mixed else zeros, pa.uint64()),
        "received_packets": pa.array(only(packets, if_sent=False) if is_mixed else zeros, pa.uint64()),
        "zone": pa.nulls(len(part.rows), pa.uint16()),
        "mark": pa.nulls(len(part.rows), pa.uint32()),
    }
    assert set(COUNTER_COLUMNS) <= set(columns)  # noqa: S101  # what the schema has
    names = [column.name for column in BATCH_COLUMNS]
    return pa.record_batch([columns[name] for name in names], names=names)


def _names(values: list[str | None] | list[str], index: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    return pa.array(values, pa.dictionary(index, pa.string()))


def _packed(text: bytes | None, addresses: Addresses) -> bytes | None:
    return None if text is None else addresses.packed(text)


def _number(text: bytes | None) -> int | None:
    return None if text is None else int(text)


def _text(text: bytes | None) -> str | None:
    return None if text is None else harmless(text.decode("utf-8", "backslashreplace"))
