"""Commands in another network namespace than the daemon's: they touch nothing, and name the way."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.live import Client
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct")]

METERS = {
    "lan": 'source = "nflog"\nlocal = ["10.77.1.0/24"]\n',
    "rules": 'source = "nfacct"\nnfacct = { ensure = ["web"] }\n',
}


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Gateway]:
    """It counts."""
    made = Gateway(lab, lab.gw, interval="1d", meters=METERS)
    made.start_counting()
    yield made
    assert made.stop() == 0


def words(gateway: Gateway, *more: str) -> list[str]:
    return [sys.executable, "-m", "netledger", *more, "--config", str(gateway.file)]


def test_the_daemon_tells_its_network_namespace(lab: Lab, gateway: Gateway) -> None:
    found = Path(f"/proc/{gateway.child.pid}/ns/net").stat().st_ino
    assert Client(gateway.runtime).status().network_namespace == found


@pytest.mark.parametrize(
    "command",
    [
        ["quota", "add", "other", "1MB"],
        ["quota", "remove", "guest"],
        ["quota", "reset", "guest"],
        ["quota", "restore"],
        ["counters", "restore"],
    ],
    ids=" ".join,
)
def test_what_would_touch_the_objects_of_another_namespace_is_refused(
    lab: Lab, gateway: Gateway, command: list[str]
) -> None:
    lab.run(lab.gw, words(gateway, "quota", "add", "guest", "1MB"))
    pid = gateway.child.pid
    with pytest.raises(RuntimeError) as refused:
        lab.run(lab.left, words(gateway, *command))
    assert f"the daemon, pid {pid}, is in another network namespace" in str(refused.value)
    assert "hint: ip netns exec " in str(refused.value) or f"hint: nsenter --net --target {pid} " in str(refused.value)
    assert lab.run(lab.left, ["nfacct", "list"]) == ""
    (guest,) = json.loads(lab.run(lab.gw, words(gateway, "quota", "list", "--json")))
    assert (guest["name"], guest["is_object_there"]) == ("guest", True)
    # What asks the ledger only goes everywhere.
    assert "guest added" in lab.run(lab.left, words(gateway, "quota", "events"))


def test_a_list_says_that_it_is_of_another_namespace(lab: Lab, gateway: Gateway) -> None:
    added = json.loads(lab.run(lab.gw, words(gateway, "quota", "add", "guest", "1MB", "--json")))
    assert (added["name"], added["limit"], added["state"], added["is_object_there"]) == ("guest", 10**6, "below", True)
    child = lab.spawn(lab.left, words(gateway, "quota", "list"))
    assert child.wait() == 0
    assert "is in another network namespace; what follows is of this one" in child.errors()
    child = lab.spawn(lab.gw, words(gateway, "quota", "list"))
    assert child.wait() == 0
    assert child.errors() == ""


def test_restored_counters_are_told_to_programs(lab: Lab, gateway: Gateway) -> None:
    assert gateway.stop() == 0
    lab.run(lab.gw, ["nfacct", "flush"])
    (made,) = json.loads(lab.run(lab.gw, words(gateway, "counters", "restore", "--json")))
    assert made == {"name": "web", "is_made": True, "packets": 0, "bytes": 0}
    assert lab.run(lab.gw, words(gateway, "counters", "restore")) == "web is there\n"
    gateway.start_counting()
