"""``netledger run`` and ``netledger quota`` as an operator uses them, with packets through the printed rules."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.live import Client
from netledger.quotas.state import What
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.quota_space import lines, listed, script
from tests.kernel.senders import Udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

LIMIT = 1_000_000
GUEST = "10.77.1.2"
SECONDS = 20.0
BEHIND = """
table inet behind {
  counter passed {}
  chain forward { type filter hook forward priority 300; ip protocol udp counter name "passed"; }
}"""
FLOOD = Udp(source=GUEST, destination="10.77.2.2", payload_bytes=972, count=5_000, rate=50_000)


class Guests:
    """A gateway with quotas on what its left side sends and gets."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.gateway = Gateway(lab, lab.gw, interval="1d")
        lab.nft(lab.gw, BEHIND)

    def quota(self, *words: str) -> str:
        return self.lab.run(self.lab.gw, self.words(*words))

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "netledger", "quota", words[0], "--config", str(self.gateway.file), *words[1:]]

    def load(self, rules: str) -> None:
        """As the operator would: what was printed, as it stands."""
        if rules.startswith("#") and "nft -f" in rules:
            self.lab.nft(self.lab.gw, rules)
        else:
            self.lab.run(self.lab.gw, ["sh", "-e", "-c", rules])

    def events(self, what: What) -> list[dict[str, object]]:
        found = [json.loads(line) for line in self.quota("events", "--json").splitlines()]
        return [one for one in found if one["event"] == what]

    def await_events(self, what: What, number: int = 1) -> list[dict[str, object]]:
        return wait_for(
            lambda: found if len(found := self.events(what)) >= number else [], SECONDS, f"{what}: {self.gateway.log()}"
        )

    def listed(self, name: str) -> dict[str, object]:
        return listed(self.lab, self.lab.gw, self.gateway.file, name)

    def add(self, name: str, *words: str) -> str:
        """A quota whose rules are loaded, and that the daemon has taken up; the rules."""
        rules = self.quota("add", name, *words)
        self.load(rules)
        self.gateway.wait_for_log(f"event=quota_taken_up quota={name} ")
        return rules

    @property
    def passed(self) -> Count:
        return self.lab.counter(self.lab.gw, "behind", "passed")


@pytest.fixture
def guests(lab: Lab) -> Iterator[Guests]:
    """The calling thread is on the gateway."""
    with lab.inside(lab.gw):
        yield Guests(lab)


@pytest.mark.parametrize("kind", ["nfacct", "nft"])
def test_a_megabyte_under_load_ends_at_its_last_byte(guests: Guests, kind: str) -> None:
    trace = guests.lab.directory / "ran"
    program = script(guests.lab.directory / "program", f'echo "$NETLEDGER_QUOTA $NETLEDGER_USED" >> {trace}')
    guests.gateway.start_counting()
    words = ["--kind", kind, "--verdict", "drop", "--address", GUEST, "--print-rule"]
    guests.add("guest", "1MB", *words, "--", str(program))
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    (reached,) = guests.await_events(What.REACHED)
    assert guests.passed == Count(1000, LIMIT)
    told = reached["told"]
    assert isinstance(told, dict)
    assert told["by"] == "event"
    assert told["bytes"] == LIMIT
    guests.await_events(What.COMMAND_ENDED)
    assert lines(trace) == [f"guest {LIMIT}"]
    assert guests.listed("guest")["is_reached"] is True
    assert guests.gateway.stop() == 0
    # Nothing of it comes again with the next daemon.
    guests.gateway.start_counting()
    assert guests.gateway.stop() == 0
    assert len(guests.events(What.REACHED)) == 1
    assert lines(trace) == [f"guest {LIMIT}"]


@pytest.mark.parametrize("kind", ["nfacct", "nft"])
def test_a_limit_that_no_packet_meets_exactly_lets_less_pass_and_never_more(guests: Guests, kind: str) -> None:
    words = ["--kind", kind, "--verdict", "drop", "--address", GUEST, "--print-rule"]
    guests.load(guests.quota("add", "guest", "1048577B", *words))
    guests.gateway.start_counting()
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    (reached,) = guests.await_events(What.REACHED)
    assert guests.passed == Count(1048, 1_048_000)
    told = reached["told"]
    assert isinstance(told, dict)
    # nfacct tells the very packet; nft never more than the limit.
    assert told["bytes"] == (1_049_000 if kind == "nfacct" else 1_048_577)
    assert guests.gateway.stop() == 0


def test_a_quota_is_kept_from_when_it_is_added_without_a_restart(guests: Guests) -> None:
    guests.gateway.start_counting()
    guests.load(guests.quota("add", "first", "5 packets", "--address", GUEST, "--print-rule"))
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=7))
    guests.await_events(What.REACHED)
    guests.load(guests.quota("add", "second", "7 packets", "--address", GUEST, "--print-rule"))
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=7))
    assert [one["quota"] for one in guests.await_events(What.REACHED, 2)] == ["first", "second"]
    assert guests.passed.packets == 14
    assert guests.gateway.stop() == 0


def test_what_was_reached_while_no_daemon_ran_is_acted_on_once(guests: Guests) -> None:
    trace = guests.lab.directory / "ran"
    program = script(guests.lab.directory / "program", f"echo ran >> {trace}")
    rules = guests.quota(
        "add", "guest", "1MB", "--verdict", "drop", "--address", GUEST, "--print-rule", "--", str(program)
    )
    guests.load(rules)
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    assert guests.passed == Count(1000, LIMIT)
    assert guests.events(What.REACHED) == []
    assert guests.listed("guest")["is_reached"] is True
    for _ in range(2):
        guests.gateway.start_counting()
        (reached,) = guests.await_events(What.REACHED)
        guests.await_events(What.COMMAND_ENDED)
        assert guests.gateway.stop() == 0
    assert isinstance(reached["told"], dict)
    assert reached["told"]["by"] == "start"
    assert lines(trace) == ["ran"]


def test_a_daemon_that_is_killed_while_the_command_runs_lets_it_end(guests: Guests) -> None:
    gate, trace = guests.lab.directory / "gate", guests.lab.directory / "ran"
    os.mkfifo(gate)
    program = script(guests.lab.directory / "program", f"echo begun >> {trace}; read x < {gate}; echo ended >> {trace}")
    guests.gateway.start_counting()
    guests.load(guests.quota("add", "guest", "1MB", "--address", GUEST, "--print-rule", "--", str(program)))
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    wait_for(lambda: lines(trace), SECONDS, "the command")
    guests.gateway.child.kill()
    guests.gateway.start_counting()
    assert guests.events(What.COMMAND_ENDED) == []
    gate.write_text("go\n")
    (ended,) = guests.await_events(What.COMMAND_ENDED)
    assert lines(trace) == ["begun", "ended"]
    assert isinstance(ended["told"], dict)
    assert str(ended["told"]["result"]).startswith("unknown")
    assert guests.gateway.stop() == 0


def test_a_command_that_hangs_holds_up_neither_counting_nor_other_quotas_nor_the_stop(guests: Guests) -> None:
    program = script(guests.lab.directory / "program", "exec sleep 1000")
    guests.gateway.start_counting()
    words = ["--address", GUEST, "--print-rule"]
    guests.load(guests.quota("add", "slow", "1 packet", *words, "--", str(program)))
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=3))
    guests.await_events(What.COMMAND_STARTED)
    guests.load(guests.quota("add", "quick", "1 packet", *words))
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=3))
    guests.await_events(What.REACHED, 2)
    assert guests.gateway.stop() == 0
    (ended,) = guests.events(What.COMMAND_ENDED)
    assert isinstance(ended["told"], dict)
    assert ended["told"]["signal"] == "SIGTERM"
    assert guests.gateway.books().accounted.packets == 6


def test_no_command_is_begun_while_the_ledger_cannot_be_written(guests: Guests) -> None:
    trace = guests.lab.directory / "ran"
    program = script(guests.lab.directory / "program", f"echo ran >> {trace}")
    guests.gateway.start_counting()
    guests.add("guest", "1MB", "--verdict", "drop", "--address", GUEST, "--print-rule", "--", str(program))
    other = sqlite3.connect(guests.gateway.store / "ledger.sqlite", isolation_level=None, timeout=120)
    other.execute("BEGIN IMMEDIATE")
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    # The rule asks nobody.
    assert guests.passed == Count(1000, LIMIT)
    assert nfacct.get("guest").over_quota
    assert lines(trace) == []
    other.execute("ROLLBACK")
    other.close()
    wait_for(lambda: lines(trace), SECONDS, "the command")
    assert guests.gateway.stop() == 0
    assert lines(trace) == ["ran"]
    (reached,) = guests.events(What.REACHED)
    assert isinstance(reached["told"], dict)
    assert reached["told"]["bytes"] == LIMIT


def test_an_object_that_the_old_tool_has_reset_is_a_problem_until_it_cuts_again(guests: Guests) -> None:
    guests.gateway.start_counting()
    rules = guests.add("guest", "1MB", "--verdict", "drop", "--address", GUEST, "--print-rule")
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    guests.await_events(What.REACHED)
    guests.lab.run(guests.lab.gw, ["nfacct", "get", "guest", "reset"])
    client = Client(guests.gateway.runtime)
    (problem,) = wait_for(lambda: client.status().problems, SECONDS, "the problem")
    assert problem.what == "quota_late"
    assert problem.why == "quota guest: its object was set back, and cuts only after 1,000,000 bytes more"
    assert problem.hint is not None
    assert "take its rules out" in problem.hint
    one = guests.listed("guest")
    assert one["is_cut_late"] is True
    assert str(one["state"]).startswith("reached, not cut: ")
    assert "reached, not cut: its object was set back" in guests.quota("list")
    guests.lab.run(guests.lab.gw, ["sh", "-c", "iptables -w -F; iptables -w -X"])
    wait_for(lambda: not client.status().problems, SECONDS, "the end of the problem")
    guests.load(rules)
    before = guests.passed
    senders.udp(guests.lab, guests.lab.left, FLOOD)
    assert guests.passed == before
    assert guests.listed("guest")["state"] == "reached"
    assert guests.gateway.stop() == 0


def test_a_quota_that_cannot_be_kept_is_told_by_the_status(guests: Guests) -> None:
    guests.gateway.start_counting()
    guests.add("guest", "1MB", "--address", GUEST, "--print-rule")
    guests.gateway.child.signal(signal.SIGSTOP)
    guests.lab.run(
        guests.lab.gw, ["sh", "-ec", "iptables -w -F; iptables -w -X; nfacct delete guest; nfacct add guest"]
    )
    guests.lab.run(guests.lab.gw, ["iptables", "-w", "-A", "OUTPUT", "-m", "nfacct", "--nfacct-name", "guest"])
    guests.gateway.child.signal(signal.SIGCONT)
    guests.gateway.wait_for_log("event=quota_not_kept quota=guest")
    client = Client(guests.gateway.runtime)
    (problem,) = wait_for(lambda: client.status().problems, SECONDS, "the problem")
    assert problem.what == "quota_not_kept"
    assert problem.why.startswith("quota guest: ")
    guests.lab.run(guests.lab.gw, ["iptables", "-w", "-F", "OUTPUT"])
    guests.gateway.wait_for_log("event=quota_kept_again quota=guest")
    wait_for(lambda: not client.status().problems, SECONDS, "the end of the problem")
    assert guests.gateway.stop() == 0


@pytest.mark.parametrize("kind", ["nfacct", "nft"])
def test_an_object_that_somebody_deletes_comes_back_with_what_was_used(guests: Guests, kind: str) -> None:
    guests.gateway.start_counting()
    words = ["--kind", kind, "--verdict", "drop", "--address", GUEST, "--print-rule"]
    rules = guests.add("guest", "1MB", *words)
    some = Udp(source=GUEST, destination="10.77.2.2", payload_bytes=972, count=600, rate=50_000)
    senders.udp(guests.lab, guests.lab.left, some)
    # What was read last: a new life has to read before it can be ended.
    assert guests.gateway.stop() == 0
    guests.gateway.start_counting()
    guests.gateway.wait_for_log("event=quota_taken_up quota=guest kind=" + kind + " used=600000")
    if kind == "nfacct":
        guests.lab.run(guests.lab.gw, ["sh", "-c", "iptables -w -F; iptables -w -X; nfacct delete guest"])
    else:
        guests.lab.nft(guests.lab.gw, "delete table inet netledger_quotas")
    (made,) = guests.await_events(What.MADE)
    assert isinstance(made["told"], dict)
    assert made["told"]["bytes"] == 600_000
    guests.load(rules)
    wait_for(lambda: guests.listed("guest")["used"] == 600_000, SECONDS, "what was used")
    before = guests.passed
    if kind == "nft":
        # The file has brought the whole limit with it: the daemon has put it back at the kernel's word.
        limit = r"over 1000000 bytes used 600000 bytes|over 1 mbytes used 600000 bytes|over 400000 bytes"
        command = ["nft", "list", "quotas"]
        wait_for(lambda: re.search(limit, guests.lab.run(guests.lab.gw, command)), SECONDS, "the limit")
    senders.udp(guests.lab, guests.lab.left, some)
    assert guests.passed - before == Count(400, 400_000)
    guests.await_events(What.REACHED)
    assert guests.gateway.stop() == 0


def test_events_that_found_no_room_are_counted_and_made_up_for(guests: Guests) -> None:
    guests.gateway.start_counting()
    for name in ("guest0", "guest1"):
        guests.add(name, "1 packet", "--address", GUEST, "--print-rule")
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=1))
    guests.await_events(What.REACHED, 2)
    # Held up while more comes than its queue holds: events of others, and one of its own.
    guests.add("last", "2 packets", "--address", GUEST, "--print-rule")
    guests.gateway.child.signal(signal.SIGSTOP)
    nfacct.add("noise", quota=nfacct.Quota(1, nfacct.Unit.PACKETS))
    guests.lab.run(guests.lab.gw, ["iptables", "-w", "-A", "OUTPUT", "-m", "nfacct", "--nfacct-name", "noise"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20_000):
            sender.sendto(b"", ("127.0.0.1", 9005))
            nfacct.reset("noise")
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=3))
    guests.gateway.child.signal(signal.SIGCONT)
    (lost,) = guests.await_events(What.EVENTS_LOST)
    assert isinstance(lost["told"], dict)
    assert int(lost["told"]["events"]) > 0
    assert {one["quota"] for one in guests.await_events(What.REACHED, 3)} == {"guest0", "guest1", "last"}
    assert guests.gateway.stop() == 0


def test_restore_makes_objects_before_the_rules_and_needs_no_daemon(guests: Guests) -> None:
    rules = guests.quota("add", "guest", "1MB", "--verdict", "drop", "--address", GUEST, "--print-rule")
    guests.load(rules)
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=30))
    guests.gateway.start_counting()
    assert guests.gateway.stop() == 0
    guests.lab.run(guests.lab.gw, ["sh", "-c", "iptables -w -F; iptables -w -X; nfacct delete guest"])
    done = subprocess.run(guests.words("restore"), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("made guest, with 30 packets, 3,000 bytes\n", "")
    assert nfacct.get("guest").bytes == 3000
    assert guests.quota("restore") == "guest is there\n"
    assert json.loads(guests.quota("restore", "--json")) == [
        {"name": "guest", "is_made": False, "packets": None, "bytes": None}
    ]
    guests.load(rules)
    assert guests.listed("guest")["used"] == 3000


def test_without_the_capability_the_list_is_that_of_the_last_reading(guests: Guests) -> None:
    guests.load(guests.quota("add", "guest", "1MB", "--address", GUEST, "--print-rule"))
    senders.udp(guests.lab, guests.lab.left, Udp(source=GUEST, destination="10.77.2.2", count=30))
    guests.gateway.start_counting()
    assert guests.gateway.stop() == 0
    argv = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", sys.executable, "-m", "netledger", "quota"]
    text = guests.lab.run(guests.lab.gw, [*argv, "list", "--json", "--config", str(guests.gateway.file)])
    (one,) = json.loads(text)
    assert one["used"] == 3000
    assert "CAP_NET_ADMIN" in one["why"]
    with pytest.raises(RuntimeError, match="operation not permitted"):
        guests.lab.run(guests.lab.gw, [*argv, "add", "x", "1MB", "--config", str(guests.gateway.file)])
    assert Path(guests.gateway.store).exists()
    assert [one["quota"] for one in guests.events(What.ADDED)] == ["guest"]
