#!/usr/bin/env python3
"""A store with a month of traffic in it, made by the ledger itself: the same one each time, for benches and for trying.

Each interval has a row for every host and one for the rest of the world. What a host moves is heavy-tailed, as traffic
is: of 30,000 hosts the first hundred move a third. Receipts balance, so the store passes `netledger audit --verify`.
"""

# ruff: noqa: S311  # traffic is made up, and the same each time; nothing is guarded by it

import argparse
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from netledger.intervals import DAY_NS, Moment
from netledger.ledger import Ledger
from netledger.receipt import Count, Observed, Receipt, parse_rfc3339
from netledger.schema import BATCH_COLUMNS

__all__ = ["NODE", "BenchClock", "Month", "fill", "fill_days", "full_key", "receipt_of", "sums_of"]

NODE, METER = "gw1", "lan"
V4_MAPPED = bytes(10) + b"\xff\xff"
PACKETS_MEAN = (90, 1450)  # bytes of a host's packets are between these on average
TAIL = 1.1  # the exponent of Pareto's distribution: the smaller, the more the greatest hosts move


class BenchClock:
    """A clock that stands still, long after the month, so that all of its days are closed."""

    def __init__(self, wall_ns: int) -> None:
        self.wall_ns = wall_ns

    def now(self) -> Moment:
        return Moment(self.wall_ns, self.wall_ns)


@dataclass(frozen=True)
class Month:
    """What is in the store; to be handed to other processes."""

    start: str = "2026-10-01"
    days: int = 31
    intervals_per_day: int = 288
    hosts: int = 30_000
    seed: int = 1

    @property
    def start_ns(self) -> int:
        return parse_rfc3339(f"{self.start}T00:00:00Z")

    @property
    def length_ns(self) -> int:
        return DAY_NS // self.intervals_per_day

    @property
    def clock(self) -> BenchClock:
        return BenchClock(self.start_ns + (self.days + 2) * DAY_NS)

    @property
    def rows(self) -> int:
        return self.days * self.intervals_per_day * (self.hosts + 1)

    @cached_property
    def addresses(self) -> pa.Array:
        """Hosts of a few networks, in no order, as a table of the kernel gives them."""
        places = random.Random(self.seed).sample(range(max(self.hosts, 1 << 17)), self.hosts)
        raw = b"".join(V4_MAPPED + (0x0A400000 + place).to_bytes(4, "big") for place in places)
        return pa.Array.from_buffers(pa.binary(16), self.hosts, [None, pa.py_buffer(raw)])

    @cached_property
    def weights(self) -> pa.Array:
        """What each host moves in an interval on average, in bytes."""
        chance = random.Random(self.seed + 1)
        return pa.array([4_000 * chance.paretovariate(TAIL) for _ in range(self.hosts)])

    @cached_property
    def packet_bytes(self) -> pa.Array:
        """How large the packets of each host are on average."""
        chance = random.Random(self.seed + 2)
        return pa.array([chance.uniform(*PACKETS_MEAN) for _ in range(self.hosts)])

    def batch(self, number: int) -> pa.RecordBatch:
        """The rows of an interval, as the native core gives them."""
        chance = random.Random(self.seed * 1_000_003 + number)
        received = _drawn(chance, self.weights)
        sent = pc.cast(pc.multiply(_drawn(chance, self.weights).cast(pa.float64()), 0.15), pa.uint64(), safe=False)
        columns = {
            "account": pa.repeat(pa.scalar("host"), self.hosts),
            "host": self.addresses,
            "sent_bytes": sent,
            "sent_packets": self._packets(sent),
            "received_bytes": received,
            "received_packets": self._packets(received),
        }
        return _with_external(columns)

    def _packets(self, octets: pa.Array) -> pa.Array:
        count = pc.floor(pc.divide(octets.cast(pa.float64()), self.packet_bytes))
        return pc.if_else(pc.equal(octets, 0), 0, pc.add(count, 1)).cast(pa.uint64())

    def receipt(self, number: int, batch: pa.RecordBatch) -> Receipt:
        start_ns = self.start_ns + number * self.length_ns
        return receipt_of(number + 1, batch, start_ns=start_ns, end_ns=start_ns + self.length_ns)


def _drawn(chance: random.Random, weights: pa.Array) -> pa.Array:
    """Bytes of each host, exponential around what it moves on average."""
    count = len(weights)
    raw = pa.Array.from_buffers(pa.uint64(), count, [None, pa.py_buffer(chance.randbytes(8 * count))])
    uniform = pc.multiply(pc.add(pc.shift_right(raw, pa.scalar(11, pa.uint64())).cast(pa.float64()), 1.0), 2.0**-53)
    return pc.floor(pc.multiply(pc.multiply(pc.ln(uniform), -1.0), weights)).cast(pa.uint64())


def full_key(count: int, seed: int = 1) -> pa.RecordBatch:
    """Rows of connections: 3,000 hosts, peers of which a few are asked for by all, ports, two interfaces."""
    chance = random.Random(seed)

    def peer() -> int:
        if chance.random() < 0.5:
            return 0x08000000 + int(chance.paretovariate(0.5)) % 4_000
        return chance.randrange(0x01000000, 0xDF000000)

    def address(number: int) -> bytes:
        return V4_MAPPED + number.to_bytes(4, "big")

    hosts = [address(0x0A000000 + chance.randrange(3_000)) for _ in range(count)]
    received = [int(200 * chance.paretovariate(TAIL)) for _ in range(count)]
    sent = [int(octets * chance.uniform(0.03, 0.6)) + 40 for octets in received]
    columns = {
        "account": pa.repeat(pa.scalar("host"), count),
        "host": pa.array(hosts, pa.binary(16)),
        "peer": pa.array([address(peer()) for _ in range(count)], pa.binary(16)),
        "protocol": pa.array([6 if chance.random() < 0.7 else 17 for _ in range(count)], pa.uint8()),
        "host_port": pa.array([chance.randrange(32_768, 61_000) for _ in range(count)], pa.uint16()),
        "peer_port": pa.array([chance.choice((443,) * 7 + (80, 53, 123)) for _ in range(count)], pa.uint16()),
        "interface": pa.array([chance.choice(("eth0", "eth1")) for _ in range(count)]),
        "sent_bytes": pa.array(sent, pa.uint64()),
        "sent_packets": pa.array([octets // 400 + 1 for octets in sent], pa.uint64()),
        "received_bytes": pa.array(received, pa.uint64()),
        "received_packets": pa.array([octets // 900 + 1 for octets in received], pa.uint64()),
    }
    return _with_external(columns)


def _with_external(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    """The columns in the types of the native core, and the row of all that is not local, so that the rows balance."""
    last: dict[str, str | int] = {}
    for way, back in (("sent", "received"), ("received", "sent")):
        for unit in ("bytes", "packets"):
            last[f"{way}_{unit}"] = pc.sum(columns[f"{back}_{unit}"]).as_py() or 0
    last["account"] = "external"
    arrays, fields = [], []
    for column in BATCH_COLUMNS:
        assert column.arrow is not None
        kind = _KINDS[column.arrow]
        own = columns.get(column.name, pa.nulls(len(columns["account"]), kind)).cast(kind)
        arrays.append(pa.concat_arrays([own, pa.array([last.get(column.name)], kind)]))
        fields.append(pa.field(column.name, kind))
    return pa.record_batch(arrays, schema=pa.schema(fields))


_KINDS = {
    "fixed_size_binary[16]": pa.binary(16),
    "dictionary<values=string, indices=uint32, ordered=0>": pa.dictionary(pa.uint32(), pa.string()),
    "dictionary<values=string, indices=uint8, ordered=0>": pa.dictionary(pa.uint8(), pa.string()),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
}


def sums_of(batch: pa.RecordBatch) -> Count:
    """What was sent, which is what was received too."""
    return Count(pc.sum(batch["sent_packets"]).as_py(), pc.sum(batch["sent_bytes"]).as_py())


def receipt_of(seq: int, batch: pa.RecordBatch, *, start_ns: int, end_ns: int, meter: str = METER) -> Receipt:
    """An exact receipt for rows that balance."""
    counted = sums_of(batch)
    return Receipt(
        node=NODE,
        meter=meter,
        seq=seq,
        start_ns=start_ns,
        end_ns=end_ns,
        monotonic_ns=end_ns - start_ns,
        observed=Observed(
            kernel=counted,
            accounted=counted,
            rows=batch.num_rows,
            source="nflog",
            meaning="merged super-packets",
        ),
    )


def fill_days(store: Path, month: Month, days: range) -> int:
    """Commits the intervals of some days; how many there were."""
    ledger = Ledger(store, clock=month.clock)
    ledger.open()
    try:
        numbers = _numbers(month, days)
        for number in numbers:
            batch = month.batch(number)
            ledger.commit(month.receipt(number, batch), batch)
    finally:
        ledger.close()
    return len(numbers)


def _numbers(month: Month, days: range) -> list[int]:
    return [day * month.intervals_per_day + place for day in days for place in range(month.intervals_per_day)]


def fill(store: Path, month: Month, *, jobs: int) -> Iterator[int]:
    """Commits the whole month by several processes, a day each; gives the number of days that are done."""
    store.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        for day in range(month.days):
            fill_days(store, month, range(day, day + 1))
            yield day + 1
        return
    with ProcessPoolExecutor(jobs) as pool:
        parts = [pool.submit(fill_days, store, month, range(day, day + 1)) for day in range(month.days)]
        for done, part in enumerate(parts, 1):
            part.result()
            yield done


def add_options(parser: argparse.ArgumentParser) -> None:
    """How large the month is to be; the default is small."""
    parser.add_argument("--days", type=int, default=3, metavar="N", help="days (3; a whole month: 31)")
    parser.add_argument(
        "--intervals-per-day", type=int, default=48, metavar="N", help="intervals of a day (48; of five minutes: 288)"
    )
    parser.add_argument("--hosts", type=int, default=2_000, metavar="N", help="hosts (2000; a large network: 30000)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes that fill it (2)")


def month_of(wanted: argparse.Namespace) -> Month:
    """The month that was asked for."""
    return Month(days=wanted.days, intervals_per_day=wanted.intervals_per_day, hosts=wanted.hosts)


def main() -> int:
    """Fills a store; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="a directory that is not there yet")
    add_options(parser)
    wanted = parser.parse_args()
    if wanted.store.exists():
        print(f"month: {wanted.store}: is there already", file=sys.stderr)
        return 1
    month = month_of(wanted)
    for done in fill(wanted.store, month, jobs=wanted.jobs):
        print(f"day {done} of {month.days}", file=sys.stderr)
    octets = sum(path.stat().st_size for path in wanted.store.rglob("*.parquet"))
    print(f"{month.rows:,} rows, {octets:,} bytes, {octets / month.rows:.1f} a row")
    return 0


if __name__ == "__main__":
    sys.exit(main())
