"""Files that are named after their interval by UTC and number: a directory for each meter, CSV or JSON lines in it.

``DIRECTORY/METER/START_END-SEQ.csv`` with ``….receipt.json`` beside it, or ``….jsonl``, which ends with the receipt.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.durable import Step
from netledger.errors import ExportError
from netledger.exports.csv import Labelled, write_rows
from netledger.exports.files import export_error, remove_leftovers, write_atomically
from netledger.exports.format import Claim, Exported
from netledger.exports.jsonl import receipt_line, write_lines
from netledger.receipt import parse_rfc3339

if TYPE_CHECKING:
    import pyarrow as pa

_SECOND_NS: Final = 1_000_000_000
_NAME: Final = re.compile(r"\d{8}T\d{6}Z_\d{8}T\d{6}Z-(?P<seq>\d{8,})\.receipt\.json")
_TAKEN_HINT: Final = "another node writes there: give each a directory of its own"


@dataclass(frozen=True, slots=True)
class Newest:
    """The exported interval with the highest number.

    Attributes:
        seq: its number.
        end_ns: where it ends, UTC nanoseconds.
    """

    seq: int
    end_ns: int


@final
class CsvFiles:
    """Rows as CSV, and the receipt beside them, which is written last: where it is, the interval is complete."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, meter: str) -> Path:
        """Where the files of a meter are."""
        return self._directory / meter

    def remove_leftovers(self) -> list[Path]:
        """Removes what a dead process had begun to write, and says what it was.

        Raises:
            ExportError: a directory cannot be read or changed.
        """
        return _remove_leftovers(self._directory)

    def write(self, interval: Exported, rows: "pa.RecordBatch", _claim: Claim, at_step: Step) -> None:
        """Writes both files; what is complete already stays as it is.

        Raises:
            ExportError: the disk is full, broken or refuses, or another interval has the name.
        """
        path = self.of(interval.meter) / file_name(interval)
        receipt = path.with_name(f"{path.name}.receipt.json")
        text = f"{interval.receipt}\n"
        if _is_there(receipt, text):
            return
        write_atomically(
            path.with_name(f"{path.name}.csv"),
            lambda file: write_rows(file, rows, interval),
            at_step=lambda name: at_step(f"rows {name}"),
        )
        write_atomically(
            receipt, lambda file: file.write(text.encode()), at_step=lambda name: at_step(f"receipt {name}")
        )

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


@final
class JsonLines:
    """Rows as JSON lines, and the receipt as the last one. One file: where it is, the interval is complete."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of(self, meter: str) -> Path:
        """Where the files of a meter are."""
        return self._directory / meter

    def remove_leftovers(self) -> list[Path]:
        """Removes what a dead process had begun to write, and says what it was.

        Raises:
            ExportError: a directory cannot be read or changed.
        """
        return _remove_leftovers(self._directory)

    def write(self, interval: Exported, rows: "pa.RecordBatch", _claim: Claim, at_step: Step) -> None:
        """Writes the file; one that is there already stays as it is.

        Raises:
            ExportError: the disk is full, broken or refuses, or another interval has the name.
        """
        path = self.of(interval.meter) / f"{file_name(interval)}.jsonl"
        if not _is_there(path, receipt_line(interval)):
            write_atomically(path, lambda file: write_lines(file, rows, interval), at_step=at_step)


def file_name(interval: Labelled) -> str:
    """The name of an interval's files, without what follows the dot: ``20261120T100000Z_20261120T100500Z-00000012``."""
    return f"{_stamp(interval.start_ns)}_{_stamp(interval.end_ns)}-{interval.seq:08d}"


def _stamp(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // _SECOND_NS, UTC).strftime("%Y%m%dT%H%M%SZ")


def _remove_leftovers(directory: Path) -> list[Path]:
    try:
        meters = sorted(path for path in directory.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise export_error(directory, "read", error) from error
    return [path for meter in meters for path in remove_leftovers(meter)]


def _is_there(path: Path, end: str) -> bool:
    """Whether a process before this one has written the file of this very interval.

    Raises:
        ExportError: the name belongs to another interval, or it cannot be seen.
    """
    expected = end.encode()
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - len(expected)))
            found = file.read()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise export_error(path, "read", error) from error
    if found != expected:
        raise ExportError(str(path), "write", "another interval has this name", _TAKEN_HINT)
    return True


def _read_receipt(path: Path) -> tuple[str, int]:
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        return str(receipt["node"]), parse_rfc3339(receipt["interval_end"])
    except OSError as error:
        raise export_error(path, "read", error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(str(path), "read", "not a receipt", "it was changed; move it away") from error
