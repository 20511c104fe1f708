"""Full rate from two CPUs, sixty cuts: the books of the kernel are whole. And programs that are wrong are caught."""

from collections.abc import Iterator

import pytest

from tests.crash.trial import say
from tests.kernel.bpf_box import own_bpffs, pins
from tests.kernel.bpf_duel import Duel
from tests.kernel.bpf_mutants import mutant
from tests.kernel.bpf_proof import FULL, HOST, PACKETS_MIN, ROWS_MAX, meter, prove

TURNS_MAX = 12
MUTANT_CUTS = 25
SLOW_PACKETS_MIN = 300


@pytest.fixture
def duel() -> Iterator[Duel]:
    with own_bpffs(), Duel() as made, made.inside(made.near):
        yield made


@pytest.mark.parametrize(("kind", "columns"), [("netfilter", HOST), ("tcx", HOST), ("netfilter", FULL)])
def test_every_generation_is_whole_frozen_and_all_of_them_are_what_nft_counted(
    duel: Duel, kind: str, columns: tuple[str, ...]
) -> None:
    proof = prove(duel, meter(kind, columns=columns), kind)
    say(f"{kind}, {' '.join(columns)}: {proof.figures()}")
    assert proof.problems == []
    assert proof.total == proof.witness
    # It was worth it: many rows, more than there is room for, and packets enough in each.
    assert proof.rows >= ROWS_MAX
    assert proof.other > 0
    assert proof.packets_min >= PACKETS_MIN
    assert pins() == []


@pytest.mark.peers("clang")
@pytest.mark.parametrize(
    ("kind", "define"),
    [
        ("netfilter", "MUTATE_PLAIN_ADDS"),
        ("tcx", "MUTATE_PLAIN_ADDS"),
        # Each CPU has a receipt of its own. At tcx nothing interrupts the program; at the output hook softirqs do.
        ("netfilter", "MUTATE_PLAIN_RECEIPT"),
    ],
)
def test_a_program_that_adds_without_a_lock_is_caught(duel: Duel, kind: str, define: str) -> None:
    """Each turn has a chance; no turn may pass for ever."""
    wrong = mutant(define)
    for turn in range(1, TURNS_MAX + 1):
        proof = prove(duel, meter(kind, object_path=wrong), kind, cuts=MUTANT_CUTS)
        if proof.broken:
            say(f"{kind}, {define}, turn {turn}: wrong in {proof.broken} of {proof.cuts}; {proof.problems[-1]}")
            return
    pytest.fail(f"not caught in {TURNS_MAX} turns: {proof.figures()}")


@pytest.mark.peers("clang")
@pytest.mark.parametrize("kind", ["netfilter", "tcx"])
def test_a_slow_program_is_caught_when_nobody_waits_for_it_and_whole_when_somebody_does(duel: Duel, kind: str) -> None:
    """At its usual speed the program is done before anyone can look: only a slowed one shows what the wait is for."""
    slow = mutant("MUTATE_SLOW=4000")
    control = prove(duel, meter(kind, object_path=slow), kind, cuts=MUTANT_CUTS, packets_min=SLOW_PACKETS_MIN)
    assert control.problems == []
    for turn in range(1, TURNS_MAX + 1):
        one = meter(kind, object_path=slow)
        proof = prove(duel, one, kind, cuts=MUTANT_CUTS, settles=False, packets_min=SLOW_PACKETS_MIN)
        if proof.broken or proof.moved:
            say(
                f"{kind}, slow and without the wait, turn {turn}: wrong in {proof.broken}, moved {proof.moved} "
                f"of {proof.cuts}; slow with the wait: none of {control.cuts}"
            )
            return
    pytest.fail(f"not caught in {TURNS_MAX} turns: {proof.figures()}")
