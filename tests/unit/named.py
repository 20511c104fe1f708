"""Stores with intervals of named counters beside those of traffic, committed by the ledger itself."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from netledger.intervals import DAY_NS
from netledger.ledger import Committed, Known, Ledger
from netledger.receipt import Count, Receipt
from netledger.schema import Change, Kind, Table
from netledger.sources.named import EVERY
from netledger.sources.tally import Entry, Sight, Tally
from netledger.sources.tally_file import TallyRows
from tests.unit.rows import RECEIPT, SECOND_NS, START_NS
from tests.unit.store import add, opened

Named = Mapping[tuple[Kind, str], Entry]

ODD = Sight(7, 700, quota=5, quota_unit="packets", over_quota=True)
WEB: Named = {
    (Kind.NFACCT, "web"): Entry(Sight(30, 3_000), 10, 1_000),
    (Kind.NFACCT, 'a "b", c'): Entry(ODD, 7, 700, Change.APPEARED),
    (Kind.NFT, "inet filter web"): Entry(Sight(0, 0, "1.1")),
}


def named_receipt(seq: int, entries: Named = WEB, *, meter: str = "rules", interrupted: str | None = None) -> Receipt:
    """A receipt of 300 seconds, the first one at the start of all."""
    booked = Tally(START_NS, dict(entries)).booked
    observed = replace(
        RECEIPT.observed,
        rows=len(entries),
        accounted=booked,
        kernel=booked,
        other=Count(0, 0),
        interrupted=interrupted,
        source="nfacct",
        table=Table.COUNTERS,
    )
    start_ns = START_NS + (seq - 1) * 300 * SECOND_NS
    return replace(
        RECEIPT, meter=meter, seq=seq, start_ns=start_ns, end_ns=start_ns + 300 * SECOND_NS, observed=observed
    )


def named_rows(entries: Named = WEB) -> pa.RecordBatch:
    """What the source gives."""
    return TallyRows(Tally(START_NS, dict(entries)), Path("/nowhere"), EVERY, recovered=False).batch({})


def add_named(
    ledger: Ledger, seq: int, entries: Named = WEB, *, meter: str = "rules", interrupted: str | None = None
) -> Committed | Known:
    """Commits an interval of named counters."""
    return ledger.commit(named_receipt(seq, entries, meter=meter, interrupted=interrupted), named_rows(entries))


def mixed(store: Path, numbers: Sequence[int] = (1, 2, 3)) -> Path:
    """A store with intervals of traffic by the meter ``lan`` and of named counters by ``rules``."""
    with opened(store) as ledger:
        for seq in numbers:
            add(ledger, seq)
            add_named(ledger, seq)
    return store


LATER_NS = START_NS + 3 * DAY_NS
