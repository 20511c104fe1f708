"""How to book RADIUS sessions, as the page says it: its requests by the real radclient, and what is booked then."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.lab import Child, Lab, wait_for
from tests.kernel.senders import Udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("radclient")]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "book-radius-sessions.md"
SECONDS = 30.0
# Where the page's machines are in the lab: the users' network is a part of the left one.
PLACES = {
    "192.0.2.1:": "10.77.1.1:",
    "192.0.2.1 ": "10.77.1.1 ",
    "10.0.7.0/24": "10.77.1.48/28",
    "10.0.7.2": "10.77.1.50",
}
# A session that lasts for less is shorter than what is looked at beside a longer one.
SESSION_SECONDS = 2.5
NETLEDGER = [sys.executable, "-m", "netledger"]


def blocks(language: str) -> list[str]:
    text = re.sub(r"^   ", "", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@dataclass
class Isp:
    """The page's machine with its daemon, and an access server on the left."""

    lab: Lab
    daemon: Child

    def runs(self, block: str) -> str:
        """What the command of a block prints; where the page shows something, too, it is not compared here."""
        (command,) = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        words = shlex.split(in_the_lab(command))
        if words[0] == "radclient":
            return self.lab.run(self.lab.left, ["sh", "-c", f"cd {self.lab.directory} && exec {shlex.join(words)}"])
        config = ["--config", str(self.lab.directory / "c.toml")]
        called = [*NETLEDGER, *words[1:], *config]
        done = subprocess.run(
            ["ip", "netns", "exec", self.lab.gw, *called], capture_output=True, text=True, check=False, timeout=SECONDS
        )
        # 3: the day is not over, and was not counted from its beginning.
        assert done.returncode in {0, 3}, done.stderr
        return done.stdout

    def sends(self, count: int) -> None:
        senders.udp(self.lab, self.lab.left, Udp(source="10.77.1.50", destination="10.77.2.2", count=count))

    def goes_on(self, *, since: float) -> None:
        """Until a session has lasted for so long that it counts."""
        wait_for(lambda: time.monotonic() - since > SESSION_SECONDS, SECONDS, "the session")

    def is_stale_after(self, time: str) -> None:
        """Has the daemon take a session for over that is silent for so long."""
        config = self.lab.directory / "c.toml"
        changed = config.with_name("changed.toml")
        changed.write_text(config.read_text().replace('"30m"', f'"{time}"'))
        changed.rename(config)
        self.daemon.signal(signal.SIGHUP)

    def cuts(self) -> int:
        return self.daemon.errors().count("event=committed")

    def list(self, subject: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(
            self.runs(f"# netledger assignments list --subject {subject} --json")
        )
        return found


def in_the_lab(text: str) -> str:
    for there, here in PLACES.items():
        text = text.replace(there, here)
    return text


@pytest.fixture
def isp(lab: Lab) -> Iterator[Isp]:
    secret = lab.directory / "radius.secret"
    secret.write_text("testing123\n")
    secret.chmod(0o640)
    (config,) = blocks("toml")
    text = in_the_lab(config).replace("/etc/netledger/radius.secret", str(secret))
    head = f'node = "gw1"\ninterval = "1h"\nstore = "{lab.directory}/store"\nruntime = "{lab.directory}/run"\n'
    (lab.directory / "c.toml").write_text(head + text)
    for block in blocks("radius"):
        name, _, requests = block.removeprefix("# ").partition("\n")
        (lab.directory / name).write_text(in_the_lab(requests))
    daemon = lab.spawn(lab.gw, [*NETLEDGER, "run", "--config", str(lab.directory / "c.toml")])
    wait_for(lambda: "event=radius_listening" in daemon.errors(), SECONDS, "listener")
    yield Isp(lab, daemon)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0


def test_the_page_books_sessions(isp: Isp) -> None:
    called = [block for block in blocks("console") if block.startswith(("# radclient", "# netledger"))]
    start, stop, again, listed, beside, interim, reported = called

    began = time.monotonic()
    answer = isp.runs(start)
    assert re.sub(r"\d+", "N", answer) == re.sub(r"\d+", "N", start.partition("\n")[2])
    wait_for(lambda: isp.cuts() >= 1, SECONDS, "cut behind alice's start")
    isp.sends(100)
    isp.goes_on(since=began)
    assert isp.runs(stop).count("Received Accounting-Response") == 1
    wait_for(lambda: isp.cuts() >= 2, SECONDS, "cut behind alice's stop")

    began = time.monotonic()
    assert isp.runs(again).count("Received Accounting-Response") == 4
    wait_for(lambda: isp.cuts() >= 3, SECONDS, "cut behind bob's start")
    isp.sends(30)
    rows = [line.split() for line in isp.runs(listed).splitlines()[1:]]
    assert [(row[0], row[1]) for row in rows] == [("10.77.1.50", "alice"), ("10.77.1.50", "bob")]
    assert len(isp.list("bob")) == 1, "told four times, booked once"

    (alice,) = isp.list("alice")
    shown = json.loads("{" + beside.partition("\n")[2].strip() + "}")["detail"]
    assert alice["detail"] == shown | {"nas_address": "10.77.1.2"}

    isp.goes_on(since=began)
    assert isp.runs(interim).count("Received Accounting-Response") == 1
    # Not before: how long the commands take that are typed until here is for the machine to say.
    isp.is_stale_after("2s")
    wait_for(lambda: isp.list("bob")[0]["valid_to"], SECONDS, "end of a session that is silent")
    wait_for(lambda: isp.cuts() >= 3, SECONDS, "cut")
    (bob,) = isp.list("bob")
    detail = bob["detail"]
    assert isinstance(detail, dict)
    assert (detail["ended"], detail["input_octets"]) == ("stale", "3000")
    isp.daemon.signal(signal.SIGUSR1)
    wait_for(lambda: isp.cuts() >= 4, SECONDS, "cut when asked for")
    isp.sends(7)
    isp.daemon.signal(signal.SIGUSR1)
    wait_for(lambda: isp.cuts() >= 5, SECONDS, "cut when asked for")
    _check_report(isp.runs(reported), reported.partition("\n")[2])


def _check_report(found: str, shown: str) -> None:
    lines = {" ".join(line.split()) for line in found.splitlines()}
    wanted = [" ".join(line.split()) for line in shown.splitlines()]
    assert [line for line in wanted if line not in lines] == [], found
