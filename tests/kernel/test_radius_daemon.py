"""The daemon and its access servers: killed at any moment, told again, reloaded, without a secret."""

import json
import shlex
import signal
import socket
import sys
import time
from dataclasses import dataclass

import pytest

from netledger.attribution.painting import claims
from netledger.intervals import SystemClock
from netledger.ledger.assignments import Assignments
from tests.kernel.lab import Child, Lab, wait_for
from tests.unit.radius import INTERIM, SECRET, START, STOP, accounting, is_answer

SECONDS = 30.0
PORT = 1813
CONFIG = """node = "gw1"
interval = "1h"
store = "{0}/store"
runtime = "{0}/run"
[meters.lan]
local = ["10.77.1.0/24"]
[attribution.isp]
source = "radius"
listen = "10.77.1.1:1813"
secret_file = "{0}/secret"
"""


@dataclass
class Office:
    """A gateway with the daemon."""

    lab: Lab
    daemon: Child | None = None

    def prepare(self, mode: int = 0o600) -> None:
        (self.lab.directory / "c.toml").write_text(CONFIG.format(self.lab.directory))
        (self.lab.directory / "secret").write_bytes(SECRET)
        (self.lab.directory / "secret").chmod(mode)

    def begin(self) -> Child:
        config = str(self.lab.directory / "c.toml")
        daemon = self.lab.spawn(self.lab.gw, [sys.executable, "-m", "netledger", "run", "--config", config])
        self.daemon = daemon
        wait_for(lambda: "event=started" in daemon.errors(), SECONDS, "start")
        return daemon

    def listens(self) -> None:
        daemon = self.daemon
        assert daemon is not None
        wait_for(lambda: "event=radius_listening" in daemon.errors(), SECONDS, "listener")

    def status(self) -> dict[str, object]:
        command = [sys.executable, "-m", "netledger", "status", "--json", "--config", f"{self.lab.directory}/c.toml"]
        # It fails when something is wrong, and that is what is asked for.
        told = self.lab.run(self.lab.gw, ["sh", "-c", f"{shlex.join(command)} || true"])
        (found,) = json.loads(told)["attribution"]
        assert isinstance(found, dict)
        return found

    def held(self) -> list[tuple[str, str | None, bool]]:
        """Address, subject and whether it goes on, of all that was ever claimed."""
        facts = Assignments(self.lab.directory / "store", SystemClock()).facts(source="isp")
        targets = sorted({fact.target for fact in facts})
        return [
            (str(target), fact.subject, end_ns >> 62 != 0)
            for target in targets
            for _, end_ns, fact in claims(one for one in facts if one.target == target)
        ]


@pytest.fixture
def office(lab: Lab) -> Office:
    return Office(lab)


def told(number: int) -> bytes:
    return accounting(
        number=number % 256, status=START, session=str(number), user=f"user{number}", address=f"10.77.1.{number + 10}"
    )


def access_server(lab: Lab) -> socket.socket:
    with lab.inside(lab.left):
        line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect(("10.77.1.1", PORT))
    line.settimeout(0.05)
    return line


def test_what_was_answered_is_there_after_a_kill_and_the_rest_is_told_again(office: Office) -> None:
    office.prepare()
    requests = [told(number) for number in range(200)]
    answered: set[int] = set()
    kills = 0
    with access_server(office.lab) as line:
        office.begin()
        office.listens()
        until = time.monotonic() + SECONDS
        while len(answered) < len(requests):
            assert time.monotonic() < until + 60, f"{len(answered)} answered"
            waiting = [place for place in range(len(requests)) if place not in answered][:20]
            for place in waiting:
                _send(line, requests[place])
            if kills < 3 and len(answered) >= 40 * (kills + 1):
                # With requests on the way, some of them taken in and not kept yet.
                assert office.daemon is not None
                office.daemon.kill()
                kills += 1
                _collect(line, requests, answered, len(waiting))
                booked = {address for address, _, _ in office.held()}
                assert {f"10.77.1.{place + 10}" for place in answered} <= booked
                office.begin()
                office.listens()
            _collect(line, requests, answered, len(waiting))
    assert kills == 3
    assert office.held() == sorted((f"10.77.1.{number + 10}", f"user{number}", True) for number in range(200))


def _send(line: socket.socket, data: bytes) -> None:
    try:
        line.send(data)
    except ConnectionRefusedError:
        line.send(data)  # the error was of the one before


def _collect(line: socket.socket, requests: list[bytes], answered: set[int], count: int) -> None:
    """The answers that come within a moment."""
    for _ in range(count):
        try:
            answer = line.recv(4096)
        except (TimeoutError, ConnectionRefusedError):
            return
        answered |= {place for place, data in enumerate(requests) if is_answer(answer, data)}


def test_a_session_goes_on_over_a_clean_restart_and_keeps_what_was_counted(office: Office) -> None:
    office.prepare()
    daemon = office.begin()
    office.listens()
    with access_server(office.lab) as line:
        line.settimeout(SECONDS)
        for number, status in ((1, START), (2, INTERIM)):
            line.send(
                accounting(number=number, status=status, session="1", user="alice", address="10.77.1.50", input=77)
            )
            line.recv(4096)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        daemon = office.begin()
        office.listens()
        assert "sessions=1" in daemon.errors()
        line.send(accounting(number=3, status=STOP, session="1", address="10.77.1.50"))
        line.recv(4096)
    assert office.held() == [("10.77.1.50", "alice", False)]
    facts = Assignments(office.lab.directory / "store", SystemClock()).facts(source="isp")
    assert [fact.detail["input_octets"] for fact in facts if "input_octets" in fact.detail] == ["77"]


def test_a_secret_that_everybody_may_read_is_told_and_mended_without_a_restart(office: Office) -> None:
    office.prepare(mode=0o644)
    office.begin()
    wait_for(lambda: office.status()["state"] == "failed", SECONDS, "failure")
    found = office.status()
    assert "everybody may use it" in str(found["why"])
    assert str(found["hint"]).startswith("chmod 0640 ")
    (office.lab.directory / "secret").chmod(0o640)
    office.listens()
    wait_for(lambda: office.status()["state"] == "following", SECONDS, "recovery")
    with access_server(office.lab) as line:
        line.settimeout(SECONDS)
        line.send(accounting(status=START, session="1", user="alice", address="10.77.1.50", secret=b"another"))
        line.send(told(1))
        assert is_answer(line.recv(4096), told(1))
    wait_for(lambda: office.status()["refused"] == 1, SECONDS, "count")
    daemon = office.daemon
    assert daemon is not None
    # It is counted first, and logged then.
    wait_for(lambda: "bad authenticator" in daemon.errors(), SECONDS, "line in the log")
    assert SECRET.decode() not in daemon.errors()
