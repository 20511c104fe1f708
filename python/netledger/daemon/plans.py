"""Hand-overs that people have announced: the open intervals end at them, as at those that happen now."""

from collections.abc import Sequence
from typing import final

from netledger.daemon.cuts import Cuts
from netledger.errors import LedgerError
from netledger.intervals import Clock
from netledger.ledger.assignments import Assignments


@final
class Plans:
    """Looks for what begins and ends in time to come. Safe to use from several threads.

    Args:
        assignments: where it stands.
        clock: where the time comes from.
        cuts: who cuts then.
        sources: whose word is a plan. Not that of leases: their end is mostly put off before it comes.
    """

    def __init__(self, assignments: Assignments, clock: Clock, cuts: Cuts, *, sources: Sequence[str]) -> None:
        self._assignments = assignments
        self._clock = clock
        self._cuts = cuts
        self._sources = tuple(sources)
        self._changed = False
        self._seen: int | None = None
        self._looked_ns = clock.now().wall_ns

    def change(self, sources: Sequence[str]) -> None:
        """From the next look on the word of these is a plan."""
        self._sources, self._changed = tuple(sources), True

    def look(self) -> None:
        """Takes over what was added since the last look. Blocks for the disk where that is anything."""
        if not self._cuts.is_wanted:
            self._seen = None
            return
        if self._changed:
            self._changed, self._seen = False, None
        now_ns = self._clock.now().wall_ns
        try:
            newest = self._assignments.last_id()
            if newest != self._seen:
                # What has come since the last look is not over for the intervals: they end a little late.
                after_ns = min(now_ns, self._looked_ns)
                self._cuts.plan(self._assignments.moments(self._sources, after_ns=after_ns))
                self._seen = newest
            self._looked_ns = now_ns
        except LedgerError:
            return  # it is looked for again, and who commits to the ledger says what is wrong with it
