"""Files as go-nflog-acctd writes them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from netledger.exports.go_nflog_acctd import HEADER
from netledger.reports.periods import Period
from netledger.reports.zones import Zone

Line = tuple[str, int, int, int, int]
"""Address, bytes and packets that it sent, bytes and packets that it received."""

ONE: Line = ("10.9.0.2", 1596, 7, 1280, 10)
SIX: Line = ("fd09::", 924, 3, 540, 5)


def content(start: str, lines: Iterable[Line] = (ONE,)) -> bytes:
    """A file: header and rows."""
    rows = "".join(f"{start},{','.join(map(str, line))}\n" for line in lines)
    return HEADER + rows.encode()


def write(folder: Path, start: str, end: str, lines: Iterable[Line] = (ONE,), *, ordinal: int = 0) -> Path:
    """A file of a period; its times as in ``2026-11-20 14:34:04``."""
    folder.mkdir(exist_ok=True)
    sides = [datetime.fromisoformat(side).strftime("%Y-%m-%d-%H%M%S") for side in (start, end)]
    path = folder / ("_".join(sides) + (f".{ordinal}" if ordinal else "") + ".csv")
    path.write_bytes(content(start, lines))
    return path


def write_spans(folder: Path, zone: Zone, spans: Sequence[Period], *, keeps_all: bool = True) -> None:
    """A file for each span, as a machine in that zone writes them; each has a number of bytes of its own.

    Where a name is taken already netledger's own command numbers the file, and the old program writes none.
    """
    for number, span in enumerate(spans, start=1):
        start, end = (zone.shown(side).replace(tzinfo=None, microsecond=0) for side in (span.start_ns, span.end_ns))
        ordinal = 0
        name = "_".join(side.strftime("%Y-%m-%d-%H%M%S") for side in (start, end))
        while (folder / (name + (f".{ordinal}" if ordinal else "") + ".csv")).exists():
            ordinal += 1
        if keeps_all or not ordinal:
            write(
                folder,
                start.isoformat(sep=" "),
                end.isoformat(sep=" "),
                [("10.0.0.1", number, 1, 0, 0)],
                ordinal=ordinal,
            )
