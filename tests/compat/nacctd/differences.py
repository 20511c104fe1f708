"""Where ours does not write what nacctd writes: what passes, and the rows of both.

Each name has its row in docs/reference/compat-nacctd.md. Rows are those of the interfaces that a case is about.
"""

import re
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.compat.nacctd.cases import HEADERS, Case
from tests.compat.nacctd.space import Line, Wires, ipv4, udp

_MORE = 0x2000
Rows = dict[str, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """A case in which both differ.

    Attributes:
        case: it. Its table has no beginning of its own.
        real: whether rows are those of nacctd.
        ours: our rows.
        about: matches the rows that count.
    """

    case: Case
    real: Callable[[Rows], bool]
    ours: Rows
    about: str = ".*"

    def only(self, rows: Counter[str]) -> Rows:
        """Of the rows of a log those that the case is about."""
        return {row: number for row, number in rows.items() if re.fullmatch(self.about, row)}

    def __str__(self) -> str:
        return self.case.name


def _is(*rows: str) -> Callable[[Rows], bool]:
    return dict.fromkeys(rows, 1).__eq__


def _row(*fields: object) -> str:
    return "\t".join(map(str, fields))


def _loopback(wires: Wires) -> None:
    wires.datagrams(wires.gw, "127.0.0.1", "127.0.0.2", (4000, 9000), 3)


def _fragments(wires: Wires) -> None:
    first = udp(4000, 9000, b"x" * 1000)[:808]
    wires.frames(
        wires.left,
        ipv4("10.77.1.2", "10.77.1.1", 17, first, fragment=_MORE, identification=77),
        ipv4("10.77.1.2", "10.77.1.1", 17, b"xx" * 100, fragment=808 // 8, identification=77),
    )


def _lie(wires: Wires) -> None:
    wires.frames(wires.left, ipv4("10.77.1.2", "10.77.1.1", 17, udp(4000, 9000, 100), total=60_000))


def _plain(wires: Wires) -> None:
    wires.datagrams(wires.left, "10.77.1.2", "10.77.1.1", (4000, 9000), 2)


def _ipv6_line(wires: Wires) -> None:
    with Line(wires, wires.gw, "ppp0", "10.50.0.1", "10.50.0.2") as line:
        wires.run(wires.gw, ["ip", "address", "add", "fd50::a0b:c0d:1:1/64", "dev", "ppp0", "nodad"])
        with wires.inside(wires.gw), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(bytes(100), ("fd50::2", 9000))
        line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 10)))
        wires.settled()


def _many(wires: Wires) -> None:
    for number in range(1, 7):
        wires.frames(wires.left, ipv4("10.77.1.2", f"10.{number * 20}.{number}.1", 17, udp(4000, 9000, 100)))


def _long_name(wires: Wires) -> None:
    with Line(wires, wires.gw, "pppabcdefgh12", "10.50.0.1", "10.50.0.2") as line:
        line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 10)))
        wires.settled()


def _talk(wires: Wires) -> None:
    with Line(wires, wires.gw, "ppp0", "10.50.0.1", "10.50.0.2") as line:
        line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 10)))
        wires.settled()


def _hand_over(wires: Wires) -> None:
    with Line(wires, wires.gw, "ppp0", "10.50.0.1", "10.50.0.2") as line:
        line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 10)))
        wires.settled()
        wires.login("10.50.0.2", "bob")
        line.send(ipv4("10.50.0.2", "10.77.1.1", 17, udp(4000, 9000, 10)))
        wires.settled()


_DYNAMIC = "dynamicip {here}/users\ndynamicnet 10.50.0.0 255.255.0.0\nexclude-name-lookup 10.50.0.1 255.255.255.255\n"

_TALK = (17, "10.50.0.2", 4000, "10.77.1.1", 9000, 1, 38)
_WIRE = (17, "10.77.1.2", 4000, "10.77.1.1", 9000)
_LO = (17, "127.0.0.1", 4000, "127.0.0.2", 9000)
_PPP = r".*\tppp.*"

DIFFERENCES = [
    Difference(
        Case("loopback", HEADERS, _loopback),
        _is(_row(*_LO, 6, 768, "lo", "unknown")),
        {_row(*_LO, 3, 384, "lo", "unknown"): 1},
    ),
    Difference(
        Case("fragments", HEADERS, _fragments),
        _is(
            _row(*_WIRE, 1, 828, "eth0", "unknown"),
            _row(17, "10.77.1.2", 30840, "10.77.1.1", 30840, 1, 220, "eth0", "unknown"),
        ),
        {_row(*_WIRE, 2, 1048, "eth0", "unknown"): 1},
    ),
    Difference(
        Case("length-lies", HEADERS, _lie),
        _is(_row(*_WIRE, 1, 60_000, "eth0", "unknown")),
        {_row(*_WIRE, 1, 128, "eth0", "unknown"): 1},
    ),
    Difference(
        Case("unlisted-interface", HEADERS.replace("headers eth 14 12\n", ""), _plain),
        # The header of Ethernet, 0800 4500 …, is read as if it were that of IP.
        lambda rows: len(rows) > 0 and all(row.startswith("0\t8.0.69.0\t") for row in rows),
        {_row(*_WIRE, 2, 256, "eth0", "unknown"): 1},
    ),
    Difference(
        Case("ghost-rows", HEADERS, _ipv6_line),
        # fd50:: has its second byte where IPv4 has the protocol, and the flow label stands for the length.
        lambda rows: any(row.startswith("80\t0.0.0.0\t0\t10.11.12.13\t0\t1\t") for row in rows),
        {_row(*_TALK, "ppp0", "unknown"): 1},
        _PPP,
    ),
    Difference(
        Case("split-records", HEADERS + "disable 5\n", _many),
        lambda rows: len(rows) > 1 and sum(int(row.split("\t")[5]) * count for row, count in rows.items()) == 6 * 128,
        {_row(17, "10.77.1.2", 4000, 9000, 6, 768, "eth0", "unknown"): 1},
        "17\t.*",
    ),
    Difference(
        Case("long-names", HEADERS + "notdev pppabcdefgh12\n", _long_name),
        _is(_row(*_TALK, "pppabcdefgh1", "unknown")),
        {},
        _PPP,
    ),
    Difference(
        Case("empty-user", HEADERS + _DYNAMIC, _talk, {"10.50.0.2": ""}),
        # What its memory held there: often a line of /etc/protocols, or all of them.
        lambda rows: all(not row.endswith("\tunknown") for row in rows),
        {_row(*_TALK, "ppp0", "unknown"): 1},
        _PPP,
    ),
    Difference(
        Case("tabs-in-users", HEADERS + _DYNAMIC, _talk, {"10.50.0.2": "al\tice\n"}),
        _is(_row(*_TALK, "ppp0", "al\tice")),
        {_row(*_TALK, "ppp0", "al ice"): 1},
        _PPP,
    ),
    Difference(
        Case("re-assigned", HEADERS + _DYNAMIC, _hand_over, {"10.50.0.2": "alice\n"}),
        _is(_row(*_TALK[:5], 2, 76, "ppp0", "alice")),
        {_row(*_TALK, "ppp0", "alice"): 1, _row(*_TALK, "ppp0", "bob"): 1},
        _PPP,
    ),
]
"""In the order of the page."""
