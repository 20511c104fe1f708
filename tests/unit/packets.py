"""Frames, byte by byte: what a packet filter and a packet source are shown."""

import socket
import struct
from collections.abc import Sequence

from tests.unit.packet_machine import Frame

IPV4, IPV6, ARP, PPPOE = 0x0800, 0x86DD, 0x0806, 0x8864
MACS = bytes.fromhex("020000000002 020000000001")
UDP = 17


def udp(source: int = 40000, destination: int = 9000, payload: bytes = b"") -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(payload), 0) + payload


def ipv4(source: str, destination: str, body: bytes = b"", *, protocol: int = UDP, fragment: int = 0) -> bytes:
    """``fragment``: the field with the flag for more and the offset."""
    ends = socket.inet_pton(socket.AF_INET, source) + socket.inet_pton(socket.AF_INET, destination)
    start = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0)
    check = sum(struct.unpack("!10H", start + ends))
    while check >> 16:
        check = (check & 0xFFFF) + (check >> 16)
    return start[:10] + struct.pack("!H", ~check & 0xFFFF) + ends + body


def ipv6(source: str, destination: str, body: bytes = b"", *, protocol: int = UDP) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    return struct.pack("!IHBB", 6 << 28, len(body), protocol, 64) + ends + body


def kind(packet: bytes) -> int:
    return IPV6 if packet[0] >> 4 == 6 else IPV4


def ethernet(packet: bytes, *, tags: Sequence[tuple[int, int]] = (), pppoe: bool = False, macs: bytes = MACS) -> bytes:
    """A frame; ``tags`` are type and number of each VLAN, outermost first."""
    head = macs + b"".join(struct.pack("!HH", of_type, number) for of_type, number in tags)
    if not pppoe:
        return head + struct.pack("!H", kind(packet)) + packet
    protocol = 0x57 if kind(packet) == IPV6 else 0x21
    return head + struct.pack("!HBBHHH", PPPOE, 0x11, 0, 7, len(packet) + 2, protocol) + packet


def frames(packet: bytes) -> list[Frame]:
    """As a packet socket may have it when the program runs: behind an Ethernet header, and on a link without one."""
    return [Frame(ethernet(packet), 14, kind(packet)), Frame(packet, 0, kind(packet))]
