"""What both are compared on: tables, and the traffic that passes meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.nacctd.space import Line, Wires, ipv4, udp
from tests.kernel.senders import ping, tcp

GRE, SCTP, UNUSED, ICMP = 47, 132, 253, 1
HEADERS = "flush 1000\nfdelay 1000\nheaders lo 14 12\nheaders eth 14 12\n"
"""The table of nearly all cases: nothing is written before the end."""

Traffic = Callable[[Wires], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A table and what passes.

    Attributes:
        name: of the case.
        table: behind :data:`HEADERS`.
        traffic: what passes.
        users: files of the directory ``{here}/users``.
    """

    name: str
    table: str
    traffic: Traffic
    users: dict[str, str] = field(default_factory=dict)

    def prepare(self, here: Path) -> None:
        """Makes the files that the table speaks of."""
        (here / "users").mkdir(exist_ok=True)
        for name, text in self.users.items():
            (here / "users" / name).write_text(text)

    def __str__(self) -> str:
        return self.name


def office(wires: Wires) -> None:
    """Through and to the machine: UDP, pings, TCP, protocols without ports; never lo."""
    wires.datagrams(wires.left, "10.77.1.2", "10.77.1.1", (4000, 9000), 10)
    wires.datagrams(wires.left, "10.77.1.2", "10.77.1.1", (4001, 9000), 2)
    wires.datagrams(wires.left, "10.77.1.2", "10.77.2.2", (4000, 9001), 5)
    wires.datagrams(wires.right, "10.77.2.2", "10.77.1.2", (4000, 9002), 3)
    wires.datagrams(wires.gw, "10.77.2.1", "10.77.2.2", (4000, 9003), 1)
    ping(wires, wires.left, "10.77.1.1", 3)
    ping(wires, wires.right, "10.77.1.2", 2)
    tcp(wires, wires.left, wires.right, "10.77.2.2", 20_000)
    wires.frames(
        wires.left,
        ipv4("10.77.1.2", "10.77.1.1", GRE, bytes(80)),
        ipv4("10.77.1.2", "10.77.2.2", UNUSED, bytes(40)),
        # Answered by nobody: port unreachable goes back to an address that nobody has.
        ipv4("10.77.1.77", "10.77.2.2", 17, udp(53, 9053, 30)),
    )


def hosts(wires: Wires) -> None:
    """One source, many destinations and the other way round."""
    for number in range(1, 20):
        wires.frames(
            wires.left,
            ipv4("10.77.1.2", f"10.20.{number}.1", 17, udp(4000, 9000, 100)),
            ipv4(f"192.168.{number}.5", "10.77.1.1", 17, udp(4000, 9000, 100)),
        )


def dial_in(wires: Wires) -> None:
    """Two dial-in lines, and the office."""
    with (
        Line(wires, wires.gw, "ppp0", "10.50.0.1", "10.50.0.2") as one,
        Line(wires, wires.gw, "ppp1", "10.51.0.1", "10.51.0.2") as two,
    ):
        for line, user in ((one, "10.50.0.2"), (two, "10.51.0.2")):
            for port in (7, 25):
                line.send(ipv4(user, "10.77.2.2", 17, udp(4000, 9000 + port, 50)))
            wires.datagrams(wires.right, "10.77.2.2", user, (9007, 4000), 2)
            wires.datagrams(wires.gw, "10.77.1.1", user, (9008, 4000), 1)
        one.send(ipv4("10.50.0.2", "10.51.0.2", 17, udp(5000, 9009, 10)))
        office(wires)
        wires.settled()


USERS = {"10.50.0.2": "alice\n", "10.51.0.2": "bob  the builder\nsecond line\n", "10.77.1.2": "lan\n"}
_DYNAMIC = "dynamicip {here}/users/\ndynamicnet 10.50.0.0 255.254.0.0\n"
_NO_LOCAL = "exclude-name-lookup 10.50.0.1 255.255.255.255\nexclude-name-lookup 10.51.0.1 255.255.255.255\n"

SAME = [
    Case("all fields", "", office),
    *(Case(f"disable {number}", f"disable {number}\n", office) for number in (2, 4, 6, 7, 8, 9, 10)),
    Case("disable 7,8", "disable 7,8\n", office),
    Case("disable 4 6 7", "disable 4\ndisable 6\ndisable 7\n", office),
    Case("disable 2 4 6 10", "disable 2\ndisable 4\ndisable 6\ndisable 10\n", office),
    Case("many hosts", "", hosts),
    Case("ignoremask", "ignoremask 255.255.255.0\n", office),
    Case("ignoremask 16", "ignoremask 255.255.0.0\n", hosts),
    Case("ignoremask of nothing", "ignoremask 0.0.0.0\n", office),
    Case("ignorenet", "ignorenet 10.77.2.0 255.255.255.0\n", office),
    Case("ignorenet without mask", "ignorenet 10.77.2.2\n", office),
    Case("ignorenet with host bits", "ignorenet 10.77.2.9 255.255.255.0\n", office),
    Case("dontignore", "ignorenet 10.77.0.0 255.255.0.0\ndontignore 10.77.2.2 255.255.255.255\n", office),
    Case("hostlimit", "hostlimit 10.77.1.2\nhostlimit 10.77.2.1\n", office),
    Case("hostlimit in octal", "hostlimit 012.0x4d.1.2\n", office),
    Case("iflimit", "iflimit eth1\n", office),
    Case("iflimit of a beginning", "iflimit eth\n", office),
    Case("iflimit and hostlimit", "iflimit eth0\nhostlimit 10.77.2.2\n", office),
    Case("notdev", "notdev eth1\n", office),
    Case("words of any case", "  NotDev \t eth0 # comment\r\nIGNOREMASK 255.255.255.0\n\n", office),
    Case("dial-in without users", "", dial_in, USERS),
    Case("dial-in", _DYNAMIC, dial_in, USERS),
    Case("dial-in, local ends excluded", _DYNAMIC + _NO_LOCAL, dial_in, USERS),
    Case("dial-in, iflimit", _DYNAMIC + _NO_LOCAL + "iflimit ppp1\ndisable 7\n", dial_in, USERS),
    Case("dial-in, notdev", _DYNAMIC + _NO_LOCAL + "notdev eth0\nnotdev eth1\ndisable 7\n", dial_in, USERS),
]
"""Where both write the same rows."""
