"""Reads the command line, in the order of its words: the first thing that is wrong is the one that is told."""

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, final

from netledger.compat.conntrack.addresses import netmask, parse_address, parse_endpoint
from netledger.compat.conntrack.commands import (
    LONG,
    SHORT,
    Command,
    Table,
    check_options,
    check_protocol_options,
    table_named,
)
from netledger.compat.conntrack.getopt import Argument, LongOption, Reader
from netledger.compat.conntrack.labels import LabelNames
from netledger.compat.conntrack.numbers import parse_number, parse_number_and_mask
from netledger.compat.conntrack.protocols import ProtocolOption, find_protocol, parse_role, parse_state
from netledger.compat.conntrack.refusal import Refusal, bad_parameter, not_here
from netledger.compat.conntrack.request import Output, Request, Warn
from netledger.compat.conntrack.words import output_words, parse_kinds, parse_status

__all__ = ["parse_arguments"]

_STRICT = "strict-output"
_COMMANDS: Final = {command.value: command for command in Command if command is not Command.NONE}
_TABLES: Final = frozenset(table.value for table in Table)
_NOT_HERE: Final = {"I": "--create", "A": "--add", "U": "--update", "R": "--load-file"}
_ADDRESSES: Final = {
    "s": ("src", "orig-src"),
    "d": ("dst", "orig-dst"),
    "r": ("reply-src",) * 2,
    "q": ("reply-dst",) * 2,
}
_MASKS: Final = {"{": ("src", "mask-src"), "}": ("dst", "mask-dst")}
_TRANSLATED: Final = {"n": "src-nat", "g": "dst-nat", "j": "any-nat"}
_ZONES: Final = {"w": "zone", "(": "orig-zone", ")": "reply-zone"}
_TUPLES: Final = {"[": "tuple-src", "]": "tuple-dst"}
_ZONE_MAX = 65535
_PROTOCOL_MAXIMA: Final = {"port": 65535, "key": 65535, "id": 65535, "byte": 255, "tag": (1 << 32) - 1}
_BUFFER_BYTES_MAX = (1 << 31) - 1


def parse_arguments(words: Sequence[str], warn: Warn) -> Request:
    """The request that the words behind the name of the program make.

    Raises:
        Refusal: the first thing that is wrong with them.
    """
    return _Arguments(words, warn).request()


@final
class _Arguments:
    """One command line while it is read."""

    def __init__(self, words: Sequence[str], warn: Warn) -> None:
        self._found = Request()
        self._warn = warn
        long = (*LONG, LongOption(_STRICT, Argument.NONE, _STRICT), LongOption("load-file", Argument.OPTIONAL, "R"))
        self._reader = Reader(words, {**SHORT, "R": Argument.OPTIONAL}, long)

    def request(self) -> Request:
        """Reads all words."""
        while (option := self._reader.next()) is not None:
            key, text = option
            self._take(key, text)
        found = self._found
        if "any-nat" in found.given and not found.given.isdisjoint(("src-nat", "dst-nat")):
            raise bad_parameter("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'")
        check_options(found.command, found.given, expectations=found.expectations)
        _refuse_what_is_not_here(found)
        if found.protocol is not None and found.command is not Command.HELP:
            check_protocol_options(found.command, found.protocol, found.protocol_given, expectations=found.expectations)
        return found

    def _take(self, key: str, text: str | None) -> None:
        if key in _NOT_HERE:
            raise not_here(f"option `{_NOT_HERE[key]}'")
        if key in _COMMANDS:
            self._command(_COMMANDS[key], text)
        elif key in _TRANSLATED:
            self._translated(_TRANSLATED[key], text)
        elif key == ">":
            self._label("label-del", self._reader.following() if text is None else text)
        elif key == _STRICT:
            self._found.strict = True
        elif key == "z":
            self._found.given.add("zero")
        else:
            # All others have an argument; only `--id` may lack it.
            self._valued(key, "" if text is None else text)

    def _valued(self, key: str, text: str) -> None:
        simple: Mapping[str, Callable[[str], None]] = {
            "p": self._protocol, "f": self._family, "m": self._mark, "i": self._id, "u": self._status,
            "e": self._event_mask, "o": self._output, "b": self._buffer, "t": self._timeout, "c": self._secmark,
        }  # fmt: skip
        if key in simple:
            simple[key](text)
        elif key in _ADDRESSES:
            self._address(*_ADDRESSES[key], text)
        elif key in _MASKS:
            self._mask(*_MASKS[key], text)
        elif key in _ZONES:
            self._found.given.add(_ZONES[key])
            self._found.zones[_ZONES[key]] = parse_number(text, f"-{key}", _ZONE_MAX)
        elif key in _TUPLES:
            self._found.given.add(_TUPLES[key])
            self._set_family(parse_address(text, _TUPLES[key], network=True).family)
        elif key in ("l", "<"):
            self._label("label" if key == "l" else "label-add", text)
        elif key == "a":
            self._warn("WARNING: ignoring -a, deprecated option.")
        else:
            self._protocol_option(key, text)

    def _command(self, command: Command, attached: str | None) -> None:
        text = self._reader.following() if attached is None else self._attached_table(attached)
        table = Table.CONNTRACK if text is None else table_named(text)
        if command is not Command.LIST and table in (Table.DYING, Table.UNCONFIRMED):
            raise bad_parameter("Can't do that command with tables `dying' and `unconfirmed'")
        if self._found.command is not Command.NONE:
            raise bad_parameter("Invalid commands combination")
        self._found.command, self._found.table = command, table

    def _attached_table(self, text: str) -> str | None:
        """What the word of a command says of a table. The old program passed over it: ``-Dp tcp`` deleted all flows."""
        if self._found.strict:
            return None
        if text not in _TABLES:
            raise bad_parameter(f"`{text}' is in the same word as the command and names no table: write options apart")
        return text

    def _set_family(self, family: int) -> None:
        if self._found.family not in (None, family):
            raise bad_parameter("mismatched address family")
        self._found.family = family

    def _address(self, name: str, option: str, text: str) -> None:
        address = parse_address(text, option, network=name in ("src", "dst"))
        self._set_family(address.family)
        self._found.given.add(name)
        self._found.addresses[name] = address
        size = len(address.raw)
        if address.length is not None and address.length < 8 * size:
            self._found.given.add(f"mask-{name}")
            self._found.masks[name] = netmask(address.length, size)

    def _mask(self, name: str, option: str, text: str) -> None:
        mask = parse_address(text, option, network=False)
        self._set_family(mask.family)
        self._found.given.add(option)
        self._found.masks[name] = mask.raw

    def _translated(self, name: str, attached: str | None) -> None:
        self._found.given.add(name)
        text = self._reader.following() if attached is None else attached
        if attached is not None and self._found.strict:
            text = None
        endpoint = None if text is None else parse_endpoint(text, name)
        if endpoint is not None:
            self._set_family(endpoint.address.family)
        self._found.translated[name] = endpoint

    def _family(self, text: str) -> None:
        self._found.given.add("family")
        family = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}.get(text[:4])
        if family is None:
            raise bad_parameter(f"`{text}' unsupported protocol")
        self._set_family(family)

    def _protocol(self, text: str) -> None:
        self._found.given.add("protonum")
        self._found.protocol = find_protocol(text)
        self._reader.know(self._found.protocol.long_options())

    def _protocol_option(self, name: str, text: str) -> None:
        protocol = self._found.protocol
        option = None if protocol is None else protocol.option(name)
        if protocol is None or option is None:
            # Of a protocol that was named before another one.
            raise bad_parameter(f"unknown option `--{name}'")
        self._found.protocol_given.add(name)
        match option.kind:
            case "state":
                self._found.state = parse_state(text, protocol)
            case "role":
                parse_role(text)
            case _:
                self._found.ports[name] = _protocol_number(option, text)

    def _mark(self, text: str) -> None:
        self._found.given.add("mark")
        self._found.mark = parse_number_and_mask(text, "-m")

    def _id(self, text: str) -> None:
        self._found.given.add("id")
        self._found.id = parse_number(text, "-i")

    def _status(self, text: str) -> None:
        self._found.given.add("status")
        wanted, unwanted = parse_status(text, self._warn)
        self._found.status = (self._found.status[0] | wanted, self._found.status[1] | unwanted)

    def _event_mask(self, text: str) -> None:
        self._found.given.add("event-mask")
        self._found.kinds |= parse_kinds(text, self._warn)

    def _output(self, text: str) -> None:
        self._found.given.add("output")
        for output in output_words(text, self._warn):
            self._found.output |= output
        if Output.SAVE in self._found.output and self._found.output is not Output.SAVE:
            raise Refusal("cannot combine save output with any other output type, use -o save only")
        if Output.LABELS in self._found.output:
            self._label_names()

    def _buffer(self, text: str) -> None:
        self._found.given.add("buffer-size")
        self._found.buffer_bytes = parse_number(text, "-b", _BUFFER_BYTES_MAX)

    def _timeout(self, text: str) -> None:
        self._found.given.add("timeout")
        parse_number(text, "-t")

    def _secmark(self, text: str) -> None:
        self._found.given.add("secmark")
        parse_number(text, "-c")

    def _label_names(self) -> LabelNames:
        """The names to look labels up in. Flows show their labels once these are read."""
        if self._found.label_names is None:
            try:
                self._found.label_names = LabelNames.read()
            except OSError as error:
                self._warn(f"nfct_labelmap_new: {error.strerror}")
                return LabelNames({})
        return self._found.label_names

    def _label(self, name: str, text: str | None) -> None:
        self._found.given.add(name)
        if {"label-add", "label-del"} <= self._found.given:
            raise Refusal("cannot use --label-add and --label-del at the same time")
        names = self._label_names()
        if text is None:
            return
        bits = [names.bit(label) for label in text.split(",")]
        if name == "label":
            for bit in bits:
                self._found.labels |= 1 << bit


def _refuse_what_is_not_here(found: Request) -> None:
    """Options and tables that the old program takes, and that would have to be passed over here."""
    if "secmark" in found.given:
        raise not_here("option `--secmark'")
    if "timeout" in found.given:
        raise not_here("option `--timeout' as a filter")
    if found.expectations and found.command in (Command.GET, Command.DELETE, Command.FLUSH, Command.EVENT):
        raise not_here(f"option `-{found.command.value}' on expectations")


def _protocol_number(option: ProtocolOption, text: str) -> int:
    return parse_number(text, f"--{option.name}", _PROTOCOL_MAXIMA[option.kind])
