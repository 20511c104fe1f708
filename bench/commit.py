#!/usr/bin/env python3
"""An interval made durable: time, CPU and bytes, by the ledger and by what one would use otherwise."""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa
from harness import BenchError, scratch
from month import Month, full_key, receipt_of
from rivals import RIVALS
from table import Report, spread

from netledger.exports.csv import write_rows
from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger import Ledger

HEAD = ("kept in", "key", "rows", "wall ms", "CPU ms", "x netledger, CPU", "bytes/row")
OURS = "netledger"
EXPORT = "netledger's CSV export, beside it"
INTERVAL_NS: Final = 300 * SECOND_NS
Commit = Callable[[int, pa.RecordBatch], None]


@dataclass
class Case:
    """One place for intervals, and one size of them."""

    name: str
    key: str
    batch: pa.RecordBatch
    commit: Commit
    octets: Callable[[], int]
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    def once(self, number: int) -> None:
        """Commits one interval more."""
        used, started = _cpu(), time.perf_counter()
        self.commit(number, self.batch)
        self.wall_ms.append((time.perf_counter() - started) * 1e3)
        self.cpu_ms.append((_cpu() - used) * 1e3)


def _cpu() -> float:
    """Of all threads, with what the kernel did for them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def batches(sizes: list[int]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Rows of hosts, and rows of connections."""
    for size in sizes:
        yield "host", Month(hosts=size - 1).batch(1)
        yield "full", full_key(size - 1)


@contextmanager
def opened(directory: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    ledger = Ledger(directory, clock=SystemClock())
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()


def _span(number: int) -> tuple[int, int]:
    start_ns = Month().start_ns + number * INTERVAL_NS
    return start_ns, start_ns + INTERVAL_NS


def cases(directory: Path, key: str, batch: pa.RecordBatch, stack: ExitStack) -> Iterator[Case]:
    """Every place for intervals of one size; each begins empty."""
    own = directory / f"netledger-{key}-{batch.num_rows}"
    ledger = stack.enter_context(opened(own))

    def commit(number: int, rows: pa.RecordBatch) -> None:
        start_ns, end_ns = _span(number)
        ledger.commit(receipt_of(number, rows, start_ns=start_ns, end_ns=end_ns), rows)

    yield Case(OURS, key, batch, commit, lambda: sum(path.stat().st_size for path in own.rglob("*.parquet")))
    text = directory / f"export-{key}-{batch.num_rows}.csv"

    def export(number: int, rows: pa.RecordBatch) -> None:
        start_ns, end_ns = _span(number)
        with text.open("ab") as file:
            write_rows(file, rows, receipt_of(number, rows, start_ns=start_ns, end_ns=end_ns))

    yield Case(EXPORT, key, batch, export, lambda: text.stat().st_size)
    for name, place in RIVALS.items():
        folder = directory / f"{name}-{key}-{batch.num_rows}"
        folder.mkdir()
        rival = place(folder)
        stack.callback(rival.close)

        def add(number: int, rows: pa.RecordBatch, rival: object = rival) -> None:
            start_ns, end_ns = _span(number)
            rival.commit(rows, start_ns=start_ns, end_ns=end_ns)  # type: ignore[attr-defined]  # bound early, one of RIVALS

        # It has neither peers nor ports.
        if name != "CSV of go-nflog-acctd" or key == "host":
            yield Case(name, key, batch, add, rival.octets)


def row(case: Case, ours: Case) -> list[str]:
    """A line of the table."""
    count = len(case.wall_ms)
    return [
        case.name,
        case.key,
        f"{case.batch.num_rows:,}",
        spread(case.wall_ms, 1),
        spread(case.cpu_ms, 1),
        spread([one / other for one, other in zip(case.cpu_ms, ours.cpu_ms, strict=True)], 1),
        f"{case.octets() / case.batch.num_rows / (count + 1):.1f}",
    ]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="interleaved rounds (15)")
    parser.add_argument("--rows", default="2000,100000", metavar="N,N", help="rows of an interval (2000,100000)")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    rows = []
    try:
        with scratch(wanted.disk) as directory:
            for key, batch in batches([int(size) for size in wanted.rows.split(",")]):
                with ExitStack() as stack:
                    beside = list(cases(directory, key, batch, stack))
                    for case in beside:  # the first one loads and makes things
                        case.commit(1, batch)
                    for number in range(2, wanted.rounds + 2):
                        for case in beside:
                            case.once(number)
                    rows += [row(case, beside[0]) for case in beside]
        notes = [
            f"{wanted.rounds} rounds, median (least-greatest). CPU is of all threads, the ratio of the same round.",
            "The CSV of go-nflog-acctd is written as it does it: without making it durable.",
        ]
        Report(name="commit", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except (BenchError, OSError) as error:
        print(f"commit: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
