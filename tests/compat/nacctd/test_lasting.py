"""Nothing is lost and nothing is written twice: kill -9, full disks, logs that are moved, pipes."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.nacctd.wire import HERE, PEER, SECONDS, Wire, udp_line
from tests.kernel.lab import wait_for
from tests.kernel.senders import Udp, start_udp, stop_udp

pytestmark = pytest.mark.kernel

LONG = "flush 1000\nfdelay 1000\n"


def sums(wire: Wire, *names: str) -> Counter[str]:
    """Packets by source port."""
    found: Counter[str] = Counter()
    for name in names:
        for line in wire.lines(name):
            fields = line.split("\t")
            found[fields[2]] += int(fields[5])
    return found


def wait_for_more(wire: Wire, lines: int) -> None:
    wait_for(lambda: len(wire.lines()) > lines, SECONDS, "another flush")


def wait_until(end: float) -> None:
    wait_for(lambda: time.monotonic() > end, SECONDS, "a while")


def test_what_was_in_the_table_when_it_was_killed_is_written_once(wire: Wire) -> None:
    daemon = wire.start(LONG)
    wire.send(3)
    wire.wait_for_counted(3 * 128)
    daemon.kill()
    again = wire.start()
    wire.send(2)
    assert wire.stop(again) == 1
    assert wire.lines() == [udp_line(5)]


def test_what_was_in_the_dump_when_it_was_killed_is_written_once(wire: Wire) -> None:
    daemon = wire.start("flush 1\nfdelay 1000\n")
    wire.send(3)
    wire.wait_for_lines([udp_line(3)], "dump")
    daemon.kill()
    for _ in range(3):
        wire.start().kill()
    again = wire.start()
    wire.wait_for_said("1 records read back")
    assert wire.stop(again) == 1
    assert wire.lines() == [udp_line(3)]
    assert (wire.directory / "dump").exists() is False


def test_killed_at_any_time_each_packet_is_written_at_most_once_and_almost_all_are(wire: Wire) -> None:
    """What may be missing is what was in the ring at the time of a kill, and what passed while nobody counted."""
    started = time.monotonic()
    wire.write_table("flush 1\nfdelay 0\n")
    alive = 0
    for round_ in range(12):
        daemon = wire.start()
        # Another number of bytes each time: that is how they are found.
        wire.send(20, 100 + round_, port=5000 + round_)
        wire.wait_for_counted(20 * (128 + round_))
        alive += 1
        # Later in each round: sometimes in the middle of a flush.
        wait_until(time.monotonic() + 0.09 * round_)
        daemon.kill()
    last = wire.start()
    assert wire.stop(last) == 1
    assert sums(wire, "acct") == {str(5000 + round_): 20 for round_ in range(alive)}
    assert time.monotonic() - started < 120


def test_a_log_moved_between_tstp_and_cont_gets_no_line_later(wire: Wire) -> None:
    daemon = wire.start("flush 1\nfdelay 0\n")
    wire.send(3)
    wire.wait_for_lines([udp_line(3)])
    daemon.signal(signal.SIGTSTP)
    wire.send(5)
    wire.wait_for_lines([udp_line(5)], "dump")
    (wire.directory / "acct").rename(wire.directory / "acct.1")
    daemon.signal(signal.SIGCONT)
    wire.wait_for_lines([udp_line(5)])
    assert wire.lines("acct.1") == [udp_line(3)]


@pytest.mark.parametrize("how", ["missing directory", "full disk"])
def test_a_log_that_cannot_be_written_loses_nothing(wire: Wire, how: str) -> None:
    place = wire.directory / "place"
    if how == "full disk":
        place.symlink_to("/dev/full")
    target = "place" if how == "full disk" else "place/acct"
    (wire.directory / "tab").write_text(
        f"file {target}\ndumpfile dump\ndebugfile debug\nheaders eth 14 12\nflush 1\nfdelay 0\nerrdelay 1\n"
    )
    daemon = wire.start()
    wire.send(3)
    wire.wait_for_said("flushing delayed due to error")
    texts = [text for _, text in wire.said()]
    expected = {"missing directory": "error opening file place/acct: No such file or directory\n",
                "full disk": "error writing to file place: No space left on device\n"}  # fmt: skip
    assert expected[how] in texts
    if how == "full disk":
        place.unlink()
    else:
        place.mkdir()
    wire.wait_for_lines([udp_line(3)], target)
    assert wire.stop(daemon) == 1
    assert wire.lines(target) == [udp_line(3)]


@pytest.fixture
def small(wire: Wire) -> Iterator[Path]:
    """A file system of sixteen pages, mounted in the namespace that all processes of this test have."""
    place = wire.directory / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_is_full_for_log_and_dump_loses_nothing(wire: Wire, small: Path) -> None:
    (wire.directory / "tab").write_text(
        "file small/acct\ndumpfile small/dump\ndebugfile debug\nheaders eth 14 12\nflush 1\nfdelay 0\nerrdelay 0\n"
    )
    (small / "fill").write_bytes(bytes(65536))
    daemon = wire.start()
    wire.send(3)
    wire.wait_for_said("No space left on device", 3)
    wire.send(4, port=4001)
    wire.wait_for_counted(4 * 128)
    daemon.kill()
    daemon = wire.start()
    wire.send(5, port=4002)
    wire.wait_for_said("No space left on device", 6)
    (small / "fill").unlink()
    wait_for(lambda: sums(wire, "small/acct").total() == 12, SECONDS, "all packets in the log")
    assert wire.stop(daemon) == 1
    assert sums(wire, "small/acct") == {"4000": 3, "4001": 4, "4002": 5}
    assert sorted(each.name for each in small.iterdir()) == ["acct"]


def test_a_pipe_without_a_reader_keeps_the_records_until_there_is_one(wire: Wire) -> None:
    os.mkfifo(wire.directory / "acct")
    daemon = wire.start("flush 1\nfdelay 0\nerrdelay 0\n")
    wire.send(3)
    wire.wait_for_said("error opening file acct: No such device or address", 2)
    assert wire.stop(daemon) == 1
    assert wire.lines("dump") == [udp_line(3)]
    (wire.directory / "acct").unlink()
    again = wire.start()
    assert wire.stop(again) == 1
    assert wire.lines() == [udp_line(3)]


def test_of_traffic_that_goes_on_while_all_is_cut_and_written_every_packet_is_written(wire: Wire) -> None:
    daemon = wire.start("flush 1\nfdelay -1\nerrdelay 0\n")
    plan = Udp(source=HERE, destination=PEER, ports=50, port=9000, count=0, rate=20_000)
    sender = start_udp(wire, wire.a, plan)
    for _ in range(4):
        daemon.signal(signal.SIGHUP)
        wait_for_more(wire, len(wire.lines()))
    sent = stop_udp(sender)
    assert wire.stop(daemon) == 1
    lines = [line.split("\t") for line in wire.lines()]
    assert sum(int(line[5]) for line in lines) == sent.count.packets
    assert sum(int(line[6]) for line in lines) == sent.count.bytes
