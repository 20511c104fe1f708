"""Gaps, overlaps and borders of intervals, against what counting second by second gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.reports.coverage import coverage, crossing
from netledger.reports.periods import Period
from netledger.reports.remarks import duration
from tests.unit.rows import SECOND_NS


class _Span:
    node, meter = "gw1", "lan"

    def __init__(self, start_ns: int, end_ns: int) -> None:
        self.start_ns, self.end_ns = start_ns, end_ns


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), min_size=1, max_size=12))
def test_gaps_are_the_seconds_that_no_interval_holds(drawn: list[tuple[int, int]]) -> None:
    spans = [_Span(start * SECOND_NS, (start + length) * SECOND_NS) for start, length in drawn]
    period = Period(10 * SECOND_NS, 40 * SECOND_NS)
    found = coverage(spans, period, now_ns=1000 * SECOND_NS)
    held = {second for start, length in drawn for second in range(start, start + length)}
    expected = [second for second in range(10, 40) if second not in held]
    gaps = [
        second
        for one in found
        for gap in one.gaps
        for second in range(gap.start_ns // SECOND_NS, gap.end_ns // SECOND_NS)
    ]
    assert gaps == (expected if found else [])
    assert bool(found) == (len(expected) < 30)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), max_size=12),
    st.sets(st.integers(0, 70), min_size=1, max_size=8),
)
def test_an_interval_crosses_when_a_border_is_inside_of_it(drawn: list[tuple[int, int]], borders: set[int]) -> None:
    spans = [_Span(start, start + length) for start, length in drawn]
    expected = sum(any(start < border < start + length for border in borders) for start, length in drawn)
    assert crossing(spans, sorted(borders)) == expected


@pytest.mark.parametrize(
    ("length_ns", "text"),
    [
        (0, "0 s"),
        (1, "1 s"),
        (90 * SECOND_NS, "1 min 30 s"),
        (86_400 * SECOND_NS, "1 d"),
        (90_061 * SECOND_NS, "1 d 1 h"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(length_ns: int, text: str) -> None:
    assert duration(length_ns) == text
