"""What others do to connection tracking while flows are counted, and what the receipts make of it."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netledger.receipt import ZERO, Count
from netledger.sources.conntrack_switches import FOLDER
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.flow_metering import FlowBench
from tests.kernel.lab import Lab, wait_for
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500, sources=10)
FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=20_000)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def await_packets(bench: FlowBench, number: int) -> None:
    """Until so many more have passed."""
    goal = bench.witnessed().packets + number
    wait_for(lambda: bench.witnessed().packets > goal, 10, "traffic")


def switch(name: str, value: str) -> None:
    (FOLDER / name).write_text(value)


def test_what_flows_had_moved_before_the_meter_is_told_and_not_booked(gateway: Lab) -> None:
    gateway.nft(gateway.gw, "table inet other { chain c { ct state new accept; }\n }")
    for name in ("nf_conntrack_acct", "nf_conntrack_events"):
        switch(name, "1")
    senders.udp(gateway, gateway.left, BURST)
    bench = FlowBench.on(gateway)
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    first = bench.cut()
    assert first.observed.accounted == Count(500, 50_000)
    assert first.observed.why_lost == (
        "nf_conntrack_timestamp was 0 and is 1 now; 10 flows are older than the meter, and what they had moved is not "
        "booked: 500 packets (50,000 bytes)"
    )
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.sum("kernel") == bench.witnessed()


def test_flows_from_before_the_switch_have_no_counters_and_that_is_lost(gateway: Lab) -> None:
    gateway.nft(gateway.gw, "table inet other { chain c { ct state new accept; }\n }")
    switch("nf_conntrack_acct", "0")
    senders.udp(gateway, gateway.left, BURST)
    bench = FlowBench.on(gateway)
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    gateway.silence(gateway.gw)
    first = bench.cut()
    assert (str(first.observed.status), first.observed.lost) == ("lossy", Count(500, 50_000))
    assert "10 flows are without counters, for they are older than nf_conntrack_acct" in (first.observed.why_lost or "")
    assert first.observed.errors == {"flows_uncounted": 10}
    bench.close()
    assert bench.sum("kernel") == bench.witnessed()


def test_a_table_that_is_emptied_loses_nothing(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    for _ in range(5):
        senders.udp(gateway, gateway.left, BURST)
        gateway.run(gateway.gw, ["conntrack", "-F"])
        senders.ping(gateway, gateway.left, "fd77:2::2", 5)
        bench.cut()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    for _ in range(5):
        gateway.run(gateway.gw, ["conntrack", "-F"])
        bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.close()
    assert bench.statuses()[:5] == ["exact"] * 5
    assert set(bench.statuses()[5:-1]) <= {"exact", "unproven", "lossy"}
    # What the kernel counts for a flow behind its DESTROY is in no flow: at most a packet of each CPU for each time.
    assert bench.sum("accounted") + bench.sum("unattributed") == bench.witnessed()
    assert bench.sum("unattributed").packets <= 50
    bench.check_chain()


def test_flows_that_a_full_table_lets_go_early_are_booked_whole(gateway: Lab) -> None:
    # The limit is one for the whole machine, and not changed here: so many flows begin that they do not fit.
    flows_max = int((FOLDER / "nf_conntrack_max").read_text())
    bench = FlowBench.on(gateway)
    bench.open()
    plan = Udp(
        source="10.77.1.2", destination="10.78.0.1", sources=1021, ports=1019, count=flows_max * 5 // 4, rate=200_000
    )
    senders.udp(gateway, gateway.left, plan)
    said = gateway.run(gateway.gw, ["conntrack", "-S"])
    assert sum(map(int, re.findall(r"early_drop=(\d+)", said))) > 1000, "there was room for all"
    first = bench.cut()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert first.observed.accounted == bench.witnessed()


def test_a_storm_of_ends_with_a_tiny_buffer_is_made_good(gateway: Lab) -> None:
    bench = FlowBench.on(gateway, buffer_bytes=4096)
    bench.open()
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=10_000, sources=199, ports=211, rate=100_000)
    for _ in range(3):
        senders.udp(gateway, gateway.left, plan)
        gateway.run(gateway.gw, ["conntrack", "-F"])
        bench.cut()
    bench.close()
    assert sum(one.observed.errors.get("overruns", 0) for one in bench.intervals) > 0, "it was no storm"
    assert bench.sum("kernel") == bench.witnessed() == Count(30_000, 3_000_000)
    assert bench.sum("lost") == ZERO
    assert set(bench.statuses()) == {"exact"}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("delete table inet netledger_ct_flows", "table inet netledger_ct_flows is gone"),
        ("flush chain inet netledger_ct_flows known_in", "of chain known_in is gone"),
        ("add table inet netledger_ct_flows { flags dormant; }", "table is changed"),
        ("add chain inet netledger_ct_flows more", "chain more is new"),
    ],
)
def test_what_others_do_to_the_rules_interrupts_one_interval(gateway: Lab, command: str, words: str) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=50)
    senders.udp(gateway, gateway.left, plan)
    bench.cut()
    gateway.nft(gateway.gw, command)
    disturbed = bench.cut()
    assert disturbed.observed.status == "interrupted"
    assert words in (disturbed.observed.interrupted or "")
    for _ in range(2):
        senders.udp(gateway, gateway.left, plan)
        assert bench.cut().observed.accounted == Count(50, 5000)
    bench.close()
    assert bench.statuses() == ["exact", "interrupted", "exact", "exact", "exact"]
    assert Nft().table("inet", "netledger_ct_flows") is None


def test_counters_that_others_reset_are_noticed(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.cut()
    gateway.run(gateway.gw, ["nft", "reset", "counters", "table", "inet", "netledger_ct_flows"])
    senders.ping(gateway, gateway.left, "10.77.2.2", 3)
    assert bench.cut().observed.status == "interrupted"
    assert bench.intervals[-1].observed.interrupted == "the counters were reset by someone else"
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    assert bench.statuses() == ["exact", "interrupted", "exact"]


def test_switches_that_others_turn_off_are_turned_on_again_and_told(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    switch("nf_conntrack_acct", "0")
    senders.udp(gateway, gateway.left, BURST)
    gateway.silence(gateway.gw)
    disturbed = bench.cut()
    assert disturbed.observed.status == "interrupted"
    assert "nf_conntrack_acct was 0 and is 1 now" in (disturbed.observed.interrupted or "")
    assert disturbed.observed.lost == Count(500, 50_000), "what those flows moved is in the books all the same"
    bench.close()
    assert (FOLDER / "nf_conntrack_acct").read_text() == "0\n", "as it was before us"


def test_flows_whose_counters_others_zero_are_told(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.cut()
    senders.udp(gateway, gateway.left, BURST)
    gateway.run(gateway.gw, ["conntrack", "-L", "-z"])
    senders.ping(gateway, gateway.left, "10.77.2.2", 5)
    zeroed = bench.cut()
    assert (str(zeroed.observed.status), zeroed.observed.lost) == ("lossy", Count(500, 50_000))
    assert "10 flows were reset by someone else" in (zeroed.observed.why_lost or "")
    bench.close()
    assert bench.sum("kernel") == bench.witnessed()


def test_without_a_proof_the_kernel_tracks_all_the_same(gateway: Lab) -> None:
    bench = FlowBench.on(gateway, prove=False)
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    first = bench.cut()
    assert first.observed.accounted == Count(500, 50_000) == bench.witnessed()
    bench.close()
    assert bench.statuses() == ["unproven", "unproven"]


def test_in_traffic_nothing_is_claimed_and_the_quiet_end_has_it_all(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    wait_for(lambda: bench.witnessed().packets > 1000, 10, "traffic")
    for _ in range(10):
        bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.close()
    assert set(bench.statuses()[:-1]) <= {"exact", "unproven"}
    assert "unproven" in bench.statuses()
    assert bench.statuses()[-1] == "exact"
    assert bench.sum("accounted") == bench.witnessed()
    assert bench.sum("lost") == ZERO
    bench.check_chain()


@pytest.mark.parametrize("rate", [50, 300, 20_000])
def test_a_start_in_traffic_claims_nothing_that_is_not_so(gateway: Lab, rate: int) -> None:
    gateway.nft(gateway.gw, "table inet other { chain c { ct state new accept; }\n }")
    for name in ("nf_conntrack_acct", "nf_conntrack_events"):
        switch(name, "1")
    bench = FlowBench.on(gateway)
    for _ in range(4):
        load = senders.start_udp(gateway, gateway.left, replace(FLOOD, rate=rate, sources=7, ports=3))
        await_packets(bench, 20)
        before = bench.witnessed()
        bench.open()
        opened = bench.witnessed()
        await_packets(bench, 10)
        bench.cut()
        senders.stop_udp(load)
        bench.cut()
        bench.close()
        *early, last = bench.intervals[-3:]
        assert all(str(one.observed.status) in ("exact", "unproven") for one in early), early
        assert last.observed.status == "exact"
        # What was booked is what passed since some moment of the start.
        booked = early[0].observed.accounted + early[1].observed.accounted
        assert booked.covers(bench.witnessed() - opened)
        assert (bench.witnessed() - before).covers(booked)
