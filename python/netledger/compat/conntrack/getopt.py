"""Command lines as the C library's ``getopt_long`` reads them.

Short options may share a word and carry their argument in it; long ones may be cut to what is unambiguous. Words that
are no options are passed over, unless POSIXLY_CORRECT is set, which ends the reading there. New long options may come
while reading.
"""

import enum
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from netledger.compat.conntrack.refusal import bad_parameter

__all__ = ["Argument", "LongOption", "Reader"]


@final
class Argument(enum.Enum):
    """Whether an option has an argument."""

    NONE = 0
    REQUIRED = 1
    OPTIONAL = 2
    """Only in the same word: ``-nX``, ``--name=X``."""


@final
@dataclass(frozen=True, slots=True)
class LongOption:
    """A long option: its name, and the key under which it is told."""

    name: str
    argument: Argument
    key: str


@final
class Reader:
    """Gives one option after the other."""

    def __init__(self, words: Sequence[str], short: Mapping[str, Argument], long: Iterable[LongOption]) -> None:
        self._words = list(words)
        self._short = short
        self._long = list(long)
        self._cluster = ""
        self._word = ""
        self._posixly_correct = "POSIXLY_CORRECT" in os.environ

    def know(self, long: Iterable[LongOption]) -> None:
        """More long options, from the next word on."""
        self._long.extend(long)

    def following(self) -> str | None:
        """Takes the next word, if there is one and it is no option; None otherwise."""
        if self._cluster or not self._words or self._words[0].startswith(("-", "!")):
            return None
        return self._words.pop(0)

    def next(self) -> tuple[str, str | None] | None:
        """The key of the next option and its argument; None at the end. The key of a short option is its letter.

        Raises:
            Refusal: an option that is not known or not unambiguous, or an argument that is missing or too many.
        """
        if self._cluster:
            return self._next_short()
        while self._words and (not self._words[0].startswith("-") or self._words[0] == "-"):
            if self._posixly_correct:
                return None
            self._words.pop(0)
        if not self._words:
            return None
        self._word = self._words.pop(0)
        if self._word == "--":
            self._words.clear()
            return None
        if self._word.startswith("--"):
            return self._next_long()
        self._cluster = self._word[1:]
        return self._next_short()

    def _next_short(self) -> tuple[str, str | None]:
        letter, self._cluster = self._cluster[0], self._cluster[1:]
        kind = self._short.get(letter)
        if kind is None:
            raise self._unknown()
        if kind is Argument.NONE:
            return letter, None
        attached, self._cluster = self._cluster, ""
        if kind is Argument.OPTIONAL or attached:
            return letter, attached or None
        return letter, self._required()

    def _next_long(self) -> tuple[str, str | None]:
        name, equals, text = self._word[2:].partition("=")
        option = self._find(name)
        if option is None or (equals and option.argument is Argument.NONE):
            raise self._unknown()
        if equals or option.argument is not Argument.REQUIRED:
            return option.key, text if equals else None
        return option.key, self._required()

    def _required(self) -> str:
        if not self._words:
            raise bad_parameter(f"option `{self._word}' requires an argument")
        return self._words.pop(0)

    def _find(self, name: str) -> LongOption | None:
        matching = [option for option in self._long if option.name.startswith(name)]
        exact = next((option for option in matching if option.name == name), None)
        if exact is not None:
            return exact
        # Several names of one and the same option are no ambiguity.
        same = {(option.argument, option.key) for option in matching}
        return matching[0] if len(same) == 1 else None

    def _unknown(self) -> Exception:
        return bad_parameter(f"unknown option `{self._word}'")
