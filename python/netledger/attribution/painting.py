"""Facts of one source about one target, laid over each other in the order in which they were learnt."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from netledger.attribution.facts import Fact

Claim = tuple[int, int, Fact]
"""From when to when, UTC nanoseconds and half-open, and the fact that says so; until further notice is FOREVER_NS."""


def painted(facts: Iterable[Fact]) -> list[Claim]:
    """What holds at each time: a later fact covers an earlier one where both speak. In order of time, no overlaps.

    Facts that say nobody's are among them.
    """
    starts: list[int] = []
    ends: list[int] = []
    tellers: list[Fact] = []
    for fact in facts:
        start_ns, end_ns = fact.valid_from_ns, fact.end_ns
        # Those that it touches: from the first that ends behind its start to the last that begins before its end.
        first, last = bisect_right(ends, start_ns), bisect_left(starts, end_ns)
        new = [(start_ns, end_ns, fact)]
        if first < last:
            if starts[first] < start_ns:
                new.insert(0, (starts[first], start_ns, tellers[first]))
            if ends[last - 1] > end_ns:
                new.append((end_ns, ends[last - 1], tellers[last - 1]))
        starts[first:last] = [one[0] for one in new]
        ends[first:last] = [one[1] for one in new]
        tellers[first:last] = [one[2] for one in new]
    return list(zip(starts, ends, tellers, strict=True))


def claims(facts: Iterable[Fact]) -> list[Claim]:
    """The same without what is nobody's."""
    return [one for one in painted(facts) if one[2].is_claim]
