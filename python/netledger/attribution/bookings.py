"""To whom rows are booked: what somebody held over time, laid over the intervals that were counted.

Rows are many and intervals few. Wherever a row's interval lies within one holder's time, its start alone tells; only
intervals across a border of two times are judged one by one.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, final

from netledger.attribution.timeline import Holder, Reason, Segment, holder_of

PARTLY_NS: Final = 1_000_000_000
"""A row whose holder was somebody for all but less than this is not called partly assigned: sources tell seconds."""


class Booking(NamedTuple):
    """Rows of one place that begin in [from_ns, to_ns) are all booked alike.

    Attributes:
        from_ns: the least start of an interval, UTC nanoseconds.
        to_ns: the first start that is not meant.
        until_ns: only rows whose interval ends here; None where the start tells.
        subject: whose they are, or None.
        reason: why nobody's, or None.
        is_partly: whether he held it for a part of the interval only.
    """

    from_ns: int
    to_ns: int
    until_ns: int | None
    subject: str | None
    reason: Reason | None
    is_partly: bool


@final
class Grid:
    """The intervals that rows can have.

    Args:
        spans: their starts and ends, UTC nanoseconds; in any order, and more than once does no harm.
    """

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._ends: dict[int, list[int]] = defaultdict(list)
        # By how long they are, to the next power of two: what crosses a border is looked for no further back.
        by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for start_ns, end_ns in sorted(set(spans)):
            self._ends[start_ns].append(end_ns)
            by_length[(end_ns - start_ns).bit_length()].append((start_ns, end_ns))
        self._by_length = {1 << bits: spans for bits, spans in by_length.items()}
        self._starts = starts = list(self._ends)
        self.start_ns = starts[0] if starts else 0
        self.last_start_ns = starts[-1] if starts else 0
        self.end_ns = max((ends[-1] for ends in self._ends.values()), default=0)
        # As those of one meter are, or of several that keep step: then one look finds what crosses a border.
        self._single_ends = [ends[0] for ends in self._ends.values()]
        self._is_row = all(len(ends) == 1 for ends in self._ends.values()) and all(
            end_ns <= start_ns for end_ns, start_ns in zip(self._single_ends, starts[1:], strict=False)
        )

    def __bool__(self) -> bool:
        return bool(self._ends)

    def ends(self, start_ns: int) -> Sequence[int]:
        """Where the intervals end that begin at this moment."""
        return self._ends[start_ns]

    def starts_within(self, start_ns: int, end_ns: int) -> tuple[int, int] | None:
        """The first and the last moment in [start, end) at which intervals begin, if there is one."""
        first, last = bisect_left(self._starts, start_ns), bisect_left(self._starts, end_ns)
        return (self._starts[first], self._starts[last - 1]) if first < last else None

    def across(self, moment_ns: int) -> Iterator[int]:
        """The starts of intervals that begin before a moment and end behind it; some of them more than once."""
        if self._is_row:
            last = bisect_left(self._starts, moment_ns) - 1
            if last >= 0 and self._single_ends[last] > moment_ns:
                yield self._starts[last]
            return
        for length_ns, spans in self._by_length.items():
            first = bisect_right(spans, (moment_ns - length_ns, self.end_ns))
            for start_ns, end_ns in spans[first : bisect_left(spans, (moment_ns, 0))]:
                if end_ns > moment_ns:
                    yield start_ns


def bookings(segments: Sequence[Segment], grid: Grid, *, is_ever_held: bool) -> list[Booking]:
    """What rows of a place are booked to, in order of time; of what is not named there is no assignment at all.

    ``segments`` are what somebody held, those that touch the grid at least.
    """
    if not is_ever_held or not grid:
        return []
    borders = {one.start_ns for one in segments} | {one.end_ns for one in segments}
    crossed = sorted({start_ns for border in borders for start_ns in grid.across(border)})
    ends = [one.end_ns for one in segments]
    found: list[Booking] = []
    for from_ns, to_ns, subject in _held(segments, grid):
        reason = None if subject is not None else Reason.GAP
        at = from_ns
        for start_ns in crossed[bisect_left(crossed, from_ns) : bisect_left(crossed, to_ns)]:
            if at < start_ns:
                _append(found, Booking(at, start_ns, None, subject, reason, is_partly=False))
            found.extend(_judged(segments, ends, start_ns, grid.ends(start_ns)))
            at = start_ns + 1
        if at < to_ns:
            _append(found, Booking(at, to_ns, None, subject, reason, is_partly=False))
    return found


def _held(segments: Sequence[Segment], grid: Grid) -> Iterator[tuple[int, int, str | None]]:
    """All the time in which intervals begin, and whose it was."""
    at, end_ns = grid.start_ns, grid.last_start_ns + 1
    for one in segments:
        if one.end_ns <= at or one.start_ns >= end_ns:
            continue
        if at < one.start_ns:
            yield at, one.start_ns, None
        yield max(at, one.start_ns), min(one.end_ns, end_ns), one.subject
        at = one.end_ns
    if at < end_ns:
        yield at, end_ns, None


def _append(found: list[Booking], new: Booking) -> None:
    last = found[-1] if found else None
    if last is not None and last.to_ns == new.from_ns and last[2:] == new[2:]:
        new = new._replace(from_ns=found.pop().from_ns)
    found.append(new)


def _judged(segments: Sequence[Segment], ends: list[int], start_ns: int, until: Sequence[int]) -> Iterator[Booking]:
    """The rows that begin at one moment, by where they end."""
    first = bisect_right(ends, start_ns)
    for end_ns in until:
        last = first
        while last < len(segments) and segments[last].start_ns < end_ns:
            last += 1
        holder = holder_of(segments[first:last], start_ns, end_ns, is_ever_held=True)
        yield Booking(
            start_ns,
            start_ns + 1,
            None if len(until) == 1 else end_ns,
            holder.subject,
            holder.reason,
            is_partly=is_partly(holder, start_ns, end_ns),
        )


def is_partly(holder: Holder, start_ns: int, end_ns: int) -> bool:
    """Whether a row rests on an assignment that did not hold all of its interval."""
    return holder.subject is not None and end_ns - start_ns - holder.held_ns >= min(PARTLY_NS, end_ns - start_ns)
