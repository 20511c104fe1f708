"""Which moment a local time means: where the clock is set back it shows an hour twice, and no old file says which."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, final

from netledger.errors import OldFileError
from netledger.imports.base import OldPeriod
from netledger.intervals import boundary_after
from netledger.reports.periods import Period
from netledger.reports.zones import Zone, nanoseconds

_SHORTEST_NS: Final = 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What a period of an old file may mean.

    Attributes:
        period: it.
        spans: every reading of its local times, the earlier first; one where the clock shows them once.
    """

    period: OldPeriod
    spans: tuple[Period, ...]

    @property
    def is_ambiguous(self) -> bool:
        """Whether the clock shows its start or its end twice."""
        return len(self.spans) > 1


def candidates(period: OldPeriod, zone: Zone, interval_ns: int | None) -> Candidates:
    """What the local times of a period may mean.

    Where its file does not tell the end, that is the next UTC multiple of ``interval_ns``, as the old program has it.

    Raises:
        OldFileError: the clock never showed such a time, it ends before it begins, or nobody knows when.
    """
    starts = _moments(period, period.start, zone)
    if period.end is None:
        if interval_ns is None:
            raise OldFileError(
                period.place,
                "",
                "nothing tells when the period ends",
                "give the file its name back (START_END.csv), or say how long periods are: --interval 5m",
            )
        return Candidates(
            period=period, spans=tuple(Period(start, boundary_after(start, interval_ns)) for start in starts)
        )
    ends = _moments(period, period.end, zone)
    spans = [Period(start, end) for start in starts for end in ends if end > start]
    if period.start == period.end:
        # Started and stopped within a second; none is empty.
        spans += [Period(start, start + _SHORTEST_NS) for start in starts]
    if not spans:
        raise OldFileError(period.place, "", f"the period ends at {period.end}, before it begins at {period.start}")
    return Candidates(period=period, spans=tuple(sorted(spans)))


def decide(found: Sequence[Candidates], taken: Iterable[Period], *, interval_ns: int | None) -> list[Period]:
    """One reading for each, in the same order.

    What the clock showed once is taken as it is. Of the others a reading is chosen that overlaps nothing (``taken``
    holds what the ledger has already), is as long as most periods are, and follows one that is known; where that
    leaves two, periods of the same name are told apart by their order, the first one being the earlier.
    """
    usual_ns = _usual(found) if interval_ns is None else interval_ns
    chosen: dict[int, Period] = {number: one.spans[0] for number, one in enumerate(found) if not one.is_ambiguous}
    taken = list(taken)
    line = _Line([*taken, *chosen.values()])
    waiting = sorted(
        (number for number, one in enumerate(found) if one.is_ambiguous),
        key=lambda number: (found[number].period.start, found[number].period.ordinal),
    )
    while waiting:
        number, span = _clearest([(number, found[number]) for number in waiting], line, usual_ns)
        waiting.remove(number)
        chosen[number] = span
        line.add(span)
    return _apart([chosen[number] for number in range(len(found))], taken)


def _apart(spans: Sequence[Period], taken: Sequence[Period]) -> list[Period]:
    """What begins in the very second in which another period began and ended begins behind that one."""
    instants = {span.start_ns for span in (*spans, *taken) if span.end_ns - span.start_ns == _SHORTEST_NS}
    return [
        Period(span.start_ns + _SHORTEST_NS, span.end_ns)
        if span.start_ns in instants and span.end_ns - span.start_ns > _SHORTEST_NS
        else span
        for span in spans
    ]


@final
class _Line:
    """Spans on the line of time."""

    def __init__(self, spans: Iterable[Period]) -> None:
        self._spans = sorted(spans)
        self._ends = {span.end_ns for span in self._spans}
        self._longest_ns = max((span.end_ns - span.start_ns for span in self._spans), default=0)

    def add(self, span: Period) -> None:
        insort(self._spans, span)
        self._ends.add(span.end_ns)
        self._longest_ns = max(self._longest_ns, span.end_ns - span.start_ns)

    def is_free(self, span: Period) -> bool:
        """Whether nothing overlaps it."""
        first = bisect_left(self._spans, Period(span.start_ns - self._longest_ns, 0))
        last = bisect_left(self._spans, Period(span.end_ns, 0))
        return all(one.end_ns <= span.start_ns for one in self._spans[first:last])

    def touches(self, span: Period) -> bool:
        """Whether something ends where it begins, or begins where it ends."""
        place = bisect_left(self._spans, Period(span.end_ns, 0))
        return span.start_ns in self._ends or (place < len(self._spans) and self._spans[place].start_ns == span.end_ns)


def _clearest(waiting: Sequence[tuple[int, Candidates]], line: _Line, usual_ns: int | None) -> tuple[int, Period]:
    """The first one that has a single good reading; without such, the earliest good reading of the first."""
    for number, one in waiting:
        good = _good(one, line, usual_ns)
        next_to = [span for span in good if line.touches(span)]
        if len(good) == 1 or len(next_to) == 1:
            return number, (next_to or good)[0]
    number, one = waiting[0]
    return number, _good(one, line, usual_ns)[0]


def _good(one: Candidates, line: _Line, usual_ns: int | None) -> list[Period]:
    free = [span for span in one.spans if line.is_free(span)] or list(one.spans)
    usual = [span for span in free if span.end_ns - span.start_ns == usual_ns]
    if usual:
        return usual
    shortest_ns = min(span.end_ns - span.start_ns for span in free)
    return [span for span in free if span.end_ns - span.start_ns == shortest_ns]


def _usual(found: Iterable[Candidates]) -> int | None:
    """The length that most periods have whose times are clear."""
    lengths = Counter(one.spans[0].end_ns - one.spans[0].start_ns for one in found if not one.is_ambiguous).most_common(
        1
    )
    return lengths[0][0] if lengths else None


def is_shown_twice(clock: datetime, zone: Zone) -> bool:
    """Whether the clock on the wall shows this twice, for it is set back."""
    first, second = _readings(clock, zone)
    return first < second


def _moments(period: OldPeriod, clock: datetime, zone: Zone) -> tuple[int, ...]:
    first, second = _readings(clock, zone)
    if first > second:
        raise OldFileError(
            period.place,
            "",
            f"the clock of {zone.name} was set forward over {clock}",
            "name the zone of the machine that wrote it: --timezone",
        )
    return (first,) if first == second else (first, second)


def _readings(clock: datetime, zone: Zone) -> tuple[int, int]:
    first, second = (nanoseconds(clock.replace(tzinfo=zone.rules, fold=fold)) for fold in (0, 1))
    return first, second
