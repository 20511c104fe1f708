"""What becomes of the generations of a dead process, decided from state files and a listing."""

from dataclasses import replace

import pytest

from netledger.intervals import Moment
from netledger.receipt import Count
from netledger.sources.kernel_rules import KernelRules, passed
from netledger.sources.listing import Listing
from netledger.sources.nft import Json, Nft
from netledger.sources.ruleset import Ruleset, Side
from netledger.sources.state import Facts
from netledger.sources.takeover import sort_out

KERNEL = KernelRules(Nft("/nowhere"), Ruleset(table="t", meter="m", groups=(1, 2)))
BOOT = "this"
ZERO = Count(0, 0)


def listing(side: Side | None, **counters: Count) -> Listing:
    counts = {name: counters.get(name, ZERO) for name in KERNEL.rules.counters()}
    leads: list[Json] = [{"goto": {"target": f"m_{side}"}}]
    rule: dict[str, Json] = {"chain": "m_count", "handle": 9, "expr": leads}
    return Listing(
        version="1",
        table={"handle": 1},
        chains={name: {"handle": 2} for name in KERNEL.rules.chains()},
        rules=() if side is None else (rule,),
        counters=counts,
        handles=dict.fromkeys(counts, 3),
    )


def generation(seq: int, side: Side, **changes: object) -> Facts:
    facts = Facts(
        seq=seq,
        meter="m",
        node="n",
        start=Moment(seq, seq),
        boot_id=BOOT,
        side=side,
        base={f"m_{side}_ipv4": ZERO, f"m_{side}_ipv6": ZERO},
        rules=KERNEL.snapshot(listing("a")),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # names of fields, with their values


A, B = generation(1, "a"), generation(2, "b")


def test_nothing_left_is_nothing_to_do() -> None:
    inherited = sort_out([], listing("a"), KERNEL, BOOT)
    assert (inherited.current, inherited.frozen, inherited.abandoned) == (None, None, ())


def test_one_that_the_rules_still_count_for_is_current() -> None:
    inherited = sort_out([A], listing("a", m_a_ipv4=Count(5, 500)), KERNEL, BOOT)
    assert (inherited.current, inherited.disturbance) == (A, None)


def test_one_that_was_prepared_and_never_switched_to_is_unused() -> None:
    inherited = sort_out([A, B], listing("a", m_a_ipv4=Count(5, 500)), KERNEL, BOOT)
    assert (inherited.frozen, inherited.current, inherited.unused) == (None, A, B)


def test_after_the_switch_the_older_one_is_frozen() -> None:
    for counters in ({}, {"m_b_ipv4": Count(5, 500)}):
        inherited = sort_out([A, B], listing("b", **counters), KERNEL, BOOT)
        assert (inherited.frozen, inherited.current, inherited.unused) == (A, B, None)


def test_counters_of_the_newer_one_that_moved_tell_that_it_was_switched_to() -> None:
    inherited = sort_out([A, B], listing("a", m_b_ipv4=Count(5, 500)), KERNEL, BOOT)
    assert (inherited.frozen, inherited.current) == (A, B)


def test_rules_taken_out_by_a_process_about_to_stop_are_no_disturbance() -> None:
    stopping = generation(1, "a", stopped=Moment(5, 5), stopping=True)
    inherited = sort_out([stopping], listing(None), KERNEL, BOOT)
    assert (inherited.current, inherited.disturbance) == (stopping, None)
    kept = generation(1, "a", stopped=Moment(5, 5))
    disturbed = sort_out([kept], listing(None), KERNEL, BOOT)
    assert disturbed.disturbance is not None
    assert "rule 9 of chain m_count is gone" in disturbed.disturbance.what


@pytest.mark.parametrize(
    ("found", "boot", "why"),
    [
        (None, BOOT, "the rules were removed by someone else"),
        (Listing(version="1", table={}), BOOT, "the rules were removed by someone else"),
        (listing("a"), "another", "the machine was restarted"),
    ],
)
def test_without_the_counters_all_are_abandoned(found: Listing | None, boot: str, why: str) -> None:
    inherited = sort_out([A, B], found, KERNEL, boot)
    assert inherited.abandoned == ((A, why), (B, why))
    assert (inherited.current, inherited.frozen) == (None, None)


def test_counters_below_what_they_were_are_worth_nothing() -> None:
    high = generation(1, "a", base={"m_a_ipv4": Count(10, 1000)})
    ((facts, why),) = sort_out([high], listing("a", m_a_ipv4=Count(9, 900)), KERNEL, BOOT).abandoned
    assert facts == high
    assert "counter m_a_ipv4 was reset" in why


def test_one_that_died_before_the_rules_were_installed_never_was() -> None:
    first = generation(1, "a", rules={})
    assert sort_out([first], None, KERNEL, BOOT).unused == first
    assert sort_out([first], listing("a"), KERNEL, BOOT).current == first


def test_more_than_two_open_ones_cannot_share_two_sides() -> None:
    inherited = sort_out([generation(1, "b"), replace(A, seq=2), replace(B, seq=3)], listing("b"), KERNEL, BOOT)
    assert [facts.seq for facts, _ in inherited.abandoned] == [1]


def test_what_passed_is_the_sum_of_the_differences() -> None:
    assert passed({"x": Count(5, 50), "y": Count(7, 70)}, {"x": Count(1, 10), "y": ZERO}) == Count(11, 110)
    assert passed({"x": Count(5, 50)}, {"x": Count(6, 60)}) is None
    assert passed({}, {"x": Count(6, 60)}) is None
    assert passed({"x": Count(5, 50)}, {}) is None
