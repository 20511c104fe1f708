#!/usr/bin/env python3
"""Questions to a month of traffic, and what housekeeping of it costs; each question by a process of its own.

A store is made by `bench/month.py`, or one that is there is taken by `--store`. The others get one day of it.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import BENCH, BenchError, scratch
from month import Month, add_options, fill, month_of, receipt_of
from rivals import RIVALS
from table import Report, spread
from work import OURS, Work, by_turns

from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger import Ledger
from netledger.ledger.maintain import compact, roll_up

HEAD = ("what", "rows", "wall s", "CPU s")


def ours(what: str, rows: int, store: Path, *options: str) -> Work:
    """A report of the ten greatest."""
    return Work(f"netledger: {what}", rows, [OURS, "report", "--store", store, "--top", "10", *options])


def day_of_rivals(directory: Path, month: Month) -> Iterator[Work]:
    """The first day in each of the others; they are closed before they are asked."""
    for name, place in RIVALS.items():
        folder = directory / name.replace(" ", "-")
        folder.mkdir()
        rival = place(folder)
        for number in range(month.intervals_per_day):
            start_ns = month.start_ns + number * month.length_ns
            rival.commit(month.batch(number), start_ns=start_ns, end_ns=start_ns + month.length_ns)
        rival.close()
        span = (str(month.start_ns), str(month.start_ns + DAY_NS))
        argv: list[str | Path] = [sys.executable, BENCH / "rivals.py", name, folder, *span]
        yield Work(f"{name}: hosts of a day", month.rows // month.days, argv)


def small_day(store: Path, hosts: int) -> Work:
    """A day of 288 intervals and at most 2,000 rows each, none of them compacted: what is asked most often."""
    day = Month(days=1, hosts=min(hosts, 1_999))
    for _ in fill(store, day, jobs=1):
        pass
    return ours(f"hosts of a day of 288 x {day.hosts + 1:,} rows", day.rows, store, "--period", day.start)


def keep(store: Path, month: Month) -> list[Work]:
    """Rolls up and compacts every day; nothing of a store where that has been done."""
    rows = month.rows // month.days
    rolled, compacted = Work("hourly sums of a day", rows), Work("compaction of a day", rows)
    ledger = Ledger(store, clock=month.clock)
    ledger.open()
    try:
        is_new = not any("rolled" in path.name or "compacted" in path.name for path in (store / "data").rglob("*"))
        for number in range(month.days if is_new else 0):
            day = time.strftime("%Y-%m-%d", time.gmtime(month.start_ns // SECOND_NS + number * 86_400))
            with rolled.timed():
                roll_up(ledger, day)
            with compacted.timed():
                compact(ledger, day)
    finally:
        ledger.close()
    return [rolled, compacted]


@contextmanager
def writer(store: Path) -> Iterator[None]:
    """Commits 2,000 rows ten times a second meanwhile, to a day long before."""
    process = subprocess.Popen([sys.executable, BENCH / "reports.py", "--write", str(store)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise BenchError("nobody writes")
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def write(store: Path) -> None:
    """What :func:`writer` starts: commits until it is killed."""
    month = Month(start="2026-01-01", hosts=1_999)
    batch = month.batch(0)
    ledger = Ledger(store, clock=month.clock)
    ledger.open()
    seq = time.monotonic_ns()  # a number that no writer before had
    while True:
        start_ns = month.start_ns + seq % DAY_NS
        ledger.commit(receipt_of(seq, batch, start_ns=start_ns, end_ns=start_ns + SECOND_NS, meter="busy"), batch)
        seq += 1
        print(seq, flush=True)
        time.sleep(0.1)


def beside_writer(question: Work, store: Path, rounds: int) -> list[str]:
    """How much longer a question takes while somebody writes; alone and not alone by turns."""
    twin = Work(question.what, question.rows, question.argv)
    for _ in range(rounds):
        twin.once()
        with writer(store):
            twin.once()
    ratios = [busy / alone for alone, busy in zip(twin.wall[::2], twin.wall[1::2], strict=True)]
    return [f"{question.what}, while somebody writes: x alone", f"{question.rows:,}", spread(ratios, 2), "-"]


def measure(directory: Path, wanted: argparse.Namespace) -> list[list[str]]:
    """All lines of the table."""
    month = month_of(wanted)
    store = wanted.store or directory / "store"
    if wanted.store is None:
        for _ in fill(store, month, jobs=wanted.jobs):
            pass
    day, whole, rows = month.start, month.start[:7], month.rows // month.days
    asked = [small_day(directory / "small", month.hosts)]
    if not wanted.no_rivals:
        asked += day_of_rivals(directory, month)
    asked += [ours("hosts of a day, as they came", rows, store, "--period", day)] if wanted.store is None else []
    by_turns(asked, wanted.rounds)
    work = keep(store, month)
    kept = [
        ours("hosts of a day, from hourly sums", rows, store, "--period", day),
        ours("hosts of two hours and a quarter, from rows", rows, store, "--period", f"{day}T10:07..{day}T12:22"),
        ours("hosts of the month, from hourly sums", month.rows, store, "--period", whole),
    ]
    by_turns(kept, wanted.rounds)
    busy = beside_writer(asked[0], directory / "small", wanted.rounds)
    done = [part.row() for part in work if part.wall]
    return [question.row() for question in (*asked, *kept)] + done + [busy]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (5)")
    add_options(parser)
    parser.add_argument("--store", type=Path, metavar="DIR", help="one that month.py has made with the same options")
    parser.add_argument("--no-rivals", action="store_true", help="leave the others out; SQLite takes a minute a day")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--write", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.write is not None:
        write(wanted.write)
    try:
        with scratch(wanted.disk) as directory:
            rows = measure(directory, wanted)
        notes = [
            f"{wanted.rounds} rounds, median (least-greatest); housekeeping: all days.",
            "Each question is a process of its own, from its start to its end; the kernel has the files in memory.",
            "Somebody writes: 2,000 rows are committed ten times a second.",
        ]
        Report(name="month" if wanted.no_rivals else "reports", head=HEAD, rows=rows, notes=notes).show(
            write_docs=wanted.write_docs
        )
    except (BenchError, OSError) as error:
        print(f"reports: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
