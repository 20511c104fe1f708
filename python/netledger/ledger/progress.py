"""How far long work has come, for who watches it."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""


def no_progress(_what: str, _done: int, _all: int) -> None:
    """Says nothing."""
