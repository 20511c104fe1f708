"""A device with addresses of both versions of IP is one person's in the report."""

import json
import signal
import subprocess
import sys

import pytest

from tests.kernel import senders
from tests.kernel.lab import Child, Lab, wait_for
from tests.kernel.senders import Udp

SECONDS = 30.0
DEVICE = "02:77:00:00:01:02"
CONFIG = """node = "gw1"
interval = "1h"
cut_on_assignment = true
store = "{0}/store"
runtime = "{0}/run"
[meters.lan]
local = ["10.77.1.0/24", "fd77:1::/64"]
prefix_length = {{ ipv4 = 32, ipv6 = 128 }}
[attribution.office]
source = "neighbours"
interfaces = ["left"]
"""


def netledger(lab: Lab, *words: str) -> str:
    command = [sys.executable, "-m", "netledger", *words, "--config", str(lab.directory / "c.toml")]
    done = subprocess.run(
        ["ip", "netns", "exec", lab.gw, *command], capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode in {0, 3}, done.stderr
    return done.stdout


@pytest.fixture
def daemon(lab: Lab) -> Child:
    (lab.directory / "c.toml").write_text(CONFIG.format(lab.directory))
    return lab.spawn(lab.gw, [sys.executable, "-m", "netledger", "run", "--config", str(lab.directory / "c.toml")])


def test_all_that_a_device_did_is_its_owners(lab: Lab, daemon: Child) -> None:
    wait_for(lambda: "event=started" in daemon.errors(), SECONDS, "start")
    wait_for(lambda: len(json.loads(netledger(lab, "assignments", "list", "--json"))) == 2, SECONDS, "two addresses")
    netledger(lab, "assign", DEVICE, "alice")
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=30))
    senders.udp(lab, lab.left, Udp(source="fd77:1::2", destination="fd77:2::2", count=20))
    senders.udp(lab, lab.left, Udp(source="10.77.1.9", destination="10.77.2.2", count=7))
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    rows = json.loads(netledger(lab, "report", "--by", "subject,host", "--json"))["rows"]
    found = {(row["subject"], row["reason"], row["host"]): row["sent_packets"] for row in rows if row["sent_packets"]}
    assert found == {
        ("alice", None, "10.77.1.2"): 30,
        ("alice", None, "fd77:1::2"): 20,
        ("unknown", "no assignment", "10.77.1.9"): 7,
    }
