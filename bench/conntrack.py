#!/usr/bin/env python3
"""Flows of conntrack: the cost of a flow in a dump, of an event at a flow's end, who loses some, and memory."""

import argparse
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness import BENCH, BIN, Bench, BenchError, Cpus, Program, build, scratch
from table import Report, spread
from trackers import FLOOR_EVENTS, READERS, Reader, count, fill, flush, room_for, tracked

HOUR = 3600
FILL_RATE = 200_000
STEADY_SECONDS_LIVED = 2
DUMP_HEAD = ("what", "flows", "CPU ns/flow", "x floor", "bytes/flow", "at its peak", "table file, bytes/flow")
EVENTS_HEAD = ("reader", "how", "flows", "CPU ns/event", "x floor", "loss %", "ns/flow for who ends them")


@dataclass(slots=True)
class Cells:
    """The values of one line of a table, one for each round."""

    cpu_ns: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    other_ns: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Memory:
    """What flows took, in bytes for each."""

    resident: list[float] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    file: list[float] = field(default_factory=list)


def _prefix(bench: Bench) -> list[str]:
    return ["nice", "-n", "-10", "ip", "netns", "exec", bench.namespace, "taskset", "-c", bench.cpus.program]


def _lines(bench: Bench, *argv: object) -> Iterator[tuple[str, dict[str, float]]]:
    command = [*_prefix(bench), *(str(part) for part in argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    for line in done.stdout.splitlines():
        facts = json.loads(line)
        yield str(facts.pop("what", "floor")), facts


def _conntrack_ns(bench: Bench, *options: str) -> float:
    """CPU of a whole run of conntrack(8), to nowhere."""

    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    command = [*_prefix(bench), "conntrack", "-L", *options]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return (used() - before) * 1e9


def dump_round(bench: Bench, flows: int, cells: dict[str, Cells], memory: Memory) -> None:
    """Reads the same flows with each program, one after the other."""
    floor = min(line["cpu_ns"] / line["flows"] for _, line in _lines(bench, BIN / "conntrack_floor", "dump", "-n", 3))
    taken: dict[str, float] = {"floor": floor}
    with scratch("/dev/shm") as directory:  # noqa: S108 - tables belong into memory
        for what, line in _lines(bench, sys.executable, BENCH / "flows.py", directory, "--dumps", 3):
            if what == "memory":
                memory.resident.append(line["resident"] / flows)
                memory.peak.append(line["peak"] / flows)
                memory.file.append(line["file"] / flows)
            else:
                name = f"netledger, {what}"
                taken[name] = min(taken.get(name, float("inf")), line["cpu_ns"] / line["flows"])
    for name, options in (("conntrack -L", ()), ("conntrack -L -o xml", ("-o", "xml"))):
        taken[name] = _conntrack_ns(bench, *options) / flows
    for name, cpu_ns in taken.items():
        cells[name].cpu_ns.append(cpu_ns)
        cells[name].ratios.append(cpu_ns / floor)


def dumps(bench: Bench, flows: int, rounds: int) -> list[list[str]]:
    """Lines of the table of dumps."""
    cells: dict[str, Cells] = defaultdict(Cells)
    memory = Memory()
    with tracked(bench, timeout_seconds=HOUR):
        fill(bench, flows, rate=FILL_RATE)
        fill(bench, flows, rate=FILL_RATE)
        there = count(bench)
        for _ in range(rounds):
            dump_round(bench, there, cells, memory)
    if there < flows * 0.99:
        raise BenchError(f"only {there} of {flows} flows could be made")
    sizes = [spread(memory.resident), spread(memory.peak), spread(memory.file)]
    return [
        [
            name,
            f"{there:,}",
            spread(cell.cpu_ns),
            spread(cell.ratios, 2),
            *(sizes if name == "netledger, dump" else ["", "", ""]),
        ]
        for name, cell in cells.items()
    ]


def events_once(bench: Bench, reader: Reader, flows: int, *, steady_rate: int) -> tuple[float, float, float]:
    """CPU for an event, loss in percent, and what one flow took of who ended it (or sent its packet), in ns."""
    lived = STEADY_SECONDS_LIVED if steady_rate else HOUR
    # What a program writes goes to memory: disks are slow in their own way.
    with tracked(bench, timeout_seconds=lived), scratch("/dev/shm") as directory:  # noqa: S108 - see above
        if not steady_rate:
            fill(bench, flows, rate=FILL_RATE)
        there = flows if steady_rate else count(bench)
        with Program(bench, reader.command(directory), directory=directory) as program:
            program.wait_idle(quiet_seconds=1.0, seconds_max=30)
            before, started = program.usage().cpu_ns, resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime
            if steady_rate:
                fill(bench, flows, rate=steady_rate)
            else:
                flush(bench)
            other = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime - started) * 1e9 / there
            deadline = time.monotonic() + 180
            while count(bench):
                if time.monotonic() > deadline:
                    raise BenchError("flows do not end")
                time.sleep(0.2)
            program.wait_idle(quiet_seconds=1.0, seconds_max=60)
            used = program.usage().cpu_ns - before
            got = reader.ended(directory, program.stop(signal.SIGTERM))
    return used / max(got, 1), 100 * (there - got) / there, other


def events(bench: Bench, flows: int, *, rounds: int, steady_rate: int) -> list[list[str]]:
    """Lines of the table of events."""
    cells: dict[str, Cells] = defaultdict(Cells)
    for _ in range(rounds):
        floor = 0.0
        for reader in READERS:
            if reader.missing():
                continue
            cpu_ns, loss, other = events_once(bench, reader, flows, steady_rate=steady_rate)
            floor = cpu_ns if reader.name == FLOOR_EVENTS else floor
            cell = cells[reader.name]
            cell.cpu_ns.append(cpu_ns)
            cell.ratios.append(cpu_ns / floor)
            cell.losses.append(loss)
            cell.other_ns.append(other)
    how = f"{steady_rate:,} a second" if steady_rate else "all at once"
    return [
        [
            name,
            how,
            f"{flows:,}",
            spread(cell.cpu_ns),
            spread(cell.ratios, 2),
            f"{statistics.median(cell.losses):.2f} ({min(cell.losses):.2f}-{max(cell.losses):.2f})",
            spread(cell.other_ns),
        ]
        for name, cell in cells.items()
    ]


def main() -> int:
    """Measures and prints two tables; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument(
        "--flows", default="100000,1000000", metavar="N,N", help="flows of a dump; none: '' (100000,1000000)"
    )
    parser.add_argument(
        "--flush", type=int, default=500_000, metavar="N", help="flows that end at once; 0: none (500000)"
    )
    parser.add_argument(
        "--steady", type=int, default=300_000, metavar="N", help="flows that end evenly; 0: none (300000)"
    )
    parser.add_argument("--rate", type=int, default=30_000, metavar="N", help="those a second (30000)")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    wanted = parser.parse_args()
    sizes = [int(size) for size in wanted.flows.split(",") if size]
    left_out = [why for reader in READERS if (why := reader.missing())]
    notes = [f"{wanted.rounds} rounds, median (least-greatest).", *left_out]
    try:
        build()
        with room_for(max([*sizes, wanted.flush, wanted.steady])), Bench(cpus=Cpus()) as bench:
            lines = [line for size in sizes for line in dumps(bench, size, wanted.rounds)]
            if lines:
                Report(name="conntrack-dump", head=DUMP_HEAD, rows=lines, notes=notes[:1]).show(
                    write_docs=wanted.write_docs
                )
            lines = []
            if wanted.flush:
                lines += events(bench, wanted.flush, rounds=wanted.rounds, steady_rate=0)
            if wanted.steady:
                lines += events(bench, wanted.steady, rounds=wanted.rounds, steady_rate=wanted.rate)
            if lines:
                Report(name="conntrack-events", head=EVENTS_HEAD, rows=lines, notes=notes).show(
                    write_docs=wanted.write_docs
                )
    except BenchError as error:
        print(f"conntrack: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
