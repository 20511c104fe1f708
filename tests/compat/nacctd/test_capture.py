"""What is counted, on interfaces of all kinds, against the kernel's own truth."""

import os
import signal
import struct

import pytest

from tests.compat.nacctd.wire import HERE, PEER, SECONDS, Wire, udp_line
from tests.kernel.lab import Child, wait_for
from tests.kernel.links import put, tun
from tests.kernel.senders import fragments, ping, tcp

pytestmark = pytest.mark.kernel

LONG = "flush 1000\nfdelay 1000\n"
MAC_HERE, MAC_PEER, MAC_OTHER = (bytes.fromhex(each) for each in ("027700000101", "027700000102", "02aabbccddee"))
MAC_ALL = b"\xff" * 6


def ipv4(source: str, destination: str, payload: bytes, *, protocol: int = 17, total: int | None = None) -> bytes:
    """A packet; its checksum does not matter here."""
    addresses = b"".join(bytes(map(int, each.split("."))) for each in (source, destination))
    length = 20 + len(payload) if total is None else total
    return struct.pack("!BBHHHBBH", 0x45, 0, length, 7, 0, 64, protocol, 0) + addresses + payload


def udp_in(port: int, size: int = 100) -> bytes:
    return struct.pack("!HHHH", port, 9000, 8 + size, 0) + bytes(size)


def frame(kind: int, packet: bytes, *, to: bytes = MAC_HERE) -> bytes:
    return to + MAC_PEER + struct.pack("!H", kind) + packet


def ends(wire: Wire, child: Child) -> list[str]:
    assert wire.stop(child) == 1
    return wire.lines()


def received(port: int, packets: int, size: int, device: str = "eth0", *, source: str = PEER) -> str:
    return f"17\t{source}\t{port}\t{HERE}\t9000\t{packets}\t{size}\t{device}\tunknown"


def test_icmp_has_type_and_code_for_ports_and_tcp_its_ports(wire: Wire) -> None:
    daemon = wire.start(LONG)
    ping(wire, wire.a, PEER, 3)
    tcp(wire, wire.a, wire.b, PEER, 100_000)
    lines = [line.split("\t") for line in ends(wire, daemon)]
    icmp = [line for line in lines if line[0] == "1"]
    assert [line[1:7] for line in icmp] == [[HERE, "8", PEER, "0", "3", "252"], [PEER, "0", HERE, "0", "3", "252"]]
    flows = [line for line in lines if line[0] == "6"]
    assert len(flows) == 2
    assert {flows[0][2], flows[0][4]} == {flows[1][2], flows[1][4]}
    assert max(int(line[6]) for line in flows) > 100_000


def test_a_packet_on_loopback_counts_once(wire: Wire) -> None:
    daemon = wire.start(LONG)
    wire.send(6, to="127.0.0.2")
    lines = [line for line in ends(wire, daemon) if line.startswith("17\t")]
    assert lines == ["17\t127.0.0.1\t4000\t127.0.0.2\t9000\t6\t768\tlo\tunknown"]


def test_fragments_have_the_ports_of_the_first_one(wire: Wire) -> None:
    daemon = wire.start(LONG)
    sent = fragments(wire, wire.a, PEER, 3000, 2)
    lines = [line.split("\t") for line in ends(wire, daemon)]
    assert len(lines) == 1
    assert (int(lines[0][5]), int(lines[0][6])) == (sent.packets, sent.bytes)


def test_frames_of_all_types_count_as_what_they_are(wire: Wire) -> None:
    daemon = wire.start(LONG)
    packet = ipv4(PEER, HERE, udp_in(4000))
    put(wire, wire.b, "uplink", [
        frame(0x0800, packet),
        frame(0x8100, struct.pack("!HH", 5, 0x0800) + ipv4(PEER, HERE, udp_in(4001))),
        frame(0x88A8, struct.pack("!HHHH", 5, 0x8100, 6, 0x0800) + ipv4(PEER, HERE, udp_in(4005))),
        frame(0x8864, struct.pack("!BBHHH", 0x11, 0, 7, 130, 0x0021) + ipv4(PEER, HERE, udp_in(4006))),
        frame(0x0806, bytes(46)),
        frame(0x86DD, b"\x60" + bytes(60)),
        frame(0x0800, ipv4(PEER, HERE, udp_in(4002), total=60_000)),
        frame(0x0800, b"\x95" + packet[1:]),
        frame(0x0800, packet[:10]),
        frame(0x0800, ipv4(PEER, HERE, udp_in(4003, 0)) + bytes(18)),
    ])  # fmt: skip
    assert ends(wire, daemon) == [
        received(4000, 1, 128),
        received(4001, 1, 128),
        received(4002, 1, 128),
        received(4003, 1, 28),
        received(4005, 1, 128),
        received(4006, 1, 128),
    ]


NAMES = ("veth9", "ens3", "abcdefghijklmno", "ethabcdefgh1")


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("", ["abcdefghijklmno", "ens3", "eth0", "ethabcdefgh1", "veth9"]),
        ("notdev abcdefghijklmno\nnotdev ethabcdefgh1\nnotdev eth\nnotdev eth*\n", ["ens3", "eth0", "veth9"]),
        ("iflimit ethabcdefgh1\niflimit ens3\n", ["ens3", "ethabcdefgh1"]),
        ("iflimit eth\n", []),
    ],
)
def test_interfaces_of_any_name_are_counted_or_not_by_their_whole_name(
    wire: Wire, text: str, counted: list[str]
) -> None:
    daemon = wire.start(LONG + text)
    for number, name in enumerate(NAMES):
        peer = f"p{number}"
        wire.run(wire.a, ["ip", "link", "add", name, "type", "veth", "peer", "name", peer, "netns", wire.b])
        wire.run(wire.a, ["ip", "link", "set", name, "up"])
        wire.run(wire.b, ["ip", "link", "set", peer, "up"])
        put(wire, wire.b, peer, [frame(0x0800, ipv4(PEER, HERE, udp_in(4000)), to=MAC_ALL)])
    put(wire, wire.b, "uplink", [frame(0x0800, ipv4(PEER, HERE, udp_in(4000)))])
    assert sorted(line.split("\t")[7] for line in ends(wire, daemon)) == counted


def test_a_promiscuous_device_counts_what_is_for_others_and_is_left_as_it_was(wire: Wire) -> None:
    daemon = wire.start(f"{LONG}device eth0\n")
    flags = ["ip", "-d", "-o", "link", "show", "eth0"]
    wait_for(lambda: "promiscuity 1" in wire.run(wire.a, flags), SECONDS, "a promiscuous device")
    put(wire, wire.b, "uplink", [frame(0x0800, ipv4(PEER, "10.9.0.77", udp_in(4000)), to=MAC_OTHER)])
    assert ends(wire, daemon) == [f"17\t{PEER}\t4000\t10.9.0.77\t9000\t1\t128\teth0\tunknown"]
    assert "promiscuity 0" in wire.run(wire.a, flags)


def test_without_device_what_is_for_others_does_not_count(wire: Wire) -> None:
    daemon = wire.start(LONG)
    put(wire, wire.b, "uplink", [frame(0x0800, ipv4(PEER, HERE, udp_in(4000)), to=MAC_OTHER)])
    wire.send(1)
    assert ends(wire, daemon) == [udp_line(1)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_device_stays_promiscuous_behind_a_dead_process(wire: Wire, number: signal.Signals) -> None:
    daemon = wire.start(f"{LONG}device eth0\n")
    daemon.signal(number)
    daemon.wait()
    assert "promiscuity 0" in wire.run(wire.a, ["ip", "-d", "-o", "link", "show", "eth0"])


FILTERS: tuple[tuple[str, set[str]], ...] = (
    ("ignoremask 255.255.255.0\n", {"10.20.0.1", "192.168.5.1"}),
    ("ignoremask 0.0.0.0\n", set()),
    ("ignorenet 10.20.0.0 255.255.0.0\n", {PEER, "192.168.5.1"}),
    ("ignorenet 10.0.0.0 255.0.0.0\ndontignore 192.168.5.0 255.255.255.0\n", {"192.168.5.1"}),
    ("hostlimit 10.20.0.1\nhostlimit 192.168.5.1\n", {"10.20.0.1", "192.168.5.1"}),
    ("hostlimit 10.20.0.1\nignorenet 10.20.0.1\n", set()),
    ("".join(f"ignorenet 172.16.{third}.{fourth}\n" for third in range(4) for fourth in range(256)),
     {PEER, "10.20.0.1", "192.168.5.1"}),
)  # fmt: skip


@pytest.mark.parametrize(("text", "counted"), FILTERS, ids=range(len(FILTERS)))
def test_the_filters_hold_in_the_kernel_too(wire: Wire, text: str, counted: set[str]) -> None:
    for network in ("10.20.0.0/16", "192.168.5.0/24"):
        wire.run(wire.a, ["ip", "route", "add", network, "via", PEER])
    daemon = wire.start(LONG + text)
    for destination in (PEER, "10.20.0.1", "192.168.5.1"):
        wire.send(3, to=destination)
    sent = [line for line in ends(wire, daemon) if line.startswith(f"17\t{HERE}\t")]
    assert sent == sorted(udp_line(3, to=destination) for destination in counted)


def test_a_link_without_a_header_is_read_without_a_headers_line(wire: Wire) -> None:
    daemon = wire.start(LONG)
    with tun(wire, wire.a, "ppp0") as descriptor:
        packet = ipv4("10.50.0.2", "10.50.0.1", udp_in(4000))
        for _ in range(3):
            os.write(descriptor, packet)
        os.write(descriptor, b"\x60" + bytes(60))
        assert ends(wire, daemon) == ["17\t10.50.0.2\t4000\t10.50.0.1\t9000\t3\t384\tppp0\tunknown"]
