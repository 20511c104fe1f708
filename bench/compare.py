"""Other programs and this one side by side under the same packets. How to read the table: bench/README.md."""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import table
from harness import Bench, BenchError, Cpus, build, scratch
from ours import Netledger
from peers import PLAIN, THRESHOLD, Floor, Peer, Uacctd, Ulogd
from rates import FIXED_HEAD, HIGHEST_HEAD, PLAIN_FLOOR, Load, Rounds, highest, progress

FLOOR_THRESHOLD = "floor, threshold 50, gathering"


def programs(disk: Path) -> list[Peer]:
    """All that can be measured, the floors first because the others are divided by them."""
    return [
        Floor(name=PLAIN_FLOOR, rule=PLAIN),
        Floor(name=FLOOR_THRESHOLD, rule=THRESHOLD, gather_ms=5),
        Netledger(name="netledger, given group", floor=PLAIN_FLOOR, rule=PLAIN),
        Netledger(name="netledger, given group, runtime on disk", floor=PLAIN_FLOOR, rule=PLAIN, runtime=disk),
        Netledger(name="netledger, threshold 50", floor=FLOOR_THRESHOLD, rule=THRESHOLD),
        Netledger(name="netledger, threshold 50, runtime on disk", floor=FLOOR_THRESHOLD, rule=THRESHOLD, runtime=disk),
        Netledger(name="netledger, own rules", floor=PLAIN_FLOOR, rule=None),
        Netledger(name="netledger, own rules, runtime on disk", floor=PLAIN_FLOOR, rule=None, runtime=disk),
        Netledger(name="netledger, own rules, a cut a second", floor=PLAIN_FLOOR, rule=None, interval="1s"),
        Uacctd(name="uacctd, tuned", floor=FLOOR_THRESHOLD, tuned=True),
        Uacctd(name="uacctd, default", floor=FLOOR_THRESHOLD, tuned=False),
        Ulogd(name="ulogd2 LOGEMU, tuned", floor=FLOOR_THRESHOLD),
    ]


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (3)")
    parser.add_argument("--addresses", default="1000,100000", metavar="N,N", help="numbers of addresses (1000,100000)")
    parser.add_argument(
        "--rate", type=int, default=100_000, metavar="PPS", help="packets a second; --max starts there (100000)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="how long packets come in each run (5)")
    parser.add_argument(
        "--only", default="", metavar="TEXT,TEXT", help="programs with one of these in the name; the floors always run"
    )
    parser.add_argument("--max", action="store_true", help="find the highest rate without loss instead")
    parser.add_argument(
        "--cpus", default="0,1", metavar="A,B", help="CPU of the generator, and those of the programs (0,1)"
    )
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="a directory on a disk (/var/tmp)")  # noqa: S108 - only a default
    parser.add_argument("--log", type=Path, metavar="FILE", help="append each run as a line of JSON")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    return parser.parse_args()


def chosen(everything: Sequence[Peer], only: str) -> list[Peer]:
    """The floors, and what ``only`` names."""
    words = [word for word in only.split(",") if word]
    return [
        peer for peer in everything if not words or peer.name == peer.floor or any(word in peer.name for word in words)
    ]


def fixed_rate(bench: Bench, peers: Sequence[Peer], wanted: argparse.Namespace) -> tuple[list[list[str]], list[str]]:
    """Rows and notes of the rounds."""
    loads = [Load(int(number), wanted.rate, wanted.seconds) for number in wanted.addresses.split(",")]
    rounds = Rounds(bench, peers, wanted.log)
    rounds.run(loads, rounds=wanted.rounds)
    notes = [f"{name}: {reason}" for name, reason in rounds.failures.items()]
    return rounds.rows(), [f"{wanted.rounds} rounds, median (least-greatest); loss is the worst round's.", *notes]


def highest_rates(bench: Bench, peers: Sequence[Peer], wanted: argparse.Namespace) -> tuple[list[list[str]], list[str]]:
    """Rows and notes of the search."""
    rows, notes = [], ["≥: the generator could not go faster."]
    for number in wanted.addresses.split(","):
        for peer in peers:
            absent = peer.missing()
            if absent:
                notes.append(f"{peer.name}: skipped: {absent}")
                continue
            progress(f"{peer.name}, {number} addresses")
            try:
                rows.append(highest(bench, peer, Load(int(number), wanted.rate, wanted.seconds), wanted.log))
            except BenchError as error:
                notes.append(f"{peer.name}: failed: {error}")
    return rows, notes


def main() -> int:
    """Measures and prints one table; the exit status."""
    return measured(programs, rates="rates", highest="highest")


def measured(programs: Callable[[Path], list[Peer]], *, rates: str, highest: str) -> int:
    """The same for other programs, which get a directory on a disk; ``rates`` and ``highest`` are the tables' names."""
    wanted = arguments()
    generator, _, program = wanted.cpus.partition(",")
    try:
        build()
        with ExitStack() as stack:
            bench = stack.enter_context(Bench(cpus=Cpus(int(generator), program)))
            peers = chosen(programs(stack.enter_context(scratch(wanted.disk))), wanted.only)
            rows, notes = (highest_rates if wanted.max else fixed_rate)(bench, peers, wanted)
        name, head = (highest, HIGHEST_HEAD) if wanted.max else (rates, FIXED_HEAD)
        table.Report(name=name, head=head, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0
