"""The programs of networks and expressions on the real kernel: the same packets as tcpdump keeps, on every link."""

import os
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from itertools import product
from pathlib import Path

import pytest

from netledger.sources.base import Key
from netledger.sources.packet_filter import PacketChoice
from tests.kernel import links
from tests.kernel.lab import Pair
from tests.kernel.links import FORMS
from tests.kernel.packet_metering import PacketBench
from tests.unit import packets

NUMBER_BYTES = 4
DLT_RAW = 101
FOR_THE_OTHER = bytes.fromhex("027700000101 027700000102")
ADDRESSES = ("10.0.0.1", "10.0.7.9", "10.9.0.1", "192.0.2.1", "2001:db8::1", "2001:db8:0:7::5", "fe80::1")
NETWORKS = PacketChoice(
    networks=("10.0.0.0/8", "2001:db8::/32"), networks_excluded=("10.9.0.0/16", "2001:db8:0:7::5/128")
)
EXPRESSIONS = (
    "udp port 53",
    "ip6 and not udp dst port 53",
    "src net 10.0.0.0/21 or ip6 host 2001:db8::1",
    "ip[6:2] & 0x1fff != 0",
    "greater 40 and udp src portrange 40000-40001",
    "tcp or udp[4:2] > 13",
    "icmp or ip6 proto 58",
)


def numbered() -> list[bytes]:
    """Packets between all of some addresses, with a number at the end of each."""
    found: list[bytes] = []
    pairs = [ends for ends in product(ADDRESSES, ADDRESSES) if (":" in ends[0]) == (":" in ends[1])]
    for ends, port in product(pairs, (53, 9000)):
        body = packets.udp(destination=port, payload=bytes(port % 7) + len(found).to_bytes(NUMBER_BYTES, "big"))
        found.append(packets.ipv6(*ends, body) if ":" in ends[0] else packets.ipv4(*ends, body))
    later = packets.udp(destination=53, payload=len(found).to_bytes(NUMBER_BYTES, "big"))
    found.append(packets.ipv4("10.0.0.1", "192.0.2.1", later, fragment=185))
    echo = struct.pack("!BBHI", 8, 0, 0, 0) + len(found).to_bytes(NUMBER_BYTES, "big")
    found.append(packets.ipv4("10.0.0.1", "192.0.2.1", echo, protocol=1))
    return found


def number_of(packet: bytes) -> int:
    """The number at the end; what stands behind the packet is padding of the wire."""
    size = (
        struct.unpack_from("!H", packet, 2)[0] if packet[0] >> 4 == 4 else 40 + struct.unpack_from("!H", packet, 4)[0]
    )
    return int.from_bytes(packet[size - NUMBER_BYTES : size], "big")


def kept_by_tcpdump(expression: str, directory: Path) -> set[int]:
    """What tcpdump keeps of a file of the same packets."""
    header = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, DLT_RAW)
    bodies = [struct.pack("=IIII", 0, 0, len(packet), len(packet)) + packet for packet in numbered()]
    whole = directory / "all.pcap"
    whole.write_bytes(header + b"".join(bodies))
    argv = ["tcpdump", "-n", "-r", str(whole), "-w", "-", expression]
    kept = subprocess.run(argv, check=True, capture_output=True).stdout[len(header) :]
    numbers = set()
    while kept:
        size = struct.unpack_from("=I", kept, 8)[0]
        numbers.add(number_of(kept[16 : 16 + size]))
        kept = kept[16 + size :]
    return numbers


def kept_by_networks() -> set[int]:
    return {number for number, packet in enumerate(numbered()) if is_chosen(packet)}


def is_chosen(packet: bytes) -> bool:
    """As the configuration reference has it."""
    size, at = (4, 12) if packet[0] >> 4 == 4 else (16, 8)
    ends = [ip_address(packet[start : start + size]) for start in (at, at + size)]
    is_in = {
        name: any(end in ip_network(text) for end in ends for text in networks)
        for name, networks in (("wanted", NETWORKS.networks), ("excluded", NETWORKS.networks_excluded))
    }
    return is_in["wanted"] and not is_in["excluded"]


@pytest.fixture(scope="module")
def wire() -> Iterator[Pair]:
    """Two machines; only raw frames are put on the wire."""
    with Pair() as made:
        yield made


CHOICES = [("networks", NETWORKS), *((text, PacketChoice(expression=text)) for text in EXPRESSIONS)]


def expected(choice: PacketChoice, directory: Path) -> set[int]:
    found = kept_by_tcpdump(choice.expression, directory) if choice.expression else kept_by_networks()
    assert 0 < len(found) < len(numbered())
    return found


@contextmanager
def both(
    wire: Pair, namespace: str, interface: str, choice: PacketChoice, *, outgoing: bool = False
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket without a program and one with it. The kernel serves the one that was made first last."""
    with (
        links.listening(wire, namespace, interface, (), outgoing=outgoing) as everything,
        links.listening(wire, namespace, interface, choice.program(), outgoing=outgoing) as chosen,
    ):
        yield everything, chosen


def taken(everything: socket.socket, chosen: socket.socket, number: int) -> set[int]:
    """The numbers that passed the program, when ``number`` frames have come."""
    for _ in range(number):
        everything.recv(2048)
    chosen.setblocking(False)  # noqa: FBT003  (the standard library's)
    numbers = []
    while True:
        try:
            numbers.append(number_at_the_end(chosen.recv(2048)))
        except BlockingIOError:
            break
    assert len(set(numbers)) == len(numbers)
    return set(numbers)


def number_at_the_end(frame: bytes) -> int:
    return int.from_bytes(frame[-NUMBER_BYTES:], "big")


ALL_CHOICES = pytest.mark.parametrize("choice", [one for _, one in CHOICES], ids=[name for name, _ in CHOICES])


@ALL_CHOICES
@pytest.mark.parametrize("form", ["plain", "tagged"])
def test_what_is_received_on_ethernet(wire: Pair, tmp_path: Path, form: str, choice: PacketChoice) -> None:
    """The tag of a frame that is received is taken out by the kernel before."""
    frames = [packets.ethernet(packet, **FORMS[form]) for packet in numbered()]
    with both(wire, wire.a, "wire", choice) as (everything, chosen):
        links.put(wire, wire.b, "uplink", frames)
        assert taken(everything, chosen, len(frames)) == expected(choice, tmp_path)


@ALL_CHOICES
def test_what_is_sent_on_ethernet(wire: Pair, tmp_path: Path, choice: PacketChoice) -> None:
    frames = [packets.ethernet(packet) for packet in numbered()]
    with both(wire, wire.b, "uplink", choice, outgoing=True) as (everything, chosen):
        links.put(wire, wire.b, "uplink", frames)
        assert taken(everything, chosen, len(frames)) == expected(choice, tmp_path)


@ALL_CHOICES
def test_what_comes_on_a_link_without_a_header(wire: Pair, tmp_path: Path, choice: PacketChoice) -> None:
    with (
        links.tun(wire, wire.a, "tunnel") as tunnel,
        both(wire, wire.a, "tunnel", choice) as (everything, chosen),
    ):
        for packet in numbered():
            os.write(tunnel, packet)
        assert taken(everything, chosen, len(numbered())) == expected(choice, tmp_path)


@ALL_CHOICES
def test_what_comes_on_loopback(wire: Pair, tmp_path: Path, choice: PacketChoice) -> None:
    with both(wire, wire.a, "lo", choice) as (everything, chosen):
        links.put(wire, wire.a, "lo", [packets.ethernet(packet) for packet in numbered()])
        assert taken(everything, chosen, len(numbered())) == expected(choice, tmp_path)


def met(numbers: set[int]) -> Counter[tuple[str, str]]:
    """Packets by host, and by whether it sent or received them."""
    found: Counter[tuple[str, str]] = Counter()
    for number, packet in enumerate(numbered()):
        size, at = (4, 12) if packet[0] >> 4 == 4 else (16, 8)
        if number in numbers:
            found[str(ip_address(packet[at : at + size])), "sent"] += 1
            found[str(ip_address(packet[at + size : at + 2 * size])), "received"] += 1
    return found


@ALL_CHOICES
@pytest.mark.parametrize("form", FORMS)
def test_a_meter_chooses_the_same_in_every_form_and_direction(
    wire: Pair, tmp_path: Path, form: str, choice: PacketChoice
) -> None:
    """It counts on both ends of the wire: what one sends and the other receives."""
    key = Key(columns=("host",), ipv6_prefix_length=128)
    ends = ((wire.b, "uplink"), (wire.a, "wire"))
    meters = []
    for space, interface in ends:
        with wire.inside(space):
            meter = PacketBench.on(wire, interfaces=(interface,), key=key, choice=choice, runtime=tmp_path / interface)
            meter.open()
            meters.append(meter)
    frames = [packets.ethernet(packet, **FORMS[form], macs=FOR_THE_OTHER) for packet in numbered()]
    links.put(wire, wire.b, "uplink", frames)
    for meter in meters:
        meter.close()
        found = {(host, side): number for (_, host, side), number in meter.rows.items() if number}
        assert found == met(expected(choice, tmp_path)), meter.config.interfaces
