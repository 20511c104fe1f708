"""The daemon of a bpf meter, and what others do to it: links detached, pins deleted, interfaces and namespaces gone."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, BpfLab, own_bpffs, pins
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Child, Count, wait_for
from tests.kernel.senders import Udp

LOCAL = 'local = ["10.77.1.0/24", "fd77:1::/64"]\n'
METER = f'source = "bpf"\n{LOCAL}'
TCX = f'{METER}interfaces = ["left"]\n[meters.lan.bpf]\nattach = "tcx"\n'
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=400)
BURST_COUNT = Count(400, 40_000)
LOAD = replace(BURST, sources=20, count=0, rate=20_000)


@pytest.fixture
def lab() -> Iterator[BpfLab]:
    with BpfLab() as made, own_bpffs():
        made.witness(made.gw)
        yield made


def daemon(lab: BpfLab, *, interval: str = "1h", meters: Mapping[str, str] | None = None) -> Gateway:
    """One that counts."""
    gateway = Gateway(lab, lab.gw, interval=interval, meters=meters or {"lan": METER})
    gateway.start_counting()
    return gateway


def burst(lab: BpfLab) -> None:
    senders.udp(lab, lab.left, BURST)


def cut(gateway: Gateway) -> None:
    """Ends the open interval, and waits until it is committed."""
    committed = len(gateway.books().intervals)
    gateway.child.signal(signal.SIGUSR1)
    gateway.wait_for_intervals(committed + 1)


def pinned(pattern: str) -> list[Path]:
    """Pins whose name fits a regular expression."""
    return [BPFFS / pin for pin in pins() if re.fullmatch(pattern, pin.rpartition("/")[2])]


def warnings(gateway: Gateway) -> list[str]:
    return [line for line in gateway.log().splitlines() if "level=warning" in line or "level=error" in line]


@pytest.mark.peers("bpftool")
@pytest.mark.parametrize(("meter", "link"), [(METER, "link-forward-ipv4"), (TCX, r"link-\d+-ingress")])
def test_a_link_that_somebody_detaches_interrupts_the_interval_and_is_made_again(
    lab: BpfLab, meter: str, link: str
) -> None:
    gateway = daemon(lab, meters={"lan": meter})
    burst(lab)
    (pin,) = pinned(link)
    subprocess.run(["bpftool", "link", "detach", "pinned", str(pin)], check=True, capture_output=True)
    wait_for(lambda: "detached" in "".join(warnings(gateway)), 20, "a warning")
    burst(lab)
    cut(gateway)
    burst(lab)
    cut(gateway)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [one.status for one in books.intervals] == ["interrupted", "exact", "exact"]
    assert "detached" in books.intervals[0].reason
    # Nothing passed while it was off.
    assert books.sent == books.received == Count(3 * BURST_COUNT.packets, 3 * BURST_COUNT.bytes)
    assert pins() == []


@pytest.mark.parametrize("what", ["rows", "link", "everything", "directory"])
def test_what_somebody_unpins_is_pinned_again_so_that_a_kill_costs_nothing(lab: BpfLab, what: str) -> None:
    gateway = daemon(lab)
    burst(lab)
    before = [pin for pin in pins() if "rows" not in pin]
    if what == "directory":
        shutil.rmtree(BPFFS / "netledger")
    else:
        for pin in pinned({"rows": r"rows-\d+", "link": r"link-.*", "everything": ".*"}[what]):
            pin.unlink()
    burst(lab)
    wait_for(lambda: warnings(gateway), 20, "a warning")
    wait_for(lambda: [pin for pin in pins() if "rows" not in pin] == before, 20, f"the pins: {pins()}")
    wait_for(lambda: len(pinned(r"rows-\d+")) >= 2, 20, "the pins of rows")
    burst(lab)
    gateway.child.kill()
    burst(lab)
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.sent == books.received == Count(4 * BURST_COUNT.packets, 4 * BURST_COUNT.bytes)
    assert set(books.statuses) <= {"exact", "interrupted"}
    assert pins() == []


def test_an_interface_goes_and_comes_back_and_each_of_its_packets_is_counted(lab: BpfLab) -> None:
    gateway = daemon(lab, meters={"lan": TCX + "\n"})
    burst(lab)
    lab.run(lab.gw, ["ip", "link", "del", "left"])
    wait_for(lambda: pinned(r"link-.*") == [], 20, "the end of the links")
    lab.join(lab.gw, "left", lab.left, 1)
    lab.run(lab.left, ["ip", "route", "add", "default", "via", "10.77.1.1"])
    wait_for(lambda: len(pinned(r"link-.*")) == 2, 20, "links of the new interface")
    burst(lab)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.sent == books.received == Count(2 * BURST_COUNT.packets, 2 * BURST_COUNT.bytes)
    assert pins() == []


@pytest.mark.parametrize("meter", [METER, METER + "[meters.lan.bpf]\nprove = true\n"])
def test_under_load_every_interval_is_exact_and_all_of_them_are_what_the_witness_saw(lab: BpfLab, meter: str) -> None:
    gateway = daemon(lab, interval="1s", meters={"lan": meter})
    load = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_intervals(4)
    senders.stop_udp(load)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) == {"exact"}, [one.reason for one in books.intervals]
    assert books.sent == books.received == books.kernel == lab.counter(lab.gw, "witness", "total")


def test_rules_that_are_kept_go_on_counting_and_the_next_start_misses_nothing(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": METER}, options=("--keep-rules",))
    load: Child | None = None
    for _ in range(3):
        gateway.start_counting()
        load = load or senders.start_udp(lab, lab.left, LOAD)
        assert gateway.stop() == 0
    assert load is not None
    gateway.options = ()
    gateway.start_counting()
    senders.stop_udp(load)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) == {"exact"}, [one.reason for one in books.intervals]
    assert books.sent == books.received == lab.counter(lab.gw, "witness", "total")
    assert pins() == []


@pytest.mark.parametrize(
    "lines",
    [f'{METER}key = ["host", "peer"]\n', f"{METER}rows_max = 100\n", 'source = "bpf"\nnetworks = ["0.0.0.0/0"]\n'],
)
def test_another_wish_at_the_next_start_takes_over_and_says_what_may_lie_between(lab: BpfLab, lines: str) -> None:
    gateway = daemon(lab)
    load = senders.start_udp(lab, lab.left, LOAD)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > 10_000, 20, "packets")
    gateway.child.kill()
    gateway.file.write_text(gateway.file.read_text().replace(METER, lines))
    gateway.start_counting()
    cut(gateway)
    senders.stop_udp(load)
    assert gateway.stop() == 0
    books, witness = gateway.books(), lab.counter(lab.gw, "witness", "total")
    assert books.problems() == []
    assert books.sent == books.received
    # At most one packet of each CPU passed between the two programs, and the receipt owns up to it.
    assert witness.packets - 8 <= books.sent.packets <= witness.packets
    assert [one.status for one in books.intervals[1:]] == ["exact"] * (len(books.intervals) - 1)
    assert books.sent == witness or books.intervals[0].status == "interrupted"
    assert pins() == []


def test_a_start_without_its_state_says_what_it_found_and_begins_anew(lab: BpfLab) -> None:
    gateway = daemon(lab)
    burst(lab)
    gateway.child.kill()
    shutil.rmtree(gateway.runtime)
    gateway.start_counting()
    burst(lab)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.intervals[-1].status == "exact"
    assert books.intervals[-1].sent == BURST_COUNT
    assert "400 packets" in gateway.log()
    assert pins() == []
