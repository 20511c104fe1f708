"""A namespace whose firewall tracks flows of every kind, and what the program conntrack says of them."""

import re
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from netledger.conntrack import Direction, Family, Flow, Status
from tests.kernel.lab import Network
from tests.kernel.settling import settle

PAYLOAD_BYTES = 100
"""Of each UDP packet; 128 bytes with its headers."""
SINK, MARKED, LABELLED, ZONED, HALF_ZONED = 9000, 9001, 9002, 9007, 9008
FTP = 9021
MARK, LABEL, ZONE, ORIGINAL_ZONE = 0x20, 5, 7, 8

RULES = f"""
table inet tracked {{
  ct helper of-ftp {{ type "ftp" protocol tcp; }}
  chain raw {{
    type filter hook output priority -300;
    udp dport {ZONED} ct zone set {ZONE}
    udp dport {HALF_ZONED} ct original zone set {ORIGINAL_ZONE}
  }}
  chain out {{
    type filter hook output priority 0;
    ct state new counter
    udp dport {MARKED} ct mark set {MARK}
    udp dport {LABELLED} ct label set {LABEL}
    tcp dport {FTP} ct helper set "of-ftp"
  }}
  chain translated {{ type nat hook output priority -100; ip daddr 127.0.0.77 dnat ip to 127.0.0.1; }}
}}"""
SWITCHES = ("acct=1", "timestamp=1", "events=1")

LIFE_SECONDS = 900

GRE, ESP, SCTP = 47, 50, 132
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", GRE: "gre", 58: "icmpv6", SCTP: "sctp"}
_MOVING = re.compile(r"(^ipv[46] +\d+ \w+ +\d+) \d+ | delta-time=\d+")


class Tracked(Network):
    """One namespace: all goes by loopback. Flows are counted, and have times and events."""

    def _wire(self) -> None:
        self.here = self.namespace("here")
        self.nft(self.here, RULES)
        for switch in SWITCHES:
            self.run(self.here, ["sysctl", "-qw", f"net.netfilter.nf_conntrack_{switch}"])
        with self.inside(self.here):
            none_ends_by_itself()

    def peer(self, *words: str, code: int = 0) -> str:
        """What the real program prints."""
        argv = ["ip", "netns", "exec", self.here, "conntrack", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout

    def peer_lines(self, *words: str) -> list[str]:
        """The flows that the real program lists, without what changes by itself, in order."""
        listed = self.peer("-L", *words, "-o", "extended,id").splitlines()
        return sorted(_MOVING.sub(lambda found: f"{found[1]} " if found[1] else "", line).rstrip() for line in listed)


def none_ends_by_itself() -> None:
    """In the namespace of the calling thread: a flow may live for three seconds only, and a machine may be busy."""
    for timeout in Path("/proc/sys/net/netfilter").glob("nf_conntrack_*timeout*"):
        timeout.write_text(f"{LIFE_SECONDS}\n")


def send_udp(port: int, packets: int = 1, host: str = "127.0.0.1", source_port: int = 0) -> None:
    """UDP from the calling thread; each call is a flow of its own unless ``source_port`` says which."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sender.bind(("::" if ":" in host else "0.0.0.0", source_port))  # noqa: S104  # a sender, not a server
        for _ in range(packets):
            sender.sendto(bytes(PAYLOAD_BYTES), (host, port))
    settle()


def send_raw(protocol: int, payload: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) as sender:
        sender.sendto(payload, ("127.0.0.2", 0))


@contextmanager
def connected(port: int, host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection of the calling thread with itself: the two ends."""
    with ExitStack() as exits:
        listener = exits.enter_context(socket.create_server(("127.0.0.1", port)))
        client = exits.enter_context(socket.create_connection((host, port), timeout=120))
        server = exits.enter_context(listener.accept()[0])
        yield client, server


def make_every_kind(network: Tracked) -> None:
    """One flow of each kind. The calling thread is in the namespace."""
    for port in (SINK, MARKED, LABELLED, ZONED, HALF_ZONED):
        send_udp(port, packets=2)
    send_udp(SINK, host="::1")
    send_udp(SINK, host="127.0.0.77")
    for address in ("127.0.0.1", "::1"):
        network.run(network.here, ["ping", "-q", "-c", "1", address])
    send_raw(GRE, struct.pack("!HHHHI", 0x2081, 0x880B, 4, 77, 1))
    send_raw(ESP, bytes(20))
    initiation = struct.pack("!BBHIIHHI", 1, 0, 20, 99, 65535, 1, 1, 7)
    send_raw(SCTP, struct.pack("!HHII", 9, 10, 0, 0) + initiation)
    with connected(FTP) as (client, server):
        client.sendall(bytes(PAYLOAD_BYTES))
        received = 0
        while received < PAYLOAD_BYTES:
            received += len(server.recv(PAYLOAD_BYTES))
    settle()


def _above(direction: Direction) -> str:
    if direction.protocol == GRE:
        return f" srckey={direction.source_port:#x} dstkey={direction.destination_port:#x}"
    if direction.source_port is not None:
        return f" sport={direction.source_port} dport={direction.destination_port}"
    if direction.icmp_type is not None:
        return f" type={direction.icmp_type} code={direction.icmp_code} id={direction.icmp_id}"
    return ""


def _side(direction: Direction, word: str) -> str:
    zone = "" if direction.zone is None else f" zone-{word}={direction.zone}"
    ends = f"src={direction.source} dst={direction.destination}{_above(direction)}{zone}"
    return f"{ends} packets={direction.packets} bytes={direction.bytes}"


def line(flow: Flow) -> str:
    """A flow as ``conntrack -L -o extended,id`` prints it, without what changes by itself."""
    assert flow.status is not None
    family = "ipv4     2" if flow.family is Family.IPV4 else "ipv6     10"
    protocol = flow.original.protocol
    head = f"{family} {PROTOCOLS.get(protocol, 'unknown'):8} {protocol}"
    state = "" if flow.state is None else f"{flow.state} "
    unreplied = "" if Status.SEEN_REPLY in flow.status else " [UNREPLIED]"
    assured = " [ASSURED]" if Status.ASSURED in flow.status else ""
    zone = "" if flow.zone is None else f" zone={flow.zone}"
    helper = "" if flow.helper is None else f" helper={flow.helper}"
    tail = f"{assured} mark={flow.mark}{zone}{helper} use={flow.use} id={flow.id}"
    return f"{head} {state}{_side(flow.original, 'orig')}{unreplied} {_side(flow.reply, 'reply')}{tail}"


def lines(flows: Sequence[Flow] | Iterator[Flow]) -> list[str]:
    return sorted(map(line, flows))
