"""One generation after the other, where the receiver itself goes from one table to the next."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, final

from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.sources.base import Closed, Gathered, Step
from netledger.sources.bookkeeping import Bookkeeping
from netledger.sources.state import Facts

Freeze: TypeAlias = Callable[[Facts, Moment, Gathered], Closed]
"""Writes down how a generation ended."""


@dataclass(frozen=True, slots=True)
class _Left:
    """A generation that a cut has left behind, and whose receipt is not written yet."""

    facts: Facts
    end: Moment
    generation: Gathered


@final
class Turns:
    """The open generation of a meter, and one that is not closed yet. Not safe for concurrent use.

    Args:
        books: where they are written down.
        freeze: closes one.
        groups: NFLOG groups that count for it.
        at_step: told each step that has been done.
    """

    def __init__(self, books: Bookkeeping, freeze: Freeze, *, groups: tuple[int, ...] = (), at_step: Step) -> None:
        self._books = books
        self._freeze = freeze
        self._groups = groups
        self._at_step = at_step
        self._left: _Left | None = None
        self.live: Facts | None = None
        """What is open; None: nothing."""

    def note(self, start: Moment) -> Facts:
        """Writes down the next generation, which nobody counts for yet."""
        facts = self._books.new(start, groups=self._groups)
        self._books.state.save(facts)
        return facts

    def begin(self, facts: Facts) -> None:
        """Writes down that it counts: its table is whole."""
        begun = replace(facts, begun=True)
        self._books.state.save(begun)
        self.live = begun

    def cut(self, end: Moment, roll: Callable[[str], Gathered]) -> Closed:
        """Closes the open generation. ``roll`` makes the receiver go on in the table of a path, and gives what it left.

        When it fails it can be called again: it goes on where it stood.

        Raises:
            SourceError: nothing is open; or as the receiver and the books have it.
        """
        return self._finish(self._left or self._rolled(end, roll))

    def unfinished(self) -> list[Closed]:
        """What a cut that failed has left behind, closed now."""
        return [] if self._left is None else [self._finish(self._left)]

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        self.live = self.required().disturbed(what)
        self._books.state.save(self.live)

    def required(self) -> Facts:
        """The open generation.

        Raises:
            SourceError: there is none.
        """
        if self.live is None:
            raise SourceError(f"meter {self._books.meter}", "cut", "not open")
        return self.live

    def _rolled(self, end: Moment, roll: Callable[[str], Gathered]) -> _Left:
        live, following = self.required(), self.note(end)
        self._at_step("noted")
        try:
            generation = roll(str(self._books.state.table(following.seq)))
        except BaseException:
            self._books.state.discard(following.seq)
            raise
        self.live, left = following, _Left(live, end, generation)
        self._left = left
        self._at_step("rolled")
        return left

    def _finish(self, left: _Left) -> Closed:
        self.begin(self.required())
        closed = self._freeze(left.facts, left.end, left.generation)
        self._left = None
        self._at_step("frozen")
        return closed
