"""The counters of the proof against what flows count, for traffic that conntrack treats in its own way."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from netledger.sources.base import Key
from tests.kernel import senders
from tests.kernel.flow_metering import FlowBench
from tests.kernel.lab import Count, Lab
from tests.kernel.senders import Udp

FIREWALL = """
table inet firewall {
  chain at_forward {
    type filter hook forward priority 0;
    tcp dport 81 reject with tcp reset
    udp dport 82 reject
    tcp dport 83 reject with icmpx port-unreachable
    tcp dport 84 drop
  }
  chain at_input {
    type filter hook input priority 0;
    tcp dport 81 reject with tcp reset
    udp dport 82 reject
  }
}"""
NAT = """
table inet nat {
  chain at_prerouting {
    type nat hook prerouting priority -100;
    iif "left" udp dport 8080 dnat ip6 to [fd77:2::2]:9200
  }
  chain at_postrouting { type nat hook postrouting priority 100; oif "right" masquerade; }
}"""
PLACES = """
table inet places {
  chain raw { type filter hook prerouting priority -300; iif "left" udp dport 9005 ct zone set 5; }
  chain marks { type filter hook forward priority 0; udp dport 9007 ct mark set 7; }
}"""
SECONDS = 0.05


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def attempt(lab: Lab, space: str, address: str, port: int, kind: socket.SocketKind) -> None:
    """Three tries to reach a port where nobody answers as one would wish."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(3):
        with lab.inside(space), socket.socket(family, kind) as one:
            one.settimeout(SECONDS)
            one.connect_ex((address, port))
            try:
                one.send(b"hello")
                one.recv(10)
            except OSError:
                continue


def refused(lab: Lab) -> None:
    lab.nft(lab.gw, FIREWALL)
    for address in ("10.77.2.2", "fd77:2::2", "10.77.1.1"):
        for port in (81, 83, 84):
            attempt(lab, lab.left, address, port, socket.SOCK_STREAM)
        attempt(lab, lab.left, address, 82, socket.SOCK_DGRAM)


def refused_later(lab: Lab) -> None:
    """An established connection meets a rule that rejects it."""
    with lab.inside(lab.right):
        listener = socket.create_server(("10.77.2.2", 9100))
    with lab.inside(lab.left):
        client = socket.create_connection(("10.77.2.2", 9100))
    server, _ = listener.accept()
    with closing(listener), closing(client), closing(server):
        client.sendall(b"x" * 100)
        server.recv(100)
        lab.nft(lab.gw, FIREWALL.replace("dport 81", "dport 9100"))
        client.sendall(b"y" * 100)
        with pytest.raises(ConnectionResetError):
            client.recv(100)


def unreachable(lab: Lab) -> None:
    """ICMP errors, through the gateway and within it."""
    for space, address in (
        (lab.left, "10.77.2.2"),
        (lab.left, "fd77:2::2"),
        (lab.gw, "10.77.1.1"),
        (lab.left, "10.77.9.9"),
    ):
        attempt(lab, space, address, 4444, socket.SOCK_DGRAM)


def to_itself(lab: Lab) -> None:
    for address in ("127.0.0.1", "::1", "10.77.1.1", "fd77:1::1"):
        senders.ping(lab, lab.gw, address, 5)
        senders.tcp(lab, lab.gw, lab.gw, address, 100_000)


def to_many(lab: Lab) -> None:
    """Multicast that the gateway hears itself, and broadcast."""
    with (
        lab.inside(lab.gw),
        socket.socket(type=socket.SOCK_DGRAM) as hears,
        socket.socket(type=socket.SOCK_DGRAM) as says,
    ):
        group, interface = socket.inet_aton("239.1.1.1"), socket.inet_aton("10.77.1.1")
        hears.bind(("", 5555))
        hears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + interface)
        says.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        says.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
        for _ in range(3):
            says.sendto(b"m", ("239.1.1.1", 5555))
            says.sendto(b"b", ("10.77.1.255", 5556))


def in_pieces(lab: Lab) -> None:
    for address in ("10.77.2.2", "fd77:2::2"):
        senders.fragments(lab, lab.left, address, 20_000, count=5)
        senders.fragments(lab, lab.gw, address, 20_000, count=5)


def translated(lab: Lab) -> None:
    lab.nft(lab.gw, NAT)
    for address in ("10.77.2.2", "fd77:2::2"):
        senders.tcp(lab, lab.left, lab.right, address, 200_000)
        senders.ping(lab, lab.left, address, 5)
    senders.udp(lab, lab.left, Udp(source="fd77:1::2", destination="fd77:1::1", port=8080, count=50, sources=5))


TRAFFIC: tuple[Callable[[Lab], None], ...] = (
    refused, refused_later, unreachable, to_itself, to_many, in_pieces, translated,
)  # fmt: skip


@pytest.mark.parametrize("traffic", TRAFFIC, ids=lambda traffic: traffic.__name__)
def test_the_proof_sees_what_flows_count(gateway: Lab, traffic: Callable[[Lab], None]) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    traffic(gateway)
    gateway.silence(gateway.gw)
    bench.close()
    (interval,) = bench.intervals
    assert interval.observed.status == "exact", interval.observed
    assert interval.observed.accounted.packets >= 6


def test_zones_are_chosen_and_zones_and_marks_are_columns(gateway: Lab) -> None:
    gateway.nft(gateway.gw, PLACES)
    for wishes, expected in (
        ({"zones": (5,)}, {(5, 0): Count(50, 5000)}),
        ({}, {(0, 0): Count(30, 3000), (5, 0): Count(50, 5000), (0, 7): Count(70, 7000)}),
    ):
        bench = FlowBench.on(gateway, key=Key(columns=("zone", "mark")), **wishes)
        bench.open()
        for port, count in ((9001, 30), (9005, 50), (9007, 70)):
            plan = Udp(source="10.77.1.2", destination="10.77.2.2", port=port, count=count)
            senders.udp(gateway, gateway.left, plan)
        rows = {(row["zone"], row["mark"]): Count(row["sent_packets"], row["sent_bytes"]) for row in bench.rows()}
        assert rows == expected
        bench.close()
        assert bench.statuses() == ["exact", "exact"]
        gateway.nft(gateway.gw, "delete table inet witness")


def test_flows_of_ipv6_are_booked_to_their_true_ends_behind_translation(gateway: Lab) -> None:
    gateway.nft(gateway.gw, NAT)
    bench = FlowBench.on(gateway, key=Key(columns=("host", "peer"), ipv6_prefix_length=128))
    bench.open()
    senders.tcp(gateway, gateway.left, gateway.right, "fd77:2::2", 50_000)
    senders.udp(gateway, gateway.left, Udp(source="fd77:1::2", destination="fd77:1::1", port=8080, count=50))
    gateway.silence(gateway.gw)
    rows = bench.rows()
    # Neither the gateway's address in front of it nor the one behind it.
    assert {(row["host"], row["peer"]) for row in rows} == {("fd77:1::2", "fd77:2::2"), ("fd77:2::2", "fd77:1::2")}
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
