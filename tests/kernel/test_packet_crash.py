"""A meter of packets that is killed: what it had read is counted once, and the receipt tells since when it had not."""

import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from netledger.errors import InUseError, PermissionDeniedError
from netledger.intervals import SECOND_NS
from netledger.receipt import ZERO, Count, parse_rfc3339
from netledger.sources.base import Key
from netledger.sources.packet import PacketSource
from tests.kernel import links, senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.lesser import lacking
from tests.kernel.metering import CLOCK, Child, leftovers
from tests.kernel.packet_metering import MEBIBYTE, PacketBench
from tests.kernel.senders import Udp
from tests.unit import packets

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, count=500)
FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=20_000)
BY_INTERFACE = Key(columns=("host", "interface"))
NOBODY = re.compile(r"between (\S+) and (\S+) nobody counted: the process had ended")


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def burst(gateway: Lab, child: Child, number: int) -> None:
    """Sends it, and waits until it is counted."""
    senders.udp(gateway, gateway.left, BURST)
    wait_for(lambda: child.received_packets() == number * BURST.count, 10, "packets")


def wait_for_packets(child: Child, number: int) -> None:
    wait_for(lambda: child.received_packets() >= number, 10, f"{number} packets")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("step", ["noted:2", "rolled:2", "frozen:2"])
def test_killed_in_a_quiet_cut_every_packet_is_in_exactly_one_interval(gateway: Lab, step: str, threads: int) -> None:
    bench = PacketBench.on(gateway, interfaces=("left",), threads=threads)
    with bench.child(step) as child:
        burst(gateway, child, 1)
        child.tell("cut")
        burst(gateway, child, 2)
        assert child.tell("cut") is None, "it did not die"
        child.wait()
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.wait_for_packets(BURST.count)
    bench.close()
    bench.check_chain()
    assert bench.sum("accounted") == Count(1500, 150_000)
    assert bench.sum("lost") == ZERO
    assert bench.statuses().count("interrupted") == 1
    assert leftovers(bench.config.runtime) == []


@pytest.mark.parametrize("step", ["begun", "drained"])
def test_killed_at_the_start_or_in_a_stop_the_next_start_finishes_it(gateway: Lab, step: str) -> None:
    bench = PacketBench.on(gateway, interfaces=("left",))
    with bench.child(step) as child:
        if step == "drained":
            burst(gateway, child, 1)
            assert child.tell("close") is None, "it did not die"
        child.wait()
    (taken_over,) = bench.open()
    bench.close()
    bench.check_chain()
    assert taken_over.observed.accounted.packets == (BURST.count if step == "drained" else 0)
    assert leftovers(bench.config.runtime) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_killed_when_it_has_taken_over_and_not_begun_the_hole_is_on_a_receipt(gateway: Lab, threads: int) -> None:
    """Two lives in a row die there: the time of each is an interval, and no moment is in none."""
    bench = PacketBench.on(gateway, interfaces=("left",), threads=threads)
    with bench.child() as child:
        burst(gateway, child, 1)
        child.signal(signal.SIGKILL)
        child.wait()
    for _ in range(2):
        with bench.child("finished") as child:
            child.wait()
    bench.open()
    bench.close()
    bench.check_chain()
    assert bench.sum("accounted") == Count(500, 50_000)
    assert bench.statuses() == ["interrupted"] * 3 + ["unproven"]
    told = bench.intervals[1].observed.interrupted or ""
    assert NOBODY.search(told)
    assert told.endswith("it had not begun to count")
    assert leftovers(bench.config.runtime) == []


def test_killed_under_load_the_receipt_says_from_when_to_when_nobody_counted(gateway: Lab) -> None:
    bench = PacketBench.on(gateway, interfaces=("left",), ring_bytes=16 * MEBIBYTE)
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    counted = 0
    for _ in range(4):
        with bench.child() as child:
            wait_for_packets(child, 2000)
            before_ns = CLOCK.now().wall_ns
            counted += child.received_packets()
            child.signal(signal.SIGKILL)
            child.wait()
    bench.open()
    sent = senders.stop_udp(load).count
    bench.close()
    bench.check_chain()
    accounted = bench.sum("accounted").packets
    assert counted <= accounted <= sent.packets
    assert bench.statuses() == ["interrupted"] * 4 + ["unproven"]
    last = bench.intervals[3]
    told = NOBODY.search(last.observed.interrupted or "")
    assert told
    since_ns, until_ns = parse_rfc3339(told[1]), parse_rfc3339(told[2])
    # What was read last came shortly before the kill; the machine is busy.
    assert before_ns - 20 * SECOND_NS < since_ns < until_ns == last.end.wall_ns


def test_the_name_of_a_line_that_is_gone_survives_the_process(gateway: Lab) -> None:
    bench = PacketBench.on(gateway, interfaces=("ppp*",), key=BY_INTERFACE)
    with bench.child() as child:
        for number in range(3):
            with links.tun(gateway, gateway.gw, f"ppp{number}") as line:
                os.write(line, packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80)))
                wait_for_packets(child, number + 1)
        child.signal(signal.SIGKILL)
        child.wait()
    bench.open()
    bench.close()
    assert {key: number for key, number in bench.rows.items() if number} == {
        (f"ppp{number}", host, side): 1
        for number in range(3)
        for host, side in (("10.0.0.1", "sent"), ("10.0.0.2", "received"))
    }


@pytest.mark.parametrize("part", ["gen-00000001.table", "gen-00000001.table.1"])
def test_a_damaged_file_costs_its_interval_and_nothing_else(gateway: Lab, part: str) -> None:
    bench = PacketBench.on(gateway, interfaces=("left",), threads=2)
    with bench.child() as child:
        burst(gateway, child, 1)
        child.signal(signal.SIGKILL)
        child.wait()
    (bench.config.runtime / part).write_bytes(b"this is no table")
    (taken_over,) = bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.wait_for_packets(BURST.count)
    bench.close()
    assert bench.statuses() == ["interrupted", "unproven"]
    assert "its rows are lost" in (taken_over.observed.interrupted or "")
    assert bench.sum("accounted") == Count(500, 50_000)
    aside = {"gen-00000001.damaged.table", "gen-00000001.damaged.table.1"}
    assert set(leftovers(bench.config.runtime)) <= aside
    assert f"gen-00000001.damaged.{part.removeprefix('gen-00000001.')}" in leftovers(bench.config.runtime)


def test_two_processes_do_not_count_for_the_same_meter(gateway: Lab) -> None:
    bench = PacketBench.on(gateway, interfaces=("left",))
    bench.open()
    with pytest.raises(InUseError, match="already counted by pid"):
        PacketSource(bench.config).open(CLOCK.now())
    bench.close()


def test_without_the_capability_nothing_is_left_behind(gateway: Lab) -> None:
    """A child of this process without CAP_NET_RAW; the error's words are all that it says."""
    bench = PacketBench.on(gateway, interfaces=("left",))
    program = (
        "import sys\n"
        "from tests.kernel.packet_metering import CONFIG\n"
        "from netledger.sources.packet import PacketSource\n"
        "from tests.kernel.metering import CLOCK\n"
        "try:\n    PacketSource(CONFIG.validate_json(sys.argv[1])).open(CLOCK.now())\n"
        "except Exception as error:\n    print(type(error).__name__, error, '-', error.hint)\n"
    )
    argv = ["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw", sys.executable, "-c", program]
    said = gateway.run(gateway.gw, [*argv, bench.config_text()])
    assert said.startswith(PermissionDeniedError.__name__)
    assert said.endswith(f"- {lacking('CAP_NET_RAW')}; after a reload: restart\n")
    assert leftovers(bench.config.runtime) == []
