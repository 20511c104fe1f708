"""The dump file: the records that have no line in the log yet, in the form of its lines."""

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Final, final

from netledger.compat.nacctd.lines import parse_line
from netledger.compat.nacctd.records import Counts
from netledger.durable import new_file, sync_directory

__all__ = ["NO_DUMP", "Dump", "digest_of", "records_in"]

NO_DUMP: Final = ""
"""In place of a digest, where there is no dump."""

_MODE: Final = 0o666


@final
class Dump:
    """One dump file. Blocks for the disk."""

    def __init__(self, path: str) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  the working directory may be another one later

    def read(self) -> bytes | None:
        """What it holds; None when it is not there.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, content: bytes) -> None:
        """Has it hold this, durably; nothing: it is removed, as ever.

        Raises:
            OSError: the disk refuses; it is as it was before.
        """
        if not content:
            self.path.unlink(missing_ok=True)
            sync_directory(self.path.parent)
            return
        with new_file(self.path, self.path.with_name(f".{self.path.name}.tmp")) as temporary:
            temporary.chmod(_MODE & ~_umask())
            temporary.write_bytes(content)

    def set_aside(self) -> Path:
        """Gives it the name that the old program gave to old dumps: one more ``.o``, and so each that has the name.

        Raises:
            OSError: the disk refuses.
        """
        chain = [self.path]
        while chain[-1].exists():
            chain.append(chain[-1].with_name(f"{chain[-1].name}.o"))
        for old, new in reversed(list(pairwise(chain))):
            old.rename(new)
        return chain[1]


def digest_of(content: bytes | None) -> str:
    """What tells a dump from another one; :data:`NO_DUMP` for none."""
    return hashlib.sha256(content).hexdigest() if content else NO_DUMP


def records_in(content: bytes, disabled: frozenset[int]) -> list[Counts] | None:
    """The records of a dump of the old program; None when a line is not one with these fields."""
    counts = [parse_line(line, disabled) for line in content.splitlines(keepends=True)]
    known = [each for each in counts if each is not None]
    return known if len(known) == len(counts) else None


def _umask() -> int:
    # The only way to read it is to set it; nothing else runs here that makes files meanwhile.
    mask = os.umask(0)
    os.umask(mask)
    return mask
