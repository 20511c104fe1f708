"""Audit-grade IP traffic accounting for Linux.

The command line is the way in: ``netledger --help``. Each room of the package has its place in a stack, drawn in
ARCHITECTURE.md; a room uses the rooms below it and nothing else.
"""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    """``__version__``: looked for when somebody asks, for to read it takes longer than most commands."""
    if name != "__version__":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib.metadata import version  # noqa: PLC0415  # as said above

    return version("netledger")
