"""Other processes use the ledger while the daemon runs; what it committed is there after kill -9 all the same."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab, open_files, wait_for
from tests.kernel.senders import Udp

pytestmark = pytest.mark.kernel

COMMITTED = re.compile(r"meter=lan event=committed seq=(\d+)")
STREAM = Udp(source="10.77.1.2", destination="10.77.2.2", payload_bytes=200, count=0, rate=500)


def netledger(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netledger", *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )


def deleted(pid: int) -> list[str]:
    """Files that a process has open and that have no name any more."""
    return [link for link in open_files(pid) if link.endswith("(deleted)") and "ledger.sqlite" in link]


def wait_for_two_more(gateway: Gateway) -> None:
    wanted = len(COMMITTED.findall(gateway.log())) + 2
    wait_for(lambda: len(COMMITTED.findall(gateway.log())) >= wanted, 20, f"{wanted} commits")


def test_housekeeping_beside_the_daemon_costs_nothing_that_was_committed(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1s")
    gateway.start_counting()
    # `ip netns exec` and `setpriv` become the daemon: their pid is its own.
    pid = gateway.child.pid
    stream = senders.start_udp(lab, lab.left, STREAM)
    for round_ in range(1, 4):
        wait_for_two_more(gateway)
        done = netledger("maintain", "--store", gateway.store)
        assert done.returncode == 0, (round_, done.stderr)
        assert deleted(pid) == []
    wait_for_two_more(gateway)
    gateway.child.kill()
    senders.stop_udp(stream)
    promised = {int(seq) for seq in COMMITTED.findall(gateway.log())}
    audit = json.loads(netledger("audit", "--store", gateway.store, "--verify", "--json").stdout)
    found = [one["seq"] for one in audit["intervals"]]
    assert promised <= set(found)
    assert len(found) == len(set(found))
    assert audit["problems"] == []
