"""Given groups on a real kernel: nothing queued is lost by a cut or a stop, loss is told by sequence numbers."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from netledger.errors import GroupBusyError
from netledger.receipt import ZERO, Count
from netledger.sources.base import Closed, Step, no_step
from netledger.sources.nflog_groups import Account, GivenGroup, GivenGroupsConfig, GivenGroupsSource
from tests.kernel import senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.metering import CLOCK, Interval, leftovers
from tests.kernel.senders import Udp

PLAN = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, destinations=1, count=1000)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


@dataclass
class Groups:
    """A meter with given groups on the gateway, and the figures of its intervals."""

    lab: Lab
    config: GivenGroupsConfig
    intervals: list[Interval] = field(default_factory=list)
    source: GivenGroupsSource | None = None

    @classmethod
    def on(cls, lab: Lab, *accounts: Account, threshold: int = 50, snap_bytes: int = 64) -> "Groups":
        """One group per account, from 4 on; all forwarded packets are logged to each."""
        options = f"snaplen {snap_bytes} queue-threshold {threshold}"
        logs = " ".join(f"log group {4 + i} {options};" for i in range(len(accounts)))
        lab.nft(lab.gw, f"table inet user {{ chain f {{ type filter hook forward priority 0; {logs} }}; }}")
        lab.witness(lab.gw)
        config = GivenGroupsConfig(
            meter="given",
            node="gw1",
            runtime=lab.directory / "run" / "given",
            store=lab.directory / "store" / "meters",
            groups=tuple(GivenGroup(number=4 + i, account=account) for i, account in enumerate(accounts)),
        )
        return cls(lab, config)

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = GivenGroupsSource(self.config, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Interval:
        assert self.source is not None
        now = CLOCK.now()
        return self.commit([self.source.cut(label_end_ns=now.wall_ns, now=now)])[0]

    def close(self) -> list[Interval]:
        assert self.source is not None
        return self.commit(self.source.close(now=CLOCK.now(), keep_rules=False))

    def commit(self, closed: Iterable[Closed]) -> list[Interval]:
        done = []
        for one in closed:
            assert len(one.batch()) == one.observed.rows
            done.append(Interval(one.seq, one.start, one.end, one.observed))
            one.release()
        self.intervals += done
        return done

    def accounted(self) -> Count:
        return sum((interval.observed.accounted for interval in self.intervals), ZERO)

    def forwarded(self) -> Count:
        seen = self.lab.counter(self.lab.gw, "witness", "forward")
        return Count(seen.packets, seen.bytes)

    def send(self) -> None:
        senders.udp(self.lab, self.lab.left, PLAN)

    def received_packets(self) -> int:
        assert self.source is not None
        return self.source.stats().received_packets

    def numbers(self) -> list[int]:
        return [interval.seq for interval in self.intervals]


@pytest.mark.parametrize("account", ["source", "destination", "both"])
@pytest.mark.parametrize("threshold", [1, 50, 60000])
def test_a_stop_hands_over_what_the_kernel_still_holds(gateway: Lab, account: Account, threshold: int) -> None:
    meter = Groups.on(gateway, account, threshold=threshold)
    meter.open()
    meter.send()
    meter.close()
    (interval,) = meter.intervals
    assert interval.observed.status == "unproven"
    assert interval.observed.kernel is None
    assert interval.observed.accounted == meter.forwarded() == Count(1000, 100_000)
    assert leftovers(meter.config.runtime) == []


def test_cuts_under_load_lose_and_double_nothing(gateway: Lab) -> None:
    meter = Groups.on(gateway, "both")
    meter.open()
    load = senders.start_udp(gateway, gateway.left, replace(PLAN, count=0, rate=30_000))
    for _ in range(30):
        wait_for_more(meter)
        meter.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    meter.close()
    assert {str(interval.observed.status) for interval in meter.intervals} == {"unproven"}
    assert meter.accounted() == meter.forwarded()
    assert meter.numbers() == list(range(1, 32))
    assert sum(interval.observed.lost_by_sequence_packets for interval in meter.intervals) == 0


def test_groups_for_both_directions_account_what_each_has_read(gateway: Lab) -> None:
    meter = Groups.on(gateway, "source", "destination")
    meter.open()
    meter.send()
    (interval,) = meter.close()
    assert interval.observed.accounted == Count(2000, 200_000), "two groups that each log every packet"


def test_packets_the_sequence_misses_are_told(gateway: Lab) -> None:
    meter = Groups.on(gateway, "both", threshold=1)
    meter.config = replace(meter.config, buffer_bytes=4096, gather_milliseconds=200)
    meter.open()
    senders.udp(gateway, gateway.left, replace(PLAN, count=20_000, rate=200_000))
    meter.cut()
    # What is lost behind the last packet that came has no successor to show the gap.
    wait_for(lambda: one_more_arrives(meter), 20, "a packet that is not lost")
    meter.close()
    lost = sum(interval.observed.lost_by_sequence_packets for interval in meter.intervals)
    assert lost > 0
    assert meter.accounted().packets + lost == meter.forwarded().packets
    assert any("missing in the sequence" in (interval.observed.why_lost or "") for interval in meter.intervals)


def test_packets_of_which_the_rule_copies_too_little_are_lost(gateway: Lab) -> None:
    meter = Groups.on(gateway, "source", snap_bytes=10)
    meter.open()
    meter.send()
    (interval,) = meter.close()
    assert interval.observed.accounted == ZERO
    assert (interval.observed.status, interval.observed.lost) == ("unproven", Count(1000, 0))
    assert interval.observed.why_lost == "1000 packets not readable"
    assert interval.observed.errors == {"unreadable_short": 1000}


def wait_for_more(meter: Groups) -> None:
    before = meter.received_packets()
    wait_for(lambda: meter.received_packets() > before, 10, "more packets")


def one_more_arrives(meter: Groups) -> bool:
    before = meter.received_packets()
    senders.udp(meter.lab, meter.lab.left, replace(PLAN, count=1))
    try:
        return wait_for(lambda: meter.received_packets() > before, 1, "the packet")
    except TimeoutError:
        return False


def dies_after(meter: Groups, step: str) -> int:
    """Runs the meter in a child that gets one burst, cuts, and dies at a step; gives its exit status."""
    child = os.fork()
    if child == 0:
        try:
            meter.open(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == step else None)
            meter.send()
            wait_for(lambda: meter.received_packets() >= 1000, 10, "the packets in the table")
            meter.cut()
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("step", ["begun", "noted", "rolled", "frozen"])
def test_a_crash_at_any_step_keeps_what_was_received(gateway: Lab, step: str) -> None:
    meter = Groups.on(gateway, "both")
    assert dies_after(meter, step) == -signal.SIGKILL
    found = meter.open()
    assert found[-1].observed.status == "interrupted"
    assert "nobody counted: the process had ended" in (found[-1].observed.interrupted or "")
    assert [str(interval.observed.status) for interval in found[:-1]] == ["unproven"] * (len(found) - 1)
    assert meter.accounted() == (ZERO if step == "begun" else Count(1000, 100_000))
    meter.send()
    meter.close()
    assert meter.intervals[-1].observed.accounted == Count(1000, 100_000)
    assert meter.numbers() == list(range(1, len(meter.intervals) + 1))
    assert len(found) == (2 if step in {"rolled", "frozen"} else 1)
    for before, after in zip(meter.intervals, meter.intervals[1:], strict=False):
        assert before.end == after.start


def test_a_table_file_that_was_only_half_made_is_swept_up(gateway: Lab) -> None:
    meter = Groups.on(gateway, "both")
    assert dies_after(meter, "noted") == -signal.SIGKILL
    (meter.config.runtime / "gen-00000002.table").write_bytes(b"half")
    (interrupted,) = meter.open()
    assert interrupted.observed.accounted == Count(1000, 100_000)
    assert interrupted.observed.status == "interrupted"
    meter.close()
    assert meter.numbers() == [1, 2]


def test_a_damaged_table_file_costs_its_interval_and_is_set_aside(gateway: Lab) -> None:
    meter = Groups.on(gateway, "both")
    assert dies_after(meter, "noted") == -signal.SIGKILL
    (meter.config.runtime / "gen-00000001.table").write_bytes(b"half")
    (lost,) = meter.open()
    assert lost.observed.status == "interrupted"
    assert "its rows are lost: table" in (lost.observed.interrupted or "")
    meter.send()
    meter.close()
    assert meter.intervals[-1].observed.accounted == Count(1000, 100_000)
    assert meter.numbers() == [1, 2]
    assert meter.intervals[0].end == meter.intervals[1].start
    assert leftovers(meter.config.runtime) == ["gen-00000001.damaged.table"]


def test_a_group_in_use_names_its_holder(gateway: Lab) -> None:
    meter = Groups.on(gateway, "both")
    meter.open()
    other = Groups(gateway, replace(meter.config, meter="late", runtime=meter.config.runtime.with_name("late")))
    code = (
        "import sys\n"
        "from netledger.errors import GroupBusyError, TableError\n"
        "from netledger.sources.nflog_groups import GivenGroup, GivenGroupsConfig, GivenGroupsSource\n"
        "from netledger.intervals import SystemClock\n"
        "from pathlib import Path\n"
        "there = Path(sys.argv[1])\n"
        "groups = (GivenGroup(number=4, account='both'),)\n"
        "config = GivenGroupsConfig(meter='late', node='n', runtime=there / 'run', store=there, groups=groups)\n"
        "try:\n    GivenGroupsSource(config).open(SystemClock().now())\n"
        "except GroupBusyError as error:\n    print(error, '|', error.hint)\n"
    )
    argv = [sys.executable, "-c", code, str(other.config.runtime)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    command = Path("/proc/self/comm").read_text().strip()
    assert told.startswith(f"nflog group 4: bind: already bound by pid {os.getpid()} ({command}) | ")
    with pytest.raises(GroupBusyError):
        other.open()
    meter.close()
    other.open()
    other.close()
