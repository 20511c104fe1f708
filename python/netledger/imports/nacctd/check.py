"""Numbers and addresses of a piece: whether they are any."""

from typing import Final, final

from netledger.imports.base import packed
from netledger.imports.nacctd.fields import MAXIMA, Fields, shown
from netledger.imports.nacctd.log import LogFile, Piece

_KEPT_MAX: Final = 500_000


@final
class Addresses:
    """Addresses as text and as 16 bytes. Keeps those that it has met, up to a limit."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes | None] = {}

    def packed(self, text: bytes) -> bytes | None:
        """16 bytes; None if it is no address."""
        if text in self._known:
            return self._known[text]
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        made = self._known[text] = packed(text)
        return made


def check(piece: Piece, fields: Fields, log: LogFile, addresses: Addresses) -> None:
    """Looks at what the form of a line leaves open.

    Raises:
        OldFileError: with the line.
    """
    for place, (name, column) in enumerate(zip(fields.names, zip(*piece.values, strict=True), strict=True)):
        if name in {"src", "dst"}:
            wrong = {value for value in set(column) if addresses.packed(value) is None}
        elif name in MAXIMA and max(map(int, set(column))) > MAXIMA[name]:
            wrong = {value for value in column if int(value) > MAXIMA[name]}
        else:
            continue
        for number, value in enumerate(piece.values if wrong else (), start=piece.first_line):
            if value[place] in wrong:
                kind = "address" if name in {"src", "dst"} else f"{name}: at most {MAXIMA[name]}"
                log.refuse_line(number, f"{shown(value[place])} is no {kind}")
