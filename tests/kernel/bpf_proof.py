"""Cuts generation after generation under full load, and demands that the books of the kernel are whole.

In packets and in bytes, for each generation: its rows, with what is in no row of their own, are its total; and nothing
in it moves after its cut. For all of them: they add up to what nft counted of the same packets.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from netledger._core import BpfMeter, Generation, KeySpec, Totals
from netledger.errors import NetledgerError
from tests.kernel.books import ZERO
from tests.kernel.bpf_box import BPFFS
from tests.kernel.bpf_duel import INTERFACE, Duel, Flood
from tests.kernel.lab import Count, wait_for

CUTS = 60
PACKETS_MIN = 4000
"""Of each generation: below it the races that this is about do not come."""
ROWS_MAX = 1024
NO_NAMES: dict[int, str] = {}
HOST, FULL = ("host",), ("host", "peer", "protocol", "host_port", "peer_port", "interface")


@dataclass(frozen=True, slots=True)
class Seen:
    """A generation as it was read."""

    total: Count
    sent: Count
    received: Count
    rows: int
    other: int
    unreadable: int
    lines: frozenset[tuple[tuple[str, object], ...]]

    def problems(self, name: str) -> list[str]:
        """Where the rows are not the total."""
        sides = {"sent": self.sent, "received": self.received}
        found = [
            f"{name}: rows {side} {sum_}, the total {self.total}" for side, sum_ in sides.items() if sum_ != self.total
        ]
        return found + ([f"{name}: {self.unreadable} unreadable"] if self.unreadable else [])


@dataclass
class Proof:
    """What came out."""

    cuts: int = 0
    total: Count = ZERO
    witness: Count = ZERO
    rows: int = 0
    other: int = 0
    packets_min: int = 1 << 62
    broken: int = 0
    moved: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, first: Seen, again: Seen) -> None:
        """Takes in one generation that was read twice."""
        self.cuts += 1
        self.total += first.total
        self.rows = max(self.rows, first.rows)
        self.other += first.other
        self.packets_min = min(self.packets_min, first.total.packets)
        found = first.problems(name)
        self.broken += bool(found)
        self.problems += found
        if first != again:
            self.moved += 1
            self.problems.append(f"{name}: moved after its cut by {again.total - first.total}")

    def compare(self, witness: Count) -> None:
        """All generations against nft."""
        self.witness = witness
        if self.total != witness:
            self.problems.append(f"generations {self.total}, nft {witness}: {self.total - witness}")

    def figures(self) -> str:
        """One paragraph for people."""
        return (
            f"{self.cuts} generations of {self.packets_min:,} packets and more, {self.rows} rows at most; "
            f"other {100 * self.other / max(1, self.total.packets):.1f} % of the packets\n"
            f"generations {self.total.packets:>12,} packets {self.total.bytes:>16,} bytes\n"
            f"nft         {self.witness.packets:>12,} packets {self.witness.bytes:>16,} bytes\n"
            f"difference  {(self.total - self.witness).packets:>12,} packets "
            f"{(self.total - self.witness).bytes:>16,} bytes\n"
            f"rows + other + unreadable not the total in {self.broken}, moved after the cut {self.moved}"
        )


def meter(
    attach: str,
    *,
    columns: Sequence[str] = HOST,
    rows_max: int = ROWS_MAX,
    object_path: Path | None = None,
    directory: str | Path = "proof",
    side: int = 1,
) -> BpfMeter:
    """One that has not touched anything yet; ``directory`` is below the BPF file system."""
    return BpfMeter(
        directory=str(BPFFS / directory),
        key=KeySpec(columns=list(columns), ipv6_prefix_length=128),
        rows_max=rows_max,
        attach=attach,
        side=side,
        object_path=None if object_path is None else str(object_path),
    )


def attach(counting: BpfMeter, kind: str, duel: Duel) -> None:
    """At the hooks, or at the only interface that there is."""
    if kind == "netfilter":
        counting.attach()
        return
    index = int(duel.run(duel.near, ["sh", "-c", f"ip -o link show dev {INTERFACE} | cut -d: -f1"]))
    counting.attach_interface(index, INTERFACE)


def prove(
    duel: Duel,
    counting: BpfMeter,
    kind: str,
    *,
    cuts: int = CUTS,
    settles: bool = True,
    packets_min: int = PACKETS_MIN,
) -> Proof:
    """Loads, attaches, and cuts while the duel goes on. Use it with the thread inside ``near``."""
    proof = Proof()
    before = duel.settled()
    counting.load()
    for generation in (1, 2):
        counting.prepare(generation)
    attach(counting, kind, duel)
    counting.switch(1)
    with Flood(duel) as flood:
        for generation in range(1, cuts + 1):
            wait_for_packets(counting, generation, packets_min)
            counting.switch(generation + 1)
            close(duel, counting, proof, generation, settles=settles, packets_min=packets_min)
            counting.prepare(generation + 2)
        flood.stop()
        witness = duel.settled()
    counting.switch(0)
    close(duel, counting, proof, cuts + 1, settles=True, packets_min=packets_min)
    proof.compare(witness - before)
    counting.remove()
    counting.close()
    return proof


def close(duel: Duel, counting: BpfMeter, proof: Proof, generation: int, *, settles: bool, packets_min: int) -> None:
    """Reads a generation that was left; once more when the next one has been counting for a while."""
    if settles:
        counting.settle()
    try:
        first = seen(counting.read(generation, str(duel.directory / "first")))
        if counting.generation():
            wait_for_packets(counting, counting.generation(), packets_min)
        again = seen(counting.read(generation, str(duel.directory / "again")))
        proof.add(f"generation {generation}", first, again)
    except NetledgerError as error:
        proof.cuts, proof.broken = proof.cuts + 1, proof.broken + 1
        proof.problems.append(f"generation {generation}: {error}")
    counting.discard(generation)


def wait_for_packets(counting: BpfMeter, generation: int, packets_min: int) -> None:
    """Until an open generation has what makes it worth to be cut."""
    wait_for(
        lambda: counting.receipt(generation).received_packets >= packets_min, 20, f"packets in generation {generation}"
    )


def seen(closed: Generation) -> Seen:
    """What it holds; removes its file."""
    batch = pa.record_batch(closed.batch(NO_NAMES))
    totals = closed.totals

    def column(name: str) -> int:
        return int(pc.sum(batch.column(name)).as_py() or 0)

    found = Seen(
        total=Count(totals.received_packets, totals.received_bytes),
        sent=Count(column("sent_packets"), column("sent_bytes")),
        received=Count(column("received_packets"), column("received_bytes")),
        rows=closed.rows,
        other=totals.other_packets,
        unreadable=unreadable(totals),
        lines=frozenset(tuple(line.items()) for line in batch.to_pylist()),
    )
    closed.release()
    return found


def unreadable(totals: Totals) -> int:
    """Packets that the program could not read."""
    return sum(totals.unreadable.values())
