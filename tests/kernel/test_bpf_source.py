"""A meter that counts in the kernel: opened, cut, taken over, replaced, stopped; nothing counted twice or never."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.errors import InUseError, PermissionDeniedError, TableError
from netledger.receipt import ZERO, Count
from netledger.sources.base import Key
from netledger.sources.bpf import BpfSource
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.lab import wait_for
from tests.kernel.metering import CLOCK, Child, leftovers
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
BURST_V6 = Udp(source="fd77:1::2", destination="fd77:2::2", count=300)
MANY = Udp(source="10.77.1.2", destination="10.78.0.1", destinations=2000, count=4000)
FLOOD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=20, count=0, rate=30_000)
IDLE_SECONDS = 10.0
IDLE_TICKS_MAX = 3  # hundredths of a second
IDLE_TRIES = 5


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def table_of(bench: BpfBench) -> str:
    """Of the counters that prove."""
    return f"netledger_bpf_{bench.config.pins.name}"


def test_rows_receipt_and_an_independent_counter_say_the_same(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    burst(gateway, BURST_V6)
    bench.cut()
    senders.ping(gateway, gateway.left, "10.77.1.1", 50)  # to this machine, and from it
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.sum("accounted") == bench.witnessed()
    assert bench.rows["", "10.77.1.2", "sent"] == 550
    assert bench.rows["", "10.77.1.1", "sent"] == 50
    assert bench.rows["", "fd77:2::/64", "received"] == 300
    assert leftovers(bench.config.runtime) == bench.pinned() == []
    bench.check_chain()


def test_what_has_no_room_is_added_up_without_detail(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, rows_max=100)
    bench.open()
    burst(gateway, MANY)
    first = bench.cut()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert first.observed.other.packets > 0
    assert bench.sum("accounted") == bench.witnessed() == Count(4000, 400_000)


def test_room_for_two_generations_is_there_before_the_first_packet_counts(gateway: BpfLab) -> None:
    """Who has no memory for the second one is told while nothing counts, and `auto` can still take another source."""
    bench = BpfBench.on(gateway)
    rooms: list[list[str]] = []
    bench.open(lambda step: rooms.append(bench.pinned()) if step == "prepared" else None)
    bench.close()
    assert [[name.rpartition("/")[2] for name in room if "rows-" in name] for room in rooms] == [["rows-1", "rows-2"]]


def test_glance_and_live_show_the_open_interval_and_what_came_never_goes_back(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    before = bench.opened().glance()
    live = bench.opened().live(top=1)
    assert (before.received, before.rows, live.rows, len(live.batch)) == (Count(500, 50_000), 2, 2, 1)
    assert (live.sent, live.received) == (Count(500, 50_000), Count(500, 50_000))
    bench.cut()
    burst(gateway, BURST)
    after = bench.opened().glance()
    assert (after.received, after.rows) == (Count(1000, 100_000), 2)
    assert bench.opened().stats().received_packets == 1000
    bench.close()


def test_a_restart_that_keeps_it_attached_misses_nothing(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    bench.close(keep_rules=True)
    assert bench.pinned()
    burst(gateway, BURST)
    bench.open()
    bench.close()
    assert bench.statuses() == ["exact"] * 3
    assert bench.sum("accounted") == bench.witnessed() == Count(1000, 100_000)
    bench.check_chain()
    assert bench.pinned() == []


@pytest.mark.parametrize(
    "wishes", [{"key": Key(columns=("host", "peer", "protocol", "host_port", "peer_port"))}, {"rows_max": 50}]
)
def test_another_configuration_gets_another_program_under_load(gateway: BpfLab, wishes: dict[str, object]) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    bench.cut()
    bench.close(keep_rules=True)
    bench.wish(**wishes)
    (replaced,) = bench.open()
    bench.cut()
    senders.stop_udp(load)
    bench.close()
    assert "replaced by another" in (replaced.observed.interrupted or ""), "a packet may have fallen between"
    assert bench.statuses().count("interrupted") == 1
    between = bench.sum("accounted").packets - bench.witnessed().packets
    assert abs(between) <= (os.cpu_count() or 1)
    bench.check_chain()
    assert bench.pinned() == []


def test_one_that_counts_the_same_goes_on_with_its_program(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    before = program(bench)
    bench.close(keep_rules=True)
    bench.open()
    assert program(bench) == before
    bench.close()
    assert bench.statuses() == ["exact"] * 3


def test_two_meters_count_side_by_side_at_the_same_hooks(gateway: BpfLab) -> None:
    one, other = BpfBench.on(gateway), BpfBench(gateway, config=BpfBench.on(gateway, meter="other").config)
    other.wish(runtime=gateway.directory / "run" / "other")
    one.open()
    other.open()
    burst(gateway, BURST)
    one.close()
    burst(gateway, BURST)
    other.close()
    assert one.sum("accounted") == Count(500, 50_000)
    assert other.sum("accounted") == Count(1000, 100_000)


def test_a_cut_that_fails_goes_on_where_it_stood(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    in_the_way = bench.config.runtime / "gen-00000001.table"
    in_the_way.mkdir()
    (in_the_way / "full").touch()
    for _ in range(2):
        with pytest.raises((TableError, OSError)):
            bench.cut()
    (in_the_way / "full").unlink()
    in_the_way.rmdir()
    burst(gateway, BURST)
    bench.cut()
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert [one.observed.accounted.packets for one in bench.intervals] == [500, 500]
    bench.check_chain()


def test_what_a_dead_process_left_is_finished_from_anywhere_without_counting_on(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    with gateway.inside(gateway.right):
        bench.finish()
    burst(gateway, BURST)
    assert bench.pinned() == []
    assert bench.statuses() == ["exact"]
    assert bench.sum("accounted") == Count(500, 50_000)


def test_in_another_network_namespace_another_program_counts(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    kill_after_a_burst(bench, gateway)
    with gateway.inside(gateway.right):
        bench.open()
        burst(gateway, BURST)
        bench.wait_for_packets(BURST.count)
        bench.close()
    assert [one.observed.accounted.packets for one in bench.intervals] == [500, 500]
    assert bench.rows["", "10.77.2.2", "received"] == 1000
    assert bench.pinned() == []


def test_two_processes_do_not_count_for_the_same_meter(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    with pytest.raises(InUseError, match="already counted by pid"):
        BpfSource(bench.config).open(CLOCK.now())
    burst(gateway, BURST)
    bench.close()
    assert bench.sum("accounted") == bench.witnessed()


def test_without_the_capabilities_nothing_is_left_behind(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    program_text = (
        "import sys\n"
        "from tests.kernel.bpf_metering import CONFIG\n"
        "from netledger.sources.bpf import BpfSource\n"
        "from tests.kernel.metering import CLOCK\n"
        "try:\n    BpfSource(CONFIG.validate_json(sys.argv[1])).open(CLOCK.now())\n"
        "except Exception as error:\n    print(type(error).__name__, error, '-', error.hint)\n"
    )
    taken = "-bpf,-sys_admin,-perfmon"
    argv = ["setpriv", "--bounding-set", taken, "--inh-caps", taken, sys.executable, "-c", program_text]
    said = gateway.run(gateway.gw, [*argv, bench.config_text()])
    assert said.startswith(PermissionDeniedError.__name__)
    assert "CAP_BPF" in said
    assert leftovers(bench.config.runtime) == bench.pinned() == []


def test_while_nothing_is_cut_it_uses_no_processor(gateway: BpfLab) -> None:
    """But for one look a second; under traffic no more than without."""
    bench = BpfBench.on(gateway)
    used: list[int] = []
    with bench.child() as child:
        load = senders.start_udp(gateway, gateway.left, FLOOD)
        # What interrupts a process on a busy machine is booked to it: that is not the same each time.
        while not used or (used[-1] > IDLE_TICKS_MAX and len(used) < IDLE_TRIES):
            before = ticks(child)
            threading.Event().wait(IDLE_SECONDS)
            used.append(ticks(child) - before)
        senders.stop_udp(load)
        assert child.tell("close")
    assert used[-1] <= IDLE_TICKS_MAX, f"{used} hundredths of a second in {IDLE_SECONDS} s"
    assert bench.statuses() == ["exact"]


def test_a_counter_of_nftables_proves_it(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, prove=True)
    bench.open()
    burst(gateway, BURST)
    bench.cut()
    load = senders.start_udp(gateway, gateway.left, FLOOD)
    bench.wait_for_packets(2000)
    bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.cut()
    bench.close()
    proofs = [one.observed.proof for one in bench.intervals]
    assert (proofs[0], proofs[1] in {"bounded", "equal"}, proofs[2:]) == ("equal", True, ["equal", "equal"])
    assert bench.statuses() == ["exact"] * 4
    assert bench.sum("accounted") == bench.witnessed()
    assert Nft().table("inet", table_of(bench)) is None


def test_two_daemons_prove_meters_of_one_name_beside_each_other(gateway: BpfLab) -> None:
    one = BpfBench.on(gateway, prove=True)
    elsewhere = gateway.directory / "elsewhere"
    other = BpfBench.on(gateway, prove=True, runtime=elsewhere / "run" / "lan", store=elsewhere / "store" / "meters")
    for bench in (one, other):
        bench.open()
    burst(gateway, BURST)
    for bench in (one, other):
        bench.cut()
        bench.close()
        assert [each.observed.proof for each in bench.intervals] == ["equal", "equal"]
        assert bench.sum("accounted") == Count(500, 50_000)


def test_a_proof_goes_on_over_a_kill(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, prove=True)
    kill_after_a_burst(bench, gateway)
    burst(gateway, BURST)
    bench.open()
    bench.close()
    assert [one.observed.proof for one in bench.intervals] == ["equal", "equal"]
    assert bench.sum("accounted") == Count(1000, 100_000)


def test_a_proof_is_finished_with_what_it_proves_and_its_table_taken_out(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, prove=True)
    kill_after_a_burst(bench, gateway)
    burst(gateway, BURST)
    bench.wish(prove=False)
    bench.finish()
    assert [(one.observed.proof, one.observed.accounted.packets) for one in bench.intervals] == [("equal", 1000)]
    assert Nft().table("inet", table_of(bench)) is None


def test_a_proof_that_cannot_be_read_says_so(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, prove=True)
    kill_after_a_burst(bench, gateway)
    with gateway.inside(gateway.right):
        bench.finish()
    (last,) = bench.intervals
    assert (last.observed.proof, last.observed.why_lost) == ("missed", "the counters could not be read at its end")


def test_a_proof_that_somebody_disturbs_is_told_and_made_anew(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway, prove=True)
    bench.open()
    burst(gateway, BURST)
    gateway.nft(gateway.gw, f"delete table inet {table_of(bench)}")
    first = bench.cut()
    burst(gateway, BURST)
    bench.cut()
    bench.close()
    assert [one.observed.proof for one in bench.intervals] == ["missed", "equal", "equal"]
    assert f"{table_of(bench)} is gone" in (first.observed.why_lost or "")
    assert bench.sum("accounted") == Count(1000, 100_000)


def program(bench: BpfBench) -> int:
    """A number of its own for the program that is pinned."""
    return (bench.config.pins / "a" / "v1" / "program-netfilter").stat().st_ino


def ticks(child: Child) -> int:
    """Hundredths of a second of processor time that a process has used."""
    fields = Path(f"/proc/{child.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def kill_after_a_burst(bench: BpfBench, gateway: BpfLab) -> None:
    """A life that counts a burst and is killed."""
    with bench.child() as child:
        burst(gateway, BURST)
        wait_for(lambda: child.received_packets() == BURST.count, 10, "the burst")
        child.signal(signal.SIGKILL)
        child.wait()
    assert bench.sum("lost") == ZERO
