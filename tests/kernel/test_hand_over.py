"""One address goes from user to user while traffic runs: each byte is with the one who had the address."""

import grp
import os
import sys
from dataclasses import replace
from typing import Final

import pytest

from netledger.intervals import SystemClock
from netledger.ledger.assignments import Assignments
from tests.kernel import senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.holders import by_subject, hook, reported
from tests.kernel.lab import Count, Lab
from tests.kernel.senders import Udp

METER = 'source = "nflog"\nlocal = ["10.77.1.0/24"]\nkey = ["host"]\n'
ADDRESS = "10.77.1.2"
NOBODY: Final = 65_534
# Others on the same wire: they never rest, and are nobody's.
AROUND = Udp(source="10.77.1.50", destination="10.77.2.2", count=0, rate=2000, sources=20)
OF_USER = Udp(source=ADDRESS, destination="10.77.2.2", payload_bytes=100)
PORTS = {"alice": 1001, "bob": 1002}
WITNESS = """table inet users {
  counter alice {}
  counter bob {}
  counter both {}
  chain passing {
    type filter hook forward priority 150;
    udp dport 1001 counter name alice
    udp dport 1002 counter name bob
    ip saddr 10.77.1.2 counter name both
  }
}
"""


@pytest.fixture
def gateway(lab: Lab) -> Gateway:
    lab.nft(lab.gw, WITNESS)
    made = Gateway(lab, lab.gw, interval="1d", meters={"lan": METER})
    text = configuration(store=made.store, runtime=made.runtime, interval="1d", meters={"lan": METER})
    made.write(f"cut_on_assignment = true\n{text}")
    made.start_counting()
    return made


def test_each_byte_is_with_the_one_who_had_the_address(lab: Lab, gateway: Gateway) -> None:
    around = senders.start_udp(lab, lab.left, AROUND)
    call = hook(lab.directory, gateway.file)
    for turn, user in enumerate(("alice", "bob", "alice", "bob", "bob")):
        lab.run(lab.gw, [*call, "assign", ADDRESS, user])
        # Until the very hand-over, and from it on: the hook has returned, and nothing else is waited for.
        senders.udp(lab, lab.left, replace(OF_USER, port=PORTS[user], count=1000 + turn, rate=20_000))
    lab.run(lab.gw, [*call, "unassign", ADDRESS])
    senders.udp(lab, lab.left, replace(OF_USER, port=9, count=77))
    senders.stop_udp(around)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    sums = by_subject(gateway.store, books)
    assert reported(gateway.file) == sums
    witness = lab.counters(lab.gw, "users")
    assert {user: sums[user] for user in PORTS} == {user: witness[user] for user in PORTS}
    assert witness["alice"].packets == 1000 + 1002
    assert sums["gap"] == Count(77, 77 * (100 + 28))
    assert set(sums) <= {"alice", "bob", "gap", "no assignment", "external"}


def test_a_stream_across_the_hand_over_is_split_and_none_of_it_is_unknown(lab: Lab, gateway: Gateway) -> None:
    call = hook(lab.directory, gateway.file)
    lab.run(lab.gw, [*call, "assign", ADDRESS, "alice"])
    stream = senders.start_udp(lab, lab.left, replace(OF_USER, port=9, count=0, rate=20_000))
    for user in ("bob", "alice", "bob"):
        senders.udp(lab, lab.left, replace(OF_USER, port=PORTS[user], count=500))
        lab.run(lab.gw, [*call, "assign", ADDRESS, user])
    senders.stop_udp(stream)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    sums = by_subject(gateway.store, books)
    assert reported(gateway.file) == sums
    assert set(sums) <= {"alice", "bob", "external"}
    assert sums["alice"] + sums["bob"] == lab.counter(lab.gw, "users", "both")
    assert min(sums["alice"].packets, sums["bob"].packets) > 500


def test_without_cuts_an_interval_of_two_is_a_conflict_and_said(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"lan": METER})
    gateway.start_counting()
    call = hook(lab.directory, gateway.file)
    lab.run(lab.gw, [*call, "assign", ADDRESS, "alice", "--from", "2026-01-01"])
    # Each has it for longer than the second that would not count.
    slowly = replace(OF_USER, count=400, rate=250)
    senders.udp(lab, lab.left, slowly)
    lab.run(lab.gw, [*call, "assign", ADDRESS, "bob"])
    senders.udp(lab, lab.left, slowly)
    assert gateway.stop() == 0
    sums = by_subject(gateway.store, gateway.books())
    assert reported(gateway.file) == sums
    assert sums["conflict"].packets == 800
    # A later fact makes it right: it was alice's to the end.
    lab.run(lab.gw, [*call, "assign", ADDRESS, "alice", "--from", "2026-01-01"])
    assert by_subject(gateway.store, gateway.books())["alice"].packets == 800
    assert reported(gateway.file)["alice"].packets == 800


def test_who_is_of_the_daemons_group_may_assign_and_a_stranger_may_not(lab: Lab, gateway: Gateway) -> None:
    group = grp.getgrgid(os.getgid()).gr_name
    member = ("setpriv", f"--reuid={NOBODY}", f"--regid={group}", "--clear-groups", "--bounding-set=-all")
    stranger = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all")
    # As the service has it: the group may look into both.
    lab.directory.chmod(0o755)
    gateway.file.chmod(0o644)
    gateway.runtime.chmod(0o750)
    call = [sys.executable, "-m", "netledger", "assign", ADDRESS, "alice", "--config", str(gateway.file)]
    for argv in ([*stranger, *call], [*stranger, *call, "--from", "2026-11-20"]):
        with pytest.raises(RuntimeError, match="permission denied\nhint: run it as root"):
            lab.run(lab.gw, argv)
    assert Assignments(gateway.store, SystemClock()).facts() == []
    lab.run(lab.gw, [*member, *call])
    senders.udp(lab, lab.left, replace(OF_USER, count=300))
    (fact,) = Assignments(gateway.store, SystemClock()).facts()
    assert fact.detail == {"by": "nobody"}
    assert gateway.stop() == 0
    # Without the daemon nobody can write for him.
    with pytest.raises(RuntimeError, match="belongs to root, and this runs as nobody"):
        lab.run(lab.gw, [*member, *call[:-3], "bob", *call[-2:]])
    assert by_subject(gateway.store, gateway.books())["alice"].packets == 300
