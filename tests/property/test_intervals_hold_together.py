"""Whatever the wall clock does, intervals neither overlap nor leave a gap, and none is empty or negative."""

from hypothesis import given
from hypothesis import strategies as st

from netledger.intervals import DAY_NS, SECOND_NS, Moment, Schedule, boundary_after

INTERVALS_NS = st.sampled_from([1, 10, 60, 300, 3600, 86_400, 7 * 86_400]).map(lambda seconds: seconds * SECOND_NS)
STARTS_NS = st.integers(min_value=0, max_value=4_000_000_000 * SECOND_NS)
# How far the wall clock moves between two looks, forward or back, and whether somebody asks for a cut.
STEPS = st.lists(
    st.tuples(st.integers(min_value=-3 * DAY_NS, max_value=3 * DAY_NS), st.booleans(), st.booleans()), max_size=60
)


@given(start_ns=STARTS_NS, interval_ns=INTERVALS_NS, steps=STEPS)
def test_a_clock_that_is_stepped_leaves_no_gap_and_no_overlap(
    start_ns: int, interval_ns: int, steps: list[tuple[int, bool, bool]]
) -> None:
    schedule = Schedule(interval_ns, start_ns=start_ns)
    wall_ns, monotonic_ns, end_before = start_ns, 0, start_ns
    for step_ns, is_asked_for, is_postponed in steps:
        wall_ns, monotonic_ns = max(0, wall_ns + step_ns), monotonic_ns + abs(step_ns)
        now = Moment(wall_ns, monotonic_ns)
        assert schedule.start_ns == end_before
        assert schedule.boundary_ns > schedule.start_ns
        if not (schedule.is_due(now) or is_asked_for):
            assert schedule.wait_ns(now) > 0
            continue
        if is_postponed:
            schedule.postpone(now)
            assert not schedule.is_due(now)
            continue
        end_ns = schedule.label(now)
        assert end_ns > schedule.start_ns
        # A label is the boundary or the truth; only a clock behind the start of the interval leaves neither.
        assert end_ns in (schedule.boundary_ns, wall_ns) or wall_ns <= schedule.start_ns
        assert wall_ns <= schedule.start_ns or abs(end_ns - wall_ns) < SECOND_NS
        schedule.advance(end_ns)
        end_before = end_ns


@given(start_ns=STARTS_NS, interval_ns=INTERVALS_NS, late=st.lists(st.integers(0, SECOND_NS // 2 - 1), max_size=20))
def test_cuts_that_come_a_little_late_give_aligned_intervals(start_ns: int, interval_ns: int, late: list[int]) -> None:
    schedule = Schedule(interval_ns, start_ns=start_ns)
    for late_ns in late:
        now = Moment(schedule.boundary_ns + late_ns, 0)
        assert schedule.is_due(now)
        end_ns = schedule.label(now)
        assert end_ns % interval_ns == 0
        schedule.advance(end_ns)
        assert schedule.boundary_ns == end_ns + interval_ns


@given(wall_ns=STARTS_NS, interval_ns=INTERVALS_NS)
def test_the_next_boundary_is_the_first_multiple_that_is_later(wall_ns: int, interval_ns: int) -> None:
    boundary_ns = boundary_after(wall_ns, interval_ns)
    assert boundary_ns % interval_ns == 0
    assert boundary_ns - interval_ns <= wall_ns < boundary_ns
