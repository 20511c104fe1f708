"""What another version has pinned, with another layout: drained to the ledger under load, and replaced; both ways."""

import os
import signal
from collections.abc import Iterator

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins
from tests.kernel.bpf_metering import BpfBench
from tests.kernel.bpf_mutants import other_layout
from tests.kernel.lab import wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=30, count=0, rate=40_000)


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with BpfLab() as lab, own_bpffs(), lab.inside(lab.gw):
        yield lab


@pytest.mark.peers("clang")
@pytest.mark.parametrize("is_upgrade", [True, False])
def test_a_killed_version_of_another_layout_is_drained_and_replaced_under_load(
    gateway: BpfLab, *, is_upgrade: bool
) -> None:
    """At most one packet of each CPU falls between the two programs, and the receipt says so; all others are whole."""
    other = other_layout(2)
    bench = BpfBench.on(gateway, program=other if is_upgrade else None)
    with bench.child() as child:
        load = senders.start_udp(gateway, gateway.left, LOAD)
        assert child.tell("cut")
        wait_for(lambda: child.received_packets() > 5000, 20, "packets")
        child.signal(signal.SIGKILL)
        child.wait()
    dead = bench.witnessed().packets
    wait_for(lambda: bench.witnessed().packets > dead + 10_000, 20, "packets while nobody is there")
    bench.wish(program=None if is_upgrade else other)
    bench.open()
    bench.cut()
    senders.stop_udp(load)
    bench.close()
    accounted, witness = bench.sum("accounted"), bench.witnessed()
    cpus = os.cpu_count() or 1
    assert witness.packets - cpus <= accounted.packets <= witness.packets
    assert accounted == bench.sum("kernel")
    replaced = bench.intervals[1].observed
    assert replaced.accounted.packets > 10_000
    assert [str(one.observed.status) for one in bench.intervals if one.observed is not replaced] == ["exact"] * 3
    assert accounted == witness or (replaced.status == "interrupted" and "packet" in (replaced.interrupted or ""))
    bench.check_chain()
    assert pins() == []
