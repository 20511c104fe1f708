"""A full disk delays commits; it loses nothing, and it stops nothing."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import SIGUSR1

import pytest

from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, text_of, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=200, count=0, rate=5000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "netledger-test", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def wait_for_frozen(gateway: Gateway, number: int) -> None:
    """Until so many generations are closed and wait for the disk."""

    def are_frozen() -> bool:
        facts = [json.loads(text) for text in map(text_of, gateway.generations()) if text]
        return sum(each["closing"] is not None for each in facts) == number

    wait_for(are_frozen, 10, f"{number} closed generations")


def counted(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "total")


def wait_for_packets(lab: Lab, number: int) -> None:
    """Until the witness has counted so many more."""
    goal = counted(lab).packets + number
    wait_for(lambda: counted(lab).packets >= goal, 30, f"{number} more packets")


def test_a_full_disk_stops_nothing_and_what_was_counted_is_committed_when_there_is_room(
    small_disk: Path, lab: Lab
) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s", store=small_disk / "store")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_intervals(1)
    ballast = fill(small_disk)
    gateway.wait_for_log("o space left on device")
    wait_for_packets(lab, 20_000)  # four seconds
    assert gateway.child.running
    before = len(gateway.books().intervals)
    ballast.unlink()
    gateway.wait_for_intervals(before + 3, seconds=60)
    senders.stop_udp(sender)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.statuses == {"exact": len(books.intervals)}
    assert books.sent == books.received == counted(lab)


def test_a_stop_with_a_full_disk_fails_and_the_next_start_commits(small_disk: Path, lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d", store=small_disk / "store")
    gateway.start_counting()
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=3000))
    ballast = fill(small_disk)
    assert gateway.stop() == 1
    assert "o space left on device" in gateway.log()
    assert "Traceback" not in gateway.log()
    assert gateway.books().intervals == ()
    ballast.unlink()
    gateway.start_counting()
    gateway.wait_for_intervals(1)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems(gaps_max=1) == []
    assert books.intervals[0].status == "exact"
    assert books.sent == books.received == counted(lab)


def test_cuts_go_on_while_the_disk_is_full_and_a_start_does_not_wait_for_it(small_disk: Path, lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d", store=small_disk / "store")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    ballast = fill(small_disk)
    for number in range(1, 5):
        wait_for_packets(lab, 1000)
        gateway.child.signal(SIGUSR1)
        wait_for_frozen(gateway, number)
    gateway.child.kill()
    gateway.start_counting()
    assert gateway.books().intervals == ()
    assert "cut_failed" not in gateway.log()
    ballast.unlink()
    gateway.wait_for_intervals(5, seconds=60)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    senders.stop_udp(sender)
    books = gateway.books()
    assert books.problems() == []
    assert [one.seq for one in books.intervals] == [1, 2, 3, 4, 5, 6]
    assert books.sent == books.received == counted(lab)


def test_at_most_thirteen_intervals_wait_for_a_full_disk_and_the_next_one_grows(small_disk: Path, lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s", store=small_disk / "store")
    gateway.start_counting()
    ballast = fill(small_disk)
    sender = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_log("event=not_cut", seconds=40)
    assert 13 <= len(gateway.generations()) <= 14
    assert "cut_failed" not in gateway.log()
    ballast.unlink()
    wait_for(lambda: len(gateway.generations()) <= 2, 70, "room")
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    senders.stop_udp(sender)
    books = gateway.books()
    assert books.problems() == []
    assert books.statuses == {"exact": len(books.intervals)}
    assert any("intervals waited for the store" in one.reason for one in books.intervals)
    assert books.sent == books.received == counted(lab)


def test_a_daemon_killed_while_the_disk_is_full_loses_no_count(small_disk: Path, lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s", store=small_disk / "store")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    ballast = fill(small_disk)
    for _ in range(2):
        wait_for_packets(lab, 15_000)
        gateway.child.kill()
        gateway.start()
    wait_for_packets(lab, 10_000)
    gateway.child.kill()
    ballast.unlink()
    gateway.start_counting()
    before = len(gateway.books().intervals)
    gateway.wait_for_intervals(before + 2, seconds=60)
    senders.stop_udp(sender)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) <= {"exact", "lossy"}
    assert books.sent == books.received == counted(lab)
