"""The file naccttab: bytes in, settings and messages out. Pure; nothing here raises.

The messages are those of the old program, in its order: one for each setting as it is read, then what is missing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, final

from netledger.compat.nacctd.numbers import NO_ADDRESS, atoi, dotted, is_address, octet, to_address
from netledger.compat.nacctd.said import Level, Said

__all__ = ["Headers", "Network", "Parsed", "Table", "parse"]

_BLANKS: Final = " \t\n\v\f\r"
_BETWEEN: Final = re.compile(f"[{_BLANKS}]+")
_FIELDS: Final = range(2, 11)
_OCTETS: Final = 4
# Offset and type field of the stock table, and of raw IP: what is right for the links they were made for.
_USUAL_OFFSETS: Final = frozenset(((14, 12), (40, 38), (4, 0), (14, 0), (0, 0)))


@final
@dataclass(frozen=True, slots=True)
class Network:
    """A network as two numbers: an address is in it if its bits under ``mask`` are ``number``."""

    number: int
    mask: int

    def __contains__(self, address: int) -> bool:
        return address & self.mask == self.number


@final
@dataclass(frozen=True, slots=True)
class Headers:
    """What is said of interfaces whose names start with ``prefix``: where IP begins, and where its type is told."""

    prefix: str
    offset: int
    type_offset: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What a naccttab asks for.

    Attributes:
        file: where the lines go.
        dumpfile: where the records are that have no line yet.
        debugfile: where debugging goes; None: nowhere.
        flush_seconds: how often idle records are written; 0 or less: each second.
        fdelay_seconds: a record is idle when nothing came for longer than this.
        errdelay_cycles: how many flushes are left out after a failed one.
        debug: bit mask of what is told in the debug file.
        disabled: numbers of the fields that a line is without.
        ignoremask: packets whose addresses are equal under this mask are local, and not counted.
        ignorenets: packets from or to these are not counted.
        dontignores: but those from or to these are.
        hostlimits: if there are any, only packets from or to these hosts are counted.
        iflimits: if there are any, only packets on these interfaces.
        notdevs: and none on these.
        devices: interfaces that are made promiscuous.
        headers: what is said of interfaces by the beginning of their name.
        dynamicip: directory with a file for each address that has a user.
        dynamicnet: the network of those addresses.
        excluded: networks in it that have no users.
        lines: the terminal line of an interface, where utmp tells who is logged in.
        masqif: whether ``masqif`` was given, which has no effect.
    """

    file: str = ""
    dumpfile: str = ""
    debugfile: str | None = None
    flush_seconds: int = 300
    fdelay_seconds: int = 60
    errdelay_cycles: int = 3
    debug: int = 0
    disabled: frozenset[int] = frozenset()
    ignoremask: int = NO_ADDRESS
    ignorenets: tuple[Network, ...] = ()
    dontignores: tuple[Network, ...] = ()
    hostlimits: tuple[int, ...] = ()
    iflimits: tuple[str, ...] = ()
    notdevs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    headers: tuple[Headers, ...] = ()
    dynamicip: str | None = None
    dynamicnet: Network | None = None
    excluded: tuple[Network, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    masqif: bool = False

    def has_headers(self, interface: str) -> bool:
        """Whether a ``headers`` line is about an interface."""
        return any(interface.startswith(headers.prefix) for headers in self.headers)


@final
@dataclass(frozen=True, slots=True)
class Parsed:
    """What came of reading a naccttab.

    Attributes:
        said: the messages.
        table: the settings; None when the file is refused.
    """

    said: tuple[Said, ...]
    table: Table | None


class _RefusedError(Exception):
    """The file cannot be used; the text is the message."""


@dataclass(slots=True)
class _Reading:
    """How far the file has been read."""

    table: Table = field(default_factory=Table)
    said: list[Said] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.said.append(Said(Level.DEBUG, f"config: {text}\n"))

    def warn(self, text: str) -> None:
        self.said.append(Said(Level.WARNING, f"config: {text}\n"))


def parse(data: bytes) -> Parsed:
    """Reads a naccttab. Lists grow with each line, anything else is as its last line says."""
    reading = _Reading()
    try:
        for number, line in enumerate(data.split(b"\n"), start=1):
            _take_line(reading, line.decode("utf-8", "surrogateescape"), number)
        _check(reading)
    except _RefusedError as refusal:
        return Parsed((*reading.said, Said(Level.ERR, f"config file: {refusal}\n")), None)
    return Parsed(tuple(reading.said), reading.table)


def _words(value: str) -> list[str]:
    # Python's own idea of a blank has control characters in it, of which a value may have nothing else.
    return _BETWEEN.split(value)


def _take_line(reading: _Reading, line: str, number: int) -> None:
    text = line.partition("#")[0].strip(_BLANKS)
    if not text:
        return
    end = next((index for index, character in enumerate(text) if character in " \t"), len(text))
    keyword, value = text[:end], text[end:].strip(_BLANKS)
    take = _KEYWORDS.get(keyword.lower())
    if take is None:
        raise _RefusedError(f"unknown keyword {keyword} in line {number}")
    if not value and keyword.lower() in _NEED_A_VALUE:
        raise _RefusedError(f"invalid {keyword.lower()} statement in line {number}")
    take(reading, value, number)


def _check(reading: _Reading) -> None:
    """Finds what is missing, and tells what is without effect here."""
    table = reading.table
    if not table.file:
        raise _RefusedError("no filename given")
    if not table.dumpfile:
        raise _RefusedError("no dumpfile given")
    if not table.headers:
        raise _RefusedError("no header information given")
    if table.debugfile is None:
        reading.said.append(Said(Level.INFO, "config file: no debugfile given, using /dev/null\n"))
    warnings = []
    if table.masqif:
        warnings.append("masqif has no effect: this kernel has no /proc/net/ip_masquerade")
    if table.dynamicip is not None and table.lines:
        warnings.append("dynamicip has no effect beside line")
    elif table.dynamicip is not None and table.dynamicnet is None:
        warnings.append("dynamicip has no effect without dynamicnet")
    for each in table.headers:
        if (each.offset, each.type_offset) not in _USUAL_OFFSETS:
            which = f"{each.prefix}:{each.offset}:{each.type_offset}"
            warnings.append(f"the offsets of headers {which} have no effect: the kernel tells where IP starts")
    reading.said.extend(Said(Level.WARNING, f"config: {text}\n") for text in warnings)


def _file(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, file=value)
    reading.tell(f"set filename to {value}")


def _dumpfile(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, dumpfile=value)
    reading.tell(f"set dumpfile to {value}")


def _debugfile(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, debugfile=value)
    reading.tell(f"set debugfile to {value}")


def _flush(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, flush_seconds=atoi(value))
    reading.tell(f"set flushing to {atoi(value)}")


def _fdelay(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, fdelay_seconds=atoi(value))
    reading.tell(f"set fdelay to {atoi(value)}")


def _errdelay(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, errdelay_cycles=atoi(value))
    reading.tell(f"set delay on error to {atoi(value)}")


def _debug(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, debug=atoi(value))
    reading.tell(f"set debugging level to {atoi(value)}")


def _disable(reading: _Reading, value: str, _number: int) -> None:
    which = atoi(value)
    if which not in _FIELDS:
        raise _RefusedError("invalid disable statement")
    reading.table = replace(reading.table, disabled=reading.table.disabled | {which})
    reading.tell(f"disabled field {which}")


def _ignoremask(reading: _Reading, value: str, number: int) -> None:
    mask = _mask(reading, value, number)
    reading.table = replace(reading.table, ignoremask=mask)
    reading.tell(f"set ignoremask to {dotted(mask)}")


def _ignorenet(reading: _Reading, value: str, number: int) -> None:
    network = _network(reading, value, number, "added ignore network")
    reading.table = replace(reading.table, ignorenets=(*reading.table.ignorenets, network))


def _dontignore(reading: _Reading, value: str, number: int) -> None:
    network = _network(reading, value, number, "added dontignore network")
    reading.table = replace(reading.table, dontignores=(*reading.table.dontignores, network))


def _excluded(reading: _Reading, value: str, number: int) -> None:
    network = _network(reading, value, number, "added exclude-name-lookup network")
    reading.table = replace(reading.table, excluded=(*reading.table.excluded, network))


def _dynamicnet(reading: _Reading, value: str, number: int) -> None:
    reading.table = replace(reading.table, dynamicnet=_network(reading, value, number, "set dynamic network"))


def _network(reading: _Reading, value: str, number: int, what: str) -> Network:
    words = _words(value)
    address = _address(reading, words[0], number)
    mask = _mask(reading, words[1], number) if len(words) > 1 else NO_ADDRESS
    if address & ~mask:
        reading.warn(f"line {number}: no address is in {words[0]} with the mask {dotted(mask)}")
    reading.tell(f"{what} (netnumber {dotted(address)})")
    reading.tell(f"{what} (netmask {dotted(mask)})")
    return Network(address, mask)


def _mask(reading: _Reading, text: str, number: int) -> int:
    mask = _address(reading, text, number)
    inverse = mask ^ NO_ADDRESS
    if inverse & (inverse + 1):
        reading.warn(f"line {number}: the mask {text} has holes: it is {dotted(mask)}")
    return mask


def _address(reading: _Reading, text: str, number: int) -> int:
    address = to_address(text)
    if address == NO_ADDRESS and not is_address(text):
        reading.warn(f"line {number}: {text} is no address: 255.255.255.255 stands for it")
    return address


def _dynamicip(reading: _Reading, value: str, _number: int) -> None:
    directory = value.removesuffix("/") or "/"
    reading.table = replace(reading.table, dynamicip=directory)
    reading.tell(f"set dynamicip to {directory}")


def _headers(reading: _Reading, value: str, _number: int) -> None:
    prefix, offset, type_offset, *_ = (*_words(value), "", "")
    headers = Headers(prefix, atoi(offset), atoi(type_offset))
    reading.table = replace(reading.table, headers=(*reading.table.headers, headers))
    reading.tell(f"added headerinfo ({prefix}:{headers.offset}:{headers.type_offset})")


def _device(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, devices=(*reading.table.devices, value))
    reading.tell(f"added promiscous device {value}")


def _iflimit(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, iflimits=(*reading.table.iflimits, value))
    reading.tell(f"added iflist {value}")


def _notdev(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, notdevs=(*reading.table.notdevs, value))
    reading.tell(f"added notdevice {value}")


def _hostlimit(reading: _Reading, value: str, number: int) -> None:
    octets = [octet(part) for part in value.split(".")][:_OCTETS]
    known = [each for each in octets if each is not None]
    if len(known) != _OCTETS:
        raise _RefusedError(f"invalid hostlimit statement in line {number}")
    address = int.from_bytes(bytes(known), "big")
    reading.table = replace(reading.table, hostlimits=(*reading.table.hostlimits, address))
    reading.tell(f"added hostlimit {dotted(address)}")


def _line(reading: _Reading, value: str, number: int) -> None:
    words = _words(value)
    if len(words) < 2:  # noqa: PLR2004  an interface and a terminal line
        raise _RefusedError(f"invalid line statement in line {number}")
    reading.table = replace(reading.table, lines=(*reading.table.lines, (words[0], words[1])))
    reading.tell(f"[dev2line:] {words[0]} -> {words[1]}")


def _masqif(reading: _Reading, value: str, _number: int) -> None:
    reading.table = replace(reading.table, masqif=True)
    reading.tell(f"set masqif to {dotted(to_address(value))}")


_KEYWORDS: Final[dict[str, Callable[[_Reading, str, int], None]]] = {
    "file": _file,
    "dumpfile": _dumpfile,
    "debugfile": _debugfile,
    "flush": _flush,
    "fdelay": _fdelay,
    "errdelay": _errdelay,
    "debug": _debug,
    "disable": _disable,
    "ignoremask": _ignoremask,
    "ignorenet": _ignorenet,
    "dontignore": _dontignore,
    "exclude-name-lookup": _excluded,
    "dynamicnet": _dynamicnet,
    "dynamicip": _dynamicip,
    "headers": _headers,
    "device": _device,
    "iflimit": _iflimit,
    "notdev": _notdev,
    "hostlimit": _hostlimit,
    "line": _line,
    "masqif": _masqif,
}
# Numbers, masks and files without a value read as 0, as no mask and as none; these would mean something at random.
_NEED_A_VALUE: Final = frozenset(
    (
        "ignorenet",
        "dontignore",
        "exclude-name-lookup",
        "dynamicnet",
        "dynamicip",
        "headers",
        "device",
        "iflimit",
        "notdev",
        "hostlimit",
        "line",
    )
)
