"""When the counters are cut and when records are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nacctd.timetable import Timetable
from netledger.intervals import SECOND_NS, Moment

S = SECOND_NS


def moments(flush: int, fdelay: int, until: int) -> tuple[list[float], list[float]]:
    """The seconds of all cuts, and of all flushes."""
    table = Timetable.starting(flush, fdelay, Moment(1000 * S + S // 2, S // 2))
    cuts: list[float] = []
    flushes: list[float] = []
    while table.next_ns <= until * S:
        now = table.next_ns
        cuts.append(now / S)
        if table.is_flush_due(now):
            flushes.append(now / S)
        table.advance(now)
    return cuts, flushes


def test_the_first_flush_is_about_a_second_after_the_start_and_at_a_whole_one() -> None:
    assert Timetable.starting(300, 60, Moment(7 * S + 1, 5 * S)).flush_ns == 6 * S - 1
    assert Timetable.starting(300, 60, Moment(7 * S + S // 2 + 1, 5 * S)).flush_ns == 6 * S + S // 2 - 1


def test_there_is_a_cut_as_long_before_each_flush_as_a_record_must_be_idle() -> None:
    cuts, flushes = moments(300, 60, 1000)
    assert flushes == [1, 301, 601, 901]
    assert cuts == [1, 240.5, 301, 540.5, 601, 840.5, 901]


def test_a_delay_longer_than_the_cycle_is_cut_for_in_earlier_cycles() -> None:
    cuts, flushes = moments(10, 25, 60)
    assert flushes == [1, 11, 21, 31, 41, 51]
    assert {flush - 25.5 for flush in flushes if flush > 27} <= set(cuts)


def test_what_comes_every_second_is_never_idle() -> None:
    """With a delay of 0: whatever came in the half second before a flush is not written by it."""
    cuts, flushes = moments(1, 0, 4)
    assert (cuts, flushes) == ([1, 1.5, 2, 2.5, 3, 3.5, 4], [1, 2, 3, 4])
    assert Timetable(1, 0, flush_ns=3 * S).idle_since_ns == 2.5 * S


@pytest.mark.parametrize("flush", [0, -5, 1])
def test_no_cycle_is_shorter_than_a_second(flush: int) -> None:
    assert moments(flush, 0, 4)[1] == [1, 2, 3, 4]


def test_what_was_missed_is_left_out() -> None:
    table = Timetable(2, 0, flush_ns=10 * S)
    table.advance(17 * S)
    assert table.flush_ns == 18 * S


def test_a_cut_that_is_a_little_late_is_for_the_moment_it_was_meant_for() -> None:
    table = Timetable(2, 0, flush_ns=10 * S)
    assert table.label_ns(10 * S + 5) == 10 * S
    assert table.label_ns(12 * S) == 12 * S


def test_new_lengths_never_put_a_flush_off() -> None:
    table = Timetable(1000, 0, flush_ns=500 * S)
    assert table.changed(10, 0, Moment(0, 100 * S)).flush_ns == 110 * S
    assert table.changed(1000, 0, Moment(0, 100 * S)).flush_ns == 500 * S


@given(st.integers(-3, 40), st.integers(-3, 90), st.integers(0, 3 * S))
def test_time_always_goes_on(flush: int, fdelay: int, late_ns: int) -> None:
    table = Timetable.starting(flush, fdelay, Moment(123 * S + 7, 45 * S))
    now = 45 * S
    for _ in range(50):
        assert table.next_ns > now
        now = table.next_ns + late_ns
        table.advance(now)
    assert table.flush_ns > now
