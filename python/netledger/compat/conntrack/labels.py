"""Names of connection labels, from the file in which iptables finds them too."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from netledger.compat.conntrack.refusal import bad_parameter

__all__ = ["LABEL_FILE", "LabelNames"]

LABEL_FILE: Final = Path("/etc/xtables/connlabel.conf")
_BITS_MAX = 1024
_LINE = re.compile(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)[ \f\r\t\v]*([a-zA-Z0-9 -]+?)[ \f\r\t\v]*", re.ASCII)


@final
class LabelNames:
    """Which bit has which name. A line of the file is a bit and a name; lines that are neither count for nothing."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = dict(names)
        self._bits = {name: bit for bit, name in names.items()}

    @classmethod
    def read(cls, path: Path = LABEL_FILE) -> "LabelNames":
        """The names of a file. The first line of a bit or of a name is the one that counts.

        Raises:
            OSError: it cannot be read, or holds no label (then without an errno).
        """
        names: dict[int, str] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            found = _LINE.fullmatch(line)
            if found is None or line.startswith("#"):
                continue
            bit = int(found[1], 8 if found[1].startswith("0") and found[1].isdigit() else 0) if _is_c(found[1]) else -1
            if 0 <= bit < _BITS_MAX and bit not in names and found[2] not in names.values():
                names[bit] = found[2]
        if not names:
            raise OSError(0, "Success")
        return cls(names)

    def bit(self, name: str) -> int:
        """The bit of a label.

        Raises:
            Refusal: nobody has named one like that.
        """
        if name not in self._bits:
            raise bad_parameter(f"unknown label '{name}'")
        return self._bits[name]

    def shown(self, bits: bytes) -> list[str]:
        """The names of the bits that are set, in the order of the bits. Those without a name are left out."""
        number = int.from_bytes(bits, "little")
        return [name for bit, name in sorted(self._names.items()) if number >> bit & 1]


def _is_c(digits: str) -> bool:
    """Whether C takes the whole for a number: an 8 or 9 behind a leading 0 ends it."""
    return not (digits.startswith("0") and digits.isdigit() and ("8" in digits or "9" in digits))
