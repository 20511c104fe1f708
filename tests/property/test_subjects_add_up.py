"""For any facts and any rows: each row is somebody's once, by rows and by sums, now and as it was known."""

import ipaddress
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netledger.attribution.facts import Fact, Target
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.ledger.assignments import Assignments
from netledger.ledger.maintain import maintain
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.receipt import parse_rfc3339, rfc3339
from tests.unit.assigned import by_subject
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.rows import Row, row
from tests.unit.store import opened

START_NS = parse_rfc3339("2026-11-20T22:00:00Z")
SPAN_SECONDS = 4 * 3600
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "2001:db8:0:1::", "2001:db8:0:2::", None)
TARGETS = (
    *("10.0.0.1", "10.0.0.2", "10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0"),
    *("2001:db8:0:1::/64", "2001:db8:0:1::", "2001:db8::/32", "ppp0", "ppp1", "mark:7", "02:00:00:00:00:01"),
)
MAC = "02:00:00:00:00:01"
SUBJECTS = ("ann", "bob", "o'neill", None)
Totals = dict[tuple[str, str | None], tuple[int, int]]


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    start = START_NS + draw(st.integers(-3600, SPAN_SECONDS)) * SECOND_NS + draw(st.sampled_from((0, 0, 999_999_999)))
    length = draw(st.none() | st.integers(1, SPAN_SECONDS))
    target = Target.parse(draw(st.sampled_from(TARGETS)))
    mac = draw(st.none() | st.just(MAC)) if target.kind == "address" else None
    return Fact(
        target=target,
        valid_from_ns=start,
        valid_to_ns=None if length is None else start + length * SECOND_NS,
        subject=draw(st.sampled_from(SUBJECTS)),
        mac=mac,
        source=draw(st.sampled_from(("assign", "isp"))),
    )


@st.composite
def intervals(draw: st.DrawFn) -> list[Booked]:
    """Of two meters; the lengths of the second one are any."""
    found = []
    for meter, lengths in (("lan", (300,)), ("wan", (1, 60, 300, 3600, 5400))):
        at = draw(st.integers(0, 600))
        for _ in range(draw(st.integers(0, 6))):
            seconds = draw(st.sampled_from(lengths))
            start = rfc3339(START_NS + at * SECOND_NS)
            found.append(Booked(start, draw(rows()), seconds=seconds, meter=meter))
            at += seconds + draw(st.sampled_from((0, 0, 700, 5000)))
    return found


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    hosts = draw(st.lists(st.sampled_from(HOSTS), max_size=5))
    made = []
    for host in hosts:
        columns: dict[str, str | int] = {}
        if interface := draw(st.sampled_from((None, None, "ppp0", "ppp1"))):
            columns["interface"] = interface
        if mark := draw(st.sampled_from((None, None, 7))):
            columns["mark"] = mark
        sent_bytes = draw(st.integers(0, 2**40))
        made.append(row("host", host=host, sent=(sent_bytes, 1), **columns))  # type: ignore[arg-type]  # names of columns
    sent = sum(int(str(one["sent_bytes"])) for one in made)
    return [*made, row("external", received=(sent, len(made)))]


def bits(host: str) -> tuple[int, int]:
    """An address of a row as number and length, in IPv6; IPv6 is cut to 64 bits where nothing says otherwise."""
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return int(ipaddress.IPv6Address(f"::ffff:{address}")), 128
    return int(address), 64 if not int(address) & (2**64 - 1) else 128


def covers(target: Target, one: Row) -> tuple[int, int] | None:
    """How specific a target is for a row, the least first; None where it has nothing to do with it."""
    if target.kind == "interface":
        return (2, 0) if one.get("interface") == target.value else None
    if target.kind == "mark":
        return (3, 0) if str(one.get("mark")) == target.value else None
    host = one["host_text"]
    if target.kind == "mac" or not isinstance(host, str):
        return None
    network = ipaddress.ip_network(target.value)
    number, length = bits(host)
    first, _ = bits(str(network.network_address))
    own = network.prefixlen + (96 if network.version == 4 else 0)
    if own > length or number >> (128 - own) != first >> (128 - own):
        return None
    return (0, 0) if own == 128 else (4, 128 - own)


def said(known: Sequence[Fact], target: Target, at_ns: int) -> list[Fact]:
    """What each source says in the end of a target at a moment, the latest learnt first."""
    last = {}
    for one in known:
        if one.target == target and one.valid_from_ns <= at_ns < one.end_ns:
            last[one.source] = one
    return sorted((one for one in last.values() if one.is_claim), key=lambda one: -one.id)


def holder(known: Sequence[Fact], one: Row, at_ns: int) -> str | None:
    """Whose a row is at one moment: straight from the rules."""
    floors: list[tuple[tuple[int, int, int], str]] = []
    for target in {each.target for each in known}:
        place = covers(target, one)
        if place is None:
            continue
        claims = said(known, target, at_ns)
        direct = [each for each in claims if each.mac is None]
        if direct:
            floors.append(((*place, 0), str(direct[0].subject)))
        devices = [each for each in claims if each.mac is not None]
        owners = said(known, Target.mac(MAC), at_ns) if devices else []
        named = [each for each in devices if each.subject is not None]
        if owners or named:
            floors.append(((*place, 1), str((owners or named)[0].subject)))
    return min(floors)[1] if floors else None


def booked(known: Sequence[Fact], one: Row, start_ns: int, end_ns: int) -> tuple[str, str | None]:
    """Whose a row is, border by border."""
    moments = {each for fact in known for each in (fact.valid_from_ns, fact.end_ns)}
    borders = sorted({start_ns, end_ns, *(each for each in moments if start_ns < each < end_ns)})
    held: dict[str | None, int] = defaultdict(int)
    for begin, end in pairwise(borders):
        held[holder(known, one, begin)] += end - begin
    longest = max(held.values())
    counting = {name for name, length in held.items() if length >= SECOND_NS or length == longest}
    subjects = counting - {None}
    if len(subjects) == 1:
        return str(subjects.pop()), None
    if subjects:
        return "unknown", "conflict"
    ever = any(holder(known, one, each) is not None for each in moments if each < 2**63 - 1)
    return "unknown", "gap" if ever else "no assignment" if one["host"] is not None else "no host column"


def expected(known: Sequence[Fact], all_intervals: Sequence[Booked]) -> Totals:
    totals: dict[tuple[str, str | None], list[int]] = defaultdict(lambda: [0, 0])
    for interval in all_intervals:
        start_ns = parse_rfc3339(interval.start)
        for one in interval.rows:
            whose: tuple[str, str | None] = ("external", None)
            if one["account"] == "host":
                whose = booked(known, one, start_ns, start_ns + interval.seconds * SECOND_NS)
            totals[whose][0] += int(str(one["sent_bytes"]))
            totals[whose][1] += int(str(one["received_bytes"]))
    return {whose: (sent, received) for whose, (sent, received) in totals.items() if sent or received}


def by_bytes(store: Path, as_known_at_ns: int | None = None, period: str = "2020..2030") -> Totals:
    found = by_subject(ask(store, by=["subject"], as_known_at_ns=as_known_at_ns, period=period))
    return {whose: counted for whose, counted in found.items() if any(counted)}


# A period that cuts an hour is answered from the rows, whatever sums there are.
ROWS_ONLY = "2020-01-01T00:00:01..2030"


@given(intervals(), st.lists(facts(), max_size=6), st.lists(facts(), max_size=3), st.booleans())
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_booked_once_and_as_the_rules_say(
    booked_intervals: list[Booked], first: list[Fact], later: list[Fact], is_kept_between: bool
) -> None:
    with TemporaryDirectory() as directory:
        store = book(Path(directory) / "store", booked_intervals)
        clock = TestClock(START_NS + 40 * DAY_NS)
        known = Assignments(store, clock).add(first)
        clock.advance(DAY_NS)
        then_ns = clock.now().wall_ns
        if is_kept_between:
            with opened(store, clock=clock) as ledger:
                maintain(ledger)
        clock.advance(DAY_NS)
        both = [*known, *Assignments(store, clock).add(later)]
        before, now = expected(known, booked_intervals), expected(both, booked_intervals)
        assert by_bytes(store) == by_bytes(store, period=ROWS_ONLY) == now
        assert by_bytes(store, then_ns) == by_bytes(store, then_ns, ROWS_ONLY) == before
        with opened(store, clock=clock) as ledger:
            maintain(ledger)
        assert by_bytes(store) == by_bytes(store, period=ROWS_ONLY) == now
        assert by_bytes(store, then_ns) == before
        assert verify(Reader(store)) == []
        total = ask(store, by=[]).totals.total
        assert (sum(sent for sent, _ in now.values()), sum(got for _, got in now.values())) == (
            total["sent_bytes"],
            total["received_bytes"],
        )
