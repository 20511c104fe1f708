"""Two CPUs count at once, in many rows and in a single one: whether they hold each other up more than the floors do."""

import argparse
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from harness import Bench, Cpus
from mechanisms import LOCAL, Mechanism, Running, chosen, floor, netledger
from rotation import beside, rotate
from table import Report, spread

__all__ = ["show"]

HEAD = ("what counts", "rows", "ns added, one CPU", "two CPUs", "at its least, one CPU", "two CPUs", "not counted")
ROWS_MAX = 262_144
OTHER_CPU = 2
ROWS = (1000, 1)


@dataclass(slots=True)
class Pair:
    """What a packet took, with one CPU and with two, and without any mechanism in the same round."""

    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)


def mechanisms(object_path: str | None) -> list[Mechanism]:
    """The floors, and the program. Without local networks the receiver has a row as well, the same for each packet."""
    other = ("--object", object_path) if object_path else ()
    one_hash = floor("tcx", ROWS_MAX, "-s", "-x", "locked")
    return [
        floor("tcx", ROWS_MAX),
        Mechanism(name="floor, tcx, one hash for all CPUs", hook="tcx", argv=one_hash.argv),
        netledger("tcx", ROWS_MAX, "host, local networks", "--local", LOCAL, *other),
        netledger("tcx", ROWS_MAX, "host", *other),
    ]


def _once(one: Running, addresses: int, packets: int) -> tuple[float, float]:
    (alone,) = rotate([one.bench], packets=packets, addresses=addresses)
    with beside(one.bench, cpu=OTHER_CPU, addresses=addresses) as injected:
        (together,) = rotate([one.bench], packets=packets, addresses=addresses)
    one.sent += 2 * packets + injected()
    return alone.undisturbed_ns, together.undisturbed_ns


def _row(name: str, addresses: int, mine: Pair, bare: Pair, uncounted: int | None) -> list[str]:
    added = [x - y for x, y in zip(mine.alone, bare.alone, strict=True)]
    both = [x - y for x, y in zip(mine.together, bare.together, strict=True)]
    return [
        name,
        f"{addresses:,}",
        spread(added),
        spread(both),
        f"{min(mine.alone) - min(bare.alone):.0f}",
        f"{min(mine.together) - min(bare.together):.0f}",
        "" if uncounted is None else f"{uncounted:,}",
    ]


def _measured(running: Sequence[Running], addresses: int, *, rounds: int, packets: int) -> dict[str, Pair]:
    found: dict[str, Pair] = {one.mechanism.name: Pair() for one in running}
    for number in range(rounds):
        print(f"two CPUs, {addresses:,} rows, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        for one in running:
            alone, together = _once(one, addresses, packets)
            found[one.mechanism.name].alone.append(alone)
            found[one.mechanism.name].together.append(together)
    return found


def show(wanted: argparse.Namespace) -> None:
    """Measures, and shows the table.

    Raises:
        BenchError: something did not start.
    """
    rows: list[list[str]] = []
    slower: list[str] = []
    for addresses in ROWS:
        with ExitStack() as stack:
            everything = [Mechanism(name="nothing", hook=""), *chosen(mechanisms(wanted.object), wanted.only)]
            running = [
                one.start(stack.enter_context(Bench(cpus=Cpus(), name=f"t{number}")), stack)
                for number, one in enumerate(everything)
            ]
            found = _measured(running, addresses, rounds=wanted.rounds, packets=wanted.packets)
            bare = found["nothing"]
            slower.append(f"{statistics.median(bare.together) / statistics.median(bare.alone):.2f}")
            for one in running[1:]:
                name = one.mechanism.name
                rows.append(_row(name, addresses, found[name], bare, one.uncounted()))
    notes = [
        f"{wanted.rounds} rounds, median (least-greatest), CPUs 0 and {OTHER_CPU}; without anything that counts a "
        f"packet takes {' and '.join(slower)} times as long when both of them receive. Without local networks all "
        "packets share the row of their receiver."
    ]
    Report(name="bpf-two", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
