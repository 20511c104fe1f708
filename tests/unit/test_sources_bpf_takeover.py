"""What becomes of the generations of a dead process, decided from state files and what is pinned."""

from dataclasses import replace

import pytest

from netledger.intervals import Moment
from netledger.sources.bpf_takeover import Found, Inheritance, sort_out, stray
from netledger.sources.state import Facts

BOOT = "this"
WHOLE = Found(fingerprint="f", generation=2, generations=frozenset({1, 2, 3}))


def facts(seq: int, side: str = "a", *, begun: bool = True) -> Facts:
    return Facts(seq=seq, meter="m", node="n", start=Moment(seq * 10, seq * 10), boot_id=BOOT, side=side, begun=begun)


ONE, TWO, THREE = (facts(seq) for seq in (1, 2, 3))


def test_without_anything_there_is_nothing_to_do() -> None:
    assert sort_out([], {}, BOOT) == Inheritance()


def test_a_cut_that_died_behind_the_switch_leaves_one_to_be_read_and_one_that_counts() -> None:
    found = sort_out([ONE, TWO], {"a": WHOLE}, BOOT)
    assert found == Inheritance(left=(ONE,), current=TWO)
    assert found.end_of(ONE) == TWO.start
    assert found.end_of(TWO) is None


@pytest.mark.parametrize("begun", [True, False])
def test_a_cut_that_died_before_the_switch_has_noted_one_too_many(begun: bool) -> None:
    unused = replace(THREE, begun=False)
    current = replace(TWO, begun=begun)  # the kernel knows it, whatever was written down
    assert sort_out([current, unused], {"a": WHOLE}, BOOT) == Inheritance(current=current, unused=(unused,))


def test_a_stop_that_died_leaves_one_to_be_read() -> None:
    stopped = replace(WHOLE, generation=0)
    assert sort_out([TWO], {"a": stopped}, BOOT) == Inheritance(left=(TWO,))


def test_a_replacement_that_died_behind_the_switch_leaves_the_old_program_to_be_read() -> None:
    old, new = replace(WHOLE, generation=0), Found(fingerprint="g", generation=3, generations=frozenset({3}))
    following = facts(3, "b", begun=False)
    found = sort_out([TWO, following], {"a": old, "b": new}, BOOT)
    assert found == Inheritance(left=(TWO,), current=following)
    assert stray({"a": old, "b": new}, found) == ()


def test_a_replacement_that_died_before_it_leaves_a_program_that_nobody_needs() -> None:
    half = Found(broken="it is not whole")
    following = facts(3, "b", begun=False)
    found = sort_out([TWO, following], {"a": WHOLE, "b": half}, BOOT)
    assert found == Inheritance(current=TWO, unused=(following,))
    assert stray({"a": WHOLE, "b": half}, found) == ("b",)


@pytest.mark.parametrize(
    ("pinned", "why"),
    [
        ({}, "what was pinned was removed by someone else"),
        ({"a": Found(broken="slots is missing")}, "what was pinned was changed by someone else: slots is missing"),
        ({"a": Found(fingerprint="f", generation=9)}, "its rows were removed by someone else"),
        ({"a": Found(fingerprint="f", generation=2)}, "its rows were removed by someone else"),
    ],
)
def test_what_somebody_removed_is_given_up_with_the_reason(pinned: dict[str, Found], why: str) -> None:
    found = sort_out([TWO], {"a": pinned["a"]} if pinned else {}, BOOT)
    assert found == Inheritance(abandoned=((TWO, why),))


def test_one_that_never_counted_is_not_missed() -> None:
    assert sort_out([replace(ONE, begun=False)], {}, BOOT).unused
    broken = {"a": Found(broken="it is not whole")}
    assert sort_out([replace(ONE, begun=False)], {"a": broken["a"]}, BOOT).unused


def test_after_a_restart_of_the_machine_nothing_is_left() -> None:
    found = sort_out([ONE, TWO], {}, "another")
    assert [why for _, why in found.abandoned] == ["the machine was restarted"] * 2
    assert found.end_of(ONE) == TWO.start


def test_a_program_without_state_is_nobodys() -> None:
    assert stray({"a": WHOLE}, Inheritance()) == ("a",)
