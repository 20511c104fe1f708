"""The tables of objects that commands are run on, made in the kernel."""

import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from netledger import nfacct
from netledger.nfacct import Quota, Unit
from tests.kernel.lab import Network

PORT, PAYLOAD_BYTES = 9001, 100
MANY = 600

ODD_NAMES = (
    b"with space", b" leading", b"trailing ", b"two  blanks", b"\t", b'quote"<&>', b"'single'", b"semi;colon", b"a;",
    b";", b"back\\slash", b"tab\there", b"line\nfeed", b"end\n", b"return\r", b"bell\x07", b"\x01\x1f", b"\x7f",
    b"\xff\xfe", b"cut \xe2\x82", "größe €".encode(), "\ufffe".encode(), b"\xed\xa0\x80", b"%s%n%d", b"-x", b"--help",
    b"quota", b"my-quota-obj", b"reset", b"xml", b"]]>", b"&amp;", b"{ pkts = 1", b"} = x", b"$HOME", b"0",
    b"y" * 30, b"x" * 31,
)  # fmt: skip

_RULES = """*filter
:OUTPUT ACCEPT
-A OUTPUT -p udp --dport 9001 -m nfacct --nfacct-name used
-A OUTPUT -p udp --dport 9001 -m nfacct --nfacct-name packets-over
-A OUTPUT -p udp --dport 9001 -m nfacct --nfacct-name bytes-over
-A OUTPUT -p udp --dport 9001 -m nfacct --nfacct-name bytes-under
-A OUTPUT -p udp --dport 9001 -j DROP
COMMIT
"""
_NO_RULES = "*filter\n:OUTPUT ACCEPT\nCOMMIT\n"


@dataclass
class Tables:
    """One namespace whose objects are brought into a known state again and again. The thread is in it."""

    network: Network
    space: str
    ruled: bool = False

    def prepare(self, name: str) -> None:
        """The objects of one table, and no others."""
        if self.ruled:
            self._iptables(_NO_RULES)
            self.ruled = False
        nfacct.flush()
        TABLES[name](self)

    def _iptables(self, rules: str) -> None:
        subprocess.run(["iptables-restore", "-w"], input=rules, text=True, check=True, timeout=120, capture_output=True)

    def used(self) -> None:
        """Objects of rules, one of them over each kind of limit, after 4 packets of 128 bytes."""
        nfacct.add("used")
        nfacct.add("free", packets=3, octets=300)
        nfacct.add("packets-over", quota=Quota(3, Unit.PACKETS))
        nfacct.add("bytes-over", quota=Quota(512, Unit.BYTES))
        nfacct.add("bytes-under", quota=Quota(513, Unit.BYTES))
        self._iptables(_RULES)
        self.ruled = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(4):
                try:
                    sender.sendto(bytes(PAYLOAD_BYTES), ("127.0.0.1", PORT))
                except PermissionError:  # the last rule drops it, which the sender is told
                    continue
                raise AssertionError("the packet passed the rule that drops")


def _empty(_tables: Tables) -> None:
    pass


def _plain(_tables: Tables) -> None:
    nfacct.add("http-traffic", packets=5, octets=600)
    nfacct.add("https")
    nfacct.add("most", packets=2**64 - 1, octets=2**64 - 1)


def _odd(_tables: Tables) -> None:
    for number, name in enumerate(ODD_NAMES):
        nfacct.add(name, packets=number, octets=number * 100)


def _quotas(_tables: Tables) -> None:
    nfacct.add("plain", packets=1, octets=40)
    nfacct.add("bytes", quota=Quota(10**9, Unit.BYTES), packets=7, octets=700)
    nfacct.add("packets", quota=Quota(2**64 - 1, Unit.PACKETS))
    nfacct.add("nothing", quota=Quota(0, Unit.BYTES))


def _many(_tables: Tables) -> None:
    for number in range(1, MANY + 1):
        nfacct.add(f"object {number}", packets=number, octets=number * 100)


TABLES: dict[str, Callable[[Tables], None]] = {
    "empty": _empty,
    "plain": _plain,
    "odd": _odd,
    "quotas": _quotas,
    "used": Tables.used,
    "many": _many,
}
