"""Whether a meter of the source bpf can be opened here: by the kernel, by what this process may do, and as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from netledger._core import BpfMeter, bpf_check
from netledger.errors import NotSupportedError, SourceError
from netledger.sources.base import Key
from netledger.sources.bpf_place import BASE, check

_MEMINFO: Final = Path("/proc/meminfo")
_SHARE: Final = 4
"""One part of so many of the machine's memory is what a meter may take that did not ask for it."""

_GENERATIONS: Final = 2
_ROW_BYTES: Final = 80
"""Of the kernel's own and of the four sums, beside the key; see `struct htab_elem`."""
_BUCKET_BYTES: Final = 16


def probe(
    *,
    key: Key,
    rows_max: int,
    hooks: Sequence[str],
    interfaces: Sequence[str],
    interfaces_excluded: Sequence[str],
    networks: Sequence[str],
    networks_excluded: Sequence[str],
) -> None:
    """Loads the program for the hooks of netfilter and throws it away. Blocks for some 100 ms.

    Raises:
        SourceError: why it cannot be, or should not be unasked, and in the hint what it would take.
    """
    check_memory(key.columns, rows_max)
    bpf_check("netfilter")
    check()
    try:
        # Making one touches nothing.
        BpfMeter(
            directory=str(BASE / "probe"),
            key=key.native(),
            rows_max=rows_max,
            attach="netfilter",
            hooks=hooks,
            interfaces=interfaces,
            interfaces_excluded=interfaces_excluded,
            networks=networks,
            networks_excluded=networks_excluded,
        )
    except ValueError as error:
        raise NotSupportedError("bpf program", "make", str(error)) from error


def kernel_bytes(columns: Sequence[str], rows_max: int) -> int:
    """What the rows of a meter take in the kernel, from the start, used or not: a power of two of buckets among it."""
    key_bytes = 16 if set(columns) <= {"host"} else 48 if "peer" in columns else 32
    buckets = 1 << max(rows_max - 1, 0).bit_length()
    return _GENERATIONS * (rows_max * (key_bytes + _ROW_BYTES) + buckets * _BUCKET_BYTES)


def check_memory(columns: Sequence[str], rows_max: int, meminfo: Path = _MEMINFO) -> None:
    """Whether that is little beside the memory of the machine; of all of it, so that each start finds the same.

    Raises:
        SourceError: it is not.
    """
    bytes_ = kernel_bytes(columns, rows_max)
    total = next(
        int(line.split()[1]) * 1024 for line in meminfo.read_text().splitlines() if line.startswith("MemTotal:")
    )
    if bytes_ * _SHARE <= total:
        return
    fits = rows_max
    while fits > 1 and kernel_bytes(columns, fits) * _SHARE > total:
        fits = fits * 9 // 10
    cause = (
        f"rows_max = {rows_max} would take {bytes_ >> 20:,} MiB in the kernel, of {total >> 20:,} MiB that there are"
    )
    hint = f'rows_max = {fits} or less; or source = "bpf", which takes it all the same'
    raise SourceError("memory", "", cause, hint)
