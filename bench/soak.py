#!/usr/bin/env python3
"""The whole daemon for minutes under as many packets as the kernel takes: does anything grow, is each packet booked?"""

import argparse
import json
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from harness import Bench, BenchError, Cpus, Program, build, run, scratch
from kernel_memory import map_bytes
from mechanisms import private_file_system
from ours import Netledger
from rotation import beside
from table import Report

HEAD = ("what", "first", "least", "median", "greatest", "last", "grew", "samples")
BARS = "▁▂▃▄▅▆▇█"
SAMPLES = 60
NETLEDGER = Path(sys.executable).with_name("netledger")
COUNTER = "independent"
READY_SECONDS_MAX = 30


@dataclass(slots=True)
class Samples:
    """What was seen, in the order in which it was seen."""

    megabytes: dict[str, list[float]] = field(default_factory=dict)
    kpps: list[float] = field(default_factory=list)

    def rows(self) -> list[list[str]]:
        """Lines of the table."""
        lines = [_line(f"{name}, MB", values) for name, values in self.megabytes.items()]
        return [*lines, _line("packets a second, thousands", self.kpps)]


def _line(name: str, values: Sequence[float]) -> list[str]:
    numbers = (values[0], min(values), statistics.median(values), max(values), values[-1])
    return [name, *(f"{number:,.1f}" for number in numbers), f"{_growth(values):+,.1f}", _plot(values)]


def _growth(values: Sequence[float]) -> float:
    """From the second quarter to the last one: what a beginning needs is over by then."""
    quarter = max(1, len(values) // 4)
    return statistics.mean(values[-quarter:]) - statistics.mean(values[quarter : 2 * quarter] or values[:1])


def _plot(values: Sequence[float]) -> str:
    """From nothing to the greatest, so that what is flat looks flat."""
    top = max(*values, 1e-9)
    return "".join(BARS[min(len(BARS) - 1, int(value / top * len(BARS)))] for value in values)


def _counted(bench: Bench) -> tuple[int, int]:
    """Packets and bytes by the independent counter."""
    said = json.loads(bench.inside("nft", "-j", "list", "counter", "inet", "bench", COUNTER))
    counter = next(part["counter"] for part in said["nftables"] if "counter" in part)
    return int(counter["packets"]), int(counter["bytes"])


def _wait_counting(directory: Path) -> None:
    """Waits until the daemon says that it counts, and that nothing is wrong.

    Raises:
        BenchError: it does not; what it says instead.
    """
    deadline = time.monotonic() + READY_SECONDS_MAX
    while True:
        try:
            run(NETLEDGER, "status", "--config", directory / "netledger.toml")
        except BenchError as not_yet:
            if time.monotonic() > deadline:
                raise BenchError(f"the daemon does not count: {not_yet}") from not_yet
        else:
            return
        time.sleep(0.2)


def _sample(bench: Bench, program: Program, samples: Samples, *, seconds: float) -> None:
    """Looks SAMPLES times, evenly. Blocks."""
    start, before = time.monotonic(), _counted(bench)[0]
    since = start
    for number in range(1, SAMPLES + 1):
        time.sleep(max(0.0, start + seconds * number / SAMPLES - time.monotonic()))
        own, *children = program.parts_kib()
        maps = map_bytes(program.pid)
        seen = {
            "daemon": own / 1024,
            "its children": sum(children) / 1024,
            "maps of the kernel": sum(maps.values()) / 1e6,
        }
        for name, value in seen.items():
            samples.megabytes.setdefault(name, []).append(value)
        packets, now = _counted(bench)[0], time.monotonic()
        samples.kpps.append((packets - before) / (now - since) / 1000)
        before, since = packets, now
        print(
            f"{now - start:6.0f} s  " + "  ".join(f"{name} {value:.1f} MB" for name, value in seen.items()),
            f" {samples.kpps[-1]:.0f} kpps",
            file=sys.stderr,
            flush=True,
        )


def _balance(store: Path) -> tuple[dict[str, int], dict[str, int], int]:
    """Totals of all rows, the balance of all receipts, and the exit status of audit, which reads the whole store."""
    year = time.strftime("%Y", time.gmtime())
    report = json.loads(
        run(
            NETLEDGER,
            "report",
            "--store",
            store,
            "--period",
            year,
            "--by",
            "",
            "--json",
            check=False,
            timeout_seconds=600,
        )
    )
    status = 0
    try:
        print(run(NETLEDGER, "audit", "--store", store, "--verify", timeout_seconds=600))
    except BenchError as unbalanced:
        print(unbalanced)
        status = 1
    return report["total"], report["balance"], status


def soak(wanted: argparse.Namespace, samples: Samples) -> list[str]:
    """Runs it. What is not as it has to be, in words.

    Raises:
        BenchError: the daemon did not start, or did not end.
    """
    ours = Netledger(
        name="netledger", floor="", rule=None, interval=wanted.interval, source=wanted.source, exports=False
    )
    with ExitStack() as stack:
        bench = stack.enter_context(Bench(cpus=Cpus(program=wanted.cpus)))
        directory = stack.enter_context(scratch(wanted.disk))
        # Behind the daemon's own place at the same hook, and before the rule that ends all packets.
        bench.rules(f"counter name {COUNTER}", f"counter {COUNTER} {{ }}", priority=95)
        command = private_file_system(ours.command(directory))
        program = stack.enter_context(Program(bench, command, directory=directory))
        _wait_counting(directory)
        injected = []
        with ExitStack() as traffic:
            for cpu in (int(cpu) for cpu in wanted.generators.split(",")):
                seconds = int(wanted.minutes * 60) + 120
                sending = beside(bench, cpu=cpu, addresses=wanted.addresses, seconds_max=seconds)
                injected.append(traffic.enter_context(sending))
            _sample(bench, program, samples, seconds=wanted.minutes * 60)
        program.stop(signal.SIGTERM)
        packets = sum(each() for each in injected)
        nft_packets, nft_bytes = _counted(bench)
        total, balance, audit_status = _balance(directory / "store")
        said = program.last_words() if audit_status else ""
    found = {
        "injected": packets,
        "nft counter": nft_packets,
        "rows, sent": total["sent_packets"],
        "rows, received": total["received_packets"],
        "receipts, kernel": balance["kernel_packets"],
        "receipts, accounted": balance["accounted_packets"],
    }
    print("\n".join(f"{name:20} {number:>15,} packets" for name, number in found.items()))
    print(f"{'nft counter':20} {nft_bytes:>15,} bytes\n{'rows, sent':20} {total['sent_bytes']:>15,} bytes")
    statuses = {name: balance[name] for name in ("intervals", "exact", "lossy", "unproven", "interrupted")}
    print("  ".join(f"{number} {name}" for name, number in statuses.items()))
    wrong = [f"{name} differs from what was injected by {n - packets:+,}" for name, n in found.items() if n != packets]
    if total["sent_bytes"] != nft_bytes:
        wrong.append(f"bytes of the rows differ from the nft counter by {total['sent_bytes'] - nft_bytes:+,}")
    if balance["exact"] != balance["intervals"]:
        wrong.append("not all intervals are exact")
    if audit_status:
        wrong.append(f"audit does not balance; the daemon said last: {said}")
    return wrong


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, metavar="N", help="how long (10)")
    parser.add_argument("--addresses", type=int, default=300_000, metavar="N", help="rows of an interval (300000)")
    parser.add_argument("--interval", default="5s", help="between two cuts (5s)")
    parser.add_argument("--source", choices=["bpf", "nflog", "auto"], default="bpf", help="what counts (bpf)")
    parser.add_argument("--generators", default="0,2", metavar="CPU,CPU", help="where packets are made (0,2)")
    parser.add_argument("--cpus", default="1,3", metavar="CPU,CPU", help="where the daemon runs (1,3)")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="where its store lies (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    return parser.parse_args()


def main() -> int:
    """Runs it, prints a table; 1 if a packet is missing or something is not exact."""
    wanted = arguments()
    samples = Samples()
    try:
        build()
        wrong = soak(wanted, samples)
        notes = [
            f"{wanted.minutes:g} minutes, {wanted.addresses:,} addresses, cuts every {wanted.interval}, source "
            f"{wanted.source}; {SAMPLES} samples. *Grew*: mean of the last quarter minus mean of the second one. "
            + (
                "Audit exact; what was injected, the nft counter and the ledger agree to the packet and byte."
                if not wrong
                else ""
            ),
        ]
        Report(name="soak", head=HEAD, rows=samples.rows(), notes=notes).show(
            write_docs=wanted.write_docs and not wrong
        )
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    for line in wrong:
        print(f"soak: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
