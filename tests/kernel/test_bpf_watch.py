"""What others do to a meter that counts in the kernel is noticed, put in order and told; nothing of it is silent."""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from netledger.errors import NotSupportedError, SourceError
from netledger.intervals import SECOND_NS
from netledger.receipt import ZERO, Count, parse_rfc3339
from netledger.sources import bpf
from netledger.sources.base import Past
from netledger.sources.bpf import BpfSource
from netledger.sources.bpf_watch import Watch
from netledger.sources.ruleset import PRIORITY
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.bpf_hands import detach
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.lab import wait_for
from tests.kernel.metering import CLOCK, leftovers
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
BURST_COUNT = Count(500, 50_000)
NOTICED_SECONDS = 30.0  # about one; the machine may be busy


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def place(bench: BpfBench, side: str = "a") -> Path:
    """Where the program of a side has its pins."""
    return bench.config.pins / side / "v1"


def wait_until_disturbed(bench: BpfBench) -> str:
    source = bench.opened()
    return wait_for(lambda: source.glance().disturbed, NOTICED_SECONDS, "the watch") or ""


@pytest.mark.parametrize("link", ["link-forward-ipv4", "link-input-ipv6"])
def test_a_link_that_somebody_detached_is_attached_again_within_about_a_second(gateway: BpfLab, link: str) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    before_ns = CLOCK.now().wall_ns
    detach(place(bench) / link)
    told = wait_until_disturbed(bench)
    after_ns = CLOCK.now().wall_ns
    burst(gateway, BURST)
    first = bench.cut()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert link.replace("-", " ", 1) in told
    _, since, _, until, *_ = (first.observed.interrupted or "").split(" ")
    assert 0 <= before_ns - parse_rfc3339(since) < NOTICED_SECONDS * SECOND_NS
    assert before_ns < parse_rfc3339(until) <= after_ns
    # What passed while nothing hung there is missing, and nothing else: the bursts came before and behind it.
    assert bench.sum("accounted") == bench.witnessed() == Count(1500, 150_000)


def test_chains_of_nftables_hide_no_link_that_somebody_detached(gateway: BpfLab) -> None:
    """Those of the proof, and of a managed NFLOG meter: the kernel refuses a hook where any other has its priority."""
    bench = BpfBench.on(gateway, prove=True)
    bench.open()
    chain = f"chain beside {{ type filter hook forward priority {PRIORITY}; counter; }}"
    gateway.nft(gateway.gw, f"table inet beside {{\n{chain}\n}}")
    detach(place(bench) / "link-forward-ipv4")
    assert "link forward-ipv4 was detached" in wait_until_disturbed(bench)
    burst(gateway, BURST)
    bench.cut()
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert bench.sum("accounted") == bench.witnessed() == BURST_COUNT


def test_what_was_detached_right_before_a_cut_is_on_the_receipt_of_that_interval(
    gateway: BpfLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bpf, "Watch", partial(Watch, seconds=3600.0))  # the cut is to see it, and nobody before
    bench = BpfBench.on(gateway)
    bench.open()
    for name in ("link-forward-ipv4", "link-forward-ipv6"):
        detach(place(bench) / name)
    burst(gateway, BURST)
    first = bench.cut()
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert first.observed.accounted.packets < bench.witnessed().packets == 500


def test_what_is_taken_away_by_hand_link_by_link_and_pin_by_pin_is_interrupted(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    for link in place(bench).glob("link-*"):
        detach(link)
    remove(bench.config.pins)
    burst(gateway, BURST)
    first = bench.cut()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "link forward-ipv4 was detached" in (first.observed.interrupted or "")
    assert "pin namespace was removed" in (first.observed.why_lost or "")
    assert bench.sum("accounted") == BURST_COUNT


@pytest.mark.parametrize("stepped_seconds", [0, -3600, 3600])
def test_what_is_detached_within_a_cut_is_on_both_receipts_whatever_the_clock_does(
    gateway: BpfLab, stepped_seconds: int
) -> None:
    """Between the look before the switch and the switch: packets of either interval may have passed meanwhile."""
    bench = BpfBench.on(gateway)
    links: list[Path] = []

    def detached(step: str) -> None:
        if step == "prepared" and links:
            detach(links.pop())

    bench.open(detached)
    burst(gateway, BURST)
    bench.wait_for_packets(BURST.count)
    links.append(place(bench) / "link-forward-ipv4")
    now = CLOCK.now()
    stepped = replace(now, wall_ns=now.wall_ns + stepped_seconds * SECOND_NS)
    (first,) = bench.commit([bench.opened().cut(label_end_ns=stepped.wall_ns, now=stepped)])
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "interrupted"]
    assert "link forward-ipv4 was detached" in (first.observed.interrupted or "")
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)


@pytest.mark.parametrize("pin", ["link-forward-ipv4", "control", "slots", "receipts", "rows-1", "program-netfilter"])
def test_a_pin_that_somebody_removed_stops_nothing_and_is_pinned_again(gateway: BpfLab, pin: str) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    before = bench.pinned()
    (place(bench) / pin).unlink()
    burst(gateway, BURST)
    wait_for(lambda: bench.pinned() == before, NOTICED_SECONDS, "the pin")
    first = bench.cut()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert pin in (first.observed.why_lost or "")
    assert bench.sum("accounted") == bench.witnessed() == BURST_COUNT
    assert bench.pinned() == []


def test_a_directory_that_somebody_removed_is_made_again_and_survives_a_kill(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    with bench.child() as child:
        before = bench.pinned()
        burst(gateway, BURST)
        remove(bench.config.pins)
        wait_for(lambda: bench.pinned() == before, NOTICED_SECONDS, "the directory")
        child.signal(signal.SIGKILL)
        child.wait()
    burst(gateway, BURST)
    bench.open()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)


def test_a_link_that_was_removed_while_nobody_lived_makes_it_interrupted(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    (place(bench) / "link-forward-ipv4").unlink()
    burst(gateway, BURST)
    (taken_over,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "link forward-ipv4" in (taken_over.observed.interrupted or "")
    # A link goes a moment after its name, so some of what came in between may be counted.
    assert 1000 <= bench.sum("accounted").packets <= bench.witnessed().packets == 1500


@pytest.mark.parametrize("besides", [(), ("namespace",)])
def test_all_links_removed_while_nobody_lived(gateway: BpfLab, besides: tuple[str, ...]) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    for link in [*place(bench).glob("link-*"), *(place(bench) / name for name in besides)]:
        link.unlink()
    burst(gateway, BURST)
    (taken_over,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "link forward-ipv4 was detached" in (taken_over.observed.interrupted or "")
    assert ("pin namespace was removed" in (taken_over.observed.why_lost or "")) == bool(besides)
    # A link goes a moment after its name, so some of what came in between may be counted.
    assert 1000 <= bench.sum("accounted").packets <= bench.witnessed().packets == 1500


@pytest.mark.parametrize("ending", ["another wish", "finished"])
def test_what_was_detached_from_an_interface_while_nobody_lived_makes_it_interrupted(
    gateway: BpfLab, ending: str
) -> None:
    bench = BpfBench.on(gateway, attach="tcx", interfaces=("left",))
    kill_after_a_burst(bench, gateway)
    (link,) = place(bench).glob("link-*-ingress")
    detach(link)
    burst(gateway, BURST)
    if ending == "finished":
        (taken_over,) = bench.finish()
    else:
        bench.wish(rows_max=5_000)
        (taken_over,) = bench.open()
        bench.close()
    assert f"{link.name} was detached" in (taken_over.observed.interrupted or "")
    assert bench.sum("accounted") == BURST_COUNT


@pytest.mark.parametrize("pin", ["control", "slots", "receipts", "rows-1", "about"])
def test_what_was_removed_while_nobody_lived_is_told_and_counting_begins_anew(gateway: BpfLab, pin: str) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    (place(bench) / pin).unlink()
    (taken_over,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "by someone else" in (taken_over.observed.interrupted or "")
    assert bench.sum("accounted") == BURST_COUNT
    assert leftovers(bench.config.runtime) == bench.pinned() == []


def test_all_pins_removed_while_nobody_lived(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    remove(bench.config.pins)
    (taken_over,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert taken_over.observed.interrupted is not None
    assert taken_over.observed.interrupted.endswith("what was pinned was removed by someone else; its rows are lost")
    assert taken_over.observed.kernel is None
    assert bench.statuses() == ["interrupted", "exact"]


def test_pins_without_state_are_told_and_replaced(gateway: BpfLab) -> None:
    """Somebody removed the runtime directory while nobody lived: what the kernel counted is known, not since when."""
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    shutil.rmtree(bench.config.runtime)
    (told,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "counts found: generation 1 500 packets, 50,000 bytes" in (told.observed.interrupted or "")
    assert bench.sum("accounted") == BURST_COUNT
    assert bench.pinned() == []


def test_after_a_restart_of_the_machine_the_interval_says_so(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    remove(bench.config.pins)
    (facts,) = bench.config.runtime.glob("gen-*.json")
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "boot_id": "another"}))
    (taken_over,) = bench.open()
    bench.close()
    assert "the machine was restarted" in (taken_over.observed.interrupted or "")
    assert bench.statuses() == ["interrupted", "exact"]


@pytest.mark.peers("bpftool")
@pytest.mark.parametrize("rows", [1, 10])
def test_rows_that_somebody_added_are_told_and_the_meter_goes_on(gateway: BpfLab, rows: int) -> None:
    """Nothing in them, so that the sums are right: more of them than the file has room for, or fewer."""
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    for number in range(1, rows + 1):
        row = ["key", *[str(number)] * 16, "value", *["0"] * 32]
        subprocess.run(["bpftool", "map", "update", "pinned", place(bench) / "rows-1", *row], check=True)
    first = bench.cut()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert "2 rows were made" in (first.observed.interrupted or "")
    assert first.observed.unattributed == BURST_COUNT


@pytest.mark.peers("bpftool")
@pytest.mark.parametrize("name", ["about", "rows-1", "receipts"])
def test_a_map_of_another_kind_under_the_name_of_a_pin_is_not_read(gateway: BpfLab, name: str) -> None:
    """One with a value per CPU, of which the kernel would write all of them where there is room for one."""
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    (place(bench) / name).unlink()
    kind, sizes = ("percpu_hash", (16, 32)) if name == "rows-1" else ("percpu_array", (4, 512))
    shape = ["type", kind, "key", str(sizes[0]), "value", str(sizes[1]), "entries", "1", "name", "theirs"]
    subprocess.run(["bpftool", "map", "create", place(bench) / name, *shape], check=True)
    (taken_over,) = bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert taken_over.observed.interrupted is not None
    assert bench.sum("accounted") == BURST_COUNT
    assert bench.pinned() == []


@pytest.mark.peers("bpftool")
def test_a_program_that_nobody_understands_is_left_alone_and_goes_on(gateway: BpfLab) -> None:
    """Of a version to come, say: it may hold the only copy of somebody's bytes."""
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    key, value = ["0"] * 4, [str(number % 256) for number in range(512)]
    about = str(place(bench) / "about")
    subprocess.run(["bpftool", "map", "update", "pinned", about, "key", *key, "value", *value], check=True)
    before = bench.pinned()
    with pytest.raises(NotSupportedError, match="not understood"):
        bench.open()
    with pytest.raises(NotSupportedError, match="not understood"):
        bench.finish()
    assert bench.pinned() == before
    assert leftovers(bench.config.runtime) == ["gen-00000001.json"]


def test_where_no_bpf_file_system_is_to_be_seen_nothing_is_given_up(gateway: BpfLab) -> None:
    """As behind `ip netns exec`, which hides it: the kernel counts, and the next start that sees it goes on."""
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    elsewhere = BpfSource(replace(bench.config, place=gateway.directory / "netledger"))
    with pytest.raises(SourceError, match="no BPF file system"):
        elsewhere.open(CLOCK.now())
    bench.open()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.sum("accounted") == bench.witnessed() == BURST_COUNT


def test_a_damaged_state_file_costs_its_interval_and_nothing_else(gateway: BpfLab) -> None:
    """The number that is next has the slot of the one that counts then: another program takes its place."""
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    (bench.config.runtime / "gen-00000002.json").write_text("{}")
    bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)
    assert sorted(one.seq for one in bench.intervals) == [1, 2, 3]
    assert bench.pinned() == []


def test_numbers_that_the_ledger_knows_are_not_used_again(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    bench.source = BpfSource(bench.config)
    bench.commit(bench.source.open(CLOCK.now(), Past(seq=8)))
    bench.close()
    assert sorted(one.seq for one in bench.intervals) == [1, 9]
    assert bench.sum("accounted") == BURST_COUNT
    assert bench.sum("lost") == ZERO


def kill_after_a_burst(bench: BpfBench, gateway: BpfLab) -> None:
    """A life that counts a burst and is killed."""
    with bench.child() as child:
        burst(gateway, BURST)
        child.signal(signal.SIGKILL)
        child.wait()


def remove(directory: Path) -> None:
    """All of it, as ``rm -r`` does."""
    shutil.rmtree(directory)
