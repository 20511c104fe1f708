"""What a bpf meter finds pinned: its own, of a process that was killed; another layout; another wish; half of it."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.errors import NetledgerError
from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, own_bpffs, pins
from tests.kernel.bpf_counting import TO_A, WIRE, burst, counting, index_of
from tests.kernel.bpf_duel import Duel, Flood, cpus
from tests.kernel.bpf_proof import HOST, PACKETS_MIN, meter, seen
from tests.kernel.lab import Count, wait_for

PROOF = BPFFS / "proof"
VICTIM = """
import signal
import sys
from tests.kernel.bpf_proof import meter
one = meter(sys.argv[1], columns=("host",))
one.load()
one.prepare(1)
one.prepare(2)
if sys.argv[1] == "tcx":
    one.attach_interface(int(sys.argv[2]), sys.argv[3])
else:
    one.attach()
one.switch(1)
print("counting", flush=True)
signal.pause()
"""


@pytest.fixture
def duel() -> Iterator[Duel]:
    with own_bpffs(), Duel() as made, made.inside(made.near):
        yield made


def layout_directory() -> Path:
    """Where the layout that this version knows has its pins."""
    (found,) = [path for path in PROOF.iterdir() if path.is_dir()]
    return found


@pytest.mark.parametrize("kind", ["netfilter", "tcx"])
def test_a_killed_process_leaves_a_kernel_that_counts_and_the_next_one_takes_it_over(duel: Duel, kind: str) -> None:
    victim = duel.spawn(duel.near, [sys.executable, "-c", VICTIM, kind, str(index_of(duel)), WIRE])
    wait_for(lambda: "counting" in victim.output() or not victim.running, 20, "the victim")
    assert victim.running, victim.errors()
    with Flood(duel) as flood:
        wait_for(lambda: duel.witnessed().packets > PACKETS_MIN, 20, "packets")
        victim.signal(signal.SIGKILL)
        victim.wait()
        at_death = duel.witnessed().packets
        wait_for(lambda: duel.witnessed().packets > at_death + PACKETS_MIN, 20, "packets while nobody is there")
        one = counting(duel, kind, columns=HOST)
        assert one.meter.pinned_fingerprint() == one.meter.fingerprint
        one.meter.open()
        assert (one.meter.generation(), one.meter.generations()) == (1, [1, 2])
        assert all(link.is_attached and link.is_pinned for link in one.meter.links())
        closed = [one.cut()]
        wait_for(lambda: one.meter.glance().totals.received_packets > PACKETS_MIN, 20, "packets")
        flood.stop()
        witness = duel.settled()
    closed.append(one.stop())
    assert [problem for each in closed for problem in each.problems("closed")] == []
    assert closed[0].total + closed[1].total == witness
    one.meter.remove()


def test_another_wish_takes_over_with_one_write_and_at_most_one_packet_of_each_cpu_between(duel: Duel) -> None:
    """Old and new program share the number of the open generation. What fits neither is missing, never twice."""
    old = counting(duel, "netfilter").begin()
    old.meter.attach()
    new = counting(duel, "netfilter", columns=("host", "peer"), rows_max=500, directory="proof-b", side=2)
    assert new.meter.fingerprint != old.meter.fingerprint
    with Flood(duel) as flood:
        wait_for(lambda: old.meter.glance().totals.received_packets > PACKETS_MIN, 20, "packets")
        new.meter.load(str(PROOF))
        new.meter.prepare(2)
        new.meter.attach()
        new.meter.switch(2)
        assert (old.meter.generation(), new.meter.generation()) == (0, 2)
        wait_for(lambda: new.meter.glance().totals.received_packets > PACKETS_MIN, 20, "packets of the new one")
        flood.stop()
        witness = duel.settled()
    first, second = old.take(1), new.stop()
    assert first.problems("old") + second.problems("new") == []
    total = first.total + second.total
    assert witness.packets - len(cpus()) <= total.packets <= witness.packets
    old.meter.remove()
    new.meter.remove()
    assert pins() == []


@pytest.mark.parametrize("missing", ["receipts", "slots", "control"])
def test_a_pin_that_is_missing_is_named(duel: Duel, missing: str) -> None:
    one = counting(duel, "netfilter").begin()
    one.meter.close()
    (layout_directory() / missing).unlink()
    again = meter("netfilter")
    with pytest.raises(NetledgerError, match=missing):
        again.open()
    again.remove()
    assert pins() == []


def test_what_was_left_and_not_read_is_read_by_the_next_one(duel: Duel) -> None:
    one = counting(duel, "netfilter").begin()
    one.meter.attach()
    senders.udp(duel, duel.far, TO_A)
    one.meter.switch(2)
    senders.udp(duel, duel.far, TO_A)
    one.meter.close()
    again = counting(duel, "netfilter")
    again.meter.open()
    assert (again.meter.generation(), again.meter.generations()) == (2, [1, 2])
    for _ in range(2):  # a crash between reading and discarding reads it once more
        closed = seen(again.meter.read(1, str(duel.directory / "left")))
        assert (closed.total, closed.problems("left")) == (burst(), [])
    again.meter.discard(1)
    again.meter.discard(1)
    assert again.stop().total == burst()
    assert again.meter.generations() == []
    again.meter.remove()


def test_a_generation_that_is_open_is_neither_read_nor_discarded(duel: Duel) -> None:
    one = counting(duel, "netfilter").begin()
    for call in (lambda: one.meter.discard(1), lambda: one.meter.read(1, str(duel.directory / "open"))):
        with pytest.raises(NetledgerError):
            call()
    with pytest.raises(NetledgerError):
        one.meter.switch(3)
    assert one.stop().total == Count(0, 0)
    one.meter.remove()
