"""A store with intervals in it, made by the ledger itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from netledger.durable import Step, no_step
from netledger.ledger import Committed, Known, Ledger
from netledger.receipt import Count, Receipt
from tests.unit.memory_source import TestClock
from tests.unit.rows import RECEIPT, SECOND_NS, START_NS, Row, batch, row

HOSTS = [
    row("host", host="10.0.0.2", received=(1000, 10), interface="eth0"),
    row("host", host="10.0.0.1", peer="2001:db8::1", protocol=6, host_port=443, sent=(900, 9)),
    row("external", sent=(100, 1)),
]


def receipt_of(seq: int, *, meter: str = "lan", lost: Count | None = None, rows: int = len(HOSTS)) -> Receipt:
    """A receipt of 300 seconds; the one with number 2 follows the one with number 1."""
    accounted = Count(10, 1000)
    return replace(
        RECEIPT,
        meter=meter,
        seq=seq,
        start_ns=START_NS + (seq - 1) * 300 * SECOND_NS,
        end_ns=START_NS + seq * 300 * SECOND_NS,
        observed=replace(RECEIPT.observed, rows=rows, accounted=accounted, kernel=accounted + (lost or Count(0, 0))),
    )


@contextmanager
def opened(store: Path, *, clock: TestClock | None = None, at_step: Step = no_step) -> Iterator[Ledger]:
    """The ledger of a store, open for writing."""
    ledger = Ledger(store, clock=clock or TestClock(START_NS), at_step=at_step)
    ledger.open()
    try:
        yield ledger
    finally:
        ledger.close()


def add(
    ledger: Ledger, seq: int, rows: Sequence[Row] = HOSTS, *, meter: str = "lan", exports: Sequence[str] = ()
) -> Committed | Known:
    """Commits an interval."""
    return ledger.commit(receipt_of(seq, meter=meter, rows=len(rows)), batch(rows), exports=exports)


def filled(store: Path, intervals: int = 3) -> Path:
    """A store with so many intervals of the meter ``lan`` and as many of ``wan``."""
    with opened(store) as ledger:
        for seq in range(1, intervals + 1):
            add(ledger, seq)
            add(ledger, seq, meter="wan")
    return store
