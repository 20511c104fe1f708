"""Rows as a table for people."""

from typing import TYPE_CHECKING, Final, TextIO

from netledger.reports.rows import Rows
from netledger.schema import COUNTER_COLUMNS, Account

if TYPE_CHECKING:
    from rich.table import Table

# A pipe has no width; lines are then as long as they need to be.
_PIPE_COLUMNS: Final = 10_000
_NUMBERS: Final = frozenset({"protocol", "host_port", "peer_port"})


def print_table(rows: Rows, lines: list[str], file: TextIO) -> None:
    """Prints the rows as a table, and ``lines`` beneath."""
    from rich.console import Console  # noqa: PLC0415  # commands that print no table do without

    console = Console(file=file, width=None if file.isatty() else _PIPE_COLUMNS, highlight=False, markup=False)
    console.print(_table(rows))
    if rows.left_out:
        lines = [f"shown: {len(rows):,} of {len(rows) + rows.left_out:,} rows (--top N shows more)", *lines]
    file.write("\n")
    file.writelines(f"{line}\n" for line in lines)


def _table(rows: Rows) -> "Table":
    from rich.table import Table  # noqa: PLC0415  # as above

    columns: dict[str, list[str]] = {name: [] for name in rows.names}
    for part in rows.as_text():
        for name, cells in columns.items():
            cells.extend(_shown(value, name) for value in part.column(name).to_pylist())
    if set(columns["account"]) <= {str(Account.HOST)}:
        del columns["account"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        # Nothing is ever cut off: what does not fit goes on in the next line.
        is_right = name in COUNTER_COLUMNS or name in _NUMBERS
        table.add_column(name.replace("_", " "), justify="right" if is_right else "left", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _shown(value: str | int | None, name: str) -> str:
    if value is None:
        return ""
    return f"{value:,}" if name in COUNTER_COLUMNS else str(value)
