"""Quotas under a real systemd: commands within the sandbox of the service, and objects before it starts."""

import json

import pytest

from tests.kernel.lab import wait_for
from tests.kernel.systemd_box import Box
from tests.kernel.test_service_life import DROP_IN, PROGRAM, UNIT, box, log, put, send

__all__ = ["box"]

pytestmark = pytest.mark.peers("systemctl", "systemd-sysusers", "nsenter", "nfacct", "iptables")

# The sandbox hides the place of this checkout, as in the other unit; there is no watchdog in a program that ends.
BOOT_DROP_IN = "\n".join(line for line in DROP_IN.splitlines() if not line.startswith(("Watchdog", "Restart")))
RULE = ["iptables", "-w", "-A", "OUTPUT", "-p", "icmp", "-m", "nfacct", "--nfacct-name"]


def events(box: Box, kind: str) -> list[dict[str, object]]:
    lines = box.run(PROGRAM, "quota", "events", "--json").splitlines()
    return [one["told"] for one in map(json.loads, lines) if one["event"] == kind]


def test_commands_run_as_the_user_of_the_service_with_its_one_capability(box: Box) -> None:
    box.run("systemctl", "start", UNIT)
    for name, command in (("who", ["/usr/bin/id", "-un"]), ("cut", ["/usr/sbin/nft", "add", "table", "inet", "cut"])):
        box.run(PROGRAM, "quota", "add", name, "5 packets", "--", *command)
        box.run(*RULE, name)
    wait_for(lambda: log(box).count("event=quota_taken_up") == 2, 20, "both")
    send(box, 7)
    ended = wait_for(lambda: found if len(found := events(box, "command_ended")) == 2 else [], 20, log(box))
    assert [one["result"] for one in ended] == ["done", "done"]
    assert "netledger" in [one["output"] for one in ended]
    assert "table inet cut" in box.run("nft", "list", "tables")
    # Killed, and with objects that are gone, it goes on with what was used and runs nothing twice.
    box.run("systemctl", "stop", UNIT)
    box.run("iptables", "-w", "-F", "OUTPUT")
    box.run("nfacct", "flush")
    put(box, "etc/systemd/system/netledger-counters.service.d/test.conf", BOOT_DROP_IN)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "netledger-counters")
    assert box.run("nfacct", "list").count("quota = 00000000000000000005") == 2
    assert "pkts = 00000000000000000007" in box.run("nfacct", "list")
    box.run("systemctl", "start", UNIT)
    wait_for(lambda: log(box).count("event=quota_taken_up") == 4, 20, "both again")
    (who,) = json.loads(box.run(PROGRAM, "quota", "list", "who", "--json"))
    assert who["used"] == 7
    box.run("systemctl", "stop", UNIT)
    assert len(events(box, "reached")) == len(events(box, "command_ended")) == 2
    assert "level=error" not in log(box)
