"""Whether a meter of the source bpf can be opened here: by the kernel, by what this process may do, and as it is."""

from collections.abc import Sequence

from netledger._core import BpfMeter, bpf_check
from netledger.errors import NotSupportedError
from netledger.sources.base import Key
from netledger.sources.bpf_place import BASE, check


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
        SourceError: why it cannot be, and in the hint what it would take.
    """
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
