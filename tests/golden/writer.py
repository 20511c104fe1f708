"""Writes packets, frames and captures, by nothing but struct."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

ETHERNET, RAW, LINUX_COOKED, NULL, PPP = 1, 101, 113, 0, 9

START_SECONDS = 1_763_632_800  # 2025-11-20T10:00:00Z

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58


def udp(source: int, destination: int, body: int = 8) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + body, 0) + bytes(body)


def tcp(source: int, destination: int, body: int = 0) -> bytes:
    return struct.pack(">HHIIBBHHH", source, destination, 0, 0, 0x50, 0x10, 1024, 0, 0) + bytes(body)


def icmp(kind: int, code: int, body: int = 56) -> bytes:
    return struct.pack(">BBHHH", kind, code, 0, 1, 1) + bytes(body)


def ip(
    source: str, destination: str, protocol: int, payload: bytes, *, length: int | None = None, offset: int = 0
) -> bytes:
    """An IPv4 or IPv6 packet; ``length`` stands in its header in place of the true total length."""
    one, other = ip_address(source), ip_address(destination)
    if one.version == 6:
        payload_bytes = len(payload) if length is None else length - 40
        head = struct.pack(">IHBB", 6 << 28, payload_bytes, protocol, 64)
    else:
        total = 20 + len(payload) if length is None else length
        head = struct.pack(">BBHHHBBH", 0x45, 0, total, 1, offset // 8, 64, protocol, 0)
    return head + one.packed + other.packed + payload


def ethernet(payload: bytes, *, tags: Iterable[tuple[int, int]] = (), kind: int | None = None) -> bytes:
    """A frame, padded to 60 bytes; ``tags`` are (Ethernet type, VLAN) from the outside in."""
    if kind is None:
        kind = 0x86DD if payload[0] >> 4 == 6 else 0x0800
    head = bytes.fromhex("020000000002020000000001")
    head += b"".join(struct.pack(">HH", tag, vlan) for tag, vlan in tags) + struct.pack(">H", kind)
    return (head + payload).ljust(60, b"\0")


def pppoe(payload: bytes) -> bytes:
    protocol = 0x0057 if payload[0] >> 4 == 6 else 0x0021
    session = struct.pack(">BBHHH", 0x11, 0, 7, len(payload) + 2, protocol)
    return ethernet(session + payload, kind=0x8864)


def cooked(payload: bytes) -> bytes:
    kind = 0x86DD if payload[0] >> 4 == 6 else 0x0800
    return struct.pack(">HHH8sH", 0, 1, 6, bytes.fromhex("0200000000010000"), kind) + payload


@dataclass(frozen=True, slots=True)
class Record:
    """A captured packet: when, after START_SECONDS; its frame; how long it was on the wire if it was cut."""

    after_us: int
    frame: bytes
    original_bytes: int | None = None


def pcap(
    records: Iterable[Record], *, link: int = ETHERNET, big_endian: bool = False, nanoseconds: bool = False
) -> bytes:
    order = ">" if big_endian else "<"
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 262_144, link)]
    for record in records:
        seconds, fraction = divmod(record.after_us, 1_000_000)
        fraction *= 1000 if nanoseconds else 1
        captured = len(record.frame)
        original = captured if record.original_bytes is None else record.original_bytes
        parts += [struct.pack(f"{order}IIII", START_SECONDS + seconds, fraction, captured, original), record.frame]
    return b"".join(parts)


def mixed() -> list[Record]:
    """A little of everything: both versions, tags, tunnels, padding, cuts, fragments, super-packets, damage."""
    lan, far = "192.0.2.10", "198.51.100.7"
    lan6, far6 = "2001:db8:1::10", "2001:db8:ffff::7"
    whole = ethernet(ip(lan, far, TCP, tcp(40000, 443, 1400)))
    frames = [
        ethernet(ip(lan, far, TCP, tcp(40000, 443))),
        ethernet(ip(far, lan, TCP, tcp(443, 40000, 1200))),
        ethernet(ip(lan6, far6, TCP, tcp(40001, 443))),
        ethernet(ip(far6, lan6, UDP, udp(53, 5353, 300))),
        ethernet(ip("2001:db8:1::11", lan6, ICMPV6, icmp(128, 0))),
        ethernet(ip(lan, "192.0.2.11", ICMP, icmp(8, 0)), tags=[(0x8100, 5)]),
        ethernet(ip("192.0.2.11", lan, ICMP, icmp(0, 0)), tags=[(0x88A8, 5), (0x8100, 6)]),
        pppoe(ip(lan, far, UDP, udp(5000, 53, 20))),
        pppoe(ip(lan6, far6, UDP, udp(5000, 53, 20))),
        ethernet(ip(lan, far, UDP, udp(6000, 6001, 1472), length=1500)[:60]),
        ethernet(ip(lan, far, UDP, bytes(700), offset=1480)),
        ethernet(ip("0.0.0.0", "255.255.255.255", UDP, udp(68, 67, 300))),  # noqa: S104  # DHCP, not a socket
        ethernet(bytes(28), kind=0x0806),
        ethernet(bytes(40), kind=0x88CC),
        ethernet(ip(lan, far, UDP, udp(1, 2), length=19)),
        ethernet(ip(far6, lan6, UDP, udp(1, 2)), kind=0x0800),
    ]
    records = [Record(at * 1_000_000, frame) for at, frame in enumerate(frames)]
    records.append(Record(400_000_000, whole[:54], len(whole)))
    records.append(Record(299_999_999, ethernet(ip(lan, far, TCP, tcp(40000, 443, 20_000), length=0))[:128], 20_054))
    return records
