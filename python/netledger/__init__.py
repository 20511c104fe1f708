"""Audit-grade IP traffic accounting for Linux.

The command line is the way in: ``netledger --help``. Each room of the package has its place in a stack, drawn in
ARCHITECTURE.md; a room uses the rooms below it and nothing else.
"""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("netledger")
