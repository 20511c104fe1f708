#!/usr/bin/env python3
"""What counting in the kernel adds to a packet, beside the least that does so, an nft set and NFLOG; cuts; two CPUs."""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import bpf_cuts
import bpf_two
from harness import Bench, BenchError, Cpus, build
from mechanisms import BOTH, NFLOG, NFT_SET, Mechanism, Running, chosen, of_packets
from rotation import Added, rotate
from table import Report, spread

BARE = "nothing"
HEAD = (
    "what counts", "addresses", "kernel ns added", "at its least", "reader ns", "x floor", "x floor, at their least",
    "x floor of both", "at their least", "x NFLOG", "x nft set", "not counted",
)  # fmt: skip
FILL_PACKETS = 1 << 15


def progress(message: str) -> None:
    """One line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


class Comparison:
    """All mechanisms at once, each in namespaces of its own, under the same packets in turn."""

    def __init__(self, addresses: int, log: Path | None) -> None:
        self._addresses = addresses
        self._log = log
        self._added: dict[str, Added] = {}
        self._uncounted: dict[str, int | None] = {}
        self._hooks: dict[str, str] = {}

    def run(self, mechanisms: Sequence[Mechanism], *, rounds: int, packets: int) -> None:
        """Measures. Blocks for about 2 µs for each packet, round and mechanism.

        Raises:
            BenchError: one of them does not start.
        """
        with ExitStack() as stack:
            bare = Mechanism(name=BARE, hook="")
            running = [
                one.start(stack.enter_context(Bench(cpus=Cpus(), name=f"m{number}")), stack)
                for number, one in enumerate((bare, *mechanisms))
            ]
            self._send(running, max(FILL_PACKETS, self._addresses))  # each address has its row by then
            for number in range(rounds):
                progress(f"{self._addresses:,} addresses, round {number + 1} of {rounds}")
                self._round(running, packets)
            for one in running:
                self._uncounted[one.mechanism.name] = one.uncounted()

    def _send(self, running: Sequence[Running], packets: int) -> list[float]:
        traffic = rotate([one.bench for one in running], packets=packets, addresses=self._addresses)
        for one in running:
            one.sent += packets
        self._note(running, traffic_ns=[each.packet_ns for each in traffic])
        return [each.undisturbed_ns for each in traffic]

    def _note(self, running: Sequence[Running], traffic_ns: Sequence[float]) -> None:
        if self._log:
            named = dict(zip((one.mechanism.name for one in running), traffic_ns, strict=True))
            with self._log.open("a") as file:
                file.write(json.dumps({"addresses": self._addresses, "tenth_percentile_ns": named}) + "\n")

    def _round(self, running: Sequence[Running], packets: int) -> None:
        before = [one.reader_ns() for one in running]
        took = self._send(running, packets)
        for one, used, packet_ns in zip(running, before, took, strict=True):
            self._hooks[one.mechanism.name] = one.mechanism.hook
            added = self._added.setdefault(one.mechanism.name, Added())
            added.note(packet_ns, took[0], (one.reader_ns() - used) / packets)

    def rows(self) -> list[list[str]]:
        """Lines of the table."""
        return [self._row(name) for name in self._added if name != BARE]

    def _row(self, name: str) -> list[str]:
        mine, bare, uncounted = self._added[name], self._added[BARE], self._uncounted[name]
        one_address = f"floor, {self._hooks[name]}"
        floor, both = self._added[one_address], self._added[f"{one_address}, {BOTH}"]

        def times(other: str) -> str:
            return "" if other not in self._added or other == name else f"{mine.median_ratio(self._added[other]):.2f}"

        return [
            name,
            f"{self._addresses:,}",
            spread(mine.kernel_ns),
            f"{mine.least_ns(bare):.0f}",
            f"{statistics.median(mine.reader_ns):.0f}" if any(mine.reader_ns) else "",
            spread(mine.ratios(floor), 2),
            f"{mine.least_ns(bare) / floor.least_ns(bare):.2f}",
            "" if mine is floor else spread(mine.ratios(both), 2),
            "" if mine is floor else f"{mine.least_ns(bare) / both.least_ns(bare):.2f}",
            times(NFLOG),
            times(NFT_SET),
            "" if uncounted is None else f"{uncounted:,}",
        ]


def packets_table(wanted: argparse.Namespace) -> None:
    """Measures what a packet costs, and shows it."""
    rows: list[list[str]] = []
    for addresses in (int(number) for number in wanted.addresses.split(",") if number):
        comparison = Comparison(addresses, wanted.log)
        everything = chosen(of_packets(addresses, wanted.object), wanted.only)
        comparison.run(everything, rounds=wanted.rounds, packets=max(wanted.packets, addresses))
        rows += comparison.rows()
    notes = [
        f"{wanted.rounds} rounds of at least {wanted.packets:,} packets each, median (least-greatest). Ratios are "
        "those of the same round, readers included; *at its least*: of all rounds, minus the least without any. "
        "*x floor* is of the one that counts the sender, *x floor of both* of the one that counts the receiver, too.",
    ]
    Report(name="bpf", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)


def arguments() -> argparse.Namespace:
    """What the user asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6, metavar="N", help="interleaved rounds (6)")
    parser.add_argument(
        "--addresses", default="1000,100000,1000000", metavar="N,N", help="numbers of addresses (1000,100000,1000000)"
    )
    parser.add_argument("--packets", type=int, default=500_032, metavar="N", help="packets in a round, each (500032)")
    parser.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows of a cut; 0: no cuts (1000000)")
    parser.add_argument(
        "--only", default="", metavar="TEXT,TEXT", help="what has one of these in its name; the floors always"
    )
    parser.add_argument("--part", choices=["packets", "cuts", "two"], help="only this table")
    parser.add_argument("--object", metavar="FILE", help="another object file than the one that is built in")
    parser.add_argument("--log", type=Path, metavar="FILE", help="append the 10th percentiles of each round, as JSON")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    return parser.parse_args()


def main() -> int:
    """Measures and prints three tables; the exit status."""
    wanted = arguments()
    parts = {"packets": packets_table, "cuts": bpf_cuts.show, "two": bpf_two.show}
    try:
        build()
        for name, part in parts.items():
            if wanted.part in {None, name}:
                part(wanted)
    except BenchError as error:
        print(f"bpf: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
