"""Rows as a table for people."""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, TextIO

from netledger.reports.rows import Rows
from netledger.schema import COUNTER_COLUMNS, Account

if TYPE_CHECKING:
    from rich.table import Table

# However narrow the terminal: a line that is too long runs over, but no address is broken in its middle.
_LINE_COLUMNS: Final = 10_000
_NUMBERS: Final = frozenset({"protocol", "host_port", "peer_port", "zone", "mark"})
_INTERVAL: Final = ("interval_start", "interval_end")
_HEADINGS: Final = {
    "protocol": "proto",
    "sent_bytes": "sent bytes",
    "sent_packets": "sent pkts",
    "received_bytes": "recv bytes",
    "received_packets": "recv pkts",
}


def print_table(rows: Rows, lines: list[str], file: TextIO, *, is_top_given: bool = False) -> None:
    """Prints the rows as a table, each interval below its times, and ``lines`` beneath.

    ``is_top_given`` says whether it was the user who asked for so few rows.
    """
    columns: dict[str, list[str]] = {name: [] for name in rows.names}
    for part in rows.as_text():
        for name, cells in columns.items():
            cells.extend(_shown(value, name) for value in part.column(name).to_pylist())
    intervals = list(zip(*(columns.pop(name) for name in _INTERVAL if name in columns), strict=True))
    if set(columns["account"]) <= {str(Account.HOST)}:
        del columns["account"]
    file.writelines(f"{line}\n" for line in _with_intervals(_lines_of(_table(columns), file), intervals))
    if rows.left_out:
        more = "a greater --top shows more" if is_top_given else "--top N shows more"
        lines = [f"shown: {len(rows):,} of {len(rows) + rows.left_out:,} rows ({more})", *lines]
    file.write("\n")
    file.writelines(f"{line}\n" for line in lines)


def _table(columns: dict[str, list[str]]) -> "Table":
    from rich.table import Table  # noqa: PLC0415  # commands that print no table do without

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        is_right = name in COUNTER_COLUMNS or name in _NUMBERS
        heading = _HEADINGS.get(name, name.replace("_", " "))
        table.add_column(heading, justify="right" if is_right else "left", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _lines_of(table: "Table", file: TextIO) -> list[str]:
    """The heading and each row, one line each; in colour where ``file`` is a terminal."""
    from rich.console import Console  # noqa: PLC0415  # as above

    terminal = Console(file=file, highlight=False, markup=False)
    console = Console(
        file=io.StringIO(),
        width=_LINE_COLUMNS,
        highlight=False,
        markup=False,
        force_terminal=terminal.is_terminal,
        no_color=terminal.no_color,
    )
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


def _with_intervals(lines: list[str], intervals: list[tuple[str, ...]]) -> Iterator[str]:
    """The lines, with the times of each interval above its first row."""
    if not intervals:
        yield from lines
        return
    yield lines[0]
    before: tuple[str, ...] = ()
    for line, interval in zip(lines[1:], intervals, strict=True):
        if interval != before:
            yield ""
            yield " to ".join(interval)
        before = interval
        yield line


def _shown(value: str | int | None, name: str) -> str:
    if value is None:
        return ""
    return f"{value:,}" if name in COUNTER_COLUMNS else str(value)
