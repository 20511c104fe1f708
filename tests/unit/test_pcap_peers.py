"""The same captures, read by tshark: every address must have the same packets and bytes."""

import random
import subprocess
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from netledger.reports.addresses import addresses
from netledger.sources.base import Key
from netledger.sources.pcap import PcapConfig, PcapSource
from tests.golden.writer import ICMP, ICMPV6, TCP, UDP, Record, ethernet, icmp, ip, pcap, pppoe, tcp, udp

PACKETS = 3000
Sums = Counter[tuple[str, str]]


def made() -> bytes:
    """Random packets of all kinds that both programs understand; the same in each run."""
    choose = random.Random(20_251_120)  # noqa: S311  # a test is to repeat, not to be secret
    hosts = [f"10.0.{n // 8}.{n % 8 + 1}" for n in range(40)]
    hosts6 = [f"2001:db8:{n}::{n + 1:x}" for n in range(40)]
    records = []
    for at in range(PACKETS):
        family, icmp_number = choose.choice([(hosts, ICMP), (hosts6, ICMPV6)])
        protocol, payload = choose.choice(
            [
                (TCP, tcp(choose.randrange(65536), 443, choose.randrange(1400))),
                (UDP, udp(choose.randrange(65536), 53, choose.randrange(1400))),
                (icmp_number, icmp(8 if icmp_number == ICMP else 128, 0, choose.randrange(100))),
            ]
        )
        source, destination = choose.sample(family, 2)
        packet = ip(source, destination, protocol, payload)
        tags = choose.choice([[], [(0x8100, 7)], [(0x88A8, 7), (0x8100, 8)]])
        frame = choose.choice([ethernet(packet, tags=tags), pppoe(packet), ethernet(bytes(28), kind=0x0806)])
        records.append(Record(at * 10_000, frame))
    return pcap(records)


def ours(path: Path) -> Sums:
    capture = PcapSource(PcapConfig(path=str(path), key=Key(ipv6_prefix_length=128))).read(lambda _progress: None)
    batch = pa.record_batch(capture.rows)
    hosts = list(addresses(batch.column("host"), ipv4_prefix_length=32, ipv6_prefix_length=128))
    sums: Sums = Counter()
    for what in ("sent_packets", "sent_bytes", "received_packets", "received_bytes"):
        for host, number in zip(hosts, batch.column(what).to_pylist(), strict=True):
            assert host is not None
            sums[host, what] += number
    return +sums


def theirs(path: Path) -> Sums:
    fields = ("ip.src", "ip.dst", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.plen")
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=,", "-Y", "ip or ipv6"]
    for name in fields:
        command += ["-e", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    sums: Sums = Counter()
    for line in lines:
        source4, destination4, length4, source6, destination6, length6 = line.split(",")
        source, destination = source4 or source6, destination4 or destination6
        length = int(length4) if length4 else int(length6) + 40
        sums.update({(source, "sent_packets"): 1, (source, "sent_bytes"): length})
        sums.update({(destination, "received_packets"): 1, (destination, "received_bytes"): length})
    return sums


@pytest.mark.peers("tshark", "editcap")
@pytest.mark.parametrize(
    "options",
    [("-F", "pcap"), ("-F", "nsecpcap"), ("-F", "pcapng"), ("-F", "pcapng", "-s", "90"), ("-F", "pcap", "-s", "90")],
)
def test_every_address_has_the_sums_that_tshark_finds(options: tuple[str, ...], tmp_path: Path) -> None:
    original, converted = tmp_path / "original.pcap", tmp_path / "converted"
    original.write_bytes(made())
    subprocess.run(["editcap", *options, original, converted], check=True, timeout=120)
    mine = ours(converted)
    assert sum(number for (_, what), number in mine.items() if what == "sent_packets") > PACKETS // 2
    assert mine == theirs(converted)


@pytest.mark.peers("tshark", "mergecap")
def test_a_merged_capture_has_the_sum_of_its_parts(tmp_path: Path) -> None:
    parts = [tmp_path / "ethernet.pcap", tmp_path / "golden.pcap"]
    parts[0].write_bytes(made())
    parts[1].write_bytes((Path(__file__).parents[1] / "golden" / "captures" / "cooked.pcap").read_bytes())
    merged = tmp_path / "merged.pcapng"
    subprocess.run(["mergecap", "-F", "pcapng", "-w", merged, *parts], check=True, timeout=120)
    assert ours(merged) == ours(parts[0]) + ours(parts[1]) == theirs(merged)
