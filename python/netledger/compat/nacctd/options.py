"""The command line, as the C library's getopt reads ``c:dD``. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

__all__ = ["Options", "RefusedError", "parse_options"]

_DEFAULT: Final = "/etc/naccttab"
_USAGE: Final = """\
Usage: {name} [-dD] [-c filename]

\t-d\tSwitch on debugging
\t-c\tSpecify alternative configuration file
\t-D\tDon't detach (for inittab)

\tHASHSIZE=4096 REMAP_MASQUERADE(61000..65096)

"""


class RefusedError(Exception):
    """The command line cannot be used; the text is for standard error."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for.

    Attributes:
        table: path of the naccttab.
        stays: whether it stays in the foreground.
    """

    table: str = _DEFAULT
    stays: bool = False


def parse_options(words: Sequence[str], name: str) -> Options:
    """Reads the words behind the command's name.

    One operand is allowed and means nothing, as ever.

    Raises:
        RefusedError: an unknown option, one without its value, or more operands.
    """
    table, stays, operands = _DEFAULT, False, 0
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            operands += len(left)
            break
        if not word.startswith("-") or word == "-":
            operands += 1
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "dD":
                stays = True
            elif letter != "c":
                raise RefusedError(f"{name}: invalid option -- '{letter}'\n{_USAGE.format(name=name)}")
            elif letters or left:
                table, letters = letters or left.pop(0), ""
            else:
                raise RefusedError(f"{name}: option requires an argument -- 'c'\n{_USAGE.format(name=name)}")
    if operands > 1:
        raise RefusedError(_USAGE.format(name=name))
    return Options(table=table, stays=stays)
