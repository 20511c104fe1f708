"""Columns of text beside each other, as wide as they need, and sentences beneath them."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TextIO, final

_GAP: Final = "  "
_WORD: Final = re.compile(r" *\S+ +")
_INDENT_MAX: Final = 14


@final
@dataclass(frozen=True, slots=True)
class Column:
    """What stands above, the cells, and what stands below.

    ``rank`` says how soon it may be left out where there is too little room: those of 1 first, those of 0 never.
    """

    title: str
    cells: list[str]
    total: str
    is_right: bool
    rank: int = 0


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


def fits(columns: Sequence[Column], width: int) -> bool:
    """Whether the columns have room beside each other."""
    return max(map(len, lines(columns)), default=0) <= width


def fitted(columns: Sequence[Column], width: int, *, rank: int) -> list[Column]:
    """The columns without as many, of ranks up to this one, as have to go for the others to fit."""
    kept = list(columns)
    for going in range(1, rank + 1):
        if fits(kept, width):
            break
        kept = [column for column in kept if column.rank != going]
    return kept


def width_of(file: TextIO) -> int | None:
    """How wide a terminal is; None of a file or a pipe, where lines are as long as they are."""
    return shutil.get_terminal_size().columns if file.isatty() else None


def wrapped(texts: Iterable[str], width: int | None) -> Iterator[str]:
    """The lines, broken between words where they are too long; what goes on stands beneath the second word.

    A word that is too long by itself is never broken: it may be an address or a digest, to be copied.
    """
    for text in texts:
        if width is None or len(text) <= width:
            yield text
            continue
        first = _WORD.match(text)
        indent = " " * min(_INDENT_MAX, len(first[0]) if first else 0)
        yield from textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def print_aligned(columns: Sequence[Column], file: TextIO) -> None:
    """Prints the columns beside each other; folded where the terminal is too narrow for them."""
    made = lines(columns)
    width = width_of(file)
    if width is not None and max(map(len, made)) > width:
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
