"""The command lines that both programs are given, and which of them are to differ, by the name of the difference."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TypeAlias

from tests.compat.nfacct import texts
from tests.compat.nfacct.both import Place
from tests.compat.nfacct.tables import ODD_NAMES, TABLES

_Words: TypeAlias = tuple[bytes, ...]

FORMS: tuple[_Words, ...] = ((), (b"xml",), (b"json",))
FILTERS: tuple[_Words, ...] = ((), (b"counters",), (b"bytes-quota",), (b"pkts-quota",), (b"overquota",))
RESETS: tuple[_Words, ...] = ((), (b"reset",))
COMMANDS = (b"list", b"add", b"delete", b"get", b"flush", b"version", b"help", b"restore", b"monitor")
OF_MONITOR = {"monitor-flush", "monitor-privilege", "monitor-overrun"}
"""Differences of a command that does not end by itself; they have tests of their own."""
_WITH_QUOTAS = {"quotas", "used"}


@dataclass(frozen=True, slots=True)
class Case:
    """One command line on one table.

    ``differs`` is the name of a difference in docs/reference/compat-nfacct.md; None: the same bytes, the same status,
    the same table behind it. ``strict`` puts ``--strict-output`` in front of our words.
    """

    table: str
    words: _Words
    differs: str | None = None
    text: bytes = b""
    strict: bool = False
    as_nobody: bool = False
    output: Place = field(default=Place.FILE)
    source: Place = field(default=Place.FILE)

    def __str__(self) -> str:
        extra = [f"({self.text!r})"] * bool(self.text) + ["nobody"] * self.as_nobody + ["strict"] * self.strict
        extra += [place.value for place in (self.output, self.source) if place is not Place.FILE]
        return " ".join([f"{self.table}:", *(repr(word)[1:] for word in self.words), *extra])


def _needs_json(name: bytes) -> bool:
    return re.search(rb'["\\\x00-\x1f]', name) is not None or not _is_utf8(name)


def _needs_xml(name: bytes) -> bool:
    beyond = name == "\ufffe".encode()
    return re.search(rb"[&<>\x00-\x08\x0b-\x1f]", name) is not None or not _is_utf8(name) or beyond


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _listed() -> Iterator[Case]:
    for table, reset, form, only in product(TABLES, RESETS, FORMS, FILTERS):
        words = (b"list", *reset, *form, *only)
        differs = _difference(table, bool(reset), form, only)
        yield Case(table, words, differs)
        if differs not in {None, "reset-all"}:
            yield Case(table, words, strict=True)


def _difference(table: str, reset: bool, form: _Words, only: _Words) -> str | None:
    if not form:
        return "reset-all" if reset and table == "many" and only in {(), (b"counters",)} else None
    found = {
        "empty": [],
        "plain": ["plain"],
        "odd": ["plain"],
        "many": ["plain"],
        "quotas": ["plain", "bytes-quota", "pkts-quota"],
        "used": ["plain", "bytes-quota", "pkts-quota", "overquota"],
    }[table]
    wanted = {(): found, (b"counters",): ["plain"]}.get(only, [only[0].decode()] if only else [])
    if not set(found) & set(wanted):
        return "empty-table"
    name = form[0].decode()
    if table in _WITH_QUOTAS and only != (b"counters",):
        return f"{name}-quota"
    if table == "many" and reset:
        return "reset-all"
    return f"{name}-name" if table == "odd" else None


def _got() -> Iterator[Case]:
    for name, form in product(ODD_NAMES, FORMS):
        needs = (form == (b"xml",) and _needs_xml(name)) or (form == (b"json",) and _needs_json(name))
        differs = f"{form[0].decode()}-name" if needs else None
        yield Case("odd", (b"get", name, *form), differs)
        yield Case("odd", (b"get", name, b"reset", *form), differs)
        if differs:
            yield Case("odd", (b"get", name, *form), strict=True)
    for name, reset, form in product((b"used", b"packets-over", b"bytes-over", b"bytes-under"), RESETS, FORMS):
        differs = f"{form[0].decode()}-quota" if form and name != b"used" else None
        yield Case("used", (b"get", name, *reset, *form), differs)
        if differs:
            yield Case("used", (b"get", name, *reset, *form), strict=True)
    lines = (
        b"x x", b"xml json", b"json xml", b"r r", b"re js", b"j", b"xm", b"foo", b"counters", b"resett", b"xmll",
        b"reset xml nothing",
    )  # fmt: skip
    for line in lines:
        yield Case("plain", (b"get", b"https", *line.split()))


def _options() -> Iterator[Case]:
    orders = (
        b"xml reset", b"json counters", b"counters json", b"overquota reset", b"bytes-quota xml", b"r", b"res", b"x",
        b"xm", b"j", b"js", b"c", b"count", b"b", b"bytes", b"p", b"pkts", b"o", b"over",
    )  # fmt: skip
    for line in orders:
        yield Case("plain", (b"list", *line.split()), "empty-table" if line == b"bytes-quota xml" else None)
    collisions = (
        b"xml json", b"json xml", b"x x", b"xml j", b"reset reset", b"re r", b"counters overquota", b"c o", b"c c",
        b"b p", b"xml counters json", b"reset xml reset", b"o o", b"pkts-quota bytes-quota",
    )  # fmt: skip
    for line in collisions:
        yield Case("plain", (b"list", *line.split()))
    for line in (b"plain", b"XML", b"rx", b"resets", b"xml bogus", b"reset bogus", b"--xml", b"overquotas", b"quota"):
        yield Case("plain", (b"list", *line.split()))
    for empty in ((b"list", b""), (b"list", b"xml", b""), (b"list", b"", b""), (b"get", b"https", b"")):
        yield Case("plain", empty, "empty-option")


def _commands() -> Iterator[Case]:
    safe = {b"list", b"version", b"help", b"flush"}
    for command in COMMANDS:
        for length in range(1, len(command) + 1):
            # A listening monitor does not end; what cannot be meant as another command is enough of it elsewhere.
            if command != b"monitor":
                name = (b"http-traffic",) if command in {b"get", b"delete"} else (b"new",)
                yield Case("plain", (command[:length], *(() if command in safe | {b"restore"} else name)))
        yield Case("plain", (command + b"x",))
        yield Case("plain", (command.upper(),))
    yield Case("plain", (b"",))
    yield Case("plain", ())
    for word in (b"bogus", b"--help", b"-h", b"disable", b"--version", b"-", b"--", b"\xff", b"li st", b" list"):
        yield Case("plain", (word,))
        yield Case("plain", (word, b"x", b"y"))
    for words in ((b"version", b"x"), (b"help", b"x", b"y"), (b"restore", b"x"), (b"flush", b"x"), (b"f", b"x", b"y")):
        yield Case("plain", words)
    yield Case("plain", (b"--strict-output", b"list"), "strict-word")
    for table in TABLES:
        yield Case(table, (b"flush",))


def _added() -> Iterator[Case]:
    for name in ODD_NAMES:
        yield Case("plain", (b"add", name))
        yield Case("odd", (b"add", name))
        yield Case("odd", (b"delete", name))
    quotas = (
        b"10", b"0", b"18446744073709551615", b"18446744073709551616", b"-1", b"-5", b"-0", b"+5", b"12x", b" 7",
        b"\t\n8", b"0x10", b"007", b"1e3", b"1.5", b"-18446744073709551615", b"-18446744073709551616", b"9" * 40,
        b"x", b"", b" ", b"+", b"-", b"- 1", b"--1", b"\xff",
    )  # fmt: skip
    for limit, unit in product(quotas, (b"byte", b"packet")):
        yield Case("plain", (b"add", b"q", unit, limit))


def _misused() -> Iterator[Case]:
    lines = (
        b"add a b", b"add a b c", b"add a byte", b"add a packet", b"add a byte 10 20", b"add a foo 10 20",
        b"add a byte x y", b"add a 1 2 3 4", b"add", b"get", b"delete", b"delete a b", b"delete a b c",
        b"delete https https", b"add https", b"add https byte 5", b"get nope", b"delete nope", b"get nope reset",
        b"get nope xml", b"get nope json",
    )  # fmt: skip
    for line in lines:
        yield Case("plain", tuple(line.split()))
    for unit in (b"bytes", b"b", b"BYTE", b"packets", b"pkts", b""):
        yield Case("plain", (b"add", b"a", unit, b"10"))
    for words in ((b"add", b""), (b"get", b""), (b"delete", b""), (b"add", b"", b"byte", b"1"), (b"get", b"", b"xml")):
        yield Case("plain", words)
    for name in (b"used", b"packets-over", b"bytes-under", b"free"):
        yield Case("used", (b"delete", name))
        yield Case("used", (b"add", name))
    for command, length in product((b"add", b"get", b"delete"), (32, 33, 100)):
        case = Case("odd", (command, b"x" * length), "long-name")
        yield case
        yield replace(case, differs=None, strict=True)
        if command == b"add":
            yield replace(case, table="plain")
            yield replace(case, table="plain", differs=None, strict=True)


def _allowed() -> Iterator[Case]:
    lines = (
        b"list", b"list xml", b"list json", b"list reset", b"list overquota", b"get https", b"get https json",
        b"get https reset", b"get nope", b"add new", b"add https", b"add new byte 5", b"delete https", b"delete nope",
        b"flush", b"version", b"help", b"bogus", b"list bogus", b"get", b"add x y",
    )  # fmt: skip
    for line in lines:
        yield Case("plain", tuple(line.split()), as_nobody=True)
    for words in ((b"add", b""), (b"get", b""), (b"delete", b"")):
        yield Case("plain", words, as_nobody=True)
    yield Case("plain", (b"restore",), text=b"{ pkts = 1, bytes = 2 } = new;\n", as_nobody=True)
    yield Case("plain", (b"restore",), text=b"bad\n", as_nobody=True)


def _places() -> Iterator[Case]:
    for line, place in product((b"list", b"list json", b"get https", b"help", b"version"), (Place.FULL, Place.CLOSED)):
        yield Case("plain", tuple(line.split()), "lost-output", output=place)
    for line, place in product((b"add new", b"delete https", b"flush", b"bogus"), (Place.FULL, Place.CLOSED)):
        yield Case("plain", tuple(line.split()), output=place)
    yield Case("plain", (b"list", b"reset"), "lost-output", output=Place.FULL)
    yield Case("plain", (b"list",), output=Place.BROKEN)
    yield Case("plain", (b"restore",), "unreadable-input", source=Place.DIRECTORY)
    yield Case("plain", (b"restore",), source=Place.CLOSED)


def _restored() -> Iterator[Case]:
    """Each text once, and each odd name as ``list`` prints it, with and without a quota."""
    for text in (*texts.ACCEPTED_BY_BOTH, *texts.REFUSED_BY_BOTH):
        yield Case("plain", (b"restore",), text=text.encode())
    for differs, different in texts.DIFFERENT.items():
        for text in different:
            yield Case("plain", (b"restore",), differs, text=text.encode())
    for text in texts.DIFFERENT["long-name"]:
        yield Case("plain", (b"restore",), text=text.encode(), strict=True)
    for name in ODD_NAMES:
        is_cut = re.search(rb"[\s;]|quota", name) is not None
        yield Case("plain", (b"restore",), "restore-name" if is_cut else None, text=texts.listed(name))
        yield Case("plain", (b"restore",), "restore-quota", text=texts.listed(name, over="no"))


def all_cases() -> tuple[Case, ...]:
    """Every command line, each once."""
    parts = (_listed(), _got(), _options(), _commands(), _added(), _misused(), _allowed(), _places(), _restored())
    return tuple(dict.fromkeys(case for part in parts for case in part))
