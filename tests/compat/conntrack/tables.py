"""Namespaces with flows of all kinds: from real traffic through a gateway, and made by the real program."""

import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from netledger import conntrack
from tests.compat.conntrack.both import real_program
from tests.kernel.lab import Lab, Network, wait_for
from tests.kernel.senders import ping

# As `sysctl` names them: flows stay for as long as they are compared.
_SETTINGS = {
    "acct": 1,
    "timestamp": 1,
    "events": 1,
    "udp_timeout": 900,
    "udp_timeout_stream": 900,
    "icmp_timeout": 900,
    "icmpv6_timeout": 900,
    "gre_timeout": 900,
    "gre_timeout_stream": 900,
    "generic_timeout": 900,
    "tcp_timeout_time_wait": 900,
    "tcp_timeout_close": 900,
    "tcp_timeout_fin_wait": 900,
    "tcp_timeout_last_ack": 900,
    "tcp_timeout_unacknowledged": 900,
}
FTP_PORT = 21
_RULES = """
table inet tracked {
  ct helper ftp { type "ftp" protocol tcp; }
  chain first {
    type filter hook prerouting priority -300;
    udp dport 9040 ct zone set 4
    udp dport 9041 ct original zone set 5
  }
  chain then {
    type filter hook prerouting priority -150;
    tcp dport 21 ct helper set "ftp"
    udp dport 9050 ct mark set 0x105
    udp dport 9051 ct mark set 5
    udp dport 9060 ct label set 3
    udp dport 9061 ct label set 70
    ct state new accept
  }
}
table inet translated {
  chain to {
    type nat hook prerouting priority -100;
    udp dport 9074 meta nfproto ipv4 dnat ip to 10.77.2.2
    udp dport 9070 meta nfproto ipv4 dnat ip to 10.77.2.2:9071
    udp dport 9072 meta nfproto ipv6 dnat ip6 to [fd77:2::2]:9073
  }
  chain from {
    type nat hook postrouting priority 100;
    udp dport 9080 meta nfproto ipv4 snat ip to 10.77.2.1:4444
    udp dport 9081 meta nfproto ipv6 snat ip6 to fd77:2::1
  }
}"""
# All protocols that it knows, zones, marks, translations, states and bits of the status.
_MADE = """
-I -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state ESTABLISHED -t 9000 -u SEEN_REPLY,ASSURED -m 5
-I -p tcp -s 10.0.0.8 -d 10.0.0.2 --sport 1 --dport 2 --state SYN_SENT2 -t 9000
-I -p tcp -s fd00::7 -d fd00::2 --sport 1 --dport 2 --state TIME_WAIT -t 9000 -u FIXED_TIMEOUT,SEEN_REPLY
-I -p tcp -s 10.0.0.4 -d 10.0.0.2 --sport 1 --dport 2 --state SYN_SENT -t 9000 -w 7
-I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 3 --dport 4 -t 9000 -m 0x105
-I -p udp -s 10.0.0.4 -d 10.0.0.2 --sport 1 --dport 2 -t 9000 --orig-zone 8
-I -p udp -s 10.0.0.5 -d 10.0.0.2 --sport 1 --dport 2 -t 9000 --reply-zone 9
-I -p udp -s 10.0.0.6 -d 10.0.0.2 --sport 1 --dport 2 -t 9000 -n 10.0.0.99
-I -p udp -s 10.0.0.7 -d 10.0.0.2 --sport 1 --dport 2 -t 9000 -g 10.0.0.98:77
-I -p udp -s fd00::8 -d fd00::2 --sport 1 --dport 2 -t 9000 -n fd00::99
-I -p udplite -s 10.0.0.3 -d 10.0.0.2 --sport 13 --dport 14 -t 9000
-I -p sctp -s 10.0.0.3 -d 10.0.0.2 --sport 11 --dport 12 --state ESTABLISHED --orig-vtag 9 --reply-vtag 10 -t 9000
-I -p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 0x11 --dstkey 0x22 -t 9000
-I -p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 9000
-I -p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 78 -t 9000
-I -p esp -s 10.0.0.3 -d 10.0.0.2 -t 9000
-I -p 253 -s fd00::3 -d fd00::2 -t 9000
"""


class Space(Network):
    """A namespace for flows that are made, and one without any."""

    def _wire(self) -> None:
        self.made = self.namespace("made")
        self.empty = self.namespace("empty")
        for name in (self.made, self.empty):
            settings(self, name)
        self._file = self.directory / "made"
        self._file.write_text(_MADE)
        self.fill()

    def fill(self) -> None:
        """The flows of the file and no others, all new."""
        with self.inside(self.made):
            for words in (["-F"], ["-R", str(self._file)]):
                subprocess.run([real_program(), *words], check=True, capture_output=True)


def settings(network: Network, namespace: str) -> None:
    """Counters, times and events are on, and flows stay."""
    with network.inside(namespace):
        for setting, value in _SETTINGS.items():
            Path("/proc/sys/net/netfilter", f"nf_conntrack_{setting}").write_text(f"{value}\n")


class _Rest:
    """Whether nothing has passed for half a second: acknowledgements may be held back for a while."""

    def __init__(self) -> None:
        self._moved = -1
        self._since = 0.0

    def __call__(self) -> bool:
        moved = sum((flow.original.packets or 0) + (flow.reply.packets or 0) for flow in conntrack.dump())
        if moved != self._moved:
            self._moved, self._since = moved, time.monotonic()
        return time.monotonic() - self._since > 0.5


class Traffic(Lab):
    """Flows through a gateway: TCP open and closed, UDP, ICMP, IPv6, NAT, GRE and others, zones, marks, labels, FTP."""

    def _wire(self) -> None:
        super()._wire()
        self._sockets = self._exits.enter_context(ExitStack())
        settings(self, self.gw)
        self.nft(self.gw, _RULES)
        self._udp()
        self._echo()
        self._raw()
        self._tcp()
        self._ftp()
        with self.inside(self.gw):
            wait_for(_Rest(), 20, "the last acknowledgements")

    def _udp(self) -> None:
        ports = (9000, 9040, 9041, 9050, 9051, 9060, 9061, 9080, 9070)
        for family, destination, own in (
            (socket.AF_INET, "10.77.2.2", ports),
            (socket.AF_INET, "10.78.0.1", (9074,)),
            (socket.AF_INET6, "fd77:2::2", (9000, 9072, 9081)),
        ):
            with self.inside(self.left), socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.bind(("", 4000))
                for packets, port in enumerate(own, start=1):
                    for _ in range(packets):
                        sender.sendto(bytes(10 * packets), (destination, port))

    def _echo(self) -> None:
        """One that is answered, over UDP, and pings."""
        with self.inside(self.right):
            server = self._sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        server.bind(("10.77.2.2", 7))
        server.settimeout(20)
        with self.inside(self.left), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(20)
            for _ in range(3):
                client.sendto(b"echo", ("10.77.2.2", 7))
                text, address = server.recvfrom(100)
                server.sendto(text, address)
                client.recv(100)
        for address in ("10.77.2.2", "fd77:2::2"):
            ping(self, self.left, address, 2)

    def _raw(self) -> None:
        for family, destination, protocols in (
            (socket.AF_INET, "10.78.0.1", (47, 50, 253)),
            (socket.AF_INET6, "fd78::1", (47, 50)),
        ):
            for protocol in protocols:
                with self.inside(self.left), socket.socket(family, socket.SOCK_RAW, protocol) as sender:
                    sender.sendto(b"\0\0\x08\0" + bytes(60), (destination, 0))

    def _tcp(self) -> None:
        for family, address in ((socket.AF_INET, "10.77.2.2"), (socket.AF_INET6, "fd77:2::2")):
            server, client = self._connected(family, address, 5001)
            client.sendall(b"stays")
            server.recv(100)
            for end in self._connected(family, address, 5002):
                end.close()

    def _connected(self, family: int, address: str, port: int) -> tuple[socket.socket, socket.socket]:
        with self.inside(self.right):
            listener = self._sockets.enter_context(socket.create_server((address, port), family=family))
        with self.inside(self.left):
            client = self._sockets.enter_context(socket.socket(family))
        client.settimeout(20)
        client.connect((address, port))
        server = self._sockets.enter_context(listener.accept()[0])
        server.settimeout(20)
        return server, client

    def _ftp(self) -> None:
        """A session each, in which the client says where it waits for data."""
        for family, address, waits in (
            (socket.AF_INET, "10.77.2.2", b"PORT 10,77,1,2,200,10\r\n"),
            (socket.AF_INET6, "fd77:2::2", b"EPRT |2|fd77:1::2|51001|\r\n"),
        ):
            server, client = self._connected(family, address, FTP_PORT)
            for text in (b"USER me\r\n", waits):
                client.sendall(text)
                server.recv(100)
                server.sendall(b"200 well\r\n")
                client.recv(100)
        with self.inside(self.gw):
            wait_for(self._both_are_expected, 20, "both expectations")

    @staticmethod
    def _both_are_expected() -> bool:
        with suppress(OSError):
            return len(Path("/proc/thread-self/net/nf_conntrack_expect").read_text().splitlines()) == 2
        return False
