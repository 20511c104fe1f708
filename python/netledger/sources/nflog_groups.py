"""NFLOG with given groups: the rules are the user's, the listener is ours.

The kernel counts nothing for us here, so no receipt can be exact: what is known to be lost is what the sequence numbers
admit. A cut is made at a border between two datagrams while the groups stay bound; a stop unbinds them, which makes the
kernel hand over what it still holds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from netledger._core import NflogGroup, Totals, TraceEvent
from netledger.intervals import Moment
from netledger.receipt import Count
from netledger.sources.base import NO_PAST, Closed, Gathered, Glance, LiveRows, Past, Step, no_step
from netledger.sources.generations import Generations, ListeningConfig
from netledger.sources.lost import NoRows
from netledger.sources.observing import readable, received, sent
from netledger.sources.ruleset import ADDRESSES_BYTES, PORTS_BYTES
from netledger.sources.state import Facts
from netledger.sources.turns import Turns

Account = Literal["source", "destination", "both"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenGroup:
    """One NFLOG group that rules of the user log to.

    Attributes:
        number: of the group.
        account: which side of its packets gets a row.
        strict_family: 4 or 6: packets of the other IP version are not read; 0: both are.
        copy_range_bytes: how much of a packet to ask for; None: as much as the key needs.
    """

    number: int
    account: Account
    strict_family: int = 0
    copy_range_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenGroupsConfig(ListeningConfig):
    """What a meter with given groups needs to know.

    Attributes:
        groups: what to listen to.
        trace: what is noted for :meth:`GivenGroupsSource.trace`: 0 what goes wrong, 1 also batches, 2 also packets.
    """

    groups: tuple[GivenGroup, ...]
    trace: int = 0
    gather_milliseconds: int = 5  # rules with a low queue-threshold make a message of every few packets

    def native_groups(self) -> list[NflogGroup]:
        """The groups for the native core."""
        needed = max((PORTS_BYTES if self.key.ports else ADDRESSES_BYTES).values())
        return [
            NflogGroup(
                group.number,
                account=group.account,
                copy_range_bytes=group.copy_range_bytes or needed,
                strict_family=group.strict_family,
            )
            for group in self.groups
        ]


class GivenGroupsSource:
    """One meter that listens to given groups. Not safe for concurrent use.

    Args:
        config: what to count.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, config: GivenGroupsConfig, *, at_step: Step = no_step) -> None:
        self._config = config
        self._at_step = at_step
        self._generations = Generations(config, accounted_by(config.groups))
        groups = tuple(group.number for group in config.groups)
        self._turns = Turns(self._generations, self._ended, groups=groups, at_step=at_step)
        self._noted: list[TraceEvent] = []

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Finishes what a dead process left, then listens.

        Raises:
            SourceError: another process counts for this meter, or a state file cannot be read.
            GroupBusyError, PermissionDeniedError, TableError: see there.
        """
        try:
            closed, dead = self._generations.open(now, past)
            closed += self._generations.tell_absence(now, past)
            closed += self._finish_dead(dead, now)
            self._generations.start_listening(trace=self._config.trace)
            live = self._turns.note(now)
            self._generations.begin(live, self._config.native_groups())
            self._at_step("begun")
            self._turns.begin(live)
            self._generations.mark(live)
        except BaseException:
            self._generations.close()
            raise
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation at the next border between two datagrams. Blocks for some ms.

        When it fails it can be called again: it goes on where it stood, and no packet is lost by that.

        Raises:
            SourceError, TableError, OSError: see there.
        """
        self._generations.learn_names()
        return self._turns.cut(Moment(label_end_ns, now.monotonic_ns), self._generations.listener.roll)

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:  # noqa: ARG002  (the rules are not ours)
        """Unbinds the groups, drains them, and closes the open generation."""
        self._generations.learn_names()
        try:
            closed = self._turns.unfinished()
            generation = self._generations.listener.end()
            self._noted = self._generations.listener.trace()
            self._at_step("drained")
            closed.append(self._ended(self._turns.required(), now, generation))
            self._generations.state.end()
            return closed
        finally:
            self._turns.live = None
            self._generations.close()

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        self._turns.disturb(what)

    def stats(self) -> Totals:
        """Sums since this process started to listen."""
        return self._generations.listener.stats()

    def glance(self) -> Glance:
        """How far it is. Any thread may call it."""
        return self._generations.glance()

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what is open. Any thread may call it."""
        return self._generations.live(top=top, sort=sort)

    def trace(self) -> list[TraceEvent]:
        """Takes what was noted since the last call; after :meth:`close` what was noted while draining."""
        noted, self._noted = self._noted, []
        return noted if self._turns.live is None else self._generations.listener.trace()

    def _ended(self, facts: Facts, end: Moment, generation: Gathered | NoRows) -> Closed:
        return self._generations.end(facts, end, generation, kernel=None)

    def _finish_dead(self, dead: list[Facts], now: Moment) -> list[Closed]:
        """The newest one was interrupted when the process ended; one before it had only not been written down."""
        if dead and not self._is_whole(dead[-1]):
            self._generations.state.discard(dead[-1].seq)
            dead = dead[:-1]
        closed = []
        for facts, following in zip_longest(dead, dead[1:]):
            if following is not None:
                generation = self._generations.rows_of(facts)
                closed.append(self._ended(facts, following.start, generation))
            else:
                closed.append(self._generations.abandon(facts, now, "the process had ended"))
        return closed

    def _is_whole(self, newest: Facts) -> bool:
        """Whether the listener had begun it. Unless that is written down, its table may be half made, or missing."""
        return newest.begun or self._generations.is_whole(newest)


def accounted_by(groups: tuple[GivenGroup, ...]) -> Callable[[Totals], Count]:
    """What of the totals counts each packet once: groups of one kind make one posting each, or both."""
    kinds = {group.account for group in groups}
    if kinds == {"destination"}:
        return received
    return sent if len(kinds) == 1 else readable
