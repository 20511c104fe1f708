#!/usr/bin/env python3
"""Memory of the whole daemon: 10,000 rows an interval, with a day before it that housekeeping compacts meanwhile."""

import argparse
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import Bench, BenchError, Cpus, Program, build, scratch
from month import Month, fill
from ours import Netledger
from table import Report, spread

from netledger.intervals import DAY_NS, SystemClock
from netledger.ledger.store import day_of

HEAD = ("rows an interval", "rows of the day before", "daemon, MB", "housekeeping beside it, MB", "both at once, MB")
RATE = 50_000  # in four fifths of the time: the generator needs some, too
INTERVAL = "5s"
# The daemon begins its housekeeping a minute after its start.
SECONDS = 100


@dataclass(frozen=True, slots=True)
class Peak:
    """The greatest memory that was seen, MB."""

    daemon: float
    child: float
    both: float


def watch(program: Program, seconds: float) -> Peak:
    """Looks ten times a second."""
    daemon = child = both = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        own, *children = program.parts_kib()
        daemon, child, both = max(daemon, own), max(child, sum(children)), max(both, own + sum(children))
        time.sleep(0.1)
    return Peak(daemon / 1024, child / 1024, both / 1024)


def once(bench: Bench, disk: Path, rows: int, seconds: float) -> tuple[Peak, int]:
    """Runs the daemon under traffic, and says what it needed and how many rows the day before has.

    Raises:
        BenchError: the daemon did not do its part.
    """
    bench.rules(None)
    before = Month(start=day_of(SystemClock().now().wall_ns - 2 * DAY_NS), days=1, hosts=rows - 1)
    with scratch(str(disk)) as directory:
        for _ in fill(directory / "store", before, jobs=1):
            pass
        ours = Netledger(name="netledger", floor="", rule=None, interval=INTERVAL)
        with Program(bench, ours.command(directory), directory=directory) as program, ThreadPoolExecutor(1) as helper:
            program.wait_bound()
            sending = helper.submit(bench.send, packets=int(RATE * seconds * 0.8), addresses=rows, rate=RATE)
            peak = watch(program, seconds)
            sending.result()
            program.stop(signal.SIGTERM)
    if not peak.child:
        raise BenchError("housekeeping did not begin")
    return peak, before.rows


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--rows", type=int, default=10_000, metavar="N", help="rows of an interval (10000)")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"how long it runs ({SECONDS})")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    peaks: list[Peak] = []
    rows = 0
    try:
        build()
        with Bench(cpus=Cpus(program="1,2")) as bench:
            for _ in range(wanted.rounds):
                peak, rows = once(bench, Path(wanted.disk).absolute(), wanted.rows, wanted.seconds)
                peaks.append(peak)
        columns = ([peak.daemon for peak in peaks], [peak.child for peak in peaks], [peak.both for peak in peaks])
        line = [f"{wanted.rows:,}", f"{rows:,}", *(spread(column) for column in columns)]
        notes = [f"{wanted.rounds} rounds, median (least-greatest); an interval lasts {INTERVAL}."]
        Report(name="daemon", head=HEAD, rows=[line], notes=notes).show(write_docs=wanted.write_docs)
    except (BenchError, OSError) as error:
        print(f"daemon_memory: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
