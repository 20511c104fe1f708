"""Totals as CSV, JSON, Parquet and as a table for people."""

import csv
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO, final

from netledger.errors import ExportError
from netledger.exports.files import write_atomically
from netledger.receipt import rfc3339
from netledger.reports.aligned import Column, print_aligned, width_of, wrapped
from netledger.reports.counters import COUNTED
from netledger.reports.protocols import name_of
from netledger.reports.question import SEEN
from netledger.reports.remarks import balance_line, counted, doubts, notes
from netledger.reports.totals import Answer, Value
from netledger.reports.units import Unit, shown_bytes
from netledger.reports.zones import Zone
from netledger.schema import COUNTER_COLUMNS, Account

_TIMES: Final = ("interval_start", "interval_end", *SEEN)
_ADDRESSES: Final = ("host", "peer")
_COUNTED: Final = frozenset({*COUNTER_COLUMNS, *COUNTED})
_NUMBERS: Final = frozenset({"protocol", "host_port", "peer_port", "zone", "mark", *_COUNTED})
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"
_WORDS_MAX: Final = 4
_V4_BITS: Final = 32
_V6_BITS: Final = 128


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Prefixes:
    """How much of an address the meters keep, in bits."""

    ipv4: int = _V4_BITS
    ipv6: int = _V6_BITS

    def text(self, address: bytes) -> str:
        """An address as people write it; one that is cut, with its length: ``fd09::/64``."""
        if address[:12] == _V4_MAPPED:
            return socket.inet_ntop(socket.AF_INET, address[12:]) + self._suffix(address, self.ipv4, _V4_BITS)
        return socket.inet_ntop(socket.AF_INET6, address) + self._suffix(address, self.ipv6, _V6_BITS)

    @staticmethod
    def _suffix(address: bytes, length: int, bits: int) -> str:
        # An address with something behind the prefix was counted while the meter kept more of it.
        behind = int.from_bytes(address) & ((1 << (bits - length)) - 1)
        return "" if length == bits or behind else f"/{length}"


def about(answer: Answer, zone: Zone) -> dict[str, object]:
    """All but the rows, as JSON values."""
    period = answer.question.period
    return {
        "period": {"start": rfc3339(period.start_ns), "end": rfc3339(period.end_ns)},
        "balance": answer.balance.to_json(),
        "total": dict(answer.totals.total),
        "rows_left_out": answer.totals.left_out,
        "doubts": doubts(answer, zone),
        "notes": notes(answer, zone),
    }


def write_csv(answer: Answer, prefixes: Prefixes, file: TextIO) -> None:
    """Writes a header line and a line for each row; integers plain, times in UTC, what is not there empty."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answer.totals.names)
    writer.writerows(_rows(answer, prefixes))


def write_json(answer: Answer, prefixes: Prefixes, zone: Zone, file: TextIO) -> None:
    """Writes one object: period, balance and the like, and ``rows``, one to a line."""
    head = json.dumps(about(answer, zone), ensure_ascii=False)
    file.write(f'{head[:-1]}, "rows": [')
    separator = "\n"
    for row in _rows(answer, prefixes):
        one = json.dumps(dict(zip(answer.totals.names, row, strict=True)), ensure_ascii=False)
        file.write(f"{separator}{one}")
        separator = ",\n"
    file.write("\n]}\n")


def write_parquet(answer: Answer, prefixes: Prefixes, zone: Zone, path: Path) -> None:
    """Writes a Parquet file, whole or not at all; all but the rows is in its metadata under ``netledger``, as JSON.

    Raises:
        ExportError: the disk is full, broken or refuses.
    """
    import pyarrow as pa
    from pyarrow import parquet

    if not path.parent.is_dir():
        # A slip in its name must not make directories all over the disk.
        raise ExportError(str(path), "write", "no such directory", f"mkdir -p {path.parent}")
    numbers = {"protocol": pa.uint8(), "host_port": pa.uint16(), "peer_port": pa.uint16()}
    numbers |= {"zone": pa.uint16(), "mark": pa.uint32()}
    arrays = []
    for name in answer.totals.names:
        cells = answer.totals.columns[name]
        if name in _TIMES:
            arrays.append(pa.array(cells, pa.timestamp("ns", "UTC")))
        elif name in _COUNTED:
            arrays.append(pa.array(cells, pa.uint64()))
        elif name in numbers:
            arrays.append(pa.array(cells, numbers[name]))
        else:
            arrays.append(pa.array(_plain(name, cells, prefixes), pa.string()))
    table = pa.table(arrays, names=list(answer.totals.names))
    table = table.replace_schema_metadata({"netledger": json.dumps(about(answer, zone), ensure_ascii=False)})
    write_atomically(path, lambda file: parquet.write_table(table, file, compression="zstd"))


def print_table(answer: Answer, prefixes: Prefixes, zone: Zone, unit: Unit, file: TextIO) -> None:
    """Prints the rows and their total as a table, the balance beneath, and what else must be said."""
    print_aligned(_columns(answer, prefixes, zone, unit), file)
    period = answer.question.period
    lines = [
        f"period: {zone.text(period.start_ns)} to {zone.text(period.end_ns)}, {zone.name}",
        balance_line(answer.balance),
        *(f"not proven or complete: {sentence}" for sentence in doubts(answer, zone)),
        *notes(answer, zone),
    ]
    if answer.totals.left_out:
        shown, all_rows = len(answer.totals), len(answer.totals) + answer.totals.left_out
        lines.insert(0, f"shown: {shown:,} of {counted(all_rows, 'row')} (--top N shows more); the total is of all")
    file.write("\n")
    file.writelines(f"{line}\n" for line in wrapped(lines, width_of(file)))


def _columns(answer: Answer, prefixes: Prefixes, zone: Zone, unit: Unit) -> list[Column]:
    totals = answer.totals
    names = [name for name in totals.names if not _is_idle(name, totals.columns[name])]
    columns = []
    for place, name in enumerate(names):
        label = "total" if place == 0 and totals.total else ""
        total = _number(name, totals.total[name], unit) if name in totals.total else label
        cells = _for_people(name, totals.columns[name], prefixes, zone, unit)
        columns.append(Column(_title(name, unit), cells, total, name in _NUMBERS))
    return columns


def _is_idle(name: str, cells: Sequence[Value]) -> bool:
    """Whether a column says nothing: everything is a host's and known, or an end that the next line's start tells."""
    if name == "account":
        return set(cells) <= {str(Account.HOST)}
    return name == "interval_end" or (name == "reason" and set(cells) <= {None})


def _title(name: str, unit: Unit) -> str:
    is_scaled = name.endswith("bytes") and unit not in (Unit.AUTO, Unit.B)
    return name.replace("bytes", str(unit)).replace("_", " ") if is_scaled else name.replace("_", " ")


def _for_people(name: str, cells: Sequence[Value], prefixes: Prefixes, zone: Zone, unit: Unit) -> list[str]:
    shown: Callable[[int], str]
    if name in _TIMES:
        shown = zone.text
    elif name in _COUNTED:
        shown = lambda number: _number(name, number, unit)  # noqa: E731  # beside its fellows it reads better
    elif name == "protocol":
        shown = name_of
    elif name == "targets":
        return [_first_words(str(cell)) for cell in cells]
    else:
        return ["" if cell is None else str(cell) for cell in _plain(name, cells, prefixes)]
    return [shown(cell) if isinstance(cell, int) else "" for cell in cells]


def _first_words(text: str) -> str:
    """Some can have hundreds of addresses."""
    words = text.split(" ")
    return (
        text
        if len(words) <= _WORDS_MAX
        else f"{' '.join(words[: _WORDS_MAX - 1])} and {len(words) - _WORDS_MAX + 1} more"
    )


def _number(name: str, number: int, unit: Unit) -> str:
    return shown_bytes(number, unit) if name.endswith("bytes") else f"{number:,}"


def _rows(answer: Answer, prefixes: Prefixes) -> Iterator[tuple[str | int | None, ...]]:
    """The rows for programs."""
    totals = answer.totals
    return zip(*(_plain(name, totals.columns[name], prefixes) for name in totals.names), strict=True)


def _plain(name: str, cells: Sequence[Value], prefixes: Prefixes) -> list[str | int | None]:
    """Cells for programs: times in UTC and addresses as text, numbers as they are."""
    if name in _TIMES:
        return [rfc3339(cell) if isinstance(cell, int) else None for cell in cells]
    return [prefixes.text(cell) if isinstance(cell, bytes) else cell for cell in cells]
