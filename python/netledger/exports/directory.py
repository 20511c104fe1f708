"""Where the files of an interval lie, and what they are called.

``STORE/exports/METER/START_END-SEQ.csv`` and ``….receipt.json`` beside it. The receipt is written last: where it is,
the interval is complete.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import final

from netledger.errors import ExportError
from netledger.exports.csv import ArrowRows, Labelled, write_rows
from netledger.exports.files import export_error, remove_leftovers, write_atomically
from netledger.exports.receipts import write_receipt
from netledger.receipt import Receipt, parse_rfc3339

_SECOND_NS = 1_000_000_000
_NAME = re.compile(r"\d{8}T\d{6}Z_\d{8}T\d{6}Z-(?P<seq>\d{8,})\.receipt\.json")


@dataclass(frozen=True, slots=True)
class Newest:
    """The committed interval with the highest number.

    Attributes:
        seq: its number.
        end_ns: where it ends, UTC nanoseconds.
    """

    seq: int
    end_ns: int


@final
class ExportDirectory:
    """Writes intervals below ``store``. Safe to use from one thread at a time."""

    def __init__(self, store: Path) -> None:
        self._root = store / "exports"

    def of(self, meter: str) -> Path:
        """Where the files of a meter are."""
        return self._root / meter

    def remove_leftovers(self, meter: str) -> list[Path]:
        """Removes what a dead process had begun to write, and says what it was.

        Raises:
            ExportError: the directory cannot be read or changed.
        """
        return remove_leftovers(self.of(meter))

    def has(self, *, meter: str, seq: int, start_ns: int) -> bool:
        """Whether the interval is there already, so that writing it again would count it twice.

        The end is not compared: a process that was killed after writing, before it forgot the interval, may end it
        somewhat later when it comes back. Reads the whole directory.
        """
        return bool(self._of_interval(meter, seq, start_ns, "receipt.json"))

    def remove_rows(self, *, meter: str, seq: int, start_ns: int) -> None:
        """Removes rows of an interval that has no receipt: of a process that was killed between the two.

        They hold the same packets, perhaps under another end. Reads the whole directory.

        Raises:
            ExportError: they cannot be removed.
        """
        for path in self._of_interval(meter, seq, start_ns, "csv"):
            try:
                path.unlink()
            except OSError as error:
                raise export_error(path, "remove", error) from error

    def newest(self, meter: str, *, node: str) -> Newest | None:
        """The newest interval of a meter on a node; None without one. Reads the whole directory.

        Raises:
            ExportError: a receipt cannot be read, or is none.
        """
        for seq, path in self._receipts(meter):
            written_by, end_ns = _read_receipt(path)
            if written_by == node:
                return Newest(seq, end_ns)
        return None

    def newest_seq(self, meter: str) -> int:
        """The highest number of a meter by the names of its files, on any node; 0 without one."""
        return next((seq for seq, _ in self._receipts(meter)), 0)

    def _receipts(self, meter: str) -> list[tuple[int, Path]]:
        """The newest first."""
        found = ((_NAME.fullmatch(path.name), path) for path in self.of(meter).glob("*.receipt.json"))
        return sorted(((int(match["seq"]), path) for match, path in found if match), reverse=True)

    def write(self, receipt: Receipt, rows: ArrowRows) -> None:
        """Writes both files. To repeat it after a crash, at any point of it, is harmless.

        Raises:
            ExportError: the disk is full, broken or refuses; the interval is not complete.
        """
        lost = receipt.observed.unattributed
        path = self.of(receipt.meter) / file_name(receipt)
        write_atomically(
            path.with_name(f"{path.name}.csv"), lambda file: write_rows(file, rows, receipt, unattributed=lost)
        )
        write_atomically(path.with_name(f"{path.name}.receipt.json"), lambda file: write_receipt(file, receipt))

    def write_committed(self, interval: Labelled, rows: ArrowRows, receipt: str) -> None:
        """Writes both files of an interval that is read back: all its rows, and its receipt as one line of JSON.

        Raises:
            ExportError: as :meth:`write`.
        """
        path = self.of(interval.meter) / file_name(interval)
        write_atomically(path.with_name(f"{path.name}.csv"), lambda file: write_rows(file, rows, interval))
        write_atomically(path.with_name(f"{path.name}.receipt.json"), lambda file: file.write(f"{receipt}\n".encode()))

    def _of_interval(self, meter: str, seq: int, start_ns: int, ending: str) -> list[Path]:
        return list(self.of(meter).glob(f"{_stamp(start_ns)}_*-{seq:08d}.{ending}"))


def _read_receipt(path: Path) -> tuple[str, int]:
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        return str(receipt["node"]), parse_rfc3339(receipt["interval_end"])
    except OSError as error:
        raise export_error(path, "read", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(str(path), "read", "not a receipt", "it was changed; move it away") from error


def file_name(interval: Labelled) -> str:
    """The name of an interval's files, without what follows the dot: ``20261120T100000Z_20261120T100500Z-00000012``."""
    return f"{_stamp(interval.start_ns)}_{_stamp(interval.end_ns)}-{interval.seq:08d}"


def _stamp(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // _SECOND_NS, UTC).strftime("%Y%m%dT%H%M%SZ")
