"""Which kind of file system a directory is on."""

import re
from pathlib import Path
from typing import Final

_MOUNTS: Final = Path("/proc/self/mountinfo")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")


def file_system(directory: Path, mountinfo: str | None = None) -> str:
    """The kind of file system that a directory is on, such as ``tmpfs``; ``?`` when the kernel does not say."""
    text = _MOUNTS.read_text() if mountinfo is None else mountinfo
    where = directory.resolve()
    found, found_length = "?", -1
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        point = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), before.split(" ")[4]))
        # Of two mounts on the same point the later one is on top.
        if where.is_relative_to(point) and len(point.parts) >= found_length:
            found, found_length = after.split(" ")[0], len(point.parts)
    return found
