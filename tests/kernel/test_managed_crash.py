"""A managed meter that is killed: whatever the moment, every packet is in exactly one interval, accounted or lost."""

import shutil
import signal
from collections.abc import Iterator
from itertools import pairwise

import pytest

from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.base import Closed
from netledger.sources.nflog_managed import ManagedNflogSource
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.lab import Child, Lab, wait_for
from tests.kernel.metering import CLOCK, Bench, Interval, leftovers
from tests.kernel.senders import Udp

FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=20, count=0, rate=30_000)
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
CUT_STEPS = ("noted", "prepared", "switched", "drained", "listed", "frozen")
TAKEOVER_STEPS = ("noted", "prepared", "relieved")
FIRST_STEPS = ("noted", "prepared", "installed")
STOP_STEPS = ("stopped", "drained", "frozen", "removed")


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def told(one: Closed | Interval) -> tuple[int, Moment, Moment, Observed]:
    """What a receipt is made of; not the rows, whose file stays locked for as long as they live."""
    return one.seq, one.start, one.end, one.observed


def check_books(bench: Bench, *, stops: bool = False) -> None:
    """Nothing twice, nothing missing: by the witness, by the meter's own counters, by the numbers of the intervals."""
    assert bench.sum("kernel") == bench.witnessed()
    assert bench.sum("accounted") + bench.sum("lost") == bench.sum("kernel")
    assert "interrupted" not in bench.statuses()
    bench.check_chain(stops=stops)
    assert leftovers(bench.config.runtime) == []


def finish(bench: Bench, gateway: Lab, load: Child) -> None:
    """Cuts once more under load, ends the load, closes."""
    bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.cut()
    assert bench.cumulative() == bench.sum("kernel")
    assert bench.intervals[-1].observed.status == "exact"
    bench.close()
    assert Nft().table("inet", "netledger") is None


@pytest.mark.parametrize("step", CUT_STEPS)
def test_a_crash_at_any_step_of_a_cut_keeps_the_books_whole(gateway: Lab, step: str) -> None:
    bench = Bench.on(gateway)
    turn = 2 if step in FIRST_STEPS else 1  # the start takes such steps too
    with bench.child(f"{step}:{turn + 1}") as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        assert child.tell("cut")
        assert child.tell("cut") is None
        assert child.wait() == -signal.SIGKILL
    found = bench.open()
    # A generation that was drained before the crash is exact all the same; what came later was heard by nobody.
    assert found[0].observed.status == ("exact" if step in {"drained", "listed", "frozen"} else "lossy")
    finish(bench, gateway, load)
    check_books(bench)


@pytest.mark.parametrize("cut_step", ["prepared", "switched", "drained"])
@pytest.mark.parametrize("step", TAKEOVER_STEPS)
def test_a_crash_while_taking_over_from_a_crash(gateway: Lab, cut_step: str, step: str) -> None:
    bench = Bench.on(gateway)
    with bench.child(f"{cut_step}:{2 if cut_step == 'prepared' else 1}") as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        assert child.tell("cut") is None
        child.wait()
    for _ in range(2):
        with bench.child(step) as child:
            assert child.first is None
            child.wait()
    bench.open()
    finish(bench, gateway, load)
    check_books(bench)


@pytest.mark.parametrize("step", FIRST_STEPS)
def test_a_crash_at_the_very_first_start_leaves_nothing_behind(gateway: Lab, step: str) -> None:
    bench = Bench.on(gateway)
    with bench.child(step) as child:
        assert child.first is None
        child.wait()
    bench.open()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    bench.cut()
    finish(bench, gateway, load)
    check_books(bench)
    assert set(bench.statuses()) == {"exact"}


@pytest.mark.parametrize("step", STOP_STEPS)
def test_a_crash_while_stopping_keeps_the_books_whole(gateway: Lab, step: str) -> None:
    bench = Bench.on(gateway)
    with bench.child(step) as child:
        senders.udp(gateway, gateway.left, BURST)
        wait_for(lambda: child.received_packets() >= 500, 10, "the packets in the table")
        assert child.tell("close") is None
        child.wait()
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    check_books(bench, stops=True)
    assert set(bench.statuses()) == {"exact"}


@pytest.mark.parametrize("step", TAKEOVER_STEPS)
def test_a_crash_while_taking_over_from_a_crash_while_stopping(gateway: Lab, step: str) -> None:
    bench = Bench.on(gateway)
    with bench.child("stopped") as child:
        senders.udp(gateway, gateway.left, BURST)
        wait_for(lambda: child.received_packets() >= 500, 10, "the packets in the table")
        assert child.tell("close") is None
        child.wait()
    with bench.child(step) as child:
        assert child.first is None
        child.wait()
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    check_books(bench, stops=True)
    assert set(bench.statuses()) == {"exact"}


@pytest.mark.parametrize("step", ["cleared", *FIRST_STEPS])
def test_a_crash_while_replacing_rules_without_state(gateway: Lab, step: str) -> None:
    bench = Bench.on(gateway)
    with bench.child() as child:
        senders.udp(gateway, gateway.left, BURST)
        child.tell("cut")
        senders.udp(gateway, gateway.left, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    shutil.rmtree(bench.config.runtime)
    bench.intervals.clear()
    with bench.child(step) as child:
        assert child.first is None
        child.wait()
    bench.open()
    senders.udp(gateway, gateway.left, BURST)
    bench.close()
    # Rules that were installed counted for an interval of their own, if an empty one.
    assert bench.statuses() == ["interrupted", "exact", "exact"][: 3 if step == "installed" else 2]
    assert bench.intervals[-1].observed.kernel == bench.sum("accounted") == Count(500, 50_000)
    if step in {"cleared", "installed"}:
        assert all(before.end == after.start for before, after in pairwise(bench.intervals))


def test_frozen_generations_that_were_not_committed_come_back_the_same(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    source = ManagedNflogSource(bench.config)
    source.open(CLOCK.now())
    kept = []
    for _ in range(3):
        senders.udp(gateway, gateway.left, BURST)
        now = CLOCK.now()
        kept.append(told(source.cut(label_end_ns=now.wall_ns, now=now)))
    kept += [told(one) for one in source.close(now=CLOCK.now(), keep_rules=False)]
    again = Bench(gateway, config=bench.config)
    assert [told(one) for one in again.open()] == kept
    again.close()
    assert again.sum("accounted") == again.witnessed()
    assert [one.seq for one in again.intervals] == [1, 2, 3, 4, 5]


def test_kill_after_kill_under_load_loses_no_packet_of_the_count(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    load = None
    for life in range(6):
        with bench.child() as child:
            load = load or senders.start_udp(gateway, gateway.left, FLOOD)
            for _ in range(life % 3):
                child.tell("cut")
            child.signal(signal.SIGKILL)
            child.wait()
    assert load is not None
    bench.open()
    finish(bench, gateway, load)
    check_books(bench)
