#!/usr/bin/env python3
"""Memory of the table: bytes for each key, of the host alone and of the full key, with the peak while it grew."""

import argparse
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import BENCH, Bench, BenchError, Cpus, Program, build, scratch
from peers import PLAIN
from table import Report, spread

HEAD = (
    "key",
    "keys",
    "bytes/key",
    "at its peak",
    "MB per million keys",
    "at its peak, MB",
    "table file, bytes/key",
    "start, MB",
)
KEYS = {"host": "host", "full": "host,peer,protocol,host_port,peer_port,interface,label"}
PORTS = {"host": 1, "full": 10}
RATE = 300_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One table, filled once."""

    per_key: float
    peak_per_key: float
    file_per_key: float
    start_mb: float


def fill(bench: Bench, key: str, keys: int) -> Cell:
    """Starts a meter, sends one packet for each key, and looks at the memory it has.

    Raises:
        BenchError: the meter did not do its part.
    """
    bench.rules(PLAIN)
    with scratch("/dev/shm") as directory:  # noqa: S108 - tables belong into memory
        command: list[str | Path] = [sys.executable, BENCH / "counting.py", directory, "--columns", KEYS[key]]
        with Program(bench, command, directory=directory) as program:
            program.wait_ready()
            before = program.usage()
            bench.send(packets=keys, addresses=keys // PORTS[key], ports=PORTS[key], rate=RATE)
            program.wait_idle(quiet_seconds=1.0, seconds_max=60)
            after = program.usage()
            on_disk = sum(file.stat().st_blocks * 512 for file in directory.glob("*.table*"))
            program.stop(signal.SIGTERM)
    grown, peak = after.resident_kib - before.resident_kib, after.peak_kib - before.resident_kib
    return Cell(grown * 1024 / keys, peak * 1024 / keys, on_disk / keys, before.resident_kib / 1024)


def row(key: str, keys: int, cells: list[Cell]) -> list[str]:
    """A line of the table."""
    return [
        key,
        f"{keys:,}",
        spread([cell.per_key for cell in cells]),
        spread([cell.peak_per_key for cell in cells]),
        spread([cell.per_key * 1e6 / 2**20 for cell in cells]),
        spread([cell.peak_per_key * 1e6 / 2**20 for cell in cells]),
        spread([cell.file_per_key for cell in cells]),
        spread([cell.start_mb for cell in cells], 1),
    ]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--keys", default="100000,1000000", metavar="N,N", help="numbers of keys (100000,1000000)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    sizes = [int(size) for size in wanted.keys.split(",")]
    cells: dict[tuple[str, int], list[Cell]] = {(key, size): [] for key in KEYS for size in sizes}
    try:
        build()
        with Bench(cpus=Cpus()) as bench:
            for _ in range(wanted.rounds):
                for (key, size), done in cells.items():
                    done.append(fill(bench, key, size))
        notes = [f"{wanted.rounds} rounds, median (least-greatest); resident memory that came with the keys."]
        rows = [row(key, size, done) for (key, size), done in cells.items()]
        Report(name="memory", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"table_memory: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
