"""A managed meter that meets what others left: kept rules, rules without state, state without rules, a rival."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from netledger.errors import GroupBusyError, RulesetError, SourceError
from netledger.receipt import Count
from netledger.sources import ruleset
from netledger.sources.bound import FIRST_GROUP, Holder, bound_groups, holder
from netledger.sources.kernel_rules import list_table
from netledger.sources.nflog_managed import ManagedNflogConfig
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.lab import Lab, wait_for
from tests.kernel.lesser import lacking
from tests.kernel.metering import Bench
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
BURST_COUNT = Count(500, 50_000)


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def burst(gateway: Lab) -> None:
    senders.udp(gateway, gateway.left, BURST)


def killed_meter(bench: Bench) -> None:
    """A meter that received one burst and was killed before its first cut."""
    with bench.child() as child:
        burst(bench.lab)
        wait_for(lambda: child.received_packets() >= 500, 10, "the packets in the table")
        child.signal(signal.SIGKILL)
        child.wait()


def test_kept_rules_go_on_counting_and_the_next_start_says_so(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    burst(gateway)
    bench.close(keep_rules=True)
    burst(gateway)
    (kept,) = bench.open()
    burst(gateway)
    bench.close()
    assert bench.statuses() == ["exact", "lossy", "exact"]
    assert kept.observed.kernel == kept.observed.lost == BURST_COUNT
    assert "500 packets while nobody listened: the meter was stopped at" in (kept.observed.why_lost or "")
    assert bench.sum("kernel") == bench.witnessed()
    bench.check_chain()


def test_numbers_go_on_after_a_clean_stop_and_a_wiped_runtime_directory(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    for _ in range(3):
        bench.open()
        bench.cut()
        bench.close()
        shutil.rmtree(bench.config.runtime)
    bench.check_chain(stops=True)
    assert len(bench.intervals) == 6


def test_rules_without_state_are_replaced_and_their_counters_logged(
    gateway: Lab, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench.on(gateway)
    killed_meter(bench)
    shutil.rmtree(bench.config.runtime)
    (gone,) = bench.open()
    said = "counters found: lan_a_ipv4 500 packets, 50000 bytes"
    assert said in caplog.text
    assert said in (gone.observed.interrupted or "")
    burst(gateway)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    assert bench.intervals[-1].observed.kernel == BURST_COUNT
    bench.check_chain()


@pytest.mark.parametrize("command", ["delete table inet netledger", "flush ruleset"])
def test_rules_that_went_while_nobody_was_there_interrupt_the_interval(gateway: Lab, command: str) -> None:
    bench = Bench.on(gateway)
    killed_meter(bench)
    gateway.nft(gateway.gw, command)
    (interrupted,) = bench.open()
    assert interrupted.observed.status == "interrupted"
    assert interrupted.observed.kernel is None
    assert interrupted.observed.accounted == BURST_COUNT
    assert "nobody counted: the rules were removed by someone else" in (interrupted.observed.interrupted or "")
    burst(gateway)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]
    bench.check_chain()


def test_rules_that_were_edited_while_nobody_was_there_interrupt_the_interval(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    killed_meter(bench)
    gateway.nft(gateway.gw, "insert rule inet netledger lan_forward udp dport 9000 return")
    burst(gateway)
    (interrupted,) = bench.open()
    assert interrupted.observed.status == "interrupted"
    assert interrupted.observed.kernel == interrupted.observed.accounted == BURST_COUNT
    burst(gateway)
    bench.close()
    assert bench.intervals[-1].observed.status == "exact"
    assert bench.intervals[-1].observed.accounted == BURST_COUNT


def test_counters_that_were_reset_while_nobody_was_there_interrupt_the_interval(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    burst(gateway)
    bench.cut()
    burst(gateway)
    bench.cut()
    bench.close(keep_rules=True)
    gateway.nft(gateway.gw, "reset counters table inet netledger")
    (interrupted,) = bench.open()
    assert interrupted.observed.status == "interrupted"
    burst(gateway)
    bench.close()
    assert bench.statuses() == ["exact", "exact", "exact", "interrupted", "exact"]


def test_a_restart_of_the_machine_interrupts_the_interval(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    killed_meter(bench)
    (facts,) = bench.config.runtime.glob("*.json")
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps({**told, "boot_id": "another", "start": {**told["start"], "monotonic_ns": 1 << 60}}))
    (interrupted,) = bench.open()
    assert interrupted.observed.status == "interrupted"
    assert "nobody counted: the machine was restarted" in (interrupted.observed.interrupted or "")
    assert interrupted.observed.accounted == BURST_COUNT
    assert interrupted.end.monotonic_ns > interrupted.start.monotonic_ns
    burst(gateway)
    bench.close()
    assert bench.statuses() == ["interrupted", "exact"]


@pytest.mark.parametrize(
    "wishes", [{"interfaces": ("left",)}, {"hooks": ("input", "forward")}, {"networks": ("10.77.0.0/16",)}]
)
def test_other_wishes_at_the_next_start_change_the_rules_and_miss_nothing(
    gateway: Lab, wishes: dict[str, tuple[str, ...]]
) -> None:
    bench = Bench.on(gateway)
    killed_meter(bench)
    load = senders.start_udp(gateway, gateway.left, replace(BURST, count=0))
    wait_for(lambda: bench.witnessed().packets > 500, 10, "packets that nobody listens to")
    bench.config = replace(bench.config, **wishes)  # type: ignore[arg-type]  # names of fields, with their values
    bench.open()
    bench.cut()
    senders.stop_udp(load)
    gateway.silence(gateway.gw)
    bench.close()
    assert bench.statuses() == ["lossy", "exact", "exact"]
    assert bench.sum("kernel") == bench.witnessed()
    bench.check_chain()


def test_a_second_process_with_the_same_state_is_refused(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    with bench.child() as child:
        with pytest.raises(SourceError, match=f"meter lan: open: already counted by pid {child.process.pid}$"):
            bench.open()
        burst(gateway)
        child.tell("close")
    assert bench.statuses() == ["exact"]


def test_a_second_process_with_another_state_is_refused(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    with bench.child() as child:
        bench.config = replace(bench.config, runtime=bench.config.runtime.with_name("elsewhere"))
        words = rf"meter lan: open: table netledger already counts for it by pid {child.process.pid} \(python"
        with pytest.raises(RulesetError, match=words):
            bench.open()
        burst(gateway)
        child.tell("close")
    assert bench.statuses() == ["exact"]


def test_two_meters_count_side_by_side_with_groups_of_their_own(gateway: Lab) -> None:
    lan = Bench.on(gateway)
    runtime = lan.config.runtime.with_name("dmz")
    dmz = Bench(gateway, config=replace(lan.config, meter="dmz", runtime=runtime, interfaces=("right",)))
    lan.open()
    dmz.open()
    found = list_table(Nft(), "netledger")
    assert found is not None
    assert found.log_groups() == set(range(FIRST_GROUP, FIRST_GROUP + 4))
    for _ in range(3):
        burst(gateway)
        lan.cut()
        dmz.cut()
    lan.close()
    burst(gateway)
    dmz.close()
    assert set(lan.statuses() + dmz.statuses()) == {"exact"}
    assert (lan.sum("accounted").packets, dmz.sum("accounted").packets) == (1500, 2000)


def test_groups_that_are_taken_are_left_to_their_holder(gateway: Lab) -> None:
    lan = Bench.on(gateway)
    lan.open()
    assert holder(FIRST_GROUP) == Holder(os.getpid(), Path("/proc/self/comm").read_text().strip())
    assert set(bound_groups()) == {FIRST_GROUP}
    other = replace(lan.config, meter="x", table="other", runtime=lan.config.runtime.with_name("x"))
    second = Bench(gateway, config=other)
    second.open()
    assert FIRST_GROUP not in (list_table(Nft(), "other") or pytest.fail("no table")).log_groups()
    lan.close()
    second.close()


THIEF = """
import sys
from netledger._core import KeySpec, Meter, NflogGroup
meter = Meter(key=KeySpec(columns=["host"]), rows_max=10, receive_buffer_bytes=1 << 18, timeout_centiseconds=1)
meter.begin(sys.argv[1], [NflogGroup(int(sys.argv[2]), account="both", copy_range_bytes=64)])
print("bound", flush=True)
sys.stdin.read()
"""


def test_a_group_taken_at_the_last_moment_names_its_holder(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    taken, table = FIRST_GROUP + 1, bench.config.runtime.with_name("thief.table")
    argv = [sys.executable, "-c", THIEF, str(table), str(taken)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as thief:
        assert thief.stdout is not None
        assert thief.stdout.readline() == "bound\n"
        message = rf"nflog group {taken}: bind: already bound by pid {thief.pid} "
        with pytest.raises(GroupBusyError, match=message):
            bench.cut()
        thief.communicate(timeout=90)
    burst(gateway)
    bench.cut()
    bench.close()
    assert bench.statuses()[-2:] == ["exact", "exact"]


def test_meters_with_tables_of_their_own_never_want_the_same_group(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    other = ManagedNflogConfig(
        meter="t", node="n", runtime=bench.config.runtime.with_name("t"), store=bench.config.store, table="another"
    )
    with Bench(gateway, config=other).child() as child:
        for _ in range(3):
            bench.cut()
            child.tell("cut")
        child.tell("close")
    bench.close()


def test_without_the_capability_the_message_names_it(gateway: Lab) -> None:
    code = (
        "from netledger.sources.nft import Nft\n"
        "from netledger.errors import PermissionDeniedError\n"
        "try:\n    Nft().table('inet', 'netledger')\n"
        "except PermissionDeniedError as error:\n    print(error, '|', error.hint)\n"
    )
    python = [str(Path(__file__).parents[2] / ".venv/bin/python"), "-c", code]
    told = gateway.run(gateway.gw, ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", *python])
    assert told.startswith("nft: list table inet netledger: ")
    assert told.endswith(f"| {lacking('CAP_NET_ADMIN')}\n")


def test_a_foreign_priority_is_put_right(gateway: Lab) -> None:
    bench = Bench.on(gateway)
    bench.open()
    gateway.nft(
        gateway.gw,
        "flush chain inet netledger lan_input; delete chain inet netledger lan_input;"
        "add chain inet netledger lan_input { type filter hook input priority -5; }",
    )
    assert bench.cut().observed.status == "interrupted"
    found = list_table(Nft(), "netledger")
    assert found is not None
    assert found.chains["lan_input"]["prio"] == ruleset.PRIORITY
    bench.close()
