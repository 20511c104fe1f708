"""kill -9 and full disks under a meter of packets: what was read is booked once, and what was not is told."""

import os
import random
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.test_disk_full import fill, small_disk
from tests.crash.trial import say
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp

__all__ = ["small_disk"]

PACKETS = 'source = "packet"\ninterfaces = ["left"]\nkey = ["host", "interface"]\npacket = {threads = THREADS}\n'
LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=20_000)


@pytest.mark.parametrize("threads", [1, 2])
def test_packets_are_booked_once_after_kills_at_random_moments(lab: Lab, threads: int) -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    say(f"packets: repeat it with NETLEDGER_SEED={seed}")
    moments = random.Random(seed)  # noqa: S311  (moments, no secrets)
    meters = {"line": PACKETS.replace("THREADS", str(threads))}
    gateway = Gateway(lab, lab.gw, interval="1s", meters=meters)
    gateway.start_counting("line")
    load = senders.start_udp(lab, lab.left, LOAD)
    for _ in range(6):
        killed = threading.Timer(moments.uniform(0.3, 1.5), gateway.child.kill)
        killed.start()
        killed.join()
        # Sometimes it dies again before it counts.
        child = gateway.start()
        if moments.random() < 0.5:
            again = threading.Timer(moments.uniform(0.3, 1.0), child.kill)
            again.start()
            again.join()
            gateway.start()
        gateway.wait_until_counting("line")
    gateway.wait_for_intervals(len(gateway.books("line").intervals) + 2, meter="line")
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    books = gateway.books("line")
    say(f"packets: {len(gateway.children)} lives, {dict(books.statuses)}, {books.accounted} of {sent}")
    assert books.problems() == []
    assert books.sent == books.received == books.accounted
    assert books.lost == Count(0, 0), "what nobody had time for is not lost by the ring"
    # A second or so of each life is its start, or more on a busy machine; all else is counted.
    assert sent.packets // 20 < books.accounted.packets < sent.packets
    assert set(books.statuses) == {"unproven", "interrupted"}
    assert 6 <= books.statuses["interrupted"] <= len(gateway.children) - 1


def test_a_full_disk_delays_and_loses_no_packet(small_disk: Path, lab: Lab) -> None:
    meters = {"line": PACKETS.replace("THREADS", "2")}
    gateway = Gateway(lab, lab.gw, interval="1s", meters=meters, store=small_disk / "store")
    gateway.start_counting("line")
    load = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_intervals(1, meter="line")
    ballast = fill(small_disk)
    gateway.wait_for_log("o space left on device")
    wait_for(lambda: len(gateway.generations("line")) > 4, 20, "intervals that wait")
    ballast.unlink()
    gateway.wait_for_intervals(len(gateway.books("line").intervals) + 5, meter="line", seconds=60)
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    books = gateway.books("line")
    assert books.problems() == []
    assert set(books.statuses) == {"unproven"}
    assert books.lost == Count(0, 0)
    assert books.sent == books.received == books.accounted == sent


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some tables."""
    place = tmp_path / "memory"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "netledger-test", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_runtime_directory_without_room_delays_the_cut_and_loses_no_packet(memory: Path, lab: Lab) -> None:
    """Where the rows themselves lie; netledger takes the room for a table when it makes it."""
    meters = {"line": PACKETS.replace("THREADS", "1") + "rows_max = 1000\n"}
    gateway = Gateway(lab, lab.gw, interval="1s", meters=meters, runtime=memory / "run")
    gateway.start_counting("line")
    load = senders.start_udp(lab, lab.left, LOAD)
    gateway.wait_for_intervals(1, meter="line")
    ballast = fill(memory)
    gateway.wait_for_log("event=cut_failed")
    ballast.unlink()
    gateway.wait_for_intervals(len(gateway.books("line").intervals) + 2, meter="line", seconds=60)
    sent = senders.stop_udp(load).count
    assert gateway.stop() == 0
    books = gateway.books("line")
    assert books.problems() == []
    assert set(books.statuses) == {"unproven"}
    assert books.lost == Count(0, 0)
    assert books.sent == books.received == books.accounted == sent
