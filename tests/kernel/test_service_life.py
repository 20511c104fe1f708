"""The life of the service under a real systemd: started, killed, hung, reloaded, stopped."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.kernel.lab import WITNESS, wait_for
from tests.kernel.settling import settle
from tests.kernel.systemd_box import ROOT, Box, booted
from tests.requirements import required, verdict

UNIT = "netledger"
PROGRAM = str(ROOT / ".venv" / "bin" / "netledger")
# The sandbox hides home directories and /tmp, where this checkout and its interpreter may lie.
DROP_IN = f"""
[Service]
ProtectHome=tmpfs
BindReadOnlyPaths={ROOT} {Path(sys.base_prefix).resolve()}
StandardError=append:/run/netledger.log
WatchdogSec=8s
RestartSec=1s
"""
NET_ADMIN, NET_RAW, SYS_ADMIN, PERFMON, BPF = (1 << number for number in (12, 13, 21, 38, 39))

pytestmark = pytest.mark.peers("systemctl", "systemd-sysusers", "nsenter")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    with ExitStack() as exits:
        try:
            made = exits.enter_context(booted(tmp_path / "box"))
        except (RuntimeError, TimeoutError) as error:
            # A container may lack the right to mount; then this is skipped, or fails where nothing may be skipped.
            decision = verdict("kernel", str(error), required(os.environ.get("NETLEDGER_REQUIRE")))
            (pytest.fail if decision.action == "fail" else pytest.skip)(decision.reason)
        made.run("ip", "link", "set", "lo", "up")
        # A link says nothing unasked: what is counted is what the test sends.
        made.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
        made.run("ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1")
        for line in ("address add 10.9.9.1/24 dev v0", "link set v0 up", "link set v1 up"):
            made.run("ip", *line.split())
        made.run("ip", "neigh", "add", "10.9.9.2", "lladdr", "02:00:00:00:00:02", "dev", "v0", "nud", "permanent")
        made.run("nft", "-f", "-", text=WITNESS)
        made.run(PROGRAM, "service", "install", "--program", PROGRAM)
        made.run("systemd-sysusers")
        put(made, "etc/systemd/system/netledger.service.d/test.conf", DROP_IN)
        put(made, "etc/netledger/netledger.toml", 'interval = "1s"\n[meters.all]\n')
        made.run("systemctl", "daemon-reload")
        yield made


def put(box: Box, path: str, text: str) -> None:
    file = box.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def send(box: Box, packets: int) -> None:
    """Echo requests that nobody answers."""
    box.attempt("ping", "-q", "-c", str(packets), "-i", "0.01", "-W", "1", "10.9.9.2")
    settle()


def log(box: Box) -> str:
    return (box.root / "run" / "netledger.log").read_text()


def wait_for_restart(box: Box, number: int) -> None:
    """Until systemd has started it again so often, and it counts."""
    wait_for(lambda: box.shown(UNIT, "NRestarts") == str(number), 30, f"restart {number}; {log(box)}")
    wait_for(lambda: box.shown(UNIT, "StatusText") == "Counting all.", 30, f"start; {log(box)}")


def test_the_service_lives_through_what_happens_and_its_books_balance(box: Box) -> None:
    box.run("systemctl", "start", UNIT)
    assert box.shown(UNIT, "StatusText") == "Counting all."
    status = box.run("cat", f"/proc/{box.shown(UNIT, 'MainPID')}/status")
    assert re.search(rf"^CapEff:\t{NET_ADMIN | BPF | PERFMON:016x}$", status, re.MULTILINE)
    # The unit grants what packet sockets need, too. It is given up; only with more than that could the bound be cut.
    for name in ("CapPrm", "CapInh", "CapAmb"):
        assert re.search(rf"^{name}:\t{NET_ADMIN | BPF | PERFMON:016x}$", status, re.MULTILINE)
    assert re.search(rf"^CapBnd:\t{NET_ADMIN | NET_RAW | BPF | PERFMON:016x}$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\t2$", status, re.MULTILINE)
    assert not re.search(r"^Uid:\t0\t", status, re.MULTILINE)
    send(box, 40)

    # A configuration that is refused changes nothing; a good one is taken.
    put(box, "etc/netledger/netledger.toml", "rows = 3\n")
    box.run("systemctl", "reload", UNIT)
    wait_for(lambda: "event=reload_refused" in log(box), 10, "refusal")
    wait_for(lambda: box.shown(UNIT, "StatusText") == "Counting all.", 10, "the same as before")
    put(box, "etc/netledger/netledger.toml", 'interval = "1s"\n[meters.all]\n[meters.more]\n')
    box.run("systemctl", "reload", UNIT)
    wait_for(lambda: box.shown(UNIT, "StatusText") == "Counting all, more.", 10, "one more")
    put(box, "etc/netledger/netledger.toml", 'interval = "1s"\n[meters.all]\n')
    box.run("systemctl", "reload", UNIT)
    wait_for(lambda: "meter=more event=closed" in log(box), 10, "one less")

    box.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    send(box, 30)
    wait_for_restart(box, 1)

    # One that hangs is found by the watchdog.
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", UNIT)
    send(box, 30)
    wait_for_restart(box, 2)
    send(box, 20)

    kept = box.run("stat", "-c", "%U %a", "/run/netledger", "/var/lib/netledger").splitlines()
    assert kept == ["netledger 750", "netledger 750"]
    box.run("systemctl", "stop", UNIT)
    assert box.shown(UNIT, "Result") == "success"
    assert "netledger" not in box.run("nft", "list", "tables")
    assert (box.root / "run" / "netledger").is_dir()
    witness = json.loads(box.run("nft", "-j", "list", "counter", "inet", "witness", "total"))["nftables"][-1]["counter"]
    balance = json.loads(box.attempt(PROGRAM, "audit", "--where", "meter=all", "--json").stdout)["balance"]
    assert balance["kernel_packets"] == witness["packets"] == 120
    assert balance["kernel_bytes"] == witness["bytes"]
    assert balance["accounted_packets"] + balance["lost_packets"] == witness["packets"]
    assert [line for line in log(box).splitlines() if "level=error" in line and "reload_refused" not in line] == []


@pytest.mark.bpf
def test_the_program_in_the_kernel_counts_within_the_sandbox_and_through_a_kill(box: Box) -> None:
    put(box, "etc/netledger/netledger.toml", 'interval = "1h"\n[meters.all]\nsource = "bpf"\n')
    assert box.attempt("systemctl", "start", UNIT).returncode == 0, log(box)
    assert box.shown(UNIT, "StatusText") == "Counting all.", log(box)
    send(box, 40)
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    send(box, 30)
    wait_for_restart(box, 1)
    assert box.run("stat", "-c", "%U %a", "/sys/fs/bpf", "/sys/fs/bpf/netledger").splitlines() == [
        "root 711",
        "netledger 700",
    ]
    box.run("systemctl", "stop", UNIT)
    assert box.shown(UNIT, "Result") == "success"
    assert box.run("ls", "/sys/fs/bpf/netledger") == ""
    balance = json.loads(box.attempt(PROGRAM, "audit", "--json").stdout)["balance"]
    assert (balance["lossy"], balance["interrupted"], balance["accounted_packets"]) == (0, 0, 70), log(box)


def test_with_the_drop_in_of_the_page_it_counts_in_another_namespace_and_lets_it_go(box: Box) -> None:
    page = (ROOT / "docs" / "how-to" / "install-as-a-service.md").read_text(encoding="utf-8")
    drop_in = next(block for block in page.split("```ini\n")[1:] if "CAP_SYS_ADMIN" in block).partition("```")[0]
    put(box, "etc/systemd/system/netledger.service.d/namespaces.conf", drop_in)
    meter = '[meters.guests]\nsource = "nflog"\nnetns = "/run/netns/guests"\n'
    put(box, "etc/netledger/netledger.toml", f'interval = "1h"\n{meter}')
    box.run("systemctl", "daemon-reload")
    box.run("ip", "netns", "add", "guests")
    box.run("ip", "link", "add", "g0", "type", "veth", "peer", "name", "g1", "netns", "guests")
    box.run("ip", "-n", "guests", "address", "add", "10.8.8.2/24", "dev", "g1")
    box.run("ip", "-n", "guests", "link", "set", "g1", "up")
    box.run("ip", "address", "add", "10.8.8.1/24", "dev", "g0")
    box.run("ip", "link", "set", "g0", "up")
    box.run("systemctl", "start", UNIT)
    assert box.shown(UNIT, "StatusText") == "Counting guests.", log(box)
    status = box.run("cat", f"/proc/{box.shown(UNIT, 'MainPID')}/status")
    assert re.search(rf"^CapEff:\t{NET_ADMIN | SYS_ADMIN:016x}$", status, re.MULTILINE)
    box.run("ping", "-q", "-c", "10", "-i", "0.01", "10.8.8.2")
    settle()
    box.run("ip", "netns", "del", "guests")
    wait_for(lambda: box.attempt("ip", "link", "show", "g0").returncode != 0, 20, f"the namespace is gone; {log(box)}")
    wait_for(lambda: box.shown(UNIT, "StatusText") == "Counting nothing; not yet guests.", 10, "it waits")
    box.run("systemctl", "stop", UNIT)
    balance = json.loads(box.attempt(PROGRAM, "audit", "--json").stdout)["balance"]
    assert (balance["interrupted"], balance["accounted_packets"]) == (1, 20), log(box)


def test_flows_are_counted_within_the_sandbox(box: Box) -> None:
    put(box, "etc/netledger/netledger.toml", 'interval = "1h"\n[meters.all]\nsource = "conntrack"\n')
    switch = "/proc/sys/net/netfilter/nf_conntrack_acct"
    before = box.run("cat", switch)
    box.run("systemctl", "start", UNIT)
    assert box.shown(UNIT, "StatusText") == "Counting all."
    assert box.run("cat", switch) == "1\n"
    send(box, 40)
    box.run("systemctl", "stop", UNIT)
    assert box.shown(UNIT, "Result") == "success"
    assert box.run("cat", switch) == before
    balance = json.loads(box.attempt(PROGRAM, "audit", "--json").stdout)["balance"]
    assert (balance["exact"], balance["kernel_packets"], balance["accounted_packets"]) == (1, 40, 40), log(box)


def test_the_service_may_read_packets_and_libpcap_works_in_its_sandbox(box: Box) -> None:
    meter = '[meters.line]\nsource = "packet"\ninterfaces = ["v0"]\npacket = {filter = "icmp", promiscuous = ["v0"]}\n'
    put(box, "etc/netledger/netledger.toml", f'interval = "1h"\n{meter}')
    box.run("systemctl", "start", UNIT)
    status = box.run("cat", f"/proc/{box.shown(UNIT, 'MainPID')}/status")
    assert re.search(rf"^CapEff:\t{NET_ADMIN | NET_RAW:016x}$", status, re.MULTILINE)
    assert not re.search(r"^Uid:\t0\t", status, re.MULTILINE)
    send(box, 40)
    box.run("systemctl", "stop", UNIT)
    audit = json.loads(box.run(PROGRAM, "audit", "--json", "--verify"))
    assert audit["balance"]["unproven"] == audit["balance"]["intervals"] == 1
    assert audit["balance"]["accounted_packets"] == 40
