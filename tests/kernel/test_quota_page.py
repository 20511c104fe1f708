"""How to cap a guest, as the page says it: its commands in a namespace, and what they print."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from netledger import nfacct
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab
from tests.kernel.senders import Udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cap-a-guest.md"
TEXT = re.sub(r"^   ", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
ADD, LOAD = re.findall(r"^```console\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[:2]


def test_the_page_caps_a_guest(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw)
    netledger = [sys.executable, "-m", "netledger"]
    config = ["--config", str(gateway.file)]
    command, _, printed = ADD.removeprefix("# ").replace("\\\n", "").partition("\n")
    # The guests of the page are not in the lab, its command not on this machine, and 50 GB would take a while.
    words = [
        {"192.168.50.0/24": "10.77.1.0/24", "50GB": "10kB", "/usr/local/sbin/tell-guests": "/bin/true"}.get(word, word)
        for word in shlex.split(command)[1:]
    ]
    at = words.index("--")
    said = lab.run(lab.gw, [*netledger, *words[:at], *config, *words[at:]])
    assert said == printed.replace("50.00 GB (50,000,000,000 bytes)", "10.00 KB (10,000 bytes)")
    assert "netledger quota rule guests > /etc/guests.sh" in LOAD
    script = lab.run(lab.gw, [*netledger, "quota", "rule", "guests", *config])
    lab.run(lab.gw, ["sh", "-e"], text=script)
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=150))
    senders.udp(lab, lab.left, Udp(source="fd77:1::2", destination="fd77:2::2", count=10))
    with lab.inside(lab.gw):
        counted = nfacct.get("guests")
    # IPv6 of the page's network only: the lab's is another one.
    assert Count(counted.packets, counted.bytes) == Count(150, 15_000)
    assert counted.over_quota
    rejected = lab.run(lab.gw, ["iptables", "-w", "-L", "guests-c", "-v", "-x", "-n"])
    assert re.search(r"^ +50 +5000 REJECT ", rejected, re.MULTILINE)
