"""The timeline says at each moment what the rules say, told once more by asking every fact at every moment."""

import socket
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from netledger.attribution.facts import Fact, Kind, Target
from netledger.attribution.timeline import Holder, Place, Reason, Timeline
from netledger.intervals import SECOND_NS
from netledger.ledger.assignments import Assignments
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

TICK_NS = SECOND_NS // 4
TICKS = 24
MACS = ("aa:00:00:00:00:01", "aa:00:00:00:00:02")
ADDRESSES = ("10.0.0.2", "10.0.0.3", "10.0.0.2/31", "10.0.0.0/24", "0.0.0.0/0", "2001:db8::7", "2001:db8::/64", "::/0")
TARGETS = [Target.parse(text) for text in (*ADDRESSES, *MACS, "ppp0", "mark:42")]
NAMES = ("alice", "bob", "carol")


def raw(text: str) -> bytes:
    if ":" in text:
        return socket.inet_pton(socket.AF_INET6, text)
    return bytes(10) + b"\xff\xff" + socket.inet_pton(socket.AF_INET, text)


PLACES = [
    Place(address=raw(address), bits=bits, interface=interface, mark=mark)
    for address, bits in (
        ("10.0.0.2", 128),
        ("10.0.0.2", 127),
        ("10.9.0.0", 120),
        ("2001:db8::", 64),
        ("2001:db8::7", 128),
    )
    for interface, mark in ((None, None), ("ppp0", 42), ("ppp1", 0))
]
PLACES.append(Place(interface="ppp0"))


@st.composite
def facts(draw: st.DrawFn, sources: Sequence[str] = ("assign", "isp")) -> Fact:
    target = draw(st.sampled_from(TARGETS))
    start = draw(st.integers(0, TICKS - 1))
    end = draw(st.one_of(st.none(), st.integers(start + 1, TICKS)))
    mac = draw(st.one_of(st.none(), st.sampled_from(MACS))) if target.kind is Kind.ADDRESS else None
    return Fact(
        target=target,
        valid_from_ns=start * TICK_NS,
        valid_to_ns=None if end is None else end * TICK_NS,
        subject=draw(st.one_of(st.none(), st.sampled_from([*NAMES, *([mac] if mac else [])]))),
        mac=mac,
        source=draw(st.sampled_from(list(sources))),
    )


def covers(target: Target, place: Place) -> int | None:
    """How long the network is that a place lies in as a whole, as bits of 128."""
    if target.kind is not Kind.ADDRESS or place.address is None:
        return None
    address, _, length = target.value.partition("/")
    if (":" in address) is place.address.startswith(bytes(10) + b"\xff\xff"):
        return None  # IPv4 is stored inside of ::/0, and is no part of it
    bits = int(length or 128) if ":" in address else 96 + int(length or 32)
    same = f"{int.from_bytes(raw(address)):0128b}"[:bits] == f"{int.from_bytes(place.address):0128b}"[:bits]
    return bits if same and bits <= place.bits else None


def claims_at(told: Sequence[Fact], target: Target, tick: int) -> list[tuple[int, Fact]]:
    """What each source claims of a target at a moment, the latest learnt last."""
    said: dict[str, tuple[int, Fact]] = {}
    for number, fact in enumerate(told):
        if fact.target == target and fact.valid_from_ns <= tick * TICK_NS < fact.end_ns:
            said[fact.source] = number, fact
    return sorted(((number, fact) for number, fact in said.values() if fact.is_claim), key=lambda one: one[0])


def said_at(told: Sequence[Fact], target: Target, tick: int) -> str | None:
    """Rules 1 to 3 for one target at one moment."""
    found = claims_at(told, target, tick)
    direct = [fact.subject for _, fact in found if fact.mac is None]
    if direct:
        return direct[-1]
    devices = [(claims_at(told, Target(Kind.MAC, fact.mac), tick), fact) for _, fact in found if fact.mac is not None]
    assigned = [claim[-1][1].subject for claim, _ in devices if claim]
    named = [fact.subject for _, fact in devices if fact.subject not in (None, fact.mac)]
    bare = [fact.subject for _, fact in devices if fact.subject is not None]
    return next((names[-1] for names in (assigned, named, bare) if names), None)


def held_at(told: Sequence[Fact], place: Place, tick: int) -> str | None:
    around = sorted(((bits, one) for one in TARGETS if (bits := covers(one, place)) is not None), reverse=True)
    ordered = [one for bits, one in around if bits == 128]
    ordered += [one for one in TARGETS if one.kind is Kind.INTERFACE and one.value == place.interface]
    ordered += [one for one in TARGETS if one.kind is Kind.MARK and one.value == str(place.mark)]
    ordered += [one for bits, one in around if bits < 128]
    return next((subject for one in ordered if (subject := said_at(told, one, tick)) is not None), None)


def expected(told: Sequence[Fact], place: Place, start: int, end: int) -> Holder:
    held = Counter(held_at(told, place, tick) for tick in range(start, end))
    counted = {one: ticks for one, ticks in held.items() if ticks >= 4 or ticks == max(held.values())}
    subjects = [one for one in counted if one is not None]
    if len(subjects) == 1:
        return Holder(subjects[0], None, held[subjects[0]] * TICK_NS)
    if subjects:
        return Holder(None, Reason.CONFLICT, 0)
    ever = any(held_at(told, place, tick) is not None for tick in range(TICKS + 1))
    return Holder(None, Reason.GAP if ever else Reason.NO_ASSIGNMENT, 0)


@given(st.lists(facts(), max_size=12), st.sampled_from(PLACES))
def test_each_moment_has_the_holder_that_the_rules_give_it(told: list[Fact], place: Place) -> None:
    segments = Timeline(told).segments(place, 0, (TICKS + 1) * TICK_NS)
    found: dict[int, str] = {}
    last_end = 0
    for start_ns, end_ns, subject, fact in segments:
        assert last_end <= start_ns < end_ns
        assert fact in told
        assert subject == fact.subject
        last_end = end_ns
        found |= dict.fromkeys(range(start_ns // TICK_NS, end_ns // TICK_NS), subject)
    assert [found.get(tick) for tick in range(TICKS + 1)] == [held_at(told, place, tick) for tick in range(TICKS + 1)]


@given(st.lists(facts(), max_size=12), st.sampled_from(PLACES), st.integers(0, TICKS - 1), st.integers(1, TICKS))
def test_a_row_is_whose_the_rules_say(told: list[Fact], place: Place, start: int, length: int) -> None:
    end = min(start + length, TICKS + 1)
    assert Timeline(told).holder(place, start * TICK_NS, end * TICK_NS) == expected(told, place, start, end)


@given(st.lists(facts(), max_size=12), st.sampled_from(PLACES), st.integers(0, TICKS - 1), st.integers(1, TICKS))
def test_a_window_is_a_part_of_the_whole(told: list[Fact], place: Place, start: int, length: int) -> None:
    timeline = Timeline(told)
    end = start + length
    whole = [
        (max(one.start_ns, start * TICK_NS), min(one.end_ns, end * TICK_NS), one.subject)
        for one in timeline.segments(place, 0, 1 << 62)
        if one.end_ns > start * TICK_NS and one.start_ns < end * TICK_NS
    ]
    assert [one[:3] for one in timeline.segments(place, start * TICK_NS, end * TICK_NS)] == whole


@given(st.lists(facts(), max_size=12), st.integers(0, TICKS))
def test_what_is_whose_at_a_moment_is_what_was_said_of_it(told: list[Fact], tick: int) -> None:
    found = {target: name for name, targets in Timeline(told).targets(tick * TICK_NS).items() for target in targets}
    assert found == {one: name for one in TARGETS if (name := said_at(told, one, tick)) is not None}


@given(st.lists(st.lists(facts(sources=["isp"]), max_size=6), max_size=4))
def test_what_the_ledger_leaves_out_changes_nothing(batches: list[list[Fact]]) -> None:
    told = [fact for batch in batches for fact in batch]
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "store"):
        book = Assignments(Path(folder) / "store", TestClock(SECOND_NS))
        for batch in batches:
            book.add(batch)
            assert book.add(batch) == []
        kept = book.facts()
    for place in PLACES:
        all_of_it, of_kept = (Timeline(one).segments(place, 0, TICKS * TICK_NS) for one in (told, kept))
        assert [at(all_of_it, tick) for tick in range(TICKS)] == [at(of_kept, tick) for tick in range(TICKS)]


def at(segments: Sequence[tuple[int, int, str, Fact]], tick: int) -> str | None:
    return next((one[2] for one in segments if one[0] <= tick * TICK_NS < one[1]), None)
