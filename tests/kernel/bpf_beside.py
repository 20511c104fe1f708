"""Meters of two sources in one daemon, on the same packets of every kind, cut when nothing passes."""

import csv
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGUSR1

from tests.kernel import links, senders
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count
from tests.kernel.senders import Udp
from tests.unit import packets

FOR_US = bytes.fromhex("027700000101 027700000102")
TO_EVERYBODY = 5, 6
HANDED_BACK = Count(TO_EVERYBODY[0], TO_EVERYBODY[0] * 78) + Count(TO_EVERYBODY[1], TO_EVERYBODY[1] * 99)
INTERVAL_COLUMNS = ("interval_start", "interval_end", "node", "meter")
Rows = Counter[tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Both:
    """What both sources have committed of the same packets."""

    gateway: Gateway
    witness: Count

    def rows(self, meter: str) -> Rows:
        """Whole lines of an export, but for the columns that say when and by whom."""
        lines: Rows = Counter()
        for path in sorted((self.gateway.store / "exports" / meter).glob("*.csv")):
            with path.open(newline="") as text:
                for line in csv.DictReader(text):
                    lines[tuple((name, cell) for name, cell in line.items() if name not in INTERVAL_COLUMNS)] += 1
        return lines


def send_everything(lab: BpfLab) -> None:
    """Forwarded, received and sent by the gateway; UDP, TCP, ICMP; whole and in pieces; to itself and to everybody."""
    for family, left, right, beyond, own in (
        (4, "10.77.1.2", "10.77.2.2", "10.78.3.0", "10.77.1.1"),
        (6, "fd77:1::2", "fd77:2::2", "fd78::3:0", "fd77:1::1"),
    ):
        header = 20 if family == 4 else 40
        many = Udp(source=left, destination=beyond, sources=20, destinations=13, ports=3, count=1500)
        senders.udp(lab, lab.left, many)
        senders.udp(lab, lab.right, Udp(source=right, destination=left, count=40, payload_bytes=1400 - header))
        senders.udp(lab, lab.left, Udp(source=left, destination=own, ports=4, count=30, payload_bytes=0))
        senders.ping(lab, lab.left, right, 5, payload_bytes=10)
        senders.ping(lab, lab.gw, right, 4)
        senders.ping(lab, lab.gw, own, 3)
        senders.ping(lab, lab.gw, "127.0.0.1" if family == 4 else "::1", 3)
        senders.tcp(lab, lab.left, lab.right, right, 1 << 20)
        senders.tcp(lab, lab.gw, lab.left, left, 1 << 18)
        senders.fragments(lab, lab.left, right, 5000, count=6)
        senders.fragments(lab, lab.gw, right, 3000, count=4)
        senders.fragments(lab, lab.right, own, 3000, count=4)
    senders.extended(lab, lab.left, "fd77:2::2", 100, count=7)
    senders.extended(lab, lab.gw, "fd77:1::2", 1, count=3)
    to_everybody(lab)
    in_frames(lab)


def in_frames(lab: BpfLab) -> None:
    """Tags and PPPoE, whose packets no hook sees: nobody on the gateway takes them off."""
    for form in links.FORMS.values():
        if form:
            v4 = packets.ipv4("10.77.1.77", "10.78.0.1", packets.udp(payload=bytes(33)))
            v6 = packets.ipv6("fd77:1::77", "fd78::1", packets.udp(payload=bytes(44)))
            links.put(lab, lab.left, "uplink", [packets.ethernet(each, macs=FOR_US, **form) for each in (v4, v6)])


def to_everybody(lab: BpfLab) -> None:
    """Broadcast and multicast of the gateway: the kernel hands a copy back to it, which no hook may count twice."""
    with lab.inside(lab.gw):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            speaker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for _ in range(TO_EVERYBODY[0]):
                speaker.sendto(bytes(50), ("10.77.1.255", 9001))
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as speaker:
            for _ in range(TO_EVERYBODY[1]):
                speaker.sendto(bytes(51), ("ff02::1", 9001, 0, socket.if_nametoindex("right")))


@contextmanager
def counted(meters: Mapping[str, str]) -> Iterator[Both]:
    """A gateway whose meters have all counted the same, each in one interval."""
    with BpfLab() as lab, own_bpffs():
        lab.witness(lab.gw)
        gateway = Gateway(lab, lab.gw, interval="1h", meters=meters)
        gateway.start()
        for meter in meters:
            gateway.wait_until_counting(meter)
        send_everything(lab)
        witness = lab.counter(lab.gw, "witness", "total")
        gateway.child.signal(SIGUSR1)
        for meter in meters:
            gateway.wait_for_intervals(1, meter=meter)
        assert gateway.stop() == 0, gateway.log()
        assert pins() == []
        yield Both(gateway, witness)
