"""The words of a command line, as nfacct 1.0.2 reads them: any beginning of a command or of an option will do.

Where the old program does something else than its user meant, this one does not follow; see
``docs/reference/compat-nfacct.md`` for each such case.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

from netledger.nfacct import NAME_BYTES_MAX, Only, Quota, Unit

__all__ = ["USAGE", "Command", "Form", "RefusalError", "Words", "fitting", "message", "number", "understand"]

VERSION: Final = b"1.0.2"
USAGE: Final = b"Usage: nfacct command [parameters]...\n"

Form = Literal["plain", "xml", "json"]
Command = Literal["list", "add", "delete", "get", "flush", "version", "help", "restore", "monitor"]

# In the order in which a beginning is looked for.
_COMMANDS: Final[dict[bytes, Command]] = {
    b"list": "list",
    b"add": "add",
    b"delete": "delete",
    b"get": "get",
    b"flush": "flush",
    b"version": "version",
    b"help": "help",
    b"restore": "restore",
    b"monitor": "monitor",
}
_FORMS: Final[dict[bytes, Form]] = {b"xml": "xml", b"json": "json"}
_FILTERS: Final = {
    b"counters": Only.PLAIN,
    b"bytes-quota": Only.BYTE_QUOTA,
    b"pkts-quota": Only.PACKET_QUOTA,
    b"overquota": Only.OVER_QUOTA,
}
_RESET: Final = b"reset"
_STRICT: Final = b"--strict-output"
_COUNT_MAX: Final = (1 << 64) - 1
# What C's sscanf takes for %llu: blanks, a sign, digits. What follows is not looked at.
_NUMBER: Final = re.compile(rb"[ \t\n\v\f\r]*([+-]?)([0-9]+)")


@final
class RefusalError(Exception):
    """The request cannot be obeyed; ``text`` goes to standard error as it is, whole lines."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What is to be done.

    Attributes:
        command: one of nfacct's, in full.
        name: of the object, maybe empty; empty too where there is none.
        quota: for ``add``.
        reset: read and set to zero.
        form: how it is printed.
        only: which objects.
        is_strict: print the old program's own bytes, even where they are no JSON and no XML.
    """

    command: Command
    name: bytes = b""
    quota: Quota | None = None
    reset: bool = False
    form: Form = "plain"
    only: Only = Only.ALL
    is_strict: bool = False


def understand(words: Sequence[bytes]) -> Words:
    """Reads the words behind the program's name.

    Raises:
        RefusalError: nfacct's own message.
    """
    is_strict = bool(words) and words[0] == _STRICT
    rest = words[1:] if is_strict else words
    if not rest:
        raise RefusalError(USAGE)
    first, *arguments = rest
    command = next((full for word, full in _COMMANDS.items() if word.startswith(first)), None)
    match command:
        case None:
            raise RefusalError(message(b"Unknown command: " + first) + USAGE)
        case "list":
            return _listed(arguments, is_strict=is_strict)
        case "add":
            return _added(arguments, is_strict=is_strict)
        case "get":
            return _got(arguments, is_strict=is_strict)
        case "delete":
            name = _name(arguments, is_strict=is_strict, more=1)
            return Words(command=command, name=name, is_strict=is_strict)
        case "flush" if arguments:
            raise RefusalError(message(b"too many arguments"))
        case _:
            return Words(command=command, is_strict=is_strict)


def message(text: bytes) -> bytes:
    """A line for standard error, as nfacct begins its own."""
    return b"nfacct v%s: %s\n" % (VERSION, text)


def number(text: bytes) -> int | None:
    """A number as C reads it: 2^64 and more is the greatest there is, and -1 is the same by another way."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    value = int(match[2])
    if value > _COUNT_MAX:
        return _COUNT_MAX
    return -value & _COUNT_MAX if match[1] == b"-" else value


def fitting(name: bytes, *, is_strict: bool) -> bytes:
    """The name, if the kernel has room for it. The old program cuts it, and so meets another object.

    Raises:
        RefusalError: it is too long.
    """
    if len(name) <= NAME_BYTES_MAX or is_strict:
        return name[:NAME_BYTES_MAX]
    raise RefusalError(message(b"object name is longer than %d bytes: %s" % (NAME_BYTES_MAX, name)))


def _listed(arguments: Sequence[bytes], *, is_strict: bool) -> Words:
    reset = False
    form: Form | None = None
    only: Only | None = None
    for word in arguments:
        # Nothing at all begins every word. The old program takes it for `reset`, which nobody means who types ''.
        if word and _RESET.startswith(word) and not reset:
            reset = True
        elif word and (wanted := _form(word)) is not None and form is None:
            form = wanted
        elif word and (chosen := _filter(word)) is not None and only is None:
            only = chosen
        elif word and (_RESET.startswith(word) or _form(word) or _filter(word)):
            raise RefusalError(b'Error: duplicate "%s" or collision with another option \n' % word)
        else:
            raise RefusalError(message(b"unknown argument"))
    return Words(command="list", reset=reset, form=form or "plain", only=only or Only.ALL, is_strict=is_strict)


def _got(arguments: Sequence[bytes], *, is_strict: bool) -> Words:
    name = _name(arguments, is_strict=is_strict)
    reset = False
    form: Form = "plain"
    for word in arguments[1:]:
        if word and _RESET.startswith(word):
            reset = True
        elif word and (wanted := _form(word)) is not None:
            form = wanted
        else:
            raise RefusalError(message(b"unknown argument"))
    return Words(command="get", name=name, reset=reset, form=form, is_strict=is_strict)


def _added(arguments: Sequence[bytes], *, is_strict: bool) -> Words:
    name = _name(arguments, is_strict=is_strict, more=3)
    match arguments[1:]:
        case []:
            return Words(command="add", name=name, is_strict=is_strict)
        case [_]:
            raise RefusalError(message(b"missing quota value"))
        case [b"byte" | b"packet" as unit, text]:
            limit = number(text)
            if limit is None:
                raise RefusalError(message(b"error reading quota"))
            quota = Quota(limit, Unit.BYTES if unit == b"byte" else Unit.PACKETS)
            return Words(command="add", name=name, quota=quota, is_strict=is_strict)
        case _:
            raise RefusalError(message(b'argument must "byte" or "packet"'))


def _name(arguments: Sequence[bytes], *, is_strict: bool, more: int | None = None) -> bytes:
    """The first argument, of at most so many; None is any number."""
    if not arguments:
        raise RefusalError(message(b"missing object name"))
    if more is not None and len(arguments) > more:
        raise RefusalError(message(b"too many arguments"))
    return fitting(arguments[0], is_strict=is_strict)


def _form(word: bytes) -> Form | None:
    return next((form for full, form in _FORMS.items() if full.startswith(word)), None)


def _filter(word: bytes) -> Only | None:
    return next((only for full, only in _FILTERS.items() if full.startswith(word)), None)
