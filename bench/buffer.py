#!/usr/bin/env python3
"""How long a reader may stand still: packets that wait in a receive buffer before the kernel drops the first."""

import argparse
import json
import signal
import sys
from pathlib import Path

from harness import BENCH, Bench, BenchError, Cpus, Program, build, scratch
from peers import PLAIN, THRESHOLD
from table import Report, spread

HEAD = ("rule", "buffer, MiB", "packets held", "buffer bytes/packet", "seconds at 100,000 packets/s")
RULES = {"without threshold": PLAIN, "queue-threshold 50": THRESHOLD, "queue-threshold 1": f"{PLAIN} queue-threshold 1"}
PACKETS = 3_000_000


def held(bench: Bench, rule: str, buffer_bytes: int) -> int:
    """Stops a meter, injects more than its buffer holds, lets it go on, and asks how many it got.

    Raises:
        BenchError: the meter did not do its part, or the buffer held everything.
    """
    bench.rules(rule)
    with scratch("/dev/shm") as directory:  # noqa: S108 - no disk in the measurement
        command: list[str | Path] = [sys.executable, BENCH / "counting.py", directory, "--buffer", str(buffer_bytes)]
        with Program(bench, command, directory=directory) as program:
            program.wait_ready()
            program.notify(signal.SIGSTOP)
            bench.send(packets=PACKETS, addresses=1000, rate=0)
            program.notify(signal.SIGCONT)
            program.wait_idle(quiet_seconds=0.5, seconds_max=60)
            packets = int(json.loads(program.stop(signal.SIGTERM))["packets"])
    if packets == PACKETS:
        raise BenchError(f"a buffer of {buffer_bytes} bytes held all {PACKETS} packets: ask for a smaller one")
    return packets


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--mebibytes", type=int, default=64, metavar="N", help="receive buffer (64)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    buffer_bytes = wanted.mebibytes << 20
    found: dict[str, list[int]] = {name: [] for name in RULES}
    try:
        build()
        with Bench(cpus=Cpus()) as bench:
            for _ in range(wanted.rounds):
                for name, rule in RULES.items():
                    found[name].append(held(bench, rule, buffer_bytes))
        rows = [
            [
                name,
                f"{wanted.mebibytes}",
                spread(packets),
                spread([buffer_bytes / number for number in packets]),
                spread([number / 100_000 for number in packets], 2),
            ]
            for name, packets in found.items()
        ]
        notes = [f"{wanted.rounds} rounds, median (least-greatest), 64 bytes of each packet copied."]
        Report(name="buffer", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"buffer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
