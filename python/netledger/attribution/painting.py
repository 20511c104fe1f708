"""Pieces of time laid over each other: a later one covers an earlier one."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Generic, TypeVar, final

from netledger.attribution.facts import Fact

_T = TypeVar("_T")
Piece = tuple[int, int, _T]
"""From when to when, UTC nanoseconds and half-open, and what holds then; until further notice is FOREVER_NS."""


@final
class Canvas(Generic[_T]):
    """What can be seen of pieces that are added one by one. Each takes a binary search."""

    __slots__ = ("_ends", "_starts", "_values")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._values: list[_T] = []

    def add(self, start_ns: int, end_ns: int, value: _T) -> None:
        """Covers what was there from start to end."""
        starts, ends, values = self._starts, self._ends, self._values
        if not starts or start_ns >= ends[-1]:  # as most come: behind all others
            starts.append(start_ns)
            ends.append(end_ns)
            values.append(value)
            return
        first, last = self._touched(start_ns, end_ns)
        new = [(start_ns, end_ns, value)]
        if first < last:
            if starts[first] < start_ns:
                new.insert(0, (starts[first], start_ns, values[first]))
            if ends[last - 1] > end_ns:
                new.append((end_ns, ends[last - 1], values[last - 1]))
        starts[first:last] = [one[0] for one in new]
        ends[first:last] = [one[1] for one in new]
        values[first:last] = [one[2] for one in new]

    def is_empty(self, start_ns: int, end_ns: int) -> bool:
        """Whether nothing is there from start to end."""
        first, last = self._touched(start_ns, end_ns)
        return first == last

    def pieces(self) -> list[Piece[_T]]:
        """What can be seen, in order of time and without overlaps. None is empty."""
        return list(zip(self._starts, self._ends, self._values, strict=True))

    def _touched(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """From the first that ends behind the start to the last that begins before the end."""
        return bisect_right(self._ends, start_ns), bisect_left(self._starts, end_ns)


def painted(pieces: Iterable[Piece[_T]]) -> list[Piece[_T]]:
    """What can be seen in the end of pieces in this order."""
    canvas: Canvas[_T] = Canvas()
    for start_ns, end_ns, value in pieces:
        canvas.add(start_ns, end_ns, value)
    return canvas.pieces()


def claims(facts: Iterable[Fact]) -> list[Piece[Fact]]:
    """What one source claims of one target, of its facts in the order in which they were learnt.

    A later fact replaces an earlier one where both speak, and one that says nobody's leaves nothing.
    """
    return [one for one in painted((fact.valid_from_ns, fact.end_ns, fact) for fact in facts) if one[2].is_claim]


def within(pieces: list[Piece[_T]], start_ns: int, end_ns: int) -> list[Piece[_T]]:
    """The part of painted pieces in [start, end)."""
    first = bisect_right(pieces, start_ns, key=lambda one: one[1])
    last = bisect_left(pieces, end_ns, lo=first, key=lambda one: one[0])
    return [(max(begin, start_ns), min(end, end_ns), value) for begin, end, value in pieces[first:last]]
