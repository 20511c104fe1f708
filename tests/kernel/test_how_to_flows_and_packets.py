"""The page for users of libnetfilter_acct, on flows and on packets: what it shows is what its commands do."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT

import pytest

from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("iptables", "conntrack")]

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "from-libnetfilter-acct.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 20.0

SERVER = """
import socket
with socket.create_server(("10.77.2.2", 80)) as server:
    print("ready", flush=True)
    while True:
        one, _ = server.accept()
        with one:
            one.recv(1000)
            one.sendall(b"y" * 200_000)
"""
CLIENT = """
import socket
with socket.create_connection(("10.77.2.2", 80), 20) as one:
    one.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
    while one.recv(65536):
        pass
"""


def blocks(section: str, language: str) -> list[str]:
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [block["text"] for block in BLOCK.finditer(text) if block["language"] == language]


def steps(session: str) -> list[tuple[str, str]]:
    """Commands, with what the page shows of their output."""
    return [(step.partition("\n")[0], step.partition("\n")[2]) for step in session.removeprefix("# ").split("\n# ")]


def alike(text: str) -> list[str]:
    """The lines with numbers, units and blanks evened out, and what the page leaves open."""
    even = re.sub(r"\d+", "N", text.strip())
    return [" ".join(re.sub(r"N(?:\.N)? (?:B|KB)\b", "SIZE", line).split()) for line in even.splitlines()]


class Place:
    """The gateway of a lab, where the commands of the page are typed."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.gateway = Gateway(lab, lab.gw)

    def type(self, line: str, *, codes: tuple[int, ...] = (0,)) -> str:
        """A command of the page, with the configuration that was written before."""
        words = line.split()
        if words[0] == "netledger" and words[1] in ("report", "audit"):
            line += f" --config {self.gateway.file}"
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        argv = ["ip", "netns", "exec", self.lab.gw, "sh", "-c", line]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert done.returncode in codes, (line, done.stderr)
        return done.stdout

    def configure(self, text: str) -> None:
        """The file of the page, in places of its own."""
        self.gateway.write(f'store = "{self.gateway.store}"\nruntime = "{self.gateway.runtime}"\n{text}')

    def visit(self) -> None:
        """A page is fetched from the right by the left."""
        self.lab.run(self.lab.left, [sys.executable, "-c", CLIENT])

    def count(self, meter: str) -> None:
        """``netledger run`` until it is stopped; somebody fetches a page meanwhile."""
        self.gateway.start_counting(meter)
        self.visit()
        self.settled()
        # At its end it takes what the kernel still holds back for a message of more packets.
        assert self.gateway.stop() == 0

    def settled(self) -> None:
        """Waits until the connection has ended: its last packets pass when nobody waits for them any more."""

        def is_over() -> bool:
            listed = self.lab.run(self.lab.left, ["ss", "-Htn", "state", "all"])
            return not re.search(r"ESTAB|FIN-WAIT|LAST-ACK|CLOSE-WAIT", listed)

        wait_for(is_over, SECONDS, "the end of the connection")


@pytest.fixture
def place() -> Iterator[Place]:
    with Lab() as lab:
        server = lab.spawn(lab.right, [sys.executable, "-c", SERVER])
        wait_for(server.output, SECONDS, "the server")
        yield Place(lab)


def test_the_page_lists_and_follows_flows(place: Place) -> None:
    begin, look, old = (steps(session) for session in blocks("Flows", "console")[:3])
    for line, shown in begin:
        assert place.type(line).strip() == shown.strip()
    place.visit()
    place.settled()
    (listing, listed), (following, followed) = look
    assert alike(place.type(listing)) == alike(listed)
    ((line, shown),) = old
    assert alike(place.type(line)) == alike(shown)
    words = following.split()
    child = place.lab.spawn(place.lab.gw, [str(Path(sys.executable).with_name(words[0])), *words[1:]])
    wait_for(child.errors, SECONDS, "it listens")
    place.visit()
    expected = alike(followed)
    wait_for(lambda: expected[-1] in alike(child.output()), SECONDS, "what the page shows")
    assert alike(child.output())[: len(expected)] == expected
    child.signal(SIGINT)
    assert child.wait() == 0


def test_the_page_books_flows_while_they_last(place: Place) -> None:
    (run, _), (report, _), (audit, _) = steps(blocks("Flows", "console")[3])
    assert run == "netledger run"
    place.configure(blocks("Flows", "toml")[0])
    place.count("flows")
    rows = json.loads(place.type(f"{report} --json", codes=(0, 3)))["rows"]
    flow, *others = json.loads(place.type("netledger flows --json"))["flows"]
    assert others == []
    moved = (flow["sent_bytes"], flow["received_bytes"])
    assert {(row["host"], row["protocol"], row["sent_bytes"], row["received_bytes"]) for row in rows} == {
        ("10.77.1.2", 6, *moved),
        ("10.77.2.2", 6, *reversed(moved)),
    }
    assert "exact" in place.type(audit, codes=(0, 3))


def test_the_page_counts_what_iptables_logs(place: Place) -> None:
    begin, ask, _ = (steps(session) for session in blocks("Packets", "console"))
    place.configure(blocks("Packets", "toml")[0])
    assert [line for line, _ in begin][1:] == ["netledger run"]
    place.type(begin[0][0])
    place.count("logged")
    (report, _), (audit, _) = ask
    told = place.type(report, codes=(0, 3))
    assert "10.77.1.2" in told
    assert "10.77.2.2" in told
    assert "unproven" in place.type(audit, codes=(0, 3))
    (row,) = [line for line in place.type("iptables -w -nvxL FORWARD").splitlines() if "nflog-group 5" in line]
    total = json.loads(place.type(f"{report} --json", codes=(0, 3)))["total"]
    packets, octets = (int(word) for word in row.split()[:2])
    assert (total["sent_packets"], total["sent_bytes"]) == (packets, octets)
    assert (total["received_packets"], total["received_bytes"]) == (packets, octets)
    assert packets > 10


def test_the_page_counts_packets_with_proof(place: Place) -> None:
    place.lab.witness(place.lab.gw)
    place.configure(blocks("Packets", "toml")[1])
    (run, _), (report, _), (audit, _) = steps(blocks("Packets", "console")[2])
    assert run == "netledger run"
    place.count("lan")
    told = json.loads(place.type(f"{report} --json", codes=(0, 3)))
    assert [row["host"] for row in told["rows"] if row["account"] == "host"] == ["10.77.1.2"]
    witness = place.lab.counter(place.lab.gw, "witness", "total")
    assert Count(told["total"]["sent_packets"], told["total"]["sent_bytes"]) == witness
    assert (told["balance"]["intervals"], told["balance"]["exact"]) == (1, 1)
    # Before it began nobody counted; that is all that is missing.
    assert "exact" in place.type(audit, codes=(0, 3))
