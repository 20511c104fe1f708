"""A crash between any two steps of a meter that counts in the kernel: every packet is in exactly one interval.

Nothing of it may be lost: the kernel goes on counting while nobody lives. First the source alone, killed at each of its
named steps under load; then the daemon, killed before each system call that leaves a trace.
"""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from netledger.receipt import ZERO
from tests.crash.trial import say, shim
from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Child, wait_for
from tests.kernel.metering import leftovers
from tests.kernel.senders import Udp

pytestmark = [pytest.mark.kernel, pytest.mark.bpf]

FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=20, count=0, rate=30_000)
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
LOADED = ("noted", "loaded", "attached", "prepared", "switched")
CLOSED = ("settled", "read", "frozen", "discarded", "ready")
FIRST_STEPS = ("cleared", *LOADED, "begun", "ready")
CUT_STEPS = ("noted", "prepared", "switched", *CLOSED)
TAKEOVER_STEPS = ("cleared", *CUT_STEPS)
REPLACEMENT_STEPS = ("cleared", *LOADED, *CLOSED)
STOP_STEPS = ("stopping", "stopped", "settled", "read", "frozen", "removed")
LIFE_SECONDS = 30.0
STEPS_MAX = 400
DIED = re.compile(r"died at step (\d+): (\w+ ?\w*)")


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def check_books(bench: BpfBench, *, stops: bool = False, replaced: bool = False) -> None:
    """Nothing twice, nothing missing: by an independent counter, by receipts, by the numbers of the intervals.

    Where another program took over, one packet of each processor may have fallen between, and that must be said.
    """
    assert bench.sum("accounted") == bench.sum("kernel")
    between = bench.statuses().count("interrupted") * (os.cpu_count() or 1)
    assert abs(bench.sum("accounted").packets - bench.witnessed().packets) <= between
    assert bench.sum("lost") == ZERO
    assert set(bench.statuses()) <= ({"exact", "interrupted"} if replaced else {"exact"}), bench.intervals
    bench.check_chain(stops=stops)
    assert leftovers(bench.config.runtime) == []
    assert bench.pinned() == []


def finish(bench: BpfBench, gateway: BpfLab, load: Child) -> None:
    """Cuts under load, ends the load, closes."""
    bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.cut()
    bench.close()


@pytest.mark.parametrize("step", FIRST_STEPS)
def test_a_crash_at_the_very_first_start_leaves_nothing_behind(gateway: BpfLab, step: str) -> None:
    bench = BpfBench.on(gateway)
    with bench.child(step) as child:
        assert child.first is None
        assert child.wait() == -signal.SIGKILL
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    before = bench.witnessed()
    bench.open()
    bench.cut()
    finish(bench, gateway, load)
    if step in {"switched", "begun", "ready"}:  # it has counted from then on
        check_books(bench)
    else:
        assert bench.sum("lost") == ZERO
        assert 0 < bench.sum("accounted").packets <= (bench.witnessed() - before).packets
        bench.check_chain()
        assert bench.statuses() == ["exact"] * len(bench.intervals)


@pytest.mark.parametrize("step", CUT_STEPS)
def test_a_crash_at_any_step_of_a_cut_keeps_the_books_whole(gateway: BpfLab, step: str) -> None:
    bench = BpfBench.on(gateway)
    turn = 2 if step in FIRST_STEPS else 1  # the start takes such steps too
    with bench.child(f"{step}:{turn + 1}") as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        assert child.tell("cut")
        assert child.tell("cut") is None
        assert child.wait() == -signal.SIGKILL
    bench.open()
    finish(bench, gateway, load)
    check_books(bench)


@pytest.mark.parametrize("cut_step", ["noted:2", "switched:2", "read"])
@pytest.mark.parametrize("step", TAKEOVER_STEPS)
def test_a_crash_while_taking_over_from_a_crash(gateway: BpfLab, cut_step: str, step: str) -> None:
    bench = BpfBench.on(gateway)
    with bench.child(cut_step) as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        assert child.tell("cut") is None
        child.wait()
    for _ in range(2):
        with bench.child(step) as child:
            assert child.first is None
            assert child.wait() == -signal.SIGKILL
    bench.open()
    finish(bench, gateway, load)
    check_books(bench)


@pytest.mark.parametrize("step", REPLACEMENT_STEPS)
def test_a_crash_while_the_program_is_replaced_by_another(gateway: BpfLab, step: str) -> None:
    """The configuration was changed while nobody lived; two lives in a row die at the same step of taking it up."""
    bench = BpfBench.on(gateway)
    with bench.child() as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        assert child.tell("cut")
        child.signal(signal.SIGKILL)
        child.wait()
    bench.wish(interfaces_excluded=("elsewhere0",))
    for _ in range(2):
        with bench.child(step) as child:
            assert child.first is None
            assert child.wait() == -signal.SIGKILL
    bench.open()
    finish(bench, gateway, load)
    check_books(bench, replaced=True)


@pytest.mark.parametrize("step", STOP_STEPS)
def test_a_crash_while_stopping_keeps_the_books_whole(gateway: BpfLab, step: str) -> None:
    bench = BpfBench.on(gateway)
    with bench.child(step) as child:
        burst(gateway, BURST)
        assert child.received_packets() == BURST.count
        assert child.tell("close") is None
        assert child.wait() == -signal.SIGKILL
    bench.open()
    burst(gateway, BURST)
    bench.close()
    check_books(bench, stops=True)


@pytest.mark.parametrize("step", ["settled", "read", "frozen"])
def test_a_crash_while_finishing_without_counting_on(gateway: BpfLab, step: str) -> None:
    bench = BpfBench.on(gateway)
    with bench.child("stopped") as child:
        burst(gateway, BURST)
        assert child.tell("close") is None
        child.wait()
    with bench.child(step) as child:
        assert child.first is None
        child.wait()
    bench.finish()
    check_books(bench)


def test_kill_after_kill_under_load_loses_no_packet(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
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


def test_the_daemon_dies_before_any_step_and_nothing_is_lost(gateway: BpfLab) -> None:
    """Each life takes over, begins, and dies one step later than the one before, until one has cut three intervals."""
    gateway.witness(gateway.gw)
    daemon = Gateway(gateway, gateway.gw, interval="1s", meters={"lan": 'source = "bpf"\nrows_max = 10_000\n'})
    daemon.start_counting()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    daemon.child.kill()
    hit: list[str] = []
    for number in range(1, STEPS_MAX):
        before = newest(daemon)
        life = daemon.start(f"LD_PRELOAD={shim()}", f"NETLEDGER_DIE_AT={number}")
        await_death(life)
        died = DIED.search(life.errors())
        assert died, f"life {number} ended by itself: {life.errors()}"
        hit.append(died[2].strip())
        if newest(daemon) >= before + 3:
            break
    else:
        raise AssertionError(f"no life of {STEPS_MAX} steps committed three intervals of its own: {hit}")
    daemon.start_counting()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    witness = gateway.counter(gateway.gw, "witness", "total")
    assert daemon.stop() == 0
    books = daemon.books()
    say(f"{len(hit)} lives, died before: {', '.join(sorted(set(hit)))}")
    say(f"witness {witness}, rows {books.sent}, {dict(books.statuses)}")
    assert books.problems() == []
    assert books.sent == books.received == witness
    assert set(books.statuses) == {"exact"}
    assert {"rename", "bpf pin", "bpf update"} <= set(hit)
    assert pins() == []


def await_death(life: Child) -> None:
    """Waits until it died by itself."""
    wait_for(lambda: not life.running, LIFE_SECONDS, f"a death: {life.argv}")


def newest(daemon: Gateway) -> int:
    """The highest number of a committed interval."""
    return max((interval.seq for interval in daemon.books().intervals), default=0)
