"""A managed NFLOG meter on a real kernel: every interval proves itself, and all together equal an independent count."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from netledger.errors import RulesetError
from netledger.receipt import Count
from netledger.sources import ruleset
from netledger.sources.base import Key
from netledger.sources.kernel_rules import list_table
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.metering import Bench, leftovers
from tests.kernel.senders import Udp

FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=20, destinations=5, count=0, rate=40_000)
FLOOD6 = Udp(source="fd77:1::2", destination="fd78::1", destinations=30, count=0, rate=30_000, payload_bytes=300)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def test_thirty_cuts_under_load_are_exact_and_add_up_to_the_independent_count(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    loads = [senders.start_udp(gateway, gateway.left, plan) for plan in (FLOOD, FLOOD6)]
    for _ in range(32):
        bench.cut()
    for load in loads:
        senders.stop_udp(load)
    bench.cut()
    gateway.silence(gateway.gw)
    bench.cut()
    assert bench.cumulative() == bench.sum("kernel")
    bench.close()
    assert bench.statuses() == ["exact"] * 35
    assert bench.sum("accounted") == bench.witnessed()
    assert sum(interval.observed.accounted.packets > 100 for interval in bench.intervals) > 20
    bench.check_chain()
    assert leftovers(bench.config.runtime) == []
    assert Nft().table("inet", "netledger") is None


def test_every_kind_of_traffic_is_accounted_to_the_byte(gateway: Lab) -> None:
    bench = Bench.on(gateway, key=Key(columns=("host", "peer", "protocol", "host_port", "peer_port")))
    bench.open()
    for address in ("10.77.2.2", "fd77:2::2"):
        senders.ping(gateway, gateway.left, address, 20, 1000)
        senders.fragments(gateway, gateway.left, address, 20_000, count=5)
    senders.extended(gateway, gateway.left, "fd77:2::2", 500, count=10)
    senders.fragments(gateway, gateway.left, "10.77.1.1", 9000, count=3)
    senders.fragments(gateway, gateway.left, "fd77:1::1", 9000, count=3)
    senders.ping(gateway, gateway.gw, "10.77.2.2", 5)
    bench.cut()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.sum("accounted") == bench.witnessed()
    assert bench.sum("accounted").packets > 250


@pytest.mark.parametrize("address", ["10.77.2.2", "fd77:2::2"])
def test_bulk_tcp_in_merged_super_packets_equals_the_kernel(gateway: Lab, address: str) -> None:
    bench = Bench.on(gateway)
    bench.open()
    payload_bytes = 50_000_000
    assert senders.tcp(gateway, gateway.left, gateway.right, address, payload_bytes) == payload_bytes
    gateway.silence(gateway.gw)
    bench.close()
    (interval,) = bench.intervals
    assert interval.observed.status == "exact"
    assert interval.observed.accounted == bench.witnessed()
    assert interval.observed.accounted.bytes > payload_bytes
    assert interval.observed.accounted.packets < payload_bytes // 1400, "nothing was merged: this proves nothing"


def test_a_stalled_listener_loses_exactly_what_the_kernel_says(gateway: Lab) -> None:
    bench = Bench.on(gateway, buffer_bytes=65536)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=100))
        child.signal(signal.SIGSTOP)
        senders.udp(gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=30_000))
        child.signal(signal.SIGCONT)
        more = 0

        def another_comes() -> bool:
            """It shows the gap before it; while the buffer is full it finds no room either."""
            nonlocal more
            before, more = child.received_packets(), more + 1
            senders.udp(gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2"))
            with suppress(TimeoutError):
                wait_for(lambda: child.received_packets() > before, 0.2, "it")
            return child.received_packets() == before + 1

        wait_for(another_comes, 20, "a packet behind the gap")
        child.tell("cut")
        senders.udp(gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=100))
        child.tell("close")
    first, second = bench.intervals
    assert (first.observed.status, second.observed.status) == ("lossy", "exact")
    assert bench.sum("kernel") == bench.witnessed() == Count(30_200 + more, 100 * (30_200 + more))
    assert bench.sum("accounted") + bench.sum("lost") == bench.sum("kernel")
    lost = first.observed.lost
    assert lost.packets > 1000
    assert lost.bytes == lost.packets * 100
    assert first.observed.errors["overruns"] > 0
    assert "missing in the sequence" in (first.observed.why_lost or "")


@pytest.mark.parametrize(
    ("command", "words", "kernel_known"),
    [
        ("delete table inet netledger", "is gone", False),
        ("flush chain inet netledger lan_count", "of chain lan_count is gone", True),
        ("insert rule inet netledger lan_forward return", "of chain lan_forward is new", True),
        ("reset counters table inet netledger", "was reset", False),
        ("add table inet netledger { flags dormant; }", "table is changed", True),
    ],
)
def test_what_others_do_interrupts_one_interval_and_counting_goes_on(
    gateway: Lab,
    command: str,
    words: str,
    kernel_known: bool,
) -> None:
    bench = Bench.on(gateway)
    bench.open()
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=50)
    senders.udp(gateway, gateway.left, plan)
    bench.cut()
    senders.udp(gateway, gateway.left, plan)
    gateway.nft(gateway.gw, command)
    disturbed = bench.cut()
    assert disturbed.observed.status == "interrupted"
    assert words in (disturbed.observed.interrupted or "")
    assert (disturbed.observed.kernel is not None) == kernel_known
    assert disturbed.observed.accounted == Count(50, 5000)
    for _ in range(3):
        senders.udp(gateway, gateway.left, plan)
        assert bench.cut().observed.accounted == Count(50, 5000)
    bench.close()
    assert bench.statuses() == ["exact", "interrupted", "exact", "exact", "exact", "exact"]
    bench.check_chain()


class FailingNft(Nft):
    """The real one, but the call that is due to fail does nothing."""

    due = 0

    def _run(self, options: list[str], text: str, operation: str) -> str:
        self.due -= 1
        if self.due == 0:
            raise RulesetError("nft", operation, "no answer within 20 s")
        return super()._run(options, text, operation)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_cut_that_failed_goes_on_where_it_stood(gateway: Lab, call: int) -> None:
    bench = Bench.on(gateway)
    failing = bench.nft = FailingNft()
    bench.open()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    for _ in range(3):
        failing.due = call
        with pytest.raises(RulesetError, match="no answer"):
            bench.cut()
        bench.cut()
    failing.due = call
    with pytest.raises(RulesetError, match="no answer"):
        bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("accounted") == bench.witnessed()
    bench.check_chain()
    assert leftovers(bench.config.runtime) == []


def test_a_switch_by_others_interrupts_and_what_it_hid_is_told(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=50)
    senders.udp(gateway, gateway.left, plan)
    Nft().apply(ruleset.switch(bench.config.rules((1, 2)), "b", handle_of_the_switch()))
    senders.udp(gateway, gateway.left, plan)
    first = bench.cut()
    assert first.observed.status == "interrupted"
    assert "chain lan_count leads to the other side" in (first.observed.interrupted or "")
    second = bench.cut()
    assert (str(second.observed.status), second.observed.lost) == ("lossy", Count(50, 5000))
    senders.udp(gateway, gateway.left, plan)
    bench.close()
    assert bench.statuses() == ["interrupted", "lossy", "exact"]
    assert bench.sum("kernel") == bench.witnessed()


def handle_of_the_switch() -> int:
    found = list_table(Nft(), "netledger")
    assert found is not None
    handle = found.in_chain("lan_count")[0]["handle"]
    assert isinstance(handle, int)
    return handle


def test_a_change_that_was_made_but_not_answered_loses_nothing(gateway: Lab) -> None:
    class Unanswered(FailingNft):
        def _run(self, options: list[str], text: str, operation: str) -> str:
            if self.due == 2 and options == []:
                Nft._run(self, options, text, operation)
            return super()._run(options, text, operation)

    bench = Bench.on(gateway)
    failing = bench.nft = Unanswered()
    bench.open()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    failing.due = 2
    with pytest.raises(RulesetError, match="no answer"):
        bench.cut()
    bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.cut()
    bench.close()
    assert bench.sum("kernel") == bench.witnessed()
    assert set(bench.statuses()) == {"exact"}
    bench.check_chain()


def test_a_takeover_misses_nothing_and_says_what_passed_while_nobody_listened(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", count=700)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, plan)
        child.tell("cut")
        senders.udp(gateway, gateway.left, plan)
        wait_for(lambda: child.received_packets() >= 1400, 10, "the packets in the table")
        child.signal(signal.SIGKILL)
        child.wait()
    senders.udp(gateway, gateway.left, plan)
    (taken_over,) = bench.open()
    senders.udp(gateway, gateway.left, plan)
    bench.close()
    assert bench.statuses() == ["exact", "lossy", "exact"]
    assert taken_over.observed.kernel == Count(1400, 140_000)
    assert taken_over.observed.accounted == Count(700, 70_000)
    why = taken_over.observed.why_lost or ""
    assert why.startswith("700 packets while nobody listened: the process was killed, and last received at")
    assert bench.sum("kernel") == bench.witnessed()
    bench.check_chain()
