"""``netledger status`` of the real daemon: what it says is what passes, and what is wrong is said with its hint."""

import json
import os
import sys
from dataclasses import replace
from signal import SIGUSR1
from typing import Any

import pytest

from netledger.errors import LiveError
from netledger.live import Client, DaemonStatus, MeterStatus
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import NAMESPACES, Lab, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=50, count=0, rate=20_000)
BURST = replace(LOAD, count=5000)
pytestmark = pytest.mark.kernel


def command(lab: Lab, gateway: Gateway, *options: str) -> tuple[int, str, str]:
    """Exit code, standard output and error of ``netledger status``."""
    argv = [sys.executable, "-m", "netledger", "status", "--config", str(gateway.file), *options]
    child = lab.spawn(lab.gw, argv)
    code = child.wait()
    return code, child.output(), child.errors()


def only(status: DaemonStatus) -> MeterStatus:
    (meter,) = status.meters
    return meter


def at_a_rate(client: Client, least: int, most: int) -> MeterStatus | None:
    """What it says, if what it says is between the two."""
    now = only(client.status())
    return now if least < (now.packets_per_second or 0) < most else None


def test_it_tells_what_passes_and_the_live_table_adds_up_to_the_kernels_count(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    child = gateway.start_counting()
    client = Client(gateway.runtime)
    first = client.status()
    assert (first.pid, first.node, first.problems) == (child.pid, "gw1", ())
    assert only(first).received_packets == 0
    sender = senders.start_udp(lab, lab.left, LOAD)
    # A sender that is late makes up for it: there is a moment in which it has the rate that it is to have.
    busy = wait_for(lambda: at_a_rate(client, 5000, 25_000), 20, "rate")
    for _ in range(5):
        table = client.table("lan", top=3, sort="packets")
        at_most = lab.counter(lab.gw, "witness", "total")
        assert table.head.sent_packets <= at_most.packets
        assert table.head.received_bytes <= at_most.bytes
        assert len(table.rows) == 3
    assert busy is not None
    assert busy.packets_per_second is not None
    assert busy.bytes_per_second is not None
    assert 90 <= busy.bytes_per_second / busy.packets_per_second <= 110
    senders.stop_udp(sender)
    total = lab.counter(lab.gw, "witness", "total")
    wait_for(lambda: client.table().head.sent_packets == total.packets, 10, "the last packets")
    head = client.table(top=1).head
    assert (head.sent_bytes, head.received_packets, head.received_bytes) == (total.bytes, total.packets, total.bytes)
    still = only(client.status())
    assert (still.received_packets, still.received_bytes) == (total.packets, total.bytes)
    # All senders, and what is not local.
    assert still.rows == head.rows == 51
    gateway.child.signal(SIGUSR1)
    wait_for(lambda: only(client.status()).last_commit is not None, 10, "commit")
    after = only(client.status())
    assert after.last_commit is not None
    assert (after.last_commit.seq, after.last_commit.status) == (1, "exact")
    assert (after.rows, after.received_packets) == (0, total.packets)
    assert gateway.stop() == 0
    assert not (gateway.runtime / "netledger.sock").exists()


def test_a_store_that_cannot_be_written_is_said_and_when_it_can_again_all_is_well(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, BURST)
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    code, output, _ = command(lab, gateway)
    assert (code, "all is well" in output) == (0, True)
    # Even root cannot rename a file into a place that is no directory.
    data, away = gateway.store / "data", gateway.store / "data.away"
    data.rename(away)
    data.write_text("in the way")
    senders.udp(lab, lab.left, BURST)
    gateway.child.signal(SIGUSR1)
    client = Client(gateway.runtime)
    wait_for(lambda: client.status().problems != (), 20, "problem")
    code, output, _ = command(lab, gateway)
    assert code == 3
    assert "store_not_written, meter lan" in output
    assert "1 interval waits" in output
    code, output, _ = command(lab, gateway, "--json")
    told = json.loads(output)
    assert code == 3
    assert told["meters"][0]["intervals_waiting"] == 1
    assert told["problems"][0]["what"] == "store_not_written"
    data.unlink()
    away.rename(data)
    wait_for(lambda: client.status().problems == (), 60, "end of it")
    assert command(lab, gateway)[0] == 0
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.accounted.packets == 2 * BURST.count


def test_where_none_runs_it_says_what_lies_there(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    code, output, errors = command(lab, gateway)
    assert (code, output) == (1, "")
    assert f"no netledger runs here ({gateway.runtime})" in errors
    assert "hint: start it" in errors
    gateway.start_counting()
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    wait_for(lambda: len(gateway.generations()) == 1, 10, "release")
    gateway.child.kill()
    # The socket of the dead process is still there.
    assert (gateway.runtime / "netledger.sock").exists()
    code, output, errors = command(lab, gateway)
    assert code == 1
    assert "meter lan: 1 generation in the runtime directory" in output
    assert "meter lan: last commit 1 exact" in output
    assert "no netledger runs here" in errors
    told: dict[str, Any] = json.loads(command(lab, gateway, "--json")[1])
    assert (told["is_running"], told["generations"]) == (False, {"lan": 1})
    gateway.start_counting()
    last = only(Client(gateway.runtime).status()).last_commit
    assert last is not None
    assert gateway.stop() == 0


def test_who_may_not_ask_is_told_who_may(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    lab.directory.chmod(0o711)
    os.chown(gateway.runtime, -1, 4)  # adm, which every Debian has
    os.seteuid(65534)
    try:
        with pytest.raises(LiveError, match="permission denied") as caught:
            Client(gateway.runtime).status()
    finally:
        os.seteuid(0)
    assert caught.value.hint == "run it as root, or as a member of group adm"
    assert gateway.stop() == 0


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_an_interface_that_goes_by_its_name_or_has_none_is_a_problem_until_it_is_there(
    lab: Lab, *, is_elsewhere: bool
) -> None:
    elsewhere = f'netns = "{NAMESPACES / lab.gw}"\n' if is_elsewhere else ""
    lines = f'{elsewhere}interfaces = ["left", "ppp*"]\n'
    gateway = Gateway(lab, lab.right if is_elsewhere else lab.gw, interval="1d", meters={"lan": lines})
    gateway.start_counting()
    client = Client(gateway.runtime)
    assert client.status().problems == ()
    lab.run(lab.gw, ["ip", "link", "set", "left", "name", "lfet"])
    (problem,) = client.status().problems
    assert (problem.what, problem.meter) == ("interface_not_there", "lan")
    assert problem.why == "there is no left now: nothing is counted there"
    assert problem.hint is not None
    assert "meters.lan.interfaces" in problem.hint
    gateway.wait_for_log("level=warning meter=lan event=interface_not_there interface=left")
    lab.run(lab.gw, ["ip", "link", "set", "lfet", "name", "left"])
    assert client.status().problems == ()
    assert gateway.stop() == 0
