"""When an interval is due, and what it is called."""

import pytest

from netledger.intervals import SECOND_NS, Moment, Schedule, SystemClock

START_NS = 1_763_632_800 * SECOND_NS  # 2025-11-20T10:00:00Z
MINUTE_NS = 60 * SECOND_NS


def at(offset_ns: int) -> Moment:
    return Moment(START_NS + offset_ns, offset_ns)


def test_the_first_interval_ends_at_the_next_boundary() -> None:
    schedule = Schedule(5 * MINUTE_NS, start_ns=START_NS + 7 * SECOND_NS)
    assert schedule.boundary_ns == START_NS + 5 * MINUTE_NS
    assert schedule.wait_ns(at(0)) == 5 * MINUTE_NS
    assert not schedule.is_due(at(5 * MINUTE_NS - 1))
    assert schedule.is_due(at(5 * MINUTE_NS))
    assert schedule.wait_ns(at(6 * MINUTE_NS)) == 0


@pytest.mark.parametrize(
    ("late_ns", "label_ns"),
    [
        (0, 0),
        (SECOND_NS - 1, 0),
        (SECOND_NS, SECOND_NS),
        (MINUTE_NS, MINUTE_NS),
    ],
)
def test_a_cut_less_than_a_second_late_is_labelled_with_its_boundary(late_ns: int, label_ns: int) -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    assert schedule.label(at(MINUTE_NS + late_ns)) == START_NS + MINUTE_NS + label_ns


def test_of_a_short_interval_half_its_length_is_too_late() -> None:
    schedule = Schedule(SECOND_NS, start_ns=START_NS)
    assert schedule.label(at(SECOND_NS + SECOND_NS // 2 - 1)) == START_NS + SECOND_NS
    assert schedule.label(at(SECOND_NS + SECOND_NS // 2)) == START_NS + SECOND_NS + SECOND_NS // 2


def test_an_early_cut_says_when_it_was() -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    end_ns = schedule.label(at(20 * SECOND_NS))
    assert end_ns == START_NS + 20 * SECOND_NS
    schedule.advance(end_ns)
    assert schedule.start_ns == end_ns
    assert schedule.boundary_ns == START_NS + MINUTE_NS


def test_a_clock_stepped_back_lets_the_interval_wait_for_its_boundary() -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    assert schedule.wait_ns(at(-MINUTE_NS)) == 2 * MINUTE_NS
    assert schedule.label(at(-MINUTE_NS)) == START_NS + 1


def test_a_clock_stepped_forward_closes_the_interval_at_once() -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    assert schedule.is_due(at(3 * 3600 * SECOND_NS))
    assert schedule.label(at(3 * 3600 * SECOND_NS)) == START_NS + 3 * 3600 * SECOND_NS


def test_a_postponed_interval_ends_at_a_later_boundary() -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    schedule.postpone(at(MINUTE_NS))
    assert schedule.start_ns == START_NS
    assert schedule.boundary_ns == START_NS + 2 * MINUTE_NS
    schedule.postpone(at(10 * SECOND_NS))
    assert schedule.boundary_ns == START_NS + 3 * MINUTE_NS


def test_an_interval_cannot_end_before_it_starts() -> None:
    schedule = Schedule(MINUTE_NS, start_ns=START_NS)
    with pytest.raises(ValueError, match="cannot end"):
        schedule.advance(START_NS)
    with pytest.raises(ValueError, match="length"):
        Schedule(0, start_ns=START_NS)


def test_the_clock_of_the_machine_goes_on() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert second.monotonic_ns >= first.monotonic_ns
    assert first.wall_ns > START_NS
