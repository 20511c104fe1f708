"""The commands, their tables, and which options go with which."""

import enum
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, final

from netledger.compat.conntrack.getopt import Argument, LongOption
from netledger.compat.conntrack.protocols import Protocol
from netledger.compat.conntrack.refusal import bad_parameter

__all__ = ["LONG", "SHORT", "Command", "Table", "check_options", "check_protocol_options", "table_named"]


@final
class Command(enum.Enum):
    """What is to be done, by the letter of the option."""

    NONE = ""
    LIST = "L"
    GET = "G"
    DELETE = "D"
    FLUSH = "F"
    EVENT = "E"
    COUNT = "C"
    STATS = "S"
    VERSION = "V"
    HELP = "h"


@final
class Table(enum.Enum):
    """What it is to be done with. A table may be named by the front of its name."""

    EXPECT = "expect"
    CONNTRACK = "conntrack"
    DYING = "dying"
    UNCONFIRMED = "unconfirmed"


_KIND = {"": Argument.NONE, ":": Argument.REQUIRED, "::": Argument.OPTIONAL}

# The letter of each option, whether it has an argument, and its long names. The first name is used in some messages.
_OPTIONS: Final = (
    ("L", "::", "dump"), ("I", "::", "create"), ("A", "::", "add"), ("D", "::", "delete"), ("U", "::", "update"),
    ("G", "::", "get"), ("F", "::", "flush"), ("E", "::", "event"), ("C", "::", "counter"), ("S", "", "stats"),
    ("V", "", "version"), ("h", "", "help"),
    ("s", ":", "orig-src src"), ("d", ":", "orig-dst dst"), ("r", ":", "reply-src"), ("q", ":", "reply-dst"),
    ("p", ":", "protonum"), ("t", ":", "timeout"), ("u", ":", "status"), ("z", "", "zero"),
    ("e", ":", "event-mask"), ("[", ":", "tuple-src"), ("]", ":", "tuple-dst"), ("{", ":", "mask-src"),
    ("}", ":", "mask-dst"), ("a", ":", "nat-range"), ("m", ":", "mark"), ("c", ":", "secmark"), ("i", ":", "id"),
    ("f", ":", "family"), ("n", "::", "src-nat"), ("g", "::", "dst-nat"), ("o", ":", "output"),
    ("b", ":", "buffer-size"), ("j", "::", "any-nat"), ("w", ":", "zone"), ("l", ":", "label"),
    ("<", ":", "label-add"), (">", "::", "label-del"), ("(", ":", "orig-zone"), (")", ":", "reply-zone"),
)  # fmt: skip
# `--id` may come without its argument, `-i` may not.
_LONG_KIND: Final = {"id": "::"}

SHORT: Final = {letter: _KIND[kind] for letter, kind, _ in _OPTIONS}
LONG: Final = tuple(
    LongOption(name, _KIND[_LONG_KIND.get(name, kind)], letter)
    for letter, kind, names in _OPTIONS
    for name in names.split()
)

# In the order in which they are checked, by the names that the messages use.
_CHECKED: Final = (
    "src", "dst", "reply-src", "reply-dst", "protonum", "timeout", "status", "zero", "event-mask", "tuple-src",
    "tuple-dst", "mask-src", "mask-dst", "nat-range", "mark", "id", "family", "src-nat", "dst-nat", "output",
    "secmark", "buffer-size", "any-nat", "zone", "label", "label-add", "label-del", "orig-zone", "reply-zone",
)  # fmt: skip
_TUPLES: Final = frozenset(("src", "dst", "reply-src", "reply-dst"))
_FLOWS: Final = _TUPLES | frozenset(
    ("protonum", "mask-src", "mask-dst", "mark", "family", "src-nat", "dst-nat", "output", "zone", "label",
     "orig-zone", "reply-zone")
)  # fmt: skip
_PAIRS: Final = (("src", "dst"), ("reply-src", "reply-dst"))


@final
@dataclass(frozen=True, slots=True)
class _Rule:
    """The options of a command: those it takes, those it needs, and whether it needs one whole pair of addresses."""

    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    pair: bool = False


_ONE_EXPECTATION = _Rule(_TUPLES | {"protonum"}, frozenset(("src", "dst", "protonum")))
_RULES: Final = {
    (Command.LIST, False): _Rule(_FLOWS | {"status", "zero", "secmark", "any-nat"}),
    (Command.GET, False): _Rule(_TUPLES | {"protonum", "id", "output", "label"}, frozenset(("protonum",)), pair=True),
    (Command.DELETE, False): _Rule(_FLOWS | {"timeout", "status", "id"}),
    (Command.FLUSH, False): _Rule(frozenset(("family",))),
    (Command.EVENT, False): _Rule(_FLOWS | {"event-mask", "secmark", "buffer-size", "any-nat"}),
    (Command.HELP, False): _Rule(frozenset(("protonum",))),
    (Command.HELP, True): _Rule(frozenset(("protonum",))),
    (Command.LIST, True): _Rule(frozenset(("family", "output"))),
    (Command.EVENT, True): _Rule(frozenset(("output",))),
    (Command.GET, True): _ONE_EXPECTATION,
    (Command.DELETE, True): _ONE_EXPECTATION,
}


def table_named(text: str) -> Table:
    """The table whose name begins like that.

    Raises:
        Refusal: there is none.
    """
    for table in Table:
        if table.value.startswith(text):
            return table
    raise bad_parameter(f"unknown type `{text}'")


def check_options(command: Command, given: Collection[str], *, expectations: bool) -> None:
    """Refuses options that do not go with the command, and commands without options that they need.

    Raises:
        Refusal: the first that is wrong.
    """
    rule = _RULES.get((command, expectations), _Rule())
    for name in _CHECKED:
        _check(name, given=name in given, needed=name in rule.needs, legal=name in rule.takes)
    if rule.pair:
        _check_pairs(_PAIRS, given, ("`--src' and `--dst'", "`--reply-src' and `--reply-dst'"))


def check_protocol_options(command: Command, protocol: Protocol, given: Collection[str], *, expectations: bool) -> None:
    """The same for the options of a protocol.

    Raises:
        Refusal: the first that is wrong.
    """
    one = command is Command.GET or (expectations and command is Command.DELETE)
    for option in protocol.options:
        match option.use:
            case "original" | "reply":
                needed, legal = expectations and one, True
            case "needed":
                needed, legal = one and not expectations, not expectations
            case "tag":
                needed, legal = False, command is Command.GET and not expectations
            case "detail":
                needed, legal = False, not expectations
            case "expectation":
                needed = legal = False
        _check(option.name, given=option.name in given, needed=needed, legal=legal)
    if command is Command.GET and not expectations and protocol.pairs[0]:
        names = [option.name for option in protocol.options]
        _check_pairs(((names[0], names[1]), (names[2], names[3])), given, protocol.pairs)


def _check(name: str, *, given: bool, needed: bool, legal: bool) -> None:
    if needed and not given:
        raise bad_parameter(f"You need to supply the `--{name}' option for this command")
    if given and not legal:
        raise bad_parameter(f"Illegal option `--{name}' with this command")


def _check_pairs(
    pairs: tuple[tuple[str, str], tuple[str, str]], given: Collection[str], asked_for: tuple[str, str]
) -> None:
    """One whole pair is enough. Otherwise the first that is given in part is asked for, or else the first."""
    if any(first in given and second in given for first, second in pairs):
        return
    in_part = any(name in given for name in pairs[1]) and not any(name in given for name in pairs[0])
    raise bad_parameter(f"you have to specify {asked_for[in_part]}")
