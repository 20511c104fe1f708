"""Where in time lines are put: what is booked for a meter never overlaps, in whichever order its files came."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import Final, final

from netledger.imports.nacctd.log import Piece
from netledger.imports.nacctd.parts import STEP_NS, Part
from netledger.reports.periods import Period

_SECOND_NS: Final = 1_000_000_000


@final
class Room:
    """What is taken already, and what is put beside it."""

    def __init__(self, taken: Iterable[Period], period_seconds: int) -> None:
        self._taken = sorted(taken)
        self._period_ns = period_seconds * _SECOND_NS

    def spans(self, piece: Piece, parts: Sequence[Part], *, is_first: bool) -> list[Period]:
        """A span for each of the parts of a piece, behind each other, and from then on taken.

        A piece takes its whole period, so that hours that were written without a pause have no gaps between them. At
        either end of a file it takes what its lines have: the rest is in another file. ``is_first`` says that no
        other piece stands before it in its file.
        """
        start_ns = piece.period * self._period_ns
        first_ns, behind_ns = piece.first_second * _SECOND_NS, (piece.last_second + 1) * _SECOND_NS
        end_ns = behind_ns if piece.is_open else start_ns + self._period_ns
        lower_ns = first_ns if is_first else start_ns
        before = bisect_right(self._taken, Period(first_ns, end_ns))
        if before and self._taken[before - 1].end_ns > start_ns:
            lower_ns = self._taken[before - 1].end_ns
        if before < len(self._taken):
            end_ns = min(end_ns, self._taken[before].start_ns)
        return self._divided(parts, lower_ns, end_ns)

    def _divided(self, parts: Sequence[Part], lower_ns: int, end_ns: int) -> list[Period]:
        starts: list[int] = []
        for part in parts:
            least_ns = starts[-1] + STEP_NS if starts else lower_ns
            starts.append(max(part.start_ns or 0, least_ns))
        ends = [*starts[1:], max(end_ns, starts[-1] + STEP_NS)]
        spans = [Period(start, end) for start, end in zip(starts, ends, strict=True)]
        for span in spans:
            insort(self._taken, span)
        return spans
