"""A meter of flows that is killed: whatever the moment, what flows moved is in exactly one interval."""

import shutil
import signal
from collections.abc import Iterator

import pytest

from netledger.receipt import ZERO, Count
from netledger.sources.conntrack_switches import FOLDER
from netledger.sources.nft import Nft
from netledger.sources.state import boot_id
from tests.kernel import senders
from tests.kernel.flow_metering import FlowBench
from tests.kernel.lab import Child, Lab, wait_for
from tests.kernel.metering import leftovers
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500, sources=10)
FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=20_000)
CUT_STEPS = ("noted", "cut", "frozen", "begun")
FIRST_STEPS = ("noted", "installed", "switched", "opened", "begun")
TAKEOVER_STEPS = ("noted", "opened", "cut", "relieved", "frozen", "begun")
STOP_STEPS = ("cut", "frozen", "begun", "discarded", "removed", "restored")


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def clean(bench: FlowBench) -> None:
    """Nothing is left: no files, no rules, and the switches are as the kernel has them."""
    assert leftovers(bench.config.runtime) == []
    assert Nft().table("inet", "netledger_ct_flows") is None
    assert (FOLDER / "nf_conntrack_acct").read_text() == "0\n"
    assert (FOLDER / "nf_conntrack_events").read_text() == "2\n"


def finish(bench: FlowBench, gateway: Lab, load: Child | None = None) -> None:
    """Ends the load, closes in silence, and compares with the witness."""
    if load is not None:
        senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.close()
    assert bench.intervals[-1].observed.status == "exact"
    assert "interrupted" not in bench.statuses()
    bench.check_chain()
    clean(bench)


@pytest.mark.parametrize("step", CUT_STEPS)
def test_killed_in_a_cut_every_packet_is_in_exactly_one_interval(gateway: Lab, step: str) -> None:
    bench = FlowBench.on(gateway)
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    wait_for(lambda: bench.witnessed().packets, 10, "traffic")
    senders.stop_udp(load)
    begun = bench.witnessed()
    with bench.child(f"{step}:{3 if step in ('noted', 'begun') else 2}") as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        child.tell("cut")
        assert child.tell("cut") is None, "it did not die"
        child.wait()
    bench.open()
    bench.cut()
    finish(bench, gateway, load)
    assert bench.sum("accounted") == bench.witnessed() - begun
    assert bench.sum("lost") == ZERO


@pytest.mark.parametrize("step", CUT_STEPS)
def test_killed_in_a_quiet_cut_every_interval_is_exact(gateway: Lab, step: str) -> None:
    bench = FlowBench.on(gateway)
    with bench.child(f"{step}:{3 if step in ('noted', 'begun') else 2}") as child:
        senders.udp(gateway, gateway.left, BURST)
        child.tell("cut")
        senders.udp(gateway, gateway.left, BURST)
        assert child.tell("cut") is None, "it did not die"
        child.wait()
    senders.udp(gateway, gateway.left, BURST)
    bench.open()
    finish(bench, gateway)
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("kernel") == bench.sum("accounted") == bench.witnessed() == Count(1500, 150_000)


def test_flows_that_end_while_nobody_listens_are_missing_and_told(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, BURST)
        child.tell("cut")
        child.signal(signal.SIGKILL)
        child.wait()
    senders.udp(gateway, gateway.left, BURST)
    gateway.run(gateway.gw, ["conntrack", "-F"])
    senders.udp(gateway, gateway.left, BURST)
    (taken_over,) = bench.open()
    assert (str(taken_over.observed.status), taken_over.observed.lost) == ("lossy", Count(500, 50_000))
    assert taken_over.observed.accounted == Count(500, 50_000)
    why = taken_over.observed.why_lost or ""
    assert "10 flows went without an event, nobody listened between " in why
    assert why.endswith(": the process had ended")
    finish(bench, gateway)
    assert bench.statuses() == ["exact", "lossy", "exact"]
    assert bench.sum("kernel") == bench.witnessed()


def test_without_a_proof_a_gap_interrupts(gateway: Lab) -> None:
    bench = FlowBench.on(gateway, prove=False)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    (taken_over,) = bench.open()
    assert taken_over.observed.status == "interrupted"
    assert taken_over.observed.accounted == Count(500, 50_000)
    assert "the process had ended, and what ended then is missing" in (taken_over.observed.interrupted or "")
    bench.close()


@pytest.mark.parametrize("step", FIRST_STEPS)
def test_killed_while_it_begins_it_begins_anew(gateway: Lab, step: str) -> None:
    bench = FlowBench.on(gateway)
    # No meter is promised before it says that it is open.
    with bench.child(step) as child:
        assert child.first is None, "it did not die"
        child.wait()
    bench.open()
    before = bench.witnessed()
    senders.udp(gateway, gateway.left, BURST)
    finish(bench, gateway)
    assert bench.sum("accounted") == bench.witnessed() - before == Count(500, 50_000)


@pytest.mark.parametrize("step", TAKEOVER_STEPS)
def test_killed_while_it_takes_over_it_is_taken_over_again(gateway: Lab, step: str) -> None:
    bench = FlowBench.on(gateway)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, BURST)
        child.tell("cut")
        senders.udp(gateway, gateway.left, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    with bench.child(step) as child:
        assert child.first is None, "it did not die"
        child.wait()
    senders.udp(gateway, gateway.left, BURST)
    bench.open()
    finish(bench, gateway)
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("kernel") == bench.witnessed() == Count(1500, 150_000)


@pytest.mark.parametrize("step", STOP_STEPS)
def test_killed_while_it_stops_nothing_is_booked_twice(gateway: Lab, step: str) -> None:
    bench = FlowBench.on(gateway)
    with bench.child(f"{step}:{2 if step == 'begun' else 1}") as child:
        senders.udp(gateway, gateway.left, BURST)
        gateway.silence(gateway.gw)
        assert child.tell("close") is None, "it did not die"
        child.wait()
    bench.open()
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("kernel") == bench.witnessed() == Count(500, 50_000)
    bench.check_chain(stops=True)
    clean(bench)


def test_a_stop_that_keeps_the_rules_misses_nothing(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    for _ in range(3):
        senders.udp(gateway, gateway.left, BURST)
        bench.close(keep_rules=True)
        senders.udp(gateway, gateway.left, BURST)
        bench.open()
    finish(bench, gateway)
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("kernel") == bench.witnessed() == Count(3000, 300_000)


def test_the_memory_of_flows_is_damaged_or_gone_and_that_interrupts(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    flows = bench.config.runtime / "flows.table"
    for damage in (flows.unlink, lambda: flows.write_bytes(b"no table")):
        with bench.child() as child:
            child.signal(signal.SIGKILL)
            child.wait()
        damage()
        (closed,) = bench.open()
        assert closed.observed.status == "interrupted"
        assert "what was noted of its flows is lost" in (closed.observed.interrupted or "")
        senders.udp(gateway, gateway.left, BURST)
        bench.close()
        assert bench.intervals[-1].observed.accounted == Count(500, 50_000)
        assert bench.intervals[-1].observed.status == "exact"


def test_without_any_state_the_absence_is_told(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    with bench.child() as child:
        child.signal(signal.SIGKILL)
        child.wait()
    shutil.rmtree(bench.config.runtime)
    (closed,) = bench.open()
    assert "the runtime directory was removed" in (closed.observed.interrupted or "")
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    assert bench.intervals[-1].observed.accounted == Count(500, 50_000)
    assert bench.intervals[-1].observed.status == "exact"


def test_state_of_another_boot_is_told_and_not_gone_on_with(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    (noted,) = bench.config.runtime.glob("gen-*.json")
    noted.write_text(noted.read_text().replace(boot_id(), "00000000-0000-0000-0000-000000000000"))
    (closed,) = bench.open()
    assert closed.observed.status == "interrupted"
    assert "the machine was restarted" in (closed.observed.interrupted or "")
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    assert bench.intervals[-1].observed.accounted == Count(500, 50_000)
    assert "10 flows are older than the meter" in (bench.intervals[-1].observed.why_lost or "")
    assert bench.intervals[-1].observed.status == "exact"
