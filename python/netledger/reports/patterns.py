"""Patterns of names: ``*`` stands for any text, ``?`` for any one character, everything else for itself."""

import re
from functools import lru_cache


@lru_cache(maxsize=256)
def pattern(text: str) -> re.Pattern[str]:
    """The pattern, to be matched against a whole name."""
    parts = (".*" if mark == "*" else "." if mark == "?" else re.escape(mark) for mark in text)
    return re.compile("".join(parts), re.DOTALL)
