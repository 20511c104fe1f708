"""A bar on the terminal for what takes a while, and nothing where nobody watches."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""

# What is done sooner needs no bar.
_PATIENCE_SECONDS: Final = 0.5


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Gives what is to be told of each step; the bar is on standard error, and gone afterwards."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    due = time.monotonic() + _PATIENCE_SECONDS
    bar = Bar(console=Console(stderr=True), transient=True)
    task = bar.add_task("")

    def show(what: str, done: int, total: int) -> None:
        if time.monotonic() > due:
            bar.update(task, description=what, completed=done, total=total)
            bar.start()

    try:
        yield show
    finally:
        bar.stop()
