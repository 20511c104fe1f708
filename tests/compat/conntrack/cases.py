"""The command lines that both programs are given."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from tests.compat.conntrack import filters

FORMATS = (
    "extended", "id", "timestamp", "ktimestamp", "labels", "xml", "save", "userspace", "extended,id,ktimestamp",
    "xml,ktimestamp", "xml,extended,id,timestamp,labels", "x", "E", "kt,i",
)  # fmt: skip
MAIN_FORMATS = ("", "-o xml", "-o save", "-o extended,id,ktimestamp")
COMMANDS = ("-L", "-G", "-D", "-F", "-E", "-C", "-S", "-V", "-h", "")
TABLES = ("", "conntrack", "expect", "dying", "unconfirmed", "e", "c", "d", "u", "nosuch")


@dataclass(frozen=True, slots=True)
class Case:
    """One command line on the flows of one namespace: ``made``, ``traffic`` or ``empty``.

    ``strict`` puts ``--strict-output`` in front of our words.
    """

    space: str
    words: str
    strict: bool = False
    as_nobody: bool = False

    def __str__(self) -> str:
        return " ".join([f"{self.space}:", self.words, *["strict"] * self.strict, *["nobody"] * self.as_nobody])

    @property
    def changes(self) -> bool:
        """Whether it may leave other flows behind than it found."""
        return (
            not self.as_nobody
            and re.search(r"(?:^| )(?:-D\w*|-F\w*|-\w*z\w*|--flush|--ze\S*)(?: |$)", self.words) is not None
        )


def all_groups() -> dict[str, list[Case]]:
    """All of them, each once, by what they are about."""
    groups = {
        "listed-made": _listed("made"), "listed-traffic": _listed("traffic"), "listed-empty": _listed_empty(),
        "one": _about_one(), "deleted": _deleted(), "others": _others(), "spellings": _spellings(),
        "options": _options(), "protocols": _of_protocols(), "tables": _tables(),
    }  # fmt: skip
    cases = {name: [Case(*pair) for pair in dict.fromkeys(pairs)] for name, pairs in groups.items()}
    cases["nobody"] = [Case(*pair, as_nobody=True) for pair in _by_nobody()]
    # Where the bytes are wrong, the old ones can be had.
    for group in list(cases):
        strict = [
            replace(case, strict=True) for case in cases[group] if re.search(r"-(?:o|-out) (?:x|\S*xml)", case.words)
        ]
        if strict:
            cases[f"{group}-strict"] = strict
    cases["attached"] = [Case("made", words) for words in filters.ATTACHED]
    cases["attached-strict"] = [Case("made", words, strict=True) for words in filters.ATTACHED]
    return cases


def _listed(space: str) -> Iterator[tuple[str, str]]:
    for word, filter_ in product(FORMATS, ("", "-p icmp", "-f ipv6", "-s 10.255.0.1")):
        yield space, _joined("-L", filter_, f"-o {word}")
    # Each filter with two formats, and each format with many filters.
    for number, filter_ in enumerate(filters.of(space)):
        for format_ in ("", MAIN_FORMATS[1 + number % 3]):
            yield space, _joined("-L", filter_, format_)
    for table, format_ in product(TABLES, ("", "-o xml", "-o timestamp", "-o xml,id", "-f ipv6", "-f ipv6 -o xml")):
        # The time of an expectation is that of the listing.
        if not (table.startswith("e") and "timestamp" in format_):
            yield space, _joined("-L", table, format_)


def _listed_empty() -> Iterator[tuple[str, str]]:
    for words in (
        "-L",
        "-L -o xml",
        "-L -o save",
        "-L expect -o xml",
        "-L dying -o xml",
        "-L -p tcp -o x,id",
        "-D",
        "-D -o xml",
    ):
        yield "empty", words


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _about_one() -> Iterator[tuple[str, str]]:
    for flow, format_ in product(filters.ONE, (*MAIN_FORMATS, "-o labels", "-i 5", "-o xml,ktimestamp")):
        yield "made", _joined("-G", flow, format_)


def _deleted() -> Iterator[tuple[str, str]]:
    for number, filter_ in enumerate(filters.of("made")):
        yield "made", _joined("-D", filter_, "-o xml" if number % 3 == 2 else "")
    for format_ in FORMATS:
        yield "made", f"-D -p udp -o {format_}"
    for words in ("-D", "-D -p tcp --sport 99", "-D -i 5", "-D -s 10.0.0.1 -o save", "-D -f ipv6 -o extended,id"):
        yield "made", words
    for words in ("-F", "-F conntrack", "-F -f ipv4", "-F -f ipv6", "--flush", "-F c"):
        yield "made", words
    for words in ("-L -z", "-Lz", "-L -z -f ipv6", "-L -z -o xml", "-z -L", "-L --zero", "-L conntrack -z -o extended"):
        yield "made", words


def _others() -> Iterator[tuple[str, str]]:
    for space, words in product(("traffic", "made", "empty"), ("-C", "-C conntrack", "-C expect", "--count", "-S")):
        yield space, words
    for words in (
        "-S expect",
        "--stats",
        "-V",
        "--version",
        "-V expect",
        "-h",
        "--help",
        "-h expect",
        "",
        "foo",
        "-- -L",
    ):
        yield "traffic", words
    for protocol in (*filters.PROTOCOLS, "esp", "253", "ospf", "unknown", "256", "0", "0x6", "TCP", "006", "6x", ""):
        yield "made", _joined("-h -p", protocol)
        yield "made", _joined("-L -p", protocol)


def _spellings() -> Iterator[tuple[str, str]]:
    for words in filters.SPELLINGS:
        yield "made", words


def _options() -> Iterator[tuple[str, str]]:
    """Each option with each command."""
    for command, option in product(COMMANDS, filters.OPTIONS):
        yield "empty", _joined(command, option)
        if command:
            yield "empty", _joined(command, "expect", option)


def _of_protocols() -> Iterator[tuple[str, str]]:
    for command, (protocol, options) in product(("-L", "-D", "-E"), filters.OF_PROTOCOLS.items()):
        for option in options:
            yield "empty", _joined(command, "-p", protocol, option)
    for command, option in product(("-V", "-F", "-S", ""), filters.OF_PROTOCOLS["tcp"]):
        yield "empty", _joined(command, "-p tcp", option)
    for (protocol, options), ends in product(filters.OF_PROTOCOLS.items(), filters.ENDS):
        for option in options:
            yield "empty", _joined("-G -p", protocol, ends, option)


def _tables() -> Iterator[tuple[str, str]]:
    for command, table in product(COMMANDS, TABLES):
        if command:
            yield "empty", _joined(command, table)
    for command in COMMANDS:
        yield "empty", _joined("-L", command)


def _by_nobody() -> Iterator[tuple[str, str]]:
    one = "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 3 --dport 4"
    for words in (
        "-L",
        "-L expect",
        "-L dying",
        f"-G {one}",
        "-D",
        "-F",
        "-C",
        "-C expect",
        "-S",
        "-S expect",
        "-E",
        "-V",
        "-h",
    ):
        yield "made", words
    yield "made", "-L -o xml"
    yield "made", "-E -b 5000"
    yield "made", "-L -p nosuch"
