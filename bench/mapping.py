#!/usr/bin/env python3
"""What it costs to keep rows in a file mapping: by where they lie, how they are found, and while they are written."""

import argparse
import sys

from harness import BIN, BenchError, build, run, scratch
from table import Report

HEAD = (
    "rows lie in",
    "found by",
    "keys",
    "ns/add least",
    "median",
    "M adds/s",
    "ns/add, new keys",
    "longest batch, us",
)


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (5)")
    parser.add_argument(
        "--keys", default="1000,100000,1000000", metavar="N,N", help="numbers of keys (1000,100000,1000000)"
    )
    parser.add_argument("--touched", action="store_true", help="touch all pages before the first packet")
    parser.add_argument("--cpu", default="1", metavar="N", help="CPU to run on (1)")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    command: list[str] = [
        "-r",
        str(wanted.rounds),
        "-k",
        wanted.keys,
        "-c",
        wanted.cpu,
        *(["-p"] if wanted.touched else []),
    ]
    try:
        build()
        with scratch("/dev/shm") as memory, scratch(wanted.disk) as disk:  # noqa: S108 - memory is what is measured
            lines = run(BIN / "mapping", *command, "-t", memory, "-d", disk, timeout_seconds=1800).splitlines()
        notes = [f"{wanted.rounds} rounds, batches of 1024 packets, rows of 64 bytes, keys at random."]
        rows = [line.split("\t") for line in lines]
        Report(name="mapping", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"mapping: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
