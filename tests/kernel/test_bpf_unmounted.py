"""The BPF file system goes away under what counts, and comes back: nothing stops, nothing is lost, and it is said."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from netledger.live import Client
from netledger.receipt import Count
from tests.kernel import links
from tests.kernel.bpf_box import BPFFS, BpfLab, own_bpffs
from tests.kernel.bpf_hands import detach_held, held
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.gateway import Gateway
from tests.kernel.lab import wait_for
from tests.kernel.metering import leftovers
from tests.kernel.senders import Udp
from tests.unit import packets

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
PACKET = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
NOTICED_SECONDS = 30.0  # about one, and the machine may be busy


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def unmount() -> None:
    """Also the machine's own below the test's: this mount namespace is the test's alone."""
    while subprocess.run(["umount", "--lazy", BPFFS], check=False, capture_output=True).returncode == 0:
        pass


def mount() -> None:
    subprocess.run(["mount", "-t", "bpf", "bpf", BPFFS], check=True)


def wait_until_unpinned(bench: BpfBench, *, is_wanted: bool = True) -> None:
    source = bench.opened()
    wait_for(lambda: (source.glance().unpinned is not None) == is_wanted, NOTICED_SECONDS, "the watch")


def problems(daemon: Gateway) -> list[str]:
    return [problem.what for problem in Client(daemon.runtime).status().problems]


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "pinned" in record.message]


def test_cuts_go_on_and_all_is_pinned_again_when_it_is_back(gateway: BpfLab, caplog: pytest.LogCaptureFixture) -> None:
    bench = BpfBench.on(gateway, prove=True)
    bench.open()
    burst(gateway, BURST)
    before = [pin for pin in bench.pinned() if "rows-" not in pin]
    unmount()
    wait_until_unpinned(bench)
    seen = bench.opened().glance().unpinned
    assert seen is not None
    assert "BPF file system" in seen.why
    assert "mount -t bpf bpf /sys/fs/bpf" in (seen.hint or "")
    for _ in range(3):
        burst(gateway, BURST)
        bench.cut()
        bench.opened().stats()
    mount()
    wait_until_unpinned(bench, is_wanted=False)
    assert [pin for pin in bench.pinned() if "rows-" not in pin] == before
    assert sum("rows-" in pin for pin in bench.pinned()) == 2
    burst(gateway, BURST)
    last = bench.cut()
    bench.close()
    assert events(caplog) == ["not_pinned", "pinned_again"]
    assert bench.statuses() == ["exact"] * 5
    assert "nothing could be pinned" in (bench.intervals[0].observed.why_lost or "")
    assert "pinned again" in (last.observed.why_lost or "")
    assert bench.sum("accounted") == bench.witnessed() == Count(2500, 250_000)
    assert leftovers(bench.config.runtime) == bench.pinned() == []


def test_when_it_was_back_a_kill_costs_nothing(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    with bench.child() as child:
        unmount()
        child.tell("cut")
        burst(gateway, BURST)
        mount()
        # What says that all of it is there is pinned last.
        wait_for((bench.config.pins / "a" / "v1" / "fingerprint").is_symlink, NOTICED_SECONDS, "the pins")
        child.signal(signal.SIGKILL)
        child.wait()
    burst(gateway, BURST)
    bench.open()
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)


@pytest.mark.parametrize("keep_rules", [False, True])
def test_without_it_a_stop_reads_what_was_counted(
    gateway: BpfLab, caplog: pytest.LogCaptureFixture, *, keep_rules: bool
) -> None:
    """It could not be left counting: it would be gone with the process."""
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    unmount()
    burst(gateway, BURST)
    bench.close(keep_rules=keep_rules)
    assert ("not_left_counting" in [record.message for record in caplog.records]) == keep_rules
    assert bench.statuses() == ["exact"]
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)
    assert leftovers(bench.config.runtime) == []


def test_a_link_that_is_detached_meanwhile_is_attached_again(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    with held(bench.config.pins / "a" / "v1" / "link-forward-ipv4") as link:
        unmount()
        wait_until_unpinned(bench)
        detach_held(link)
    source = bench.opened()
    disturbed = wait_for(lambda: source.glance().disturbed, NOTICED_SECONDS, "the watch") or ""
    assert "link forward-ipv4 was detached" in disturbed
    burst(gateway, BURST)
    bench.cut()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)


def test_an_interface_that_comes_meanwhile_is_counted(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, attach="tcx", interfaces=("ppp*",))
    bench.open()
    unmount()
    wait_until_unpinned(bench)
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        os.write(line, PACKET)
        wait_for(lambda: bench.opened().stats().received_packets, NOTICED_SECONDS, "a packet")
        mount()
        wait_until_unpinned(bench, is_wanted=False)
        assert sum("link-" in pin for pin in bench.pinned()) == 2
    bench.close()
    assert bench.pinned() == []


def test_the_daemon_says_it_once_and_status_until_it_is_back(gateway: BpfLab) -> None:
    gateway.witness(gateway.gw)
    daemon = Gateway(gateway, gateway.gw, interval="1h", meters={"lan": 'source = "bpf"\n'})
    daemon.start_counting()
    burst(gateway, BURST)
    unmount()
    wait_for(lambda: problems(daemon) == ["not_pinned"], NOTICED_SECONDS, "the problem")
    for number in range(2):
        burst(gateway, BURST)
        daemon.child.signal(signal.SIGUSR1)
        daemon.wait_for_intervals(number + 1)
    mount()
    wait_for(lambda: problems(daemon) == [], NOTICED_SECONDS, "the end of the problem")
    daemon.child.kill()
    burst(gateway, BURST)
    daemon.start_counting()
    assert daemon.stop() == 0
    books = daemon.books()
    assert books.problems() == []
    assert set(books.statuses) == {"exact"}
    assert books.sent == books.received == gateway.counter(gateway.gw, "witness", "total")
    assert books.sent.packets == 2000
    log = daemon.log()
    assert (log.count("event=not_pinned"), log.count("event=pinned_again")) == (1, 1)
    assert "event=cut_failed" not in log
    assert "event=source_broke" not in log
