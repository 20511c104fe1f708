"""Periods and their files: aligned, adjacent, each in a file of its own, whatever happens to the directory."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.compat.go_nflog_acctd.transcript import log_of
from tests.compat.go_nflog_acctd.wire import HEADER, NAME, SECONDS, Daemon, Wire
from tests.kernel.lab import Count, wait_for
from tests.kernel.senders import tcp

pytestmark = pytest.mark.kernel

RULE = "iptables -A OUTPUT -p udp --dport 9000 -j NFLOG --nflog-group 4 --nflog-size 20 --nflog-threshold 1"
# 38 bytes with its headers, as in the transcripts.
PAYLOAD_BYTES = 10


def bounds(daemon: Daemon) -> list[tuple[str, str]]:
    """Start and end of each file, as in its name."""
    found = []
    for path in sorted(daemon.directory.glob("*.csv")):
        name = NAME.fullmatch(path.name)
        assert name is not None
        found.append((name[1], name[2]))
    return found


def seconds_of(stamp: str) -> int:
    hours, minutes, seconds = int(stamp[11:13]), int(stamp[13:15]), int(stamp[15:17])
    return hours * 3600 + minutes * 60 + seconds


def is_written(line: str) -> bool:
    return line.startswith("Stats file")


def test_periods_are_aligned_and_adjacent_and_empty_ones_have_a_header(wire: Wire) -> None:
    wire.rules(RULE)
    daemon = wire.start("-interval", "2s", "-verbose", "-ip4-dst-group", "4").started()
    wire.send(3, 100)
    daemon.wait_for_line(is_written, times=3)
    assert daemon.stop(signal.SIGINT) == 0
    found = bounds(daemon)
    assert len(found) >= 4
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    assert all(seconds_of(end) % 2 == 0 for _, end in found[:-1])
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(3, 384))}
    empty = [path for path in daemon.directory.glob("*.csv") if path.read_text() == f"{HEADER}\n"]
    assert len(empty) >= 2
    assert daemon.log()[-1] == "Exit"
    assert "interrupt received - shutting down" in daemon.log()
    dumps = [line for line in daemon.log() if line.startswith("Next stats dump at")]
    assert len(dumps) == len(found)


def test_verbose_lines_around_a_dump_are_those_of_the_old_program(wire: Wire) -> None:
    wire.rules(RULE.replace("threshold 1", "threshold 50"))
    daemon = wire.start("-interval", "2s", "-verbose", "-ip4-dst-group", "4", directory="go2/acc").started()
    wire.send(3, 100)
    daemon.wait_for_line("4: Processing 3 packets")
    written = sum(is_written(line) for line in daemon.log())
    daemon.wait_for_line(is_written, times=written + 2)
    assert daemon.stop(signal.SIGINT) == 0
    recorded = [line for line in log_of("02") if "group 5" not in line and "already exists" not in line]
    assert set(daemon.log()) - set(recorded) == {"Monitoring NFLog multicast group 4 for IPv4 Dest mask /32"} - set(
        recorded
    )
    end = daemon.log().index("interrupt received - shutting down")
    recorded_end = recorded.index("interrupt received - shutting down")
    assert daemon.log()[end:] == recorded[recorded_end:]


def test_a_name_that_is_taken_keeps_its_file_and_the_period_gets_another(wire: Wire) -> None:
    wire.rules(RULE)
    daemon = wire.start("-interval", "3s", "-verbose", "-ip4-dst-group", "4").started()
    wire.send(4, 100)
    # The names are known beforehand: take them all for the next minute.
    now = int(subprocess.run(["date", "-u", "+%s"], check=True, capture_output=True, text=True).stdout)
    daemon.wait_for_line(is_written)
    first = next(daemon.directory.glob("*.csv")).name
    start = now - now % 3
    taken = []
    for begin in range(start, start + 60, 3):
        stamps = [
            subprocess.run(
                ["date", "-u", "-d", f"@{moment}", "+%Y-%m-%d-%H%M%S"], check=True, capture_output=True, text=True
            ).stdout.strip()
            for moment in (begin, begin + 3)
        ]
        path = daemon.directory / f"{stamps[0]}_{stamps[1]}.csv"
        if not path.exists():
            path.write_text("preexisting\n")
            taken.append(path)
    wire.send(2, 100)
    daemon.wait_for_line(lambda line: line.endswith('.1.csv" written'))
    assert daemon.stop() == 0
    assert all(path.read_text() == "preexisting\n" for path in taken)
    for path in taken:
        path.unlink()
    assert first in daemon.files()
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(6, 768))}
    assert any(re.fullmatch(r'Output file "acc/TIME_TIME.csv" already exists', line) for line in daemon.log())


@pytest.mark.parametrize(
    ("zone", "words", "expected"),
    [
        ("America/New_York", ["-interval", "24h"], r".* (19|20):00:00 -0[54]00 E[SD]T"),
        ("Asia/Kolkata", ["-interval", "1h"], r".*:30:00 \+0530 IST"),
        ("UTC", ["-interval", "48h"], r".* 00:00:00 \+0000 UTC"),
        ("UTC", ["-interval", "30s"], r".*:(00|30) \+0000 UTC"),
    ],
)
def test_the_next_dump_is_aligned_to_utc_and_told_in_local_time(
    wire: Wire, zone: str, words: list[str], expected: str
) -> None:
    daemon = wire.start(*words, "-verbose", "-ip4-dst-group", "4", zone=zone).started()
    daemon.wait_for_line(lambda line: line.startswith("Next stats dump at"))
    assert daemon.stop() == 0
    lines = [line[20:] for line in daemon.text().splitlines() if "Next stats dump" in line]
    assert len(lines) == 1
    assert re.fullmatch(rf"Next stats dump at {expected}", lines[0])


def test_a_removed_directory_delays_the_files_and_loses_nothing(wire: Wire) -> None:
    wire.rules(RULE)
    daemon = wire.start("-interval", "2s", "-ip4-dst-group", "4", directory="go4-rmdir").started()
    daemon.directory.rename(wire.directory / "away")
    wire.send(5, PAYLOAD_BYTES)
    failed = "Failed to open stats file: open go4-rmdir/TIME_TIME.tmp: no such file or directory"
    daemon.wait_for_line(failed, times=2)
    daemon.directory.mkdir()
    daemon.wait_for_line(is_written, times=3)
    assert daemon.stop() == 0
    found = bounds(daemon)
    away = [path.name for path in (wire.directory / "away").glob("*.csv")]
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(5, 190))}
    # The rows are in the file of the one period in which the packets were sent.
    assert len([rows for rows in daemon.files().values() if rows]) == 1, away
    assert daemon.leftovers() == []


@contextmanager
def small_disk(path: Path, size: str = "64k") -> Iterator[Path]:
    """A small file system; gives the path of a file to fill it with."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)], check=True)
    try:
        yield path / "filling"
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        wait_for(lambda: _is_full(file.fileno()), SECONDS, "the disk is full")


def _is_full(descriptor: int) -> bool:
    try:
        os.write(descriptor, bytes(4096))
    except OSError:
        return True
    return False


def test_a_full_disk_delays_the_files_and_leaves_no_empty_ones(wire: Wire) -> None:
    wire.rules(RULE)
    with small_disk(wire.directory / "full") as filling:
        fill(filling)
        daemon = wire.start("-interval", "2s", "-ip4-dst-group", "4", directory="full").started()
        wire.send(5, PAYLOAD_BYTES)
        daemon.wait_for_line(
            "Failed to write to stats file: write full/TIME_TIME.tmp: no space left on device", times=2
        )
        assert sorted(path.name for path in daemon.directory.iterdir()) == ["filling"]
        filling.unlink()
        daemon.wait_for_line(is_written, times=2)
        assert daemon.stop() == 0
        found = bounds(daemon)
        assert all(end == start for (_, end), (start, _) in pairwise(found))
        assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(5, 190))}
        assert daemon.leftovers() == []


def test_a_full_runtime_directory_lets_the_period_go_on(wire: Wire) -> None:
    wire.rules(RULE)
    with small_disk(wire.directory / "run-acc", "4m") as filling:
        daemon = wire.start("-interval", "1s", "-ip4-dst-group", "4").started()
        fill(filling)
        wire.send(5, PAYLOAD_BYTES)
        daemon.wait_for_line(lambda line: line.startswith("Failed to end the period: "), times=2)
        filling.unlink()
        before = sum(is_written(line) for line in daemon.log())
        daemon.wait_for_line(is_written, times=before + 2)
        assert daemon.stop() == 0
    found = bounds(daemon)
    assert all(end == start for (_, end), (start, _) in pairwise(found))
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(5, 190))}


def test_without_room_for_the_counters_the_start_is_refused(wire: Wire) -> None:
    with small_disk(wire.directory / "run-acc") as filling:
        fill(filling)
        daemon = wire.start("-ip4-dst-group", "4")
        assert daemon.child.wait() == 1
        assert len(daemon.log()) == 1
        assert "no space left on device" in daemon.text()


def test_what_could_not_be_written_at_the_end_is_written_by_the_next_start(wire: Wire) -> None:
    wire.rules(RULE)
    daemon = wire.start("-ip4-dst-group", "4").started()
    daemon.directory.rmdir()
    wire.send(5, PAYLOAD_BYTES)
    assert daemon.stop() == 1
    assert daemon.log()[-2:] == ["1 periods could not be written: the next start writes them", "Exit"]
    daemon = wire.start("-ip4-dst-group", "4").started()
    assert daemon.sums() == {"10.9.0.2": (Count(0, 0), Count(5, 190))}
    assert daemon.stop() == 0
    assert len(daemon.files()) == 2


def test_a_process_without_the_capability_says_so(wire: Wire) -> None:
    lacking = ("setpriv", "--bounding-set", "-net_admin,-sys_nice")
    daemon = wire.start("-priority", "-19", "-ip4-dst-group", "4", before=lacking)
    assert daemon.child.wait() == 1
    *before, last = log_of("04-05")
    # Which words the kernel has for the priority depends on who else is in the process group.
    assert daemon.log()[0] in {before[0], "Failed to set priority -19: permission denied"}
    assert daemon.log()[1:] == [*before[1:], f"{last} (CAP_NET_ADMIN is missing; run as root)"]


def test_super_packets_count_as_the_rule_counts_them(wire: Wire) -> None:
    wire.rules("iptables -A OUTPUT -p tcp -j NFLOG --nflog-group 9 --nflog-size 20 --nflog-threshold 50")
    daemon = wire.start("-ip4-dst-group", "9", directory="go4/gso").started()
    assert tcp(wire, wire.a, wire.b, "10.9.0.2", 1_000_000) == 1_000_000
    assert daemon.stop() == 0
    assert daemon.log() == log_of("04-06")
    counted = wire.counts("OUTPUT")[0]
    sent = daemon.sums()["10.9.0.2"][1]
    assert sent == counted
    assert sent.packets < 1_000_000 // 1448
