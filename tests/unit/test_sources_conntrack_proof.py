"""Flows against counters that go on while the flows are read: what may be said, and what may not."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from netledger.receipt import ZERO, Count
from netledger.sources.conntrack_proof import Bracket, Verdict, bypassed, judge

PACKET_BYTES = 100


def packets(number: int) -> Count:
    return Count(number, number * PACKET_BYTES)


def at(least: int, most: int | None = None) -> Bracket:
    return Bracket(least=packets(least), most=packets(least if most is None else most))


def test_a_quiet_interval_whose_flows_have_it_all_is_met_to_the_packet() -> None:
    assert judge(packets(7), base=at(10), now=at(17)) == Verdict(kernel=packets(7), base=at(17))


def test_what_no_flow_has_is_lost_when_nothing_passed_meanwhile() -> None:
    verdict = judge(packets(5), base=at(10), now=at(17))
    assert (verdict.kernel, verdict.base, verdict.excess) == (packets(7), at(17), ZERO)


def test_in_traffic_the_count_lies_between_two_numbers_and_nothing_is_claimed() -> None:
    verdict = judge(packets(7), base=at(10), now=at(15, 20))
    assert verdict.kernel is None
    assert verdict.why == (
        "the counters saw between 5 packets (500 bytes) and 10 packets (1,000 bytes), for packets passed while they "
        "were read"
    )
    assert verdict.base == at(17), "the books go on where they were closed"
    assert verdict.is_bounded


def test_what_is_missing_for_sure_is_lost_even_in_traffic() -> None:
    verdict = judge(packets(3), base=at(10), now=at(15, 20))
    assert (verdict.kernel, verdict.base) == (packets(5), at(15))
    assert (verdict.why or "").startswith("at least: the counters saw between")


def test_packets_and_bytes_are_compared_each_for_itself() -> None:
    verdict = judge(Count(5, 700), base=at(10), now=at(17))
    assert verdict.kernel == packets(7)
    verdict = judge(Count(5, 800), base=at(10), now=at(15, 17))
    assert verdict.kernel is None
    assert verdict.excess == Count(0, 100)


def test_more_in_the_rows_than_passed_is_told_and_the_counters_are_believed_from_there_on() -> None:
    verdict = judge(packets(9), base=at(10), now=at(17))
    assert (verdict.kernel, verdict.excess, verdict.base) == (None, packets(2), at(17))
    assert verdict.why == "the rows have 2 packets (200 bytes) more than the counters saw"


def test_counters_that_went_back_prove_nothing() -> None:
    verdict = judge(packets(9), base=at(10), now=at(4))
    assert (verdict.kernel, verdict.base, verdict.why) == (None, at(4), "the counters were reset by someone else")
    assert verdict.excess == packets(9)


def test_a_start_in_traffic_is_made_good_by_the_first_quiet_moment() -> None:
    verdict = judge(packets(7), base=at(10, 12), now=at(18))
    assert (verdict.kernel, verdict.base) == (None, at(18))
    verdict = judge(packets(7), base=at(10, 12), now=at(18, 30))
    assert verdict.base == at(18, 19), "what both borders allow"


def test_without_counters_nothing_is_said() -> None:
    assert judge(packets(7), base=None, now=None) == Verdict(kernel=None, base=None)
    assert judge(packets(7), base=at(1), now=None) == Verdict(kernel=None, base=None)
    assert judge(packets(7), base=None, now=at(4)).base == at(4)


def test_where_packets_pass_by_nothing_is_proven() -> None:
    verdict = bypassed(["inet fw fast"], now=at(17))
    assert (verdict.kernel, verdict.base) == (None, at(17))
    assert verdict.why == "packets may have passed by conntrack, in flowtable inet fw fast"


@dataclass
class World:
    """Packets that pass, flows that are read, and what is booked of them."""

    passed: int = 0
    read: int = 0
    missed: int = 0
    accounted: int = 0
    unattributed: int = 0
    base: Bracket | None = field(default_factory=lambda: at(0))

    def cut(self, before: int, under_way: tuple[int, int], lost: int) -> Verdict:
        self.passed += before
        first = self.passed
        self.passed += under_way[0]
        seen = self.passed - self.read
        lost = min(lost, seen)
        self.read, self.missed = self.passed, self.missed + lost
        self.passed += under_way[1]
        rows = seen - lost
        verdict = judge(packets(rows), base=self.base, now=at(first, self.passed))
        self.base = verdict.base
        self.accounted += rows
        if verdict.kernel is not None:
            assert verdict.kernel.covers(packets(rows)), "rows and unattributed add up to it"
            self.unattributed += verdict.kernel.packets - rows
        return verdict


CUTS = st.lists(
    st.tuples(
        st.integers(0, 50),
        st.one_of(st.just((0, 0)), st.tuples(st.integers(0, 9), st.integers(0, 9))),
        st.integers(0, 3),
    ),
    max_size=20,
)


@given(CUTS)
def test_whatever_passes_meanwhile_the_next_quiet_end_has_it_all(cuts: list[tuple[int, tuple[int, int], int]]) -> None:
    world = World()
    for before, under_way, lost in cuts:
        verdict = world.cut(before, under_way, lost)
        assert verdict.excess == ZERO
        assert world.unattributed <= world.missed, "nothing is booked as lost that was not"
    world.cut(5, (0, 0), 0)
    assert world.accounted + world.unattributed == world.passed
    assert world.unattributed == world.missed


@given(CUTS)
def test_exact_is_said_only_of_books_that_are(cuts: list[tuple[int, tuple[int, int], int]]) -> None:
    world = World()
    for before, under_way, lost in cuts:
        before_unattributed = world.unattributed
        verdict = world.cut(before, under_way, lost)
        if verdict.kernel is not None and world.unattributed == before_unattributed:
            assert world.accounted + world.unattributed == world.passed
            assert world.unattributed == world.missed


@given(CUTS, st.integers(0, 9), st.integers(0, 9))
def test_a_start_in_traffic_claims_no_loss_that_was_none(
    cuts: list[tuple[int, tuple[int, int], int]], early: int, late: int
) -> None:
    world = World(passed=early + late, read=early, base=at(0, early + late))
    for before, under_way, _ in cuts:
        assert world.cut(before, under_way, 0).excess == ZERO
    assert world.unattributed == 0
