"""What becomes of the books when the daemon's own files are removed or damaged, or the machine loses its power."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from signal import SIGTERM, SIGUSR1

import pytest

from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=100, count=0, rate=20_000)
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
BURST_COUNT = Count(500, 50_000)


def witnessed(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "total")


def test_a_runtime_directory_that_is_removed_under_load_costs_no_packet(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    for number in (1, 2):
        goal = witnessed(lab).packets + 20_000
        wait_for(lambda goal=goal: witnessed(lab).packets > goal, 10, "traffic")  # type: ignore[misc]  # a default binds it
        shutil.rmtree(gateway.runtime / "lan")
        gateway.child.signal(SIGUSR1)
        gateway.wait_for_intervals(number)
    shutil.rmtree(gateway.runtime / "lan")
    lab.silence(lab.gw)
    gateway.child.signal(SIGTERM)
    assert gateway.child.wait() == 0
    senders.stop_udp(sender)
    books = gateway.books()
    assert books.problems() == []
    assert books.statuses == {"exact": 3}
    assert [one.seq for one in books.intervals] == [1, 2, 3]
    assert books.sent == books.received == witnessed(lab)
    assert gateway.generations() == []


@pytest.mark.parametrize("has_rules", [False, True])
def test_what_a_power_cut_took_away_is_on_a_receipt(lab: Lab, has_rules: bool) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, BURST)
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    senders.udp(lab, lab.left, BURST)
    gateway.child.kill()
    shutil.rmtree(gateway.runtime)
    if not has_rules:
        lab.nft(lab.gw, "delete table inet netledger")
    gateway.start_counting()
    senders.udp(lab, lab.left, BURST)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [one.seq for one in books.intervals] == [1, 2, 3]
    assert [one.status for one in books.intervals] == ["exact", "interrupted", "exact"]
    reason = books.intervals[1].reason
    assert f"between {books.intervals[1].start} and {books.intervals[1].end} nobody can say" in reason
    assert ("lan_b_ipv4 500 packets" in reason) == has_rules
    assert not books.intervals[1].has_kernel_count
    assert books.accounted == Count(1000, 100_000)
    # A clean stop leaves nothing to tell, even if the directory is removed then.
    shutil.rmtree(gateway.runtime)
    gateway.start_counting()
    assert gateway.stop() == 0
    assert [one.status for one in gateway.books().intervals][3:] == ["exact"]


def garbage(path: Path) -> None:
    path.write_bytes(b"\xa5" * 8192)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong(path: Path) -> None:
    path.write_text(json.dumps({"seq": "x"}))


@pytest.mark.parametrize(
    ("damage", "ending"),
    [
        (garbage, "table"),
        (truncated, "table"),
        (Path.unlink, "table"),
        (empty, "json"),
        (truncated, "json"),
        (wrong, "json"),
    ],
)
def test_a_damaged_state_file_costs_its_interval_and_not_the_counting(
    lab: Lab, damage: Callable[[Path], None], ending: str
) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    senders.udp(lab, lab.left, BURST)
    gateway.child.kill()
    damage(gateway.runtime / "lan" / f"gen-00000002.{ending}")
    gateway.start_counting()
    senders.udp(lab, lab.left, BURST)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [one.seq for one in books.intervals] == [1, 2, 3]
    assert [one.status for one in books.intervals] == ["exact", "interrupted", "exact"]
    lost = books.intervals[1]
    assert lost.has_kernel_count == (ending == "table")
    if ending == "table":
        assert lost.kernel == lost.lost == lost.sent == BURST_COUNT
    assert books.intervals[2].accounted == BURST_COUNT
    assert f"gen-00000002.damaged.{ending}" in gateway.log()
    assert "pydantic" not in gateway.log() + lost.reason
