"""A cut of many rows of a meter in the kernel, reading them beside a bare look-up, memory, and a daemon that rests."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from harness import Bench, Cpus, Program, scratch
from mechanisms import FULL_KEY, LOCAL, MEMORY, netledger, private_file_system
from ours import Netledger
from table import Report, spread

__all__ = ["show"]

CUT_HEAD = (
    "hook, key, rows",
    "read, ns/row",
    "x floor",
    "cut, CPU s",
    "cut, s",
    "of it read, s",
    "bytes/row",
    "not counted",
)
DAEMON_HEAD = ("daemon, no cuts", "packets/s", "CPU ms a minute")
RATE_DURING = 200_000
SETTLE_SECONDS = 1.0
IDLE_SECONDS = 15
ROUNDS_MAX = 5
IDLE_RATE = 300_000


class Counted(NamedTuple):
    """What is cut."""

    hook: str
    key: str
    columns: str


COUNTED = (
    Counted("tcx", "host", "host"), Counted("netfilter", "host", "host"), Counted("tcx", "full key", FULL_KEY),
)  # fmt: skip


@dataclass(slots=True)
class Cells:
    """The values of one line, one for each round."""

    read_ns: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    read_s: list[float] = field(default_factory=list)
    row_bytes: list[float] = field(default_factory=list)
    uncounted: list[float] = field(default_factory=list)

    def columns(self) -> list[str]:
        """In the order of the table."""
        parts: Sequence[tuple[list[float], int]] = (
            (self.read_ns, 0), (self.ratios, 2), (self.cpu_s, 2), (self.wall_s, 2), (self.read_s, 2),
            (self.row_bytes, 0), (self.uncounted, 0),
        )  # fmt: skip
        return [spread(values, digits) for values, digits in parts]


def _cut_once(bench: Bench, counted: Counted, rows: int, object_path: str | None, cells: Cells) -> int:
    """Fills, cuts while packets go on, fills again, reads beside the floor. Returns the rows of the cut."""
    other = ("--object", object_path) if object_path else ()
    columns = ("--columns", counted.columns, "--local", LOCAL)
    mechanism = netledger(counted.hook, rows, "", *columns, *other)
    with ExitStack() as stack:
        running = mechanism.start(bench, stack)
        program = running.program
        assert program is not None
        sent = bench.send(packets=rows, addresses=rows, rate=0).packets
        helper = stack.enter_context(ThreadPoolExecutor(1))
        during = helper.submit(bench.send, packets=4 * RATE_DURING, addresses=1000, rate=RATE_DURING)
        time.sleep(SETTLE_SECONDS)  # the generator needs a moment until it sends; some seconds of traffic follow
        program.notify(signal.SIGUSR1)
        sent += during.result().packets
        program.wait_lines(2)
        sent += bench.send(packets=rows, addresses=rows, rate=0).packets
        program.notify(signal.SIGUSR2)
        program.wait_lines(3, seconds_max=120)
        lines = [json.loads(line) for line in program.stop(signal.SIGTERM).splitlines()]
    cut, compared, end = lines[1:]
    for floor_ms, read_ms in zip(compared["floor_ms"], compared["read_ms"], strict=True):
        cells.read_ns.append(read_ms * 1e6 / compared["rows"])
        cells.ratios.append(read_ms / floor_ms)
    own = [name for name in cut["cpu_ms"] if name != "batch"]
    cells.cpu_s.append(sum(cut["cpu_ms"][name] for name in own) / 1e3)
    cells.wall_s.append(sum(cut["wall_ms"][name] for name in own) / 1e3)
    cells.read_s.append(cut["cpu_ms"]["read"] / 1e3)
    cells.row_bytes.append(end["memory"]["rows"] / 2 / rows)  # two generations are there at any time
    cells.uncounted.append(sent - end["packets"])
    return int(cut["rows"])


def _cuts(wanted: argparse.Namespace) -> list[list[str]]:
    lines = []
    with Bench(cpus=Cpus(program="1,2")) as bench:
        for counted in COUNTED:
            cells, rows = Cells(), 0
            for number in range(min(wanted.rounds, ROUNDS_MAX)):
                print(f"cut at {counted.hook}, {counted.key}, round {number + 1}", file=sys.stderr, flush=True)
                rows = _cut_once(bench, counted, wanted.rows, wanted.object, cells)
            lines.append([f"{counted.hook}, {counted.key}, {rows:,}", *cells.columns()])
    return lines


def _idle(bench: Bench, source: str, rate: int) -> float:
    """CPU of the daemon in ms for a minute, while so many packets a second come."""
    ours = Netledger(name="netledger", floor="", rule=None, source=source)
    with ExitStack() as stack:
        directory = stack.enter_context(scratch(MEMORY))
        argv = private_file_system(ours.command(directory))
        program = stack.enter_context(Program(bench, argv, directory=directory))
        program.wait_idle(quiet_seconds=2, seconds_max=60)
        with ThreadPoolExecutor(1) as helper:
            packets = int(rate * IDLE_SECONDS * 1.2)
            sending = helper.submit(bench.send, packets=packets, addresses=100_000, rate=rate) if rate else None
            time.sleep(SETTLE_SECONDS)
            before = program.usage().cpu_ns
            time.sleep(IDLE_SECONDS)
            used = program.usage().cpu_ns - before
            if sending:
                sending.result()
        program.stop(signal.SIGTERM)
    return used / 1e6 * 60 / IDLE_SECONDS


def show(wanted: argparse.Namespace) -> None:
    """Measures, and shows two tables.

    Raises:
        BenchError: something did not start, or did not come to its end.
    """
    if wanted.rows:
        notes = [
            f"Up to {ROUNDS_MAX} rounds, median (least-greatest), {RATE_DURING:,} packets a second during the cut. "
            "CPU of all its steps but the Arrow batch: switching, waiting, reading into a table file, freeing, making "
            "room for the next. *x floor*: reading divided by a bare look-up of the same map in batches of 65,536. "
            "*bytes/row*: memory of the kernel for each row that there is room for, in each of two generations.",
        ]
        Report(name="bpf-cut", head=CUT_HEAD, rows=_cuts(wanted), notes=notes).show(write_docs=wanted.write_docs)
    with Bench(cpus=Cpus()) as bench:
        bench.rules(None)
        rows = [
            [f"netledger run, {source}", f"{rate:,}", f"{_idle(bench, source, rate):,.0f}"]
            for source, rate in (("bpf", 0), ("bpf", IDLE_RATE), ("nflog", 0), ("nflog", IDLE_RATE))
        ]
    notes = [f"{IDLE_SECONDS} s of it, with an interval of a day."]
    Report(name="bpf-idle", head=DAEMON_HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
