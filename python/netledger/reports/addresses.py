"""Addresses of Arrow columns as text."""

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pyarrow as pa

_ADDRESS_BYTES: Final = 16
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_V4_BITS: Final = 32
_V6_BITS: Final = 128


def addresses(array: "pa.Array", *, ipv4_prefix_length: int, ipv6_prefix_length: int) -> Iterator[str | None]:
    """Each 16-byte address of ``array`` as text; one that is cut to a prefix with its length: ``fd09::/64``.

    None where there is none. About half a microsecond each.
    """
    # From the raw buffer: making a Python object of each value by Arrow's own means takes five times as long.
    raw = memoryview(array.buffers()[1] or b"").cast("B")[array.offset * _ADDRESS_BYTES :]
    valid = array.is_valid().to_pylist() if array.null_count else None
    v4_suffix = "" if ipv4_prefix_length == _V4_BITS else f"/{ipv4_prefix_length}"
    v6_suffix = "" if ipv6_prefix_length == _V6_BITS else f"/{ipv6_prefix_length}"
    ntop, v4, v6 = socket.inet_ntop, socket.AF_INET, socket.AF_INET6
    for index in range(len(array)):
        if valid is not None and not valid[index]:
            yield None
            continue
        address = raw[index * _ADDRESS_BYTES : (index + 1) * _ADDRESS_BYTES]
        if address[:12] == _V4_MAPPED:
            yield ntop(v4, address[12:]) + v4_suffix
        else:
            yield ntop(v6, address) + v6_suffix
