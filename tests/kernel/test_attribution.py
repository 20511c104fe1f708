"""Learners in the running daemon: a hand-over under traffic, and the how-to page with a real DHCP server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger.assignments import Assignments
from netledger.live import AttributionStatus, Client
from tests.kernel import dhcp, senders
from tests.kernel.dhcp import Wire
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab, Network, wait_for
from tests.kernel.senders import Udp

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "traffic-by-dhcp-client.md"
SECONDS = 20.0
USER, SINK = "10.77.1.2", "10.77.2.2"


class Books:
    """A daemon with one source of attribution, and what its reports say."""

    def __init__(self, network: Network, namespace: str, text: str) -> None:
        self.network, self.namespace = network, namespace
        self.gateway = Gateway(network, namespace)
        places = f'node = "gw1"\nstore = "{self.gateway.store}"\nruntime = "{self.gateway.runtime}"\ninterval = "1h"\n'
        self.gateway.write(places + text)
        self.client = Client(self.gateway.runtime)

    def source(self) -> AttributionStatus:
        (one,) = self.client.status().attribution
        return one

    def wait_for_facts(self, number: int) -> None:
        wait_for(lambda: self.source().facts >= number, SECONDS, f"{number} facts; log: {self.gateway.log()}")

    def received(self) -> int:
        return self.client.status().meters[0].received_packets or 0

    def netledger(self, *words: str) -> str:
        """What a command prints. Today is not over yet, and a report says so by its exit code."""
        argv = ["ip", "netns", "exec", self.namespace, sys.executable, "-m", "netledger", *words]
        done = subprocess.run(
            [*argv, "--config", str(self.gateway.file)], capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode in {0, 3}, done.stderr
        return done.stdout

    def sent_packets(self) -> dict[tuple[str, str | None], int]:
        """By subject and reason; what nobody has sent is left out."""
        rows = json.loads(self.netledger("report", "--by", "subject", "--json"))["rows"]
        return {(row["subject"], row["reason"]): row["sent_packets"] for row in rows if row["sent_packets"]}


DIALIN = """
cut_on_assignment = true
[meters.lan]
source = "nflog"
local = ["10.77.1.0/24"]
[attribution.dialin]
source = "directory"
path = "{folder}"
"""


@pytest.fixture
def folder(lab: Lab) -> Path:
    path = lab.directory / "ip"
    path.mkdir()
    return path


def test_each_packet_is_with_who_had_the_address(lab: Lab, folder: Path) -> None:
    books = Books(lab, lab.gw, DIALIN.format(folder=folder))
    (folder / USER).write_text("alice\n")
    books.gateway.start_counting()
    wait_for(lambda: books.client.status().attribution != (), SECONDS, "source")
    books.wait_for_facts(1)
    file = folder / USER
    for packets, then in ((100, lambda: file.write_text("bob\n")), (70, file.unlink), (30, lambda: None)):
        senders.udp(lab, lab.left, Udp(source=USER, destination=SINK, count=packets))
        then()
        if packets > 30:
            books.wait_for_facts(2 if packets == 100 else 3)
    assert books.gateway.stop() == 0
    assert books.sent_packets() == {("alice", None): 100, ("bob", None): 70, ("unknown", "gap"): 30}


def test_traffic_across_a_hand_over_is_the_ones_or_the_others(lab: Lab, folder: Path) -> None:
    books = Books(lab, lab.gw, DIALIN.format(folder=folder))
    (folder / USER).write_text("alice\n")
    books.gateway.start_counting()
    wait_for(lambda: books.client.status().attribution != (), SECONDS, "source")
    books.wait_for_facts(1)
    sending = senders.start_udp(lab, lab.left, Udp(source=USER, destination=SINK, count=0, rate=2000))
    wait_for(lambda: books.received() > 500, SECONDS, "traffic")
    for facts, name in enumerate(("bob", "alice", "bob"), 2):
        (folder / USER).write_text(name)
        books.wait_for_facts(facts)
        enough = books.received() + 500
        wait_for(partial(_is_over, books, enough), SECONDS, "more of it")
    sent = senders.stop_udp(sending)
    assert books.gateway.stop() == 0
    found = books.sent_packets()
    assert set(found) == {("alice", None), ("bob", None)}
    assert sum(found.values()) == sent.count.packets
    assert min(found.values()) > 500


def _is_over(books: Books, packets: int) -> bool:
    return books.received() > packets


def test_a_daemon_that_is_killed_learns_what_it_has_missed(lab: Lab, folder: Path) -> None:
    books = Books(lab, lab.gw, DIALIN.format(folder=folder))
    (folder / USER).write_text("alice\n")
    books.gateway.start_counting()
    wait_for(lambda: books.client.status().attribution != (), SECONDS, "source")
    books.wait_for_facts(1)
    senders.udp(lab, lab.left, Udp(source=USER, destination=SINK, count=100))
    wait_for(lambda: books.received() >= 100, SECONDS, "packets")
    # She has it for longer than the second that does not count beside what bob has until the next start.
    (fact,) = Assignments(books.gateway.store, SystemClock()).facts()
    her_second_ns = fact.valid_from_ns + SECOND_NS
    wait_for(lambda: SystemClock().now().wall_ns > her_second_ns, SECONDS, "a second of hers")
    books.gateway.child.kill()
    (folder / USER).write_text("bob\n")
    books.gateway.start_counting()
    wait_for(lambda: [one.facts for one in books.client.status().attribution] == [1], SECONDS, "fact")
    senders.udp(lab, lab.left, Udp(source=USER, destination=SINK, count=70))
    assert books.gateway.stop() == 0
    found = books.sent_packets()
    assert found.pop(("bob", None)) == 70
    # Alice's are in the interval that ends with the next start, and bob may have come in the middle of it: then it is
    # not known whose they are, and they are nobody's. What the kernel counted while nobody listened is on no row.
    assert found in ({("alice", None): 100}, {("unknown", "conflict"): 100})


@pytest.fixture
def net() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.mark.peers("dnsmasq", "dhclient")
def test_the_page_tells_traffic_by_dhcp_client(net: Wire) -> None:
    text = re.sub(r"^   ", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (settings,) = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [words.split() for words in re.findall(r"^# netledger (.*)$", text, re.MULTILINE)]
    assert commands[0] == ["config", "check"]
    server = dhcp.dnsmasq(net, 120)
    for word, mine in (
        ("192.168.50.0/24", "10.77.1.0/24"),
        ("fd50::/64", "fd77:1::/64"),
        ("/var/lib/misc/dnsmasq.leases", str(server.leases)),
    ):
        assert word in settings
        settings = settings.replace(word, mine)
    books = Books(net, net.server, settings)
    assert "ok, 1 meter" in books.netledger(*commands[0])
    books.gateway.start_counting()
    dhcp.Client(net, 4).ask()
    wait_for(lambda: books.client.status().attribution != (), SECONDS, "source")
    books.wait_for_facts(1)
    wait_for(lambda: books.source().state == "following", SECONDS, "what it says behind the fact")
    (status,) = [words for words in commands if words == ["status"]]
    assert re.search(r"^dhcp +dnsmasq +following", books.netledger(*status), re.MULTILINE)
    (listing,) = [words for words in commands if words[0] == "assignments"]
    assert "laptop" in books.netledger(*listing)
    senders.ping(net, net.client, "10.77.1.1", 20)
    (assign,) = [words for words in commands if words[0] == "assign"]
    assert assign[1] == dhcp.DEVICE
    books.netledger(*assign)
    senders.ping(net, net.client, "10.77.1.1", 30)
    assert books.gateway.stop() == 0
    found = books.sent_packets()
    # The client says a few things by itself, DHCP's among them.
    assert 20 <= found["laptop", None] < 30 <= found["alice", None] < 40
    for words in commands[-2:]:
        assert words[:3] == ["report", "--period", "today"]
        assert "alice" in books.netledger(*words)
