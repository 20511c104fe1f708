"""The steps of the protocol have names, so that a test can end the process after each."""

from collections.abc import Callable
from typing import TypeAlias

Step: TypeAlias = Callable[[str], None]
"""Told the name of each step that has been done. Lets a test stop the process there."""


def no_step(_name: str) -> None:
    """Goes on."""
