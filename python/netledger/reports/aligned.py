"""Columns of text beside each other, as wide as they need."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO, final

_GAP: Final = "  "


@final
@dataclass(frozen=True, slots=True)
class Column:
    """What stands above, the cells, and what stands below."""

    title: str
    cells: list[str]
    total: str
    is_right: bool


def lines(columns: Sequence[Column]) -> list[str]:
    """The columns beside each other: titles, cells and totals, a line each."""
    has_total = any(column.total for column in columns)
    texts = [(column.title, *column.cells, *([column.total] if has_total else ())) for column in columns]
    widths = [max(map(len, cells)) for cells in texts]
    aligned = [
        [text.rjust(width) if column.is_right else text.ljust(width) for text in cells]
        for column, width, cells in zip(columns, widths, texts, strict=True)
    ]
    return [_GAP.join(line).rstrip() for line in zip(*aligned, strict=True)]


def print_aligned(columns: Sequence[Column], file: TextIO) -> None:
    """Prints the columns beside each other; folded where the terminal is too narrow for them."""
    made = lines(columns)
    width = shutil.get_terminal_size().columns
    if file.isatty() and max(map(len, made)) > width:
        _print_folded(columns, width, file)
        return
    file.writelines(f"{line}\n" for line in made)


def _print_folded(columns: Sequence[Column], width: int, file: TextIO) -> None:
    # A tenth of a second to load, and most tables fit.
    from rich.console import Console  # noqa: PLC0415  # as above
    from rich.table import Table  # noqa: PLC0415  # as above

    table = Table(box=None, pad_edge=False, padding=(0, len(_GAP), 0, 0), show_footer=True)
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.is_right else "left"
        # Nothing is ever cut off: what does not fit goes on in the next line.
        table.add_column(column.title, column.total, justify=justify, overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    # Without a height it would look at the terminal again, and take a dumb one for 80 columns wide.
    Console(file=file, width=width, height=1, highlight=False, markup=False).print(table)
