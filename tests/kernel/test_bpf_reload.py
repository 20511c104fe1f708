"""The daemon of meters that count in the kernel: HUP under traffic, a restart that keeps them attached, and status."""

import os
import signal
from collections.abc import Iterator

import pytest

from netledger.live import Client
from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, BpfLab, own_bpffs, pins
from tests.kernel.bpf_hands import detach
from tests.kernel.bpf_metering import burst
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Count, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=100, count=0, rate=20_000)
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
SAME = 'source = "bpf"\nlocal = ["10.77.1.0/24"]\nrows_max = 1000\n'
PLAIN = 'source = "bpf"\nrows_max = 1000\n'
BEFORE = {"same": SAME, "longer": PLAIN, "changed": PLAIN, "proven": PLAIN}
AFTER = {
    "same": SAME,
    "longer": f'{PLAIN}interval = "2s"\n',
    "changed": f'{PLAIN}key = ["host", "peer"]\n',
    "proven": f"{PLAIN}bpf.prove = true\n",
}
IN_PLACE = ("same", "longer", "proven")


@pytest.fixture
def lab() -> Iterator[BpfLab]:
    with BpfLab() as made, own_bpffs():
        made.witness(made.gw)
        yield made


def wait_for_packets(lab: BpfLab, number: int) -> None:
    """Until so many more have passed."""
    goal = lab.counter(lab.gw, "witness", "total").packets + number
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > goal, 20, "traffic")


def wait_until_counting(gateway: Gateway, number: int) -> None:
    """Until meters have begun to count so often, in all."""
    wait_for(lambda: gateway.log().count("event=counting") == number, 20, f"{number} times counting")


def programs() -> dict[str, int]:
    """A number of its own for each program that is pinned, by its meter."""
    found = {}
    for pin in pins():
        if pin.endswith("/program-netfilter"):
            found[pin.split("/")[1].rpartition("-")[0]] = (BPFFS / pin).stat().st_ino
    return found


def test_hup_under_load_keeps_the_program_where_it_counts_the_same_and_loses_no_packet(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1s", meters=BEFORE)
    gateway.start_counting("proven")
    before = programs()
    sender = senders.start_udp(lab, lab.left, LOAD)
    for meters in (AFTER, BEFORE):
        wait_for_packets(lab, 30_000)
        said = gateway.log().count("event=counting")
        gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters=meters))
        gateway.child.signal(signal.SIGHUP)
        wait_until_counting(gateway, said + 3)
        wait_for_packets(lab, 30_000)
    after = programs()
    senders.stop_udp(sender)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    witness = lab.counter(lab.gw, "witness", "total")
    assert {name: after[name] == before[name] for name in BEFORE} == {name: name in IN_PLACE for name in BEFORE}
    for name in BEFORE:
        books = gateway.books(name)
        assert books.problems() == []
        assert books.sent == books.received
        # Where another program took over, one packet of each processor may have fallen between, and that is said.
        between = 0 if name in IN_PLACE else 2 * (os.cpu_count() or 1)
        assert abs(books.sent.packets - witness.packets) <= between, name
        assert books.statuses.get("interrupted", 0) == (0 if name in IN_PLACE else 2)
        assert set(books.statuses) <= {"exact", "interrupted"}
    proofs = [str(one.receipt["proof"]) for one in gateway.books("proven").intervals if "proof" in one.receipt]
    # Of the interval in which it was asked for nobody knows what the counters would have said at its start.
    assert proofs[0] == "missed"
    assert set(proofs[1:]) <= {"equal", "bounded"}, proofs
    assert pins() == []


def test_a_restart_that_keeps_it_attached_books_what_passed_meanwhile_under_its_addresses(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": PLAIN}, options=("--keep-attached",))
    gateway.start_counting()
    assert gateway.stop() == 0
    assert "event=left_counting" in gateway.log()
    burst(lab, BURST)
    gateway.options = ()
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.sent == lab.counter(lab.gw, "witness", "total") == Count(500, 50_000)
    assert dict(books.statuses) == {"exact": len(books.intervals)}
    assert {row.host for one in books.intervals for row in one.rows if row.sent.packets} == {"10.77.1.2"}
    assert pins() == []


def test_status_tells_of_a_link_that_was_detached_until_the_next_interval(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": PLAIN})
    gateway.start_counting()
    client = Client(gateway.runtime)
    assert client.status().problems == ()
    (pin,) = BPFFS.rglob("link-input-ipv6")
    detach(pin)
    wait_for(lambda: client.status().problems, 5, "the problem")
    (problem,) = client.status().problems
    assert (problem.what, problem.meter) == ("count_disturbed", "lan")
    assert "input-ipv6 was detached" in problem.why
    gateway.child.signal(signal.SIGUSR1)
    wait_for(lambda: not client.status().problems, 5, "the next interval")
    assert gateway.stop() == 0
    assert [one.status for one in gateway.books().intervals] == ["interrupted", "exact"]
