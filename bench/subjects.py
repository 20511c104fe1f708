#!/usr/bin/env python3
"""Whose traffic a month was: 100,000 assignments joined to its rows, and the sums by subject that housekeeping makes.

A store is made by `bench/month.py`, or one that is there is taken by `--store`. Each address is handed from customer to
customer at any second of the month, so that intervals are cut in two by it.
"""

# ruff: noqa: S311  # customers are made up, and the same each time

import argparse
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

from harness import BenchError, scratch
from month import Month, add_options, fill, month_of
from table import Report
from work import OURS, Work, by_turns

from netledger.attribution.facts import Fact, Target
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger import Ledger
from netledger.ledger.assignments import Assignments
from netledger.ledger.maintain import compact, roll_up
from netledger.ledger.subject_rollup import SubjectSums
from netledger.receipt import rfc3339

HEAD = ("what", "rows", "wall s", "CPU s", "memory MB")
SEED = 7


def handed_over(month: Month, assignments: int, subjects: int) -> Iterator[Fact]:
    """Each address is somebody's all the time, one after the other."""
    chance = random.Random(SEED)
    end_ns = month.start_ns + month.days * DAY_NS
    each, more = divmod(assignments, month.hosts)
    for place, host in enumerate(month.addresses.to_pylist()):
        target = Target.address(socket.inet_ntop(socket.AF_INET, host[12:]))
        cuts = [chance.randrange(month.start_ns, end_ns, SECOND_NS) for _ in range(each + (place < more) - 1)]
        borders = sorted({month.start_ns, *cuts, end_ns})
        for start_ns, stop_ns in pairwise(borders):
            name = f"customer-{chance.randrange(subjects):05}"
            yield Fact(target=target, valid_from_ns=start_ns, valid_to_ns=stop_ns, subject=name, source="isp")


def assign(store: Path, month: Month, wanted: argparse.Namespace) -> Work | None:
    """Adds the assignments; nothing where the store has some."""
    ledger = Ledger(store, clock=month.clock)
    ledger.open()  # brings it to this version
    ledger.close()
    book = Assignments(store, month.clock)
    if book.last_id():
        return None
    facts = list(handed_over(month, wanted.assignments, wanted.subjects))
    work = Work("assignments written down, all", len(facts))
    with work.timed():
        book.add(facts)
    return work


def keep(store: Path, month: Month) -> Work:
    """Adds up every day by subject and makes one file of it; nothing of a store where that has been done."""
    rows = month.rows // month.days
    summed = Work("sums by subject of a day", rows)
    ledger = Ledger(store, clock=month.clock)
    ledger.open()
    try:
        sums = SubjectSums(ledger)
        waiting = sums.waiting(before_ns=month.start_ns + month.days * DAY_NS, from_day="")
        for number in range(month.days):
            day = time.strftime("%Y-%m-%d", time.gmtime(month.start_ns // SECOND_NS + number * 86_400))
            roll_up(ledger, day)
            if day in waiting:
                with summed.timed():
                    sums.add_up(day)
            compact(ledger, day)
    finally:
        ledger.close()
    return summed


def measure(directory: Path, wanted: argparse.Namespace) -> list[list[str]]:
    """All lines of the table."""
    month = month_of(wanted)
    store = wanted.store or directory / "store"
    if wanted.store is None:
        for _ in fill(store, month, jobs=wanted.jobs):
            pass
    end_ns = month.start_ns + month.days * DAY_NS
    whole = f"{rfc3339(month.start_ns)}..{rfc3339(end_ns)}"
    # What does not begin on an hour is answered from rows.
    cut = f"{rfc3339(month.start_ns + SECOND_NS)}..{rfc3339(end_ns)}"

    def asked(what: str, period: str, *options: str) -> Work:
        argv = [OURS, "report", "--store", store, "--timezone", "UTC", "--top", "10", "--period", period, *options]
        return Work(what, month.rows, argv)

    state = "compacted rows" if any((store / "data" / "traffic").rglob("compacted-*")) else "rows as they came"
    done = [apart(assign, store, month, wanted)]
    from_rows = [
        asked(f"hosts of the month, from {state}", cut),
        asked(f"subjects of the month, from {state}", cut, "--by", "subject"),
    ]
    by_turns(from_rows, wanted.rounds)
    if wanted.rows_only:
        return [one.row(with_memory=True) for one in (*done, *from_rows) if one is not None]
    done.append(apart(keep, store, month))
    from_sums = [
        asked("subjects of the month, from sums by subject", whole, "--by", "subject"),
        asked("a subject of the month by day, from sums", whole, "--subject", "customer-00001", "--per", "day"),
    ]
    by_turns(from_sums, wanted.rounds)
    late = asked("subjects of the month, one day of it corrected just now", whole, "--by", "subject")
    correct(store, month)
    by_turns([late], wanted.rounds)
    return [one.row(with_memory=True) for one in (*done, *from_rows, *from_sums, late) if one is not None and one.wall]


def apart(act: Callable[..., Work | None], *given: object) -> Work | None:
    """Does it in a process of its own: what this one has had of memory is told of each child too."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(act, *given).result()


def correct(store: Path, month: Month) -> None:
    """Somebody else had an address in the middle of the month, as is said now."""
    at_ns = month.start_ns + month.days // 2 * DAY_NS
    target = Target.address(socket.inet_ntop(socket.AF_INET, month.addresses[0].as_py()[12:]))
    end_ns = at_ns + 3600 * SECOND_NS
    fact = Fact(
        target=target, valid_from_ns=at_ns, valid_to_ns=end_ns, subject=f"corrected-{time.time_ns()}", source="assign"
    )
    Assignments(store, month.clock).add([fact])


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (3)")
    add_options(parser)
    parser.add_argument("--assignments", type=int, default=0, metavar="N", help="facts (10 for 3 hosts; 100000)")
    parser.add_argument("--subjects", type=int, default=10_000, metavar="N", help="names in them (10000)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="one that month.py has made; is given assignments")
    parser.add_argument("--rows-only", action="store_true", help="ask the rows, and make no sums")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    wanted.assignments = wanted.assignments or wanted.hosts * 10 // 3
    try:
        with scratch(wanted.disk) as directory:
            rows = measure(directory, wanted)
        notes = [
            f"{wanted.assignments:,} assignments, {wanted.subjects:,} subjects; a store that has some gets none.",
            f"{wanted.rounds} rounds, median (least-greatest). Memory: the most that was resident.",
            "Each question is a process of netledger, from its start to its end; the kernel has the files in memory.",
        ]
        Report(name="subjects", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except (BenchError, OSError) as error:
        print(f"subjects: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
