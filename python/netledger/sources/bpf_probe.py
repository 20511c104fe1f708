"""Whether a meter of the source bpf can be opened here: by the kernel, and by what this process may do."""

from netledger.errors import NotSupportedError


def probe() -> None:
    """Tries it, and leaves nothing behind. Blocks for some tens of ms.

    Raises:
        SourceError: why it cannot be, and in the hint what it would take.
    """
    raise NotSupportedError("source bpf", "", "it is not in this version")
