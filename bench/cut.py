#!/usr/bin/env python3
"""A cut of a big table under traffic: how long receiving stands still, how soon the rows are there, what it costs."""

import argparse
import json
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness import BENCH, Bench, BenchError, Cpus, Program, build, scratch
from peers import THRESHOLD
from table import Report, spread

HEAD = (
    "rows",
    "longest pause before, ms",
    "at the cut, ms",
    "while the batch is made, ms",
    "cut call, ms",
    "Arrow batch, ms",
    "its CPU, ms",
    "end and drain, ms",
    "lost packets",
)
RATE_DURING = 100_000
TWO_CPUS = "1,2"  # one to receive, one to make the batch, as they have it on any machine but the smallest


@dataclass(frozen=True, slots=True)
class Run:
    """One cut."""

    facts: dict[str, float]
    end_ms: float
    lost: int


def once(bench: Bench, rows: int) -> Run:
    """Fills a table, cuts it while packets go on, fills it again and ends it.

    Raises:
        BenchError: the meter did not do its part.
    """
    bench.rules(THRESHOLD)  # 50 packets a message: pauses can be seen to half a millisecond
    with scratch("/dev/shm") as directory:  # noqa: S108 - tables belong into memory
        command: list[str | Path] = [sys.executable, BENCH / "counting.py", directory, "--watch"]
        with Program(bench, command, directory=directory) as program, ThreadPoolExecutor(1) as helper:
            program.wait_bound()
            filled = bench.send(packets=rows, addresses=rows, rate=300_000).packets
            during = helper.submit(bench.send, packets=3 * RATE_DURING, addresses=1000, rate=RATE_DURING)
            time.sleep(1.0)  # the generator needs a moment until it sends; two seconds of traffic follow
            program.notify(signal.SIGUSR1)
            filled += during.result().packets
            program.wait_lines(1)
            filled += bench.send(packets=rows, addresses=rows, rate=300_000).packets
            program.notify(signal.SIGUSR2)
            program.wait_lines(2)
            lines = [json.loads(line) for line in program.stop(signal.SIGTERM).splitlines()]
    return Run(lines[0], lines[1]["end_ms"], filled - int(sum(line["packets"] for line in lines)))


def row(rows: int, runs: list[Run]) -> list[str]:
    """A line of the table."""

    def column(name: str) -> str:
        return spread([run.facts[name] for run in runs], 1)

    return [
        spread([run.facts["rows"] for run in runs]) if runs else f"{rows:,}",
        *(column(name) for name in ("before_ms", "at_cut_ms", "at_batch_ms", "cut_ms", "batch_ms", "batch_cpu_ms")),
        spread([run.end_ms for run in runs], 1),
        spread([run.lost for run in runs]),
    ]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--rows", default="100000,1000000", metavar="N,N", help="rows at the cut (100000,1000000)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    sizes = [int(size) for size in wanted.rows.split(",")]
    runs: dict[int, list[Run]] = {size: [] for size in sizes}
    try:
        build()
        with Bench(cpus=Cpus(program=TWO_CPUS)) as bench:
            for _ in range(wanted.rounds):
                for size in sizes:
                    runs[size].append(once(bench, size))
        notes = [f"{wanted.rounds} rounds, median (least-greatest), {RATE_DURING:,} packets a second during the cut."]
        rows = [row(size, done) for size, done in runs.items()]
        Report(name="cut", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"cut: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
