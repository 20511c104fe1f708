#!/usr/bin/env python3
"""Named counters read out: CPU for each, beside a minimal reader in C, and beside nft and nfacct."""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import BIN, BenchError, build, run
from table import Report, spread

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "target" / "release" / "examples" / "counters_speed"
TABLE = "benched"
HEAD = ("what, how many", "ns CPU for each", "x floor")


@dataclass(frozen=True)
class Reader:
    """A program, and how often it reads in one run. ``floor`` is the one that it is divided by."""

    name: str
    argv: Sequence[str]
    floor: str
    repeats: int = 1


def readers(kind: str, count: int, repeats: int) -> list[Reader]:
    """The floor first."""
    what, floor = ("nfacct", "floor, nfacct") if kind == "nfacct" else (TABLE, "floor, nft")
    looks = [sys.executable, str(Path(__file__).resolve()), "--look", kind, "--repeats", str(repeats)]
    found = [
        Reader(floor, [str(BIN / "counters_floor"), what, str(repeats)], floor, repeats),
        Reader(f"netledger's core, {kind}", [str(CORE), what, str(repeats)], floor, repeats),
        Reader(f"a look of a meter, {kind}", looks, floor, repeats),
    ]
    if kind == "nfacct":
        found.append(Reader("nfacct list", ["nfacct", "list"], floor))
    else:
        found.append(Reader("nft list counters", ["nft", "list", "counters", "table", "ip", TABLE], floor))
        found.append(Reader("nft -j list counters", ["nft", "-j", "list", "counters", "table", "ip", TABLE], floor))
    return [Reader(f"{one.name}, {count:,}", one.argv, f"{one.floor}, {count:,}", one.repeats) for one in found]


@contextmanager
def counters(kind: str, count: int) -> Iterator[str]:
    """A network namespace with so many of them."""
    name = f"nlbench{os.getpid()}c"
    run("ip", "netns", "add", name)
    try:
        inside = ["ip", "netns", "exec", name]
        if kind == "nfacct":
            text = "".join(f"{{ pkts = {one}, bytes = {100 * one} }} = object-number-{one};\n" for one in range(count))
            program = [sys.executable, "-m", "netledger", "compat", "nfacct", "restore"]
            run(*inside, *program, stdin=text, timeout_seconds=600)
        else:
            inner = "".join(f"counter c{one} {{ packets {one} bytes {100 * one} }}\n" for one in range(count))
            run(*inside, "nft", "-f", "-", stdin=f"table ip {TABLE} {{\n{inner}}}\n", timeout_seconds=600)
        yield name
    finally:
        run("ip", "netns", "del", name, check=False)


def measured(namespace: str, reader: Reader, count: int) -> float:
    """Nanoseconds of CPU for each counter; of other programs with their start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = ["ip", "netns", "exec", namespace, *reader.argv]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchError(f"{reader.name}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    if "--look" in reader.argv:
        return float(json.loads(done.stdout)["cpu_ns"]) / count
    if reader.argv[0] == str(CORE):
        return float(json.loads(done.stdout)["cpu_ns"]) / reader.repeats / count
    if "counters_floor" in reader.argv[0]:
        return sum(float(json.loads(line)["cpu_ns"]) for line in done.stdout.splitlines()) / reader.repeats / count
    used = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return used * 1e9 / count


def look(kind: str, repeats: int) -> int:
    """Takes looks, as a meter does, and says what one costs."""
    from netledger.sources.named import Choice, Sights  # noqa: PLC0415 - not before the build is looked at
    from netledger.sources.tally import Tally  # noqa: PLC0415 - as above

    sights = Sights(Choice() if kind == "nfacct" else Choice(objects=(), nft=(f"ip {TABLE} *",)))
    tally = Tally.begun(sights.look(), 0)
    before = time.process_time_ns()
    for number in range(repeats):
        tally.look(sights.look(), number)
    print(json.dumps({"entries": len(tally.entries), "cpu_ns": (time.process_time_ns() - before) / repeats}))
    return 0


def rounds(wanted: argparse.Namespace, progress: Callable[[str], None]) -> list[list[str]]:
    """All that is measured, interleaved; a line for each program and number."""
    found: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    cases = [("nfacct", int(one)) for one in wanted.objects.split(",")]
    cases += [("nft", int(one)) for one in wanted.counters.split(",")]
    for kind, count in cases:
        repeats = max(3, min(50, 200_000 // count))
        with counters(kind, count) as namespace:
            for number in range(wanted.rounds):
                progress(f"{kind}, {count:,}: round {number + 1}")
                this: dict[str, float] = {}
                for reader in readers(kind, count, repeats):
                    this[reader.name] = measured(namespace, reader, count)
                    found.setdefault(reader.name, []).append(this[reader.name])
                    ratios.setdefault(reader.name, []).append(this[reader.name] / this[reader.floor])
    return [[name, spread(values), spread(ratios[name], 2)] for name, values in found.items()]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (5)")
    parser.add_argument("--objects", default="1000,100000", metavar="N,N", help="objects of nfacct (1000,100000)")
    parser.add_argument("--counters", default="1000", metavar="N,N", help="named counters of nftables (1000)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--look", choices=["nfacct", "nft"], help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=1, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.look:
        return look(wanted.look, wanted.repeats)
    try:
        build()
        core = ["cargo", "build", "--quiet", "--release", "-p", "netledger-core", "--example", "counters_speed"]
        run("sh", "-c", f"cd {ROOT} && {' '.join(core)}", timeout_seconds=600)
        rows = rounds(wanted, lambda text: print(text, file=sys.stderr))
    except BenchError as error:
        print(f"counters: {error}", file=sys.stderr)
        return 1
    notes = [
        f"{wanted.rounds} rounds, median (least-greatest). The other programs with their start; the floor, "
        "the core and a look without, for they read many times in one run.",
    ]
    Report(name="counters", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
