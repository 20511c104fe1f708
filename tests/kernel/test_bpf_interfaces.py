"""A meter that counts at single interfaces (tcx): what passes each, and those that come, go and change their names."""

import os
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from netledger.receipt import Count
from netledger.sources.base import Key
from tests.kernel import links, senders
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.bpf_hands import detach
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.lab import wait_for
from tests.kernel.metering import leftovers
from tests.kernel.senders import Udp
from tests.unit import packets

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
BY_INTERFACE = Key(columns=("host", "interface"))
PACKET = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def bench_of(gateway: BpfLab, *interfaces: str) -> BpfBench:
    return BpfBench.on(gateway, attach="tcx", interfaces=interfaces, key=BY_INTERFACE)


def hangs_at(bench: BpfBench, number: int) -> bool:
    """Whether it hangs at so many interfaces, both ways."""
    return sum(pin.rpartition("/")[2].startswith("link-") for pin in bench.pinned()) == 2 * number


def wait_until_it_hangs_at(bench: BpfBench, number: int) -> None:
    wait_for(lambda: hangs_at(bench, number), 5, f"{number} interfaces; {bench.pinned()}")


def wait_until_all_is_told(gateway: BpfLab, bench: BpfBench, number: int) -> None:
    """Waits until it has also looked at what had passed before it hung there: behind that it takes one more."""
    wait_until_it_hangs_at(bench, number)
    with links.tun(gateway, gateway.gw, "pppmore"):
        wait_until_it_hangs_at(bench, number + 1)
    wait_until_it_hangs_at(bench, number)


def passed(bench: BpfBench, interface: str) -> int:
    """Packets that hosts sent there."""
    return sum(number for (name, _, side), number in bench.rows.items() if (name, side) == (interface, "sent"))


def test_each_interface_counts_what_comes_in_and_goes_out(gateway: BpfLab) -> None:
    bench = bench_of(gateway)
    bench.open()
    burst(gateway, BURST)
    bench.close()
    assert (passed(bench, "left"), passed(bench, "right")) == (500, 500)
    assert bench.statuses() == ["exact"]
    assert bench.sum("accounted") == Count(1000, 100_000)
    assert leftovers(bench.config.runtime) == bench.pinned() == []


def test_the_wire_is_known_where_packets_are_merged(gateway: BpfLab) -> None:
    bench = bench_of(gateway, "left")
    bench.open()
    assert senders.tcp(gateway, gateway.left, gateway.right, "10.77.2.2", 4_000_000) == 4_000_000
    (interval,) = bench.close()
    seen = interval.observed
    assert seen.super_packets is not None
    assert seen.wire_packets is not None
    assert seen.wire_bytes is not None
    assert 0 < seen.super_packets < seen.accounted.packets
    assert seen.wire_packets >= 4_000_000 // 1448
    # Each packet of the wire has a header of its own.
    headers = (seen.wire_packets - seen.accounted.packets) * 40
    assert seen.accounted.bytes + headers <= seen.wire_bytes <= seen.accounted.bytes + 2 * headers


def test_interfaces_that_come_go_and_are_renamed_are_followed(gateway: BpfLab) -> None:
    bench = bench_of(gateway, "ppp*")
    bench.open()
    assert hangs_at(bench, 0)
    for number in range(3):
        with links.tun(gateway, gateway.gw, f"ppp{number}") as line:
            wait_until_it_hangs_at(bench, 1)
            os.write(line, PACKET)
            bench.wait_for_packets(number + 1)
        wait_until_it_hangs_at(bench, 0)
    with links.tun(gateway, gateway.gw, "other") as line:
        gateway.run(gateway.gw, ["ip", "link", "set", "other", "down"])
        gateway.run(gateway.gw, ["ip", "link", "set", "other", "name", "ppp7", "up"])
        wait_until_it_hangs_at(bench, 1)
        os.write(line, PACKET)
        bench.wait_for_packets(4)
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp7", "down"])
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp7", "name", "away", "up"])
        wait_until_it_hangs_at(bench, 0)
        os.write(line, PACKET)
    bench.close()
    # Each has the name that it had last; the packet that passed when it was called away is not counted.
    assert {name: passed(bench, name) for name in ("ppp0", "ppp1", "ppp2", "ppp7", "away")} == {
        "ppp0": 1, "ppp1": 1, "ppp2": 1, "ppp7": 0, "away": 1,
    }  # fmt: skip
    assert bench.sum("accounted") == Count(4, 400)


def test_an_interface_that_had_passed_packets_before_it_was_counted_is_told(gateway: BpfLab) -> None:
    """It came while nobody lived: what passed it then is in no row, and the interval does not say exact."""
    bench = bench_of(gateway, "left", "ppp*")
    with bench.child() as child:
        burst(gateway, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        for _ in range(3):
            os.write(line, PACKET)
        burst(gateway, BURST)
        (taken_over,) = bench.open()
        os.write(line, PACKET)
        bench.wait_for_packets(1)
        bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "up to 3 packets had passed ppp0 before it was counted" in (taken_over.observed.interrupted or "")
    assert passed(bench, "left") == 1000
    assert passed(bench, "ppp0") == 1


def test_an_interface_that_was_called_away_and_back_has_missed_nothing(gateway: BpfLab) -> None:
    """What passed it by the other name was not to be counted; what it passed before that was."""
    bench = bench_of(gateway, "ppp*")
    bench.open()
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        wait_until_all_is_told(gateway, bench, 1)
        for _ in range(3):
            os.write(line, PACKET)
        bench.wait_for_packets(3)
        bench.cut()
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "down", "name", "away"])
        wait_until_it_hangs_at(bench, 0)
        gateway.run(gateway.gw, ["ip", "link", "set", "away", "up"])
        for _ in range(5):
            os.write(line, PACKET)
        gateway.run(gateway.gw, ["ip", "link", "set", "away", "down", "name", "ppp0"])
        wait_until_all_is_told(gateway, bench, 1)
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "up"])
        os.write(line, PACKET)
        bench.wait_for_packets(4)
        bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert passed(bench, "ppp0") == 4


def test_what_passed_between_a_name_and_the_news_of_it_is_told(gateway: BpfLab) -> None:
    bench = bench_of(gateway, "ppp*")
    lines: list[int] = []

    def renamed(step: str) -> None:
        """While a cut keeps the news from being heard."""
        if step == "switched" and lines:
            gateway.run(gateway.gw, ["ip", "link", "set", "away", "down", "name", "ppp0"])
            gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "up"])
            for _ in range(2):
                os.write(lines[0], PACKET)

    bench.open(renamed)
    with links.tun(gateway, gateway.gw, "away") as line:
        for _ in range(5):
            os.write(line, PACKET)
        lines.append(line)
        bench.cut()
        wait_until_it_hangs_at(bench, 1)
        lines.clear()
        bench.close()
    assert bench.statuses() == ["exact", "interrupted"]
    told = bench.intervals[1].observed.interrupted or ""
    assert "up to 2 packets had passed ppp0 before it was counted" in told


@pytest.mark.parametrize(
    ("attach", "interfaces", "seen"),
    [
        ("netfilter", (), {"br0": 1, "right": 1}),  # once: under the one that it came by and the one that it left by
        ("netfilter", ("left",), {}),  # the hooks see the bridge, and not its ports
        ("tcx", ("br0",), {"br0": 2}),
        ("tcx", ("left",), {"left": 2}),
        ("tcx", (), {"br0": 2, "left": 2, "right": 2}),
    ],
)
def test_what_comes_by_a_bridge_is_seen_at_the_bridge_and_at_its_port(
    gateway: BpfLab, attach: str, interfaces: tuple[str, ...], seen: dict[str, int]
) -> None:
    gateway.run(gateway.gw, ["ip", "addr", "flush", "dev", "left"])
    for words in ("add br0 up type bridge", "set left master br0"):
        gateway.run(gateway.gw, ["ip", "link", *words.split()])
    gateway.run(gateway.gw, ["ip", "addr", "add", "10.77.1.1/24", "dev", "br0"])
    far = ("10.77.2.2/32",)
    bench = BpfBench.on(gateway, attach=attach, interfaces=interfaces, networks=far, key=BY_INTERFACE)
    bench.open()
    burst(gateway, BURST)
    bench.close()
    sides = Counter[str]()
    for (name, _, _), number in bench.rows.items():
        sides[name] += number
    assert +sides == Counter({name: BURST.count * times for name, times in seen.items()})
    assert bench.statuses() == ["exact"]


def test_another_selection_of_interfaces_gets_another_program(gateway: BpfLab) -> None:
    bench = bench_of(gateway, "left")
    bench.open()
    burst(gateway, BURST)
    bench.close(keep_rules=True)
    bench.wish(interfaces=("left", "right"))
    bench.open()
    burst(gateway, BURST)
    bench.close()
    assert (passed(bench, "left"), passed(bench, "right")) == (1000, 500)
    assert bench.pinned() == []


def test_a_link_that_somebody_detached_there_is_attached_again(gateway: BpfLab) -> None:
    bench = bench_of(gateway, "left")
    bench.open()
    one = next(path for path in bench.config.pins.rglob("link-*-ingress"))
    detach(one)
    wait_for(lambda: bench.opened().glance().disturbed, 3, "the watch")
    burst(gateway, BURST)
    bench.cut()
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert passed(bench, "left") == 500
