"""Lines of the log and of the dump, byte for byte as the old program wrote them. Pure."""

import re
from typing import Final

from netledger.compat.nacctd.numbers import dotted, to_address
from netledger.compat.nacctd.records import Counts, Flow

__all__ = ["UNKNOWN", "line_of", "parse_line", "text_of"]

UNKNOWN: Final = "unknown"
"""In place of a user, where there is none."""

_PACKETS_MAX: Final = (1 << 32) - 1
_BYTES_MAX: Final = (1 << 64) - 1
_PORT_MAX: Final = (1 << 16) - 1
_PROTOCOL_MAX: Final = (1 << 8) - 1
_ALL: Final = 10
_NUMBER = re.compile(r"[0-9]{1,20}")
_QUAD = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")


def text_of(counts: Counts, *, seconds: int, disabled: frozenset[int]) -> bytes:
    """The line of a record, written at ``seconds`` since 1970.

    The old fields have 32 bits for packets and 64 for bytes. What does not fit makes another line: the sums are right.
    """
    flow, packets, size = counts
    text = b""
    while packets > _PACKETS_MAX or size > _BYTES_MAX:
        part_packets, part_size = min(packets, _PACKETS_MAX), min(size, _BYTES_MAX)
        text += line_of((flow, part_packets, part_size), seconds=seconds, disabled=disabled)
        packets, size = packets - part_packets, size - part_size
    return text + line_of((flow, packets, size), seconds=seconds, disabled=disabled)


def line_of(counts: Counts, *, seconds: int, disabled: frozenset[int]) -> bytes:
    """One line: the time it is written, then the fields that are not disabled."""
    flow, packets, size = counts
    fields = (
        str(seconds),
        str(flow.protocol or 0),
        dotted(flow.source or 0),
        str(flow.source_port or 0),
        dotted(flow.destination or 0),
        str(flow.destination_port or 0),
        str(packets),
        str(size),
        flow.device,
        UNKNOWN if flow.user is None else flow.user,
    )
    text = "\t".join(field for number, field in enumerate(fields, start=1) if number not in disabled)
    return f"{text}\n".encode("utf-8", "surrogateescape")


def parse_line(line: bytes, disabled: frozenset[int]) -> Counts | None:
    """Reads a line back; None when it is not one with these fields. What the line does not tell is None, or 0."""
    numbers = [number for number in range(1, _ALL + 1) if number not in disabled]
    values = line.decode("utf-8", "surrogateescape").removesuffix("\n").split("\t")
    if len(values) != len(numbers):
        return None
    fields = dict(zip(numbers, values, strict=True))
    try:
        if _number(fields[1], _BYTES_MAX) is None:
            return None
        flow = Flow(
            protocol=_number(fields.get(2), _PROTOCOL_MAX),
            source=_address(fields.get(3)),
            source_port=_number(fields.get(4), _PORT_MAX),
            destination=_address(fields.get(5)),
            destination_port=_number(fields.get(6), _PORT_MAX),
            device=fields.get(9, ""),
            user=None if fields.get(10, UNKNOWN) == UNKNOWN else fields[10],
        )
        return flow, _number(fields.get(7), _PACKETS_MAX) or 0, _number(fields.get(8), _BYTES_MAX) or 0
    except ValueError:
        return None


def _number(text: str | None, greatest: int) -> int | None:
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None or int(text) > greatest:
        raise ValueError(text)
    return int(text)


def _address(text: str | None) -> int | None:
    if text is None:
        return None
    if _QUAD.fullmatch(text) is None:
        raise ValueError(text)
    address = to_address(text)
    if dotted(address) != text:
        raise ValueError(text)
    return address
