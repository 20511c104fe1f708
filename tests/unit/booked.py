"""Stores for reports: intervals whose receipts are worked out from their rows, committed by the ledger itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netledger.ledger.reader import Reader
from netledger.receipt import ZERO, Count, Observed, Receipt, parse_rfc3339
from netledger.reports.periods import Calendar, Step
from netledger.reports.question import DEFAULT_BY, Question
from netledger.reports.totals import Answer, answer
from netledger.reports.where import understand
from netledger.reports.zones import find
from tests.unit.rows import SECOND_NS, Row, batch
from tests.unit.store import opened

ALWAYS = "2020..2030"
LATER = "2031-01-01T00:00:00Z"


@dataclass(frozen=True)
class Booked:
    """An interval to be committed; its rows balance, unless it has no count of the kernel."""

    start: str
    rows: Sequence[Row]
    seconds: int = 300
    meter: str = "lan"
    node: str = "gw1"
    lost: Count = ZERO
    has_kernel: bool = True
    interrupted: str | None = None
    why_lost: str | None = None
    other: Count = ZERO

    def receipt(self, seq: int) -> Receipt:
        start_ns = parse_rfc3339(self.start)
        accounted = Count(_sum(self.rows, "sent_packets"), _sum(self.rows, "sent_bytes"))
        if self.has_kernel:
            assert accounted == Count(_sum(self.rows, "received_packets"), _sum(self.rows, "received_bytes"))
        observed = Observed(
            kernel=accounted + self.lost if self.has_kernel else None,
            accounted=accounted,
            other=self.other,
            rows=len(self.rows),
            interrupted=self.interrupted,
            why_lost=self.why_lost,
            source="nflog",
            meaning="merged super-packets",
        )
        length_ns = self.seconds * SECOND_NS
        return Receipt(
            node=self.node,
            meter=self.meter,
            seq=seq,
            start_ns=start_ns,
            end_ns=start_ns + length_ns,
            monotonic_ns=length_ns,
            observed=observed,
        )


def book(store: Path, intervals: Sequence[Booked]) -> Path:
    """Commits them; each is given the next number of its meter."""
    numbers: dict[tuple[str, str], int] = {}
    with opened(store) as ledger:
        for one in intervals:
            seq = numbers[one.node, one.meter] = numbers.get((one.node, one.meter), 0) + 1
            ledger.commit(one.receipt(seq), batch(one.rows))
    return store


def ask(
    store: Path,
    *,
    period: str = ALWAYS,
    zone: str = "UTC",
    billing_day: int = 1,
    by: Sequence[str] = DEFAULT_BY,
    where: Sequence[str] = (),
    per: Step | None = None,
    sort: str = "bytes",
    top: int | None = None,
    direction: str = "both",
    now: str = LATER,
    as_known_at_ns: int | None = None,
) -> Answer:
    """The answer to a question about a store."""
    calendar = Calendar(zone=find(zone), billing_day=billing_day)
    now_ns = parse_rfc3339(now)
    question = Question(
        period=calendar.period(period, now_ns=now_ns),
        by=tuple(by),
        where=understand(where),
        per=per,
        sort=sort,
        top=top,
        direction=direction,
        as_known_at_ns=as_known_at_ns,
    )
    reader = Reader(store)
    snapshot = reader.snapshot(start_ns=question.period.start_ns, end_ns=question.period.end_ns)
    return answer(reader, snapshot, question, calendar, now_ns=now_ns)


def _sum(rows: Sequence[Row], name: str) -> int:
    return sum(value for one in rows if isinstance(value := one[name], int))
