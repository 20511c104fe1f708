"""A machine as nacctd knew them: Ethernet on two sides, dial-in lines, and packets made by hand."""

import fcntl
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from tests.kernel.lab import Network, wait_for
from tests.kernel.links import send_frame
from tests.kernel.settling import settle

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_NO_PI: Final = 0x1001
_ETH_P_IP: Final = 0x0800
_PROC_WORDS: Final = ("sk", "RefCnt", "Type", "Proto", "Iface", "R", "Rmem", "User", "Inode")


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    total: int | None = None,
    fragment: int = 0,
    identification: int = 1,
) -> bytes:
    """A packet; ``total`` is the length that it tells, ``fragment`` flags and offset as they stand in the header."""
    length = 20 + len(payload) if total is None else total
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, 0, length, identification, fragment, 64, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )  # fmt: skip
    added = sum(struct.unpack("!10H", head))
    added = (added & 0xFFFF) + (added >> 16)
    return head[:10] + struct.pack("!H", ~(added + (added >> 16)) & 0xFFFF) + head[12:] + payload


def udp(source_port: int, port: int, payload: bytes | int) -> bytes:
    """A datagram without a checksum."""
    data = bytes(payload) if isinstance(payload, int) else payload
    return struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data


class Line:
    """A dial-in line as the machine sees it: a point-to-point interface without a link layer, such as ppp0.

    What the user sends is written into it; what the machine sends to the user is taken out and thrown away.
    """

    def __init__(self, network: Network, namespace: str, name: str, ours: str, users: str) -> None:
        self.name = name
        with network.inside(namespace):
            self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tun, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _IFF_TUN_NO_PI))
        self._end, self._ending = os.pipe()
        self._reader = threading.Thread(target=self._take_out)
        self._reader.start()
        # As sliplogin's scripts do it.
        network.run(namespace, ["ip", "address", "add", ours, "peer", users, "dev", name])
        network.run(namespace, ["ip", "link", "set", name, "mtu", "1500", "up"])

    def send(self, packet: bytes) -> None:
        """What the user sends."""
        os.write(self._tun, packet)

    def hang_up(self) -> None:
        """The interface is gone afterwards. May be called twice."""
        if self._tun >= 0:
            os.write(self._ending, b"x")
            self._reader.join()
            for descriptor in (self._tun, self._end, self._ending):
                os.close(descriptor)
            self._tun = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.hang_up()

    def _take_out(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._tun, selectors.EVENT_READ)
            ready.register(self._end, selectors.EVENT_READ)
            while all(key.fd != self._end for key, _ in ready.select()):
                os.read(self._tun, 1 << 16)


class Wires(Network):
    """gw with eth0 (10.77.1.1) to left (10.77.1.2) and eth1 (10.77.2.1) to right (10.77.2.2)."""

    def _wire(self) -> None:
        self.lookers: list[Callable[[str], str | None]] = []
        self.gw, self.left, self.right = (self.namespace(label) for label in ("gw", "left", "right"))
        for number, side, interface in ((1, self.left, "eth0"), (2, self.right, "eth1")):
            self.join(self.gw, interface, side, number)
            self.run(side, ["ip", "route", "add", "default", "via", f"10.77.{number}.1"])
        # What comes from nowhere else is thrown away without an answer.
        for namespace in (self.left, self.right, self.gw):
            self.run(namespace, ["sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv4.conf.all.accept_local=1"])

    def datagrams(self, namespace: str, source: str, destination: str, ports: tuple[int, int], count: int) -> None:
        """So many datagrams of 100 bytes from a socket."""
        with self.inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((source, ports[0]))
            for _ in range(count):
                sender.sendto(bytes(100), (destination, ports[1]))
        settle()

    def frames(self, namespace: str, *packets: bytes) -> None:
        """Packets as they are, from left or right to gw."""
        number = 1 if namespace == self.left else 2
        target = bytes.fromhex(f"027700000{number:x}01".replace(":", ""))
        with self.inside(namespace), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind(("uplink", _ETH_P_IP))
            own = bytes.fromhex(f"027700000{number:x}02")
            for packet in packets:
                send_frame(sender, target + own + struct.pack("!H", _ETH_P_IP) + packet)
        settle()

    def login(self, address: str, user: str | None) -> None:
        """Writes into the directories of users whose an address is from now on, and waits until it is noticed."""
        for directory in self.directory.glob("*/users"):
            if user is None:
                (directory / address).unlink()
            else:
                (directory / address).write_text(f"{user}\n")
        self.noticed(address, user)

    def noticed(self, address: str, user: str | None) -> None:
        """Waits until all that look at users at once have seen this one."""
        wait_for(lambda: all(looks(address) == user for looks in self.lookers), 20, f"{user} at {address} is noticed")

    def listeners(self) -> list[dict[str, str]]:
        """The packet sockets in gw."""
        text = self.run(self.gw, ["cat", "/proc/net/packet"])
        return [dict(zip(_PROC_WORDS, line.split(), strict=True)) for line in text.splitlines()[1:]]

    def settled(self) -> None:
        """Waits until no packet is on its way to a socket."""
        settle()
        wait_for(lambda: all(one["Rmem"] == "0" for one in self.listeners()), 20, "all packets are read")
