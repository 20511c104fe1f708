"""A meter of packet sockets on the real kernel: each packet once per chosen interface, whatever carries it."""

import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netledger.errors import SourceError
from netledger.receipt import ZERO, Count
from netledger.sources.base import Key
from netledger.sources.packet_filter import PacketChoice
from tests.kernel import links, senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.links import FORMS
from tests.kernel.metering import leftovers
from tests.kernel.packet_metering import MEBIBYTE, PacketBench
from tests.kernel.senders import Udp
from tests.unit import packets

PLAN = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, count=1000)
HOSTS = Key(columns=("host",), ipv6_prefix_length=128)
BY_INTERFACE = Key(columns=("host", "interface"), ipv6_prefix_length=128)
# linux/virtio_net.h
FRAGMENTS_OF_UDP, SEGMENTS_OF_UDP = 3, 5
BY_PORT = Key(columns=("host", "protocol", "host_port", "peer_port"), ipv6_prefix_length=128)


# To the gateway, from the left: what is for other machines counts where an interface is promiscuous only.
FOR_US = bytes.fromhex("027700000101 027700000102")


def ethernet(packet: bytes) -> bytes:
    return packets.ethernet(packet, macs=FOR_US)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    """The lab, with this thread on its gateway and a witness beside the meter."""
    lab.witness(lab.gw)
    with lab.inside(lab.gw):
        yield lab


def forwarded(lab: Lab) -> Count:
    seen = lab.counter(lab.gw, "witness", "forward")
    return Count(seen.packets, seen.bytes)


@pytest.mark.parametrize("threads", [1, 3])
def test_each_packet_of_an_interface_counts_once(gateway: Lab, threads: int) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), threads=threads, key=HOSTS)
    meter.open()
    senders.udp(gateway, gateway.left, PLAN)
    senders.udp(gateway, gateway.left, replace(PLAN, source="fd77:1::2", destination="fd77:2::2", payload_bytes=300))
    meter.close()
    (interval,) = meter.intervals
    assert interval.observed.accounted == forwarded(gateway) == Count(2000, 1000 * 100 + 1000 * 348)
    assert (str(interval.observed.status), interval.observed.kernel, interval.observed.lost) == ("unproven", None, ZERO)
    assert (interval.observed.dropped_packets, interval.observed.wire_packets) == (0, 2000)
    assert (interval.observed.source, dict(interval.observed.errors)) == ("packet", {})
    assert meter.rows["", "10.77.1.2", "sent"] == 100
    assert meter.rows["", "fd77:2::2", "received"] == 1000
    assert leftovers(meter.config.runtime) == []


def test_a_forwarded_packet_counts_at_each_chosen_interface(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, key=BY_INTERFACE)
    meter.open()
    senders.udp(gateway, gateway.left, replace(PLAN, sources=1))
    meter.close()
    expected = {(name, host, side): 1000 for name in ("left", "right") for host, side in ENDS}
    assert {key: number for key, number in meter.rows.items() if number} == expected
    assert meter.sum("accounted") == forwarded(gateway) + forwarded(gateway)


ENDS = (("10.77.1.2", "sent"), ("10.77.2.2", "received"))


def test_interfaces_and_networks_and_an_expression_choose(gateway: Lab) -> None:
    choice = PacketChoice(
        networks=("10.77.1.0/24",), networks_excluded=("10.77.1.4/32",), expression="udp dst port 9000 and ip"
    )
    meter = PacketBench.on(gateway, interfaces_excluded=("righ*",), choice=choice, key=HOSTS)
    meter.open()
    senders.udp(gateway, gateway.left, PLAN)
    senders.udp(gateway, gateway.left, replace(PLAN, port=9001))
    senders.udp(gateway, gateway.left, replace(PLAN, source="10.99.0.1"))
    senders.udp(gateway, gateway.left, replace(PLAN, source="fd77:1::2", destination="fd77:2::2"))
    meter.close()
    assert meter.sum("accounted") == Count(900, 900 * 100)
    assert meter.rows["", "10.77.1.4", "sent"] == 0


@pytest.mark.parametrize("account", ["source", "destination"])
def test_one_side_alone_makes_one_posting(gateway: Lab, account: str) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, account=account)
    meter.open()
    senders.udp(gateway, gateway.left, PLAN)
    meter.close()
    assert meter.sum("accounted") == forwarded(gateway)
    assert meter.rows["", "10.77.1.2", "sent"] == (100 if account == "source" else 0)
    assert meter.rows["", "10.77.2.2", "received"] == (0 if account == "source" else 1000)


def test_one_ip_version_alone_counts(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, families=(4,))
    meter.open()
    senders.udp(gateway, gateway.left, PLAN)
    senders.udp(gateway, gateway.left, replace(PLAN, source="fd77:1::2", destination="fd77:2::2"))
    meter.close()
    assert meter.sum("accounted") == Count(1000, 100_000)


@pytest.mark.parametrize("threads", [1, 2])
def test_cuts_under_load_lose_and_double_nothing(gateway: Lab, threads: int) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, threads=threads, ring_bytes=16 * MEBIBYTE)
    meter.open()
    load = senders.start_udp(gateway, gateway.left, replace(PLAN, count=0, rate=30_000))
    for number in range(1, 31):
        meter.wait_for_packets(number * 500)
        meter.cut()
    sent = senders.stop_udp(load)
    meter.close()
    meter.check_chain()
    assert set(meter.statuses()) == {"unproven"}
    assert meter.sum("lost") == ZERO
    assert meter.sum("accounted") == Count(sent.count.packets, sent.count.bytes)
    assert sum(interval.observed.accounted.packets > 0 for interval in meter.intervals) > 20


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_tags_or_pppoe_is_read(gateway: Lab, form: str) -> None:
    sent = [packets.ipv4("10.0.0.1", "192.0.2.1", packets.udp()), packets.ipv6("fd00::1", "fd00::2", packets.udp())]
    meter = PacketBench.on(
        gateway, interfaces=("left",), key=HOSTS, choice=PacketChoice(networks=("::/0", "10.0.0.0/8"))
    )
    meter.open()
    links.put(
        gateway, gateway.left, "uplink", [packets.ethernet(packet, **FORMS[form], macs=FOR_US) for packet in sent] * 5
    )
    meter.wait_for_packets(10)
    meter.close()
    assert meter.sum("accounted") == Count(10, 5 * (28 + 48))
    assert meter.rows["", "10.0.0.1", "sent"] == meter.rows["", "fd00::2", "received"] == 5


def test_what_is_not_ip_is_no_part_of_the_account(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS)
    meter.open()
    arp = FOR_US + struct.pack("!H", packets.ARP) + bytes(28)
    lcp = bytearray(packets.ethernet(packets.ipv4("10.0.0.1", "10.0.0.2"), pppoe=True, macs=FOR_US))
    lcp[20:22] = b"\xc0\x21"
    links.put(gateway, gateway.left, "uplink", [arp, bytes(lcp), ethernet(packets.ipv4("10.0.0.1", "10.0.0.2"))])
    meter.wait_for_packets(1)
    meter.close()
    assert meter.sum("accounted") == Count(1, 20)
    assert meter.sum("lost") == ZERO


def test_headers_that_lie_and_headers_that_are_none(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS)
    meter.open()
    honest = packets.ipv4("10.0.0.1", "10.0.0.2", packets.udp())
    liar = honest[:2] + struct.pack("!H", 60_000) + honest[4:]
    padded = ethernet(honest) + bytes(18)
    broken = FOR_US + struct.pack("!H", packets.IPV4) + b"\x45\x00\x00"
    links.put(gateway, gateway.left, "uplink", [ethernet(honest), padded, ethernet(liar), broken])
    wait_for(lambda: sum(meter.opened().stats().unreadable.values()) == 1, 10, "a broken header")
    meter.close()
    (interval,) = meter.intervals
    assert interval.observed.accounted == Count(3, 3 * 28)
    assert interval.observed.errors["length_lies"] == 1
    assert (interval.observed.unreadable_packets, interval.observed.lost) == (1, Count(1, 0))
    assert interval.observed.why_lost == "1 packet not readable"


@pytest.mark.parametrize("address", ["10.77.2.2", "fd77:2::2"])
def test_fragments_have_the_ports_of_their_first_one(gateway: Lab, address: str) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=BY_PORT)
    meter.open()
    sent = senders.fragments(gateway, gateway.left, address, 4000, count=20)
    meter.wait_for_packets(sent.packets)
    closed = meter.close()[0]
    assert closed.observed.accounted == Count(sent.packets, sent.bytes)
    assert closed.observed.rows <= 2 * 20, "no row without ports"
    assert "fragments_unknown" not in closed.observed.errors


def test_a_later_fragment_without_its_first_is_counted_and_told(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=BY_PORT)
    meter.open()
    later = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(32), fragment=185)
    links.put(gateway, gateway.left, "uplink", [ethernet(later)])
    meter.wait_for_packets(1)
    (interval,) = meter.close()
    assert interval.observed.accounted == Count(1, 52)
    assert interval.observed.errors["fragments_unknown"] == 1


def test_super_packets_are_told_with_what_they_are_on_the_wire(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, ring_bytes=32 * MEBIBYTE)
    meter.open()
    assert senders.tcp(gateway, gateway.left, gateway.right, "10.77.2.2", 4_000_000) == 4_000_000
    meter.close()
    (interval,) = meter.intervals
    seen = interval.observed
    assert seen.accounted == forwarded(gateway)
    assert seen.lost == ZERO
    assert seen.super_packets is not None
    assert seen.wire_packets is not None
    assert 0 < seen.super_packets < seen.accounted.packets
    assert seen.wire_packets >= 4_000_000 // 1448


def test_a_super_packet_that_the_kernel_cannot_describe_is_on_the_receipt(gateway: Lab) -> None:
    """Not as one for which the ring was too small: a larger one would not help."""
    udp = packets.ipv4("10.8.0.1", "10.8.0.2", packets.udp(payload=bytes(4000)))
    meter = PacketBench.on(gateway, interfaces=("guest",), key=HOSTS)
    meter.open()
    with links.tun(gateway, gateway.gw, "guest", segments=True) as line:
        for kind in (SEGMENTS_OF_UDP, FRAGMENTS_OF_UDP):
            os.write(line, struct.pack("=BBHHHH", 1, kind, 28, 1400, 20, 6) + udp)
        meter.wait_for_packets(1)
    meter.close()
    (interval,) = meter.intervals
    seen = interval.observed
    assert (seen.accounted.packets, seen.super_packets, seen.wire_packets) == (1, 1, 3)
    assert (seen.dropped_packets, dict(seen.errors)) == (1, {})
    assert "or they were super-packets that it cannot describe" in str(seen.why_lost)


def test_what_the_ring_had_no_room_for_is_on_the_receipt(gateway: Lab) -> None:
    """The process is stopped meanwhile, so that nobody empties the ring."""
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, ring_bytes=MEBIBYTE)
    with meter.child() as child:
        child.signal(signal.SIGSTOP)
        sent = senders.udp(gateway, gateway.left, replace(PLAN, count=60_000, rate=60_000)).count
        child.signal(signal.SIGCONT)
        child.tell("close")
    (interval,) = meter.intervals
    dropped = interval.observed.dropped_packets
    assert dropped
    assert interval.observed.accounted.packets + dropped == sent.packets == 60_000
    assert interval.observed.lost == Count(dropped, 0)
    why = f"{dropped} packets dropped by the kernel: the ring of 1048576 bytes was full"
    assert (str(interval.observed.status), interval.observed.why_lost) == ("unproven", why)
    assert interval.observed.errors["overruns"] > 0


def test_loopback_counts_once_where_it_is_named(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("lo",), key=BY_INTERFACE)
    rest = PacketBench.on(gateway, key=BY_INTERFACE, runtime=gateway.directory / "rest", meter="rest")
    meter.open()
    rest.open()
    senders.udp(gateway, gateway.gw, replace(PLAN, source="127.0.0.1", destination="127.0.0.1", sources=1))
    meter.close()
    rest.close()
    assert meter.sum("accounted") == Count(1000, 100_000)
    assert meter.rows["lo", "127.0.0.1", "sent"] == meter.rows["lo", "127.0.0.1", "received"] == 1000
    assert rest.sum("accounted") == ZERO


def promiscuity(lab: Lab) -> int:
    text = lab.run(lab.gw, ["ip", "-d", "-o", "link", "show", "left"])
    return int(text.partition("promiscuity ")[2].split()[0])


@pytest.mark.parametrize("is_wanted", [True, False])
def test_what_is_for_other_machines_counts_where_it_is_asked_for_and_nothing_stays(
    gateway: Lab, is_wanted: bool
) -> None:
    promiscuous = ("lef*",) if is_wanted else ()
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS, promiscuous=promiscuous)
    for_others = packets.ethernet(packets.ipv4("10.0.0.1", "10.0.0.2"), macs=bytes.fromhex("0255aabbccdd 027700000102"))
    for_us = packets.ethernet(packets.ipv4("10.0.0.3", "10.0.0.4"), macs=bytes.fromhex("027700000101 027700000102"))
    assert promiscuity(gateway) == 0
    with meter.child() as child:
        assert promiscuity(gateway) == is_wanted
        links.put(gateway, gateway.left, "uplink", [for_others, for_us])
        wait_for(lambda: child.received_packets() == 1 + is_wanted, 10, "packets")
        child.tell("cut")
    assert promiscuity(gateway) == 0
    assert meter.sum("accounted").packets == 1 + is_wanted


def test_a_line_that_comes_up_is_counted_from_its_first_packet(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("ppp*",), key=BY_INTERFACE)
    meter.open()
    first = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
    for _ in range(3):
        with links.tun(gateway, gateway.gw, "ppp0") as line:
            os.write(line, first)
    with links.tun(gateway, gateway.gw, "other") as line:
        os.write(line, first)
    meter.wait_for_packets(3)
    meter.close()
    assert meter.sum("accounted") == Count(3, 300)
    assert {key for key, number in meter.rows.items() if number} == {
        ("ppp0", "10.0.0.1", "sent"),
        ("ppp0", "10.0.0.2", "received"),
    }


def test_lines_that_flap_lose_and_mix_nothing(gateway: Lab) -> None:
    """Two names take turns, so that the numbers of interfaces never mean the same one for long."""
    meter = PacketBench.on(gateway, interfaces=("ppp*",), key=BY_INTERFACE)
    meter.open()
    for number in range(60):
        with links.tun(gateway, gateway.gw, f"ppp{number % 2}") as line:
            for _ in range(5):
                os.write(line, packets.ipv4("10.0.0.1", f"10.0.1.{number % 2}", bytes(80)))
        if number % 20 == 10:
            meter.cut()
    meter.close()
    assert meter.sum("accounted") == Count(300, 30_000)
    assert meter.rows["ppp0", "10.0.1.0", "received"] == meter.rows["ppp1", "10.0.1.1", "received"] == 150
    assert meter.sum("lost") == ZERO


def test_a_line_that_is_down_for_a_while_counts_on(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("ppp0",), key=BY_INTERFACE)
    meter.open()
    packet = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        for number in range(1, 6):
            os.write(line, packet)
            meter.wait_for_packets(number)
            gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "down"])
            gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "up"])
    meter.close()
    assert meter.rows["ppp0", "10.0.0.1", "sent"] == 5
    assert meter.sum("accounted") == Count(5, 500)


def test_live_rows_are_there_before_the_cut(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("left",), key=HOSTS)
    meter.open()
    senders.udp(gateway, gateway.left, PLAN)
    meter.wait_for_packets(1000)
    live = meter.opened().live(top=3)
    assert (live.rows, len(live.batch), live.sent, live.received) == (11, 3, Count(1000, 100_000), Count(1000, 100_000))
    glance = meter.opened().glance()
    assert (glance.rows, glance.received, glance.lost_packets) == (11, Count(1000, 100_000), 0)
    meter.close()


def test_one_that_is_not_open_says_so(gateway: Lab) -> None:
    meter = PacketBench.on(gateway)
    meter.open()
    source = meter.opened()
    meter.close()
    for call in (source.glance, source.live, source.stats):
        with pytest.raises(SourceError, match="meter line: listen: not open"):
            call()
