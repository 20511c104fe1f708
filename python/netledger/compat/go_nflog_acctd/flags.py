"""Command lines as Go's ``flag`` package reads them: ``-name value``, ``-name=value``, one dash or two.

A boolean flag takes a value only after ``=``. Reading ends at the first word that is no flag, at ``-`` and behind
``--``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from netledger.compat.go_nflog_acctd.duration import duration_text, parse_duration
from netledger.exports.gotext import quote

__all__ = ["Flag", "FlagError", "HelpAsked", "Parsed", "defaults_text", "parse_boolean", "parse_flags", "parse_integer"]

Kind = Literal["bool", "duration", "int", "string"]
Value = bool | int | str

_INT64_MAX = (1 << 63) - 1
_BEYOND_INT64 = 1 << 64  # where counting on stops: a long row of digits must not cost time
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_PREFIX_BASES = {"b": 2, "o": 8, "x": 16}
_PREFIX_LENGTH_MIN = 3  # "0x" alone is no prefix: there is nothing behind it


class FlagError(Exception):
    """The command line is refused; the text is the line to print above the usage."""


class HelpAsked(Exception):  # noqa: N818 - no error: somebody asked for the usage
    """``-h`` or ``-help`` was given."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: a duration's default and value are nanoseconds. A hidden one is not in the usage."""

    name: str
    kind: Kind
    default: Value
    usage: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Parsed:
    """The value of every flag, and which ones were given."""

    values: Mapping[str, Value]
    given: frozenset[str] = field(default_factory=frozenset)

    def integer(self, name: str) -> int:
        """The value of an integer or duration flag."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(name)
        return value

    def boolean(self, name: str) -> bool:
        """The value of a boolean flag."""
        value = self.values[name]
        if not isinstance(value, bool):
            raise TypeError(name)
        return value

    def string(self, name: str) -> str:
        """The value of a string flag."""
        value = self.values[name]
        if not isinstance(value, str):
            raise TypeError(name)
        return value


def parse_flags(flags: Sequence[Flag], words: Sequence[str]) -> Parsed:
    """Reads the flags at the front of ``words``; what follows them is ignored. The last of a repeated flag wins.

    Raises:
        FlagError: with the line that Go's flag package prints.
        HelpAsked: ``-h`` or ``-help``.
    """
    known = {flag.name: flag for flag in flags}
    values: dict[str, Value] = {flag.name: flag.default for flag in flags}
    given: set[str] = set()
    rest = list(words)
    while rest and len(rest[0]) > 1 and rest[0].startswith("-") and rest[0] != "--":
        word = rest.pop(0)
        body = word[2:] if word.startswith("--") else word[1:]
        if body.startswith(("-", "=")):
            raise FlagError(f"bad flag syntax: {word}")
        name, equals, text = body.partition("=")
        flag = known.get(name)
        if flag is None:
            if name in ("h", "help"):
                raise HelpAsked
            raise FlagError(f"flag provided but not defined: -{name}")
        if flag.kind == "bool":
            text = text if equals else "true"
        elif not equals:
            if not rest:
                raise FlagError(f"flag needs an argument: -{name}")
            text = rest.pop(0)
        values[name] = _value(flag, text)
        given.add(name)
    return Parsed(values, frozenset(given))


def _value(flag: Flag, text: str) -> Value:
    if flag.kind == "string":
        return text
    readers: Mapping[str, Callable[[str], Value]] = {
        "bool": parse_boolean,
        "duration": parse_duration,
        "int": parse_integer,
    }
    try:
        return readers[flag.kind](text)
    except (ValueError, OverflowError) as error:
        cause = "value out of range" if isinstance(error, OverflowError) else "parse error"
        if flag.kind == "bool":
            raise FlagError(f"invalid boolean value {quote(text)} for -{flag.name}: {cause}") from None
        raise FlagError(f"invalid value {quote(text)} for flag -{flag.name}: {cause}") from None


def parse_boolean(text: str) -> bool:
    """True or false, by the twelve words that Go knows.

    Raises:
        ValueError: another word.
    """
    if text not in _TRUE | _FALSE:
        raise ValueError(text)
    return text in _TRUE


def parse_integer(text: str) -> int:
    """A 64-bit integer: ``10``, ``0x0a``, ``012`` and ``0o12`` (octal), ``0b1010``, with ``_`` between digits.

    Raises:
        ValueError: not an integer.
        OverflowError: does not fit 64 bits.
    """
    negative = text.startswith("-")
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    base, digits = _split_base(unsigned)
    if not unsigned or not _underscores_are_between_digits(unsigned):
        raise ValueError(text)
    number = 0
    for character in digits.replace("_", ""):
        digit = _digit(character)
        if digit >= base:
            raise ValueError(text)
        number = min(number * base + digit, _BEYOND_INT64)
    if number > _INT64_MAX + negative:
        raise OverflowError(text)
    return -number if negative else number


def _split_base(unsigned: str) -> tuple[int, str]:
    if not unsigned.startswith("0"):
        return 10, unsigned
    base = _PREFIX_BASES.get(unsigned[1:2].lower())
    if base is not None and len(unsigned) >= _PREFIX_LENGTH_MIN:
        return base, unsigned[2:]
    return 8, unsigned[1:]


def _digit(character: str) -> int:
    # Not str.isdigit(): that knows digits of other scripts too.
    return "0123456789abcdefghijklmnopqrstuvwxyz".find(character.lower()) % 37 if character.isascii() else 36


def _underscores_are_between_digits(unsigned: str) -> bool:
    """A base prefix counts as a digit here: ``0x_1`` and ``0_7`` are right, ``1__0``, ``_1`` and ``1_`` are not."""
    if "_" not in unsigned:
        return True
    body = unsigned
    if unsigned[0] == "0" and unsigned[1:2].lower() in _PREFIX_BASES:
        body = "0" + unsigned[2:]
    return not (body.startswith("_") or body.endswith("_") or "__" in body)


def defaults_text(flags: Sequence[Flag]) -> str:
    """The flags with their defaults, sorted by name, as ``PrintDefaults`` shows them."""
    lines = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if flag.hidden:
            continue
        kind = "" if flag.kind == "bool" else f" {flag.kind}"
        lines.append(f"  -{flag.name}{kind}\n    \t{flag.usage}{_default_text(flag)}\n")
    return "".join(lines)


def _default_text(flag: Flag) -> str:
    if not flag.default:
        return ""
    if flag.kind == "duration" and isinstance(flag.default, int):
        return f" (default {duration_text(flag.default)})"
    return f" (default {quote(flag.default) if isinstance(flag.default, str) else flag.default})"
