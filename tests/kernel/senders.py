"""Traffic, exact in number and bounded in time.

``udp`` and ``start_udp`` use the C program beside this file (raw sockets, any number of sources and destinations,
200 000 packets/s); the others are ordinary sockets of this process, opened inside a namespace. What they have sent has
been received, or has passed the gateway, when they return.
"""

import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.lab import COMMAND_SECONDS, Child, Count, Network, wait_for
from tests.kernel.settling import settle

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("traffic.c")
IPV6_HOPOPTS, IPV6_DSTOPTS = 54, 59
SOCKET_SECONDS = 90.0
MTU_BYTES = 1500


@dataclass(frozen=True, slots=True, kw_only=True)
class Udp:
    """What to send. Sources and destinations count up from the address given; with ``count`` 0 until it is stopped."""

    source: str
    destination: str
    sources: int = 1
    destinations: int = 1
    ports: int = 1
    source_port: int = 20000
    port: int = 9000
    payload_bytes: int = 72
    count: int = 1
    rate: int = 20_000
    seconds: float = 240.0

    def argv(self) -> list[str]:
        options = {
            "from": self.source, "to": self.destination, "sources": self.sources, "destinations": self.destinations,
            "ports": self.ports, "source-port": self.source_port, "port": self.port, "payload": self.payload_bytes,
            "count": self.count, "rate": self.rate, "seconds": self.seconds,
        }  # fmt: skip
        return [str(program()), *(f"--{name}={value}" for name, value in options.items())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the kernel took. ``refused`` were not sent at all."""

    count: Count
    refused: int
    seconds: float


def program() -> Path:
    """The compiled sender; compiled once per version of its source."""
    code = SOURCE.read_bytes()
    binary = ROOT / ".build" / f"traffic-{hashlib.sha256(code).hexdigest()[:12]}"
    if not binary.exists():
        binary.parent.mkdir(exist_ok=True)
        fresh = binary.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(SOURCE)], check=True)
        fresh.rename(binary)
    return binary


def udp(network: Network, namespace: str, plan: Udp) -> Sent:
    """Sends all of a plan and waits for the end."""
    told = network.run(namespace, plan.argv(), seconds=plan.seconds + COMMAND_SECONDS)
    settle()
    return _sent(told)


def start_udp(network: Network, namespace: str, plan: Udp) -> Child:
    """Starts a sender that goes on beside the test; it has begun to send."""
    sender = network.spawn(namespace, plan.argv())
    wait_for(lambda: "begun" in sender.errors() or not sender.running, COMMAND_SECONDS, "the first packets")
    return sender


def stop_udp(sender: Child) -> Sent:
    """Stops it (or waits, when it is at its end) and gives what it sent."""
    if sender.running:
        sender.signal(signal.SIGTERM)
    status = sender.wait()
    if status != 0:
        raise RuntimeError(f"{sender.argv}: status {status}: {sender.errors()}")
    settle()
    return _sent(sender.output())


def ping(network: Network, namespace: str, address: str, count: int, payload_bytes: int = 56) -> None:
    """Echo requests, each answered: twice ``count`` packets of 28 (IPv6: 48) + payload bytes pass."""
    # With a deadline (-w) it would go on sending until it has so many answers, and a busy machine is slow to answer.
    argv = ["ping", "-q", "-n", "-i", "0.002", "-W", "20", "-c", str(count), "-s", str(payload_bytes), address]
    network.run(namespace, argv)
    settle()


def tcp(network: Network, client: str, server: str, address: str, payload_bytes: int) -> int:
    """Sends ``payload_bytes`` over one connection from ``client`` to ``server`` at ``address``; gives what arrived."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with network.inside(server):
        listener = socket.create_server((address, 0), family=family)
    with network.inside(client):
        sender = socket.socket(family)
    listener.settimeout(SOCKET_SECONDS)
    sender.settimeout(SOCKET_SECONDS)
    feeder = threading.Thread(target=_feed, args=(sender, (address, listener.getsockname()[1]), payload_bytes))
    with listener, sender:
        feeder.start()
        try:
            arrived = _drain(listener)
        finally:
            feeder.join()
    settle()
    return arrived


def _feed(sender: socket.socket, peer: tuple[str, int], payload_bytes: int) -> None:
    sender.connect(peer)
    sender.sendall(bytes(payload_bytes))
    sender.shutdown(socket.SHUT_WR)
    sender.recv(1)  # the server's end of the connection: afterwards no segment of it is under way


def _drain(listener: socket.socket) -> int:
    receiver, _ = listener.accept()
    receiver.settimeout(SOCKET_SECONDS)
    arrived = 0
    with receiver:
        while piece := receiver.recv(1 << 18):
            arrived += len(piece)
    return arrived


def fragments(network: Network, namespace: str, address: str, payload_bytes: int, count: int = 1) -> Count:
    """UDP datagrams longer than the wire takes; gives what passes a gateway: every piece with its own header."""
    ipv6 = ":" in address
    with (
        network.inside(namespace),
        socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        for _ in range(count):
            udp.sendto(bytes(payload_bytes), (address, 9000))
    settle()
    header = 48 if ipv6 else 20
    piece = (MTU_BYTES - header) // 8 * 8
    pieces = -(-(payload_bytes + 8) // piece)
    return Count(count * pieces, count * (payload_bytes + 8 + pieces * header))


def extended(network: Network, namespace: str, address: str, payload_bytes: int, count: int = 1) -> Count:
    """IPv6 UDP behind a hop-by-hop and a destination options header, 8 bytes each; gives what passes."""
    options = b"\0\0\1\4\0\0\0\0"  # no further 8 octets, PadN of 6: the kernel fills in the next header
    with network.inside(namespace), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        for name in (IPV6_HOPOPTS, IPV6_DSTOPTS):
            udp.setsockopt(socket.IPPROTO_IPV6, name, options)
        for _ in range(count):
            udp.sendto(bytes(payload_bytes), (address, 9000))
    settle()
    return Count(count, count * (40 + 16 + 8 + payload_bytes))


def _sent(line: str) -> Sent:
    told = json.loads(line)
    count = Count(told["packets"], told["bytes"])
    return Sent(count=count, refused=told["refused"], seconds=told["seconds"])
