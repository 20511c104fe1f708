"""RADIUS and neighbours under the unit that is shipped: what it forbids is said, what the page allows works."""

import json
import re
from pathlib import Path

import pytest

from tests.kernel.lab import wait_for
from tests.kernel.systemd_box import Box
from tests.kernel.test_service_life import PROGRAM, UNIT, box, log, put

__all__ = ["box"]

pytestmark = pytest.mark.peers("systemctl", "systemd-sysusers", "nsenter", "radclient")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "book-radius-sessions.md"
SECONDS = 30.0
CONFIG = """[meters.all]
[attribution.isp]
source = "radius"
listen = "10.9.9.1:1813"
secret_file = "/etc/netledger/radius.secret"
[attribution.lan]
source = "neighbours"
"""
START = (
    'Acct-Status-Type = Start, Acct-Session-Id = "a1", User-Name = "alice", NAS-Identifier = "bras1", '
    "Framed-IP-Address = 10.0.7.2\n"
)


def of_the_page() -> str:
    """The lines that its drop-in has, for this machine's addresses."""
    text = re.sub(r"^   ", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = re.search(r"^# systemctl edit netledger\n(.*?)^# systemctl restart", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1].replace("192.0.2.0/24", "10.9.9.0/24")


def told(box: Box) -> dict[str, dict[str, object]]:
    """What status says of each source."""
    said = box.attempt(PROGRAM, "status", "--json").stdout
    return {one["name"]: one for one in json.loads(said)["attribution"]}


def test_the_unit_needs_the_drop_in_of_the_page_and_then_serves(box: Box) -> None:
    box.run(
        "install", "-m", "0640", "-g", "netledger", "/dev/stdin", "/etc/netledger/radius.secret", text="testing123\n"
    )
    put(box, "etc/netledger/netledger.toml", CONFIG)
    box.run("systemctl", "start", UNIT)
    wait_for(lambda: told(box)["isp"]["state"] == "failed", SECONDS, "failure")
    assert "address family not supported" in str(told(box)["isp"]["why"])
    assert "RestrictAddressFamilies=AF_INET AF_INET6" in str(told(box)["isp"]["hint"])
    wait_for(lambda: told(box)["lan"]["facts"] == 1, SECONDS, "neighbour, which needs no more than the unit gives")

    put(box, "etc/systemd/system/netledger.service.d/radius.conf", of_the_page())
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", UNIT)
    wait_for(lambda: told(box)["isp"]["state"] == "following", SECONDS, f"listener; {log(box)}")
    answer = box.run("radclient", "-S", "/etc/netledger/radius.secret", "10.9.9.1", "acct", text=START)
    assert "Received Accounting-Response" in answer
    assert told(box)["lan"]["state"] == "following"
    found = json.loads(box.run(PROGRAM, "assignments", "list", "--json"))
    assert {(one["target"], one["subject"]) for one in found} == {
        ("10.0.7.2", "alice"),
        ("10.9.9.2", "02:00:00:00:00:02"),
    }
