"""Rows that are added up before anybody asks whose they are come to what comes of them row by row."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netledger.attribution.facts import Fact, Target
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger.assignments import Assignments
from netledger.receipt import parse_rfc3339, rfc3339
from netledger.reports.periods import Step
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.rows import Row, row

START_NS = parse_rfc3339("2026-11-20T20:00:00Z")
SPAN_SECONDS = 10 * 3600
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "2001:db8:0:1::", None)
TARGETS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.0/24", "2001:db8:0:1::/64")
Totals = dict[tuple[object, ...], list[int]]


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    start = START_NS + draw(st.integers(-3600, SPAN_SECONDS)) * SECOND_NS
    length = draw(st.none() | st.integers(1, SPAN_SECONDS))
    return Fact(
        target=Target.parse(draw(st.sampled_from(TARGETS))),
        valid_from_ns=start,
        valid_to_ns=None if length is None else start + length * SECOND_NS,
        subject=draw(st.sampled_from(("ann", "bob", "cid", None))),
        source="isp",
    )


@st.composite
def intervals(draw: st.DrawFn) -> list[Booked]:
    """Of two meters, over midnight; some begin together and end at different moments."""
    found: list[Booked] = []
    for meter in ("lan", "wan"):
        at = draw(st.sampled_from((0, 0, 600)))
        while at < SPAN_SECONDS and len(found) < 24:
            seconds = draw(st.sampled_from((300, 300, 3600, 5400)))
            start = rfc3339(START_NS + at * SECOND_NS)
            found.append(Booked(start, draw(rows()), seconds=seconds, meter=meter))
            at += seconds + draw(st.sampled_from((0, 0, 700, 5000)))
    return found


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    octets = [(host, draw(st.integers(0, 2**20))) for host in draw(st.lists(st.sampled_from(HOSTS), max_size=6))]
    made = [row("host", host=host, sent=(count, 1)) for host, count in octets]
    return [*made, row("external", received=(sum(count for _, count in octets), len(octets)))]


def told(store: Path, by: Sequence[str], keys: Sequence[str], **options: object) -> Totals:
    """Bytes sent and received, by ``keys`` of what is told apart by more."""
    answer = ask(store, by=by, **options).totals  # type: ignore[arg-type]  # those of ask
    found: Totals = defaultdict(lambda: [0, 0])
    names = (*keys, "sent_bytes", "received_bytes")
    for *key, sent, received in zip(*(answer.columns[name] for name in names), strict=True):
        total = found[tuple(key)]
        total[0] += int(str(sent))
        total[1] += int(str(received))
    found[("all",)] = [answer.total["sent_bytes"], answer.total["received_bytes"]]
    found[("partly",)] = [answer.partly_bytes, 0]
    return dict(found)


@given(
    intervals(),
    st.lists(facts(), max_size=8),
    st.sampled_from(("2020..2030", "2026-11-20T20:07:01Z..2026-11-21T03:33:00Z", "2026-11-21")),
    st.sampled_from((None, Step.HOUR, Step.DAY)),
    st.sampled_from(("UTC", "Asia/Kathmandu")),
    st.sampled_from(((), ("meter=lan",), ("subject=ann",), ("account=host", "subject!=bob"))),
    st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_added_up_by_host_first_is_what_comes_of_each_row(
    booked: list[Booked],
    known: list[Fact],
    period: str,
    per: Step | None,
    zone: str,
    where: tuple[str, ...],
    is_by_meter: bool,
) -> None:
    with TemporaryDirectory() as directory:
        store = book(Path(directory) / "store", booked)
        Assignments(store, TestClock(START_NS + DAY_NS)).add(known)
        by = ("meter", "subject") if is_by_meter else ("subject",)
        keys = (*(("meter",) if is_by_meter else ()), "subject", "reason", *(("interval_start",) if per else ()))
        options: dict[str, object] = {"period": period, "per": per, "zone": zone, "where": where}
        # To tell hosts apart as well is asked of each row.
        assert told(store, by, keys, **options) == told(store, (*by, "host"), keys, **options)
