"""NFLOG with given groups: the rules are the user's, the listener is ours.

The kernel counts nothing for us here, so no receipt can be exact: what is known to be lost is what the sequence numbers
admit. A cut is made at a border between two datagrams while the groups stay bound; a stop unbinds them, which makes the
kernel hand over what it still holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Literal

from netledger._core import NflogGroup, Totals, TraceEvent
from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.receipt import Count
from netledger.sources.base import Closed, Key, Step, no_step
from netledger.sources.generations import Generations
from netledger.sources.observing import readable, received, sent
from netledger.sources.ruleset import ADDRESSES_BYTES, PORTS_BYTES
from netledger.sources.state import Facts

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
class GivenGroupsConfig:
    """What a meter with given groups needs to know.

    Attributes:
        meter: its name.
        node: name of this machine.
        runtime: directory for the state of this meter; volatile.
        store: directory for what must survive a restart of the machine.
        groups: what to listen to.
        key: what rows are added up by.
        rows_max: more rows than this are added to one row *other*.
        buffer_bytes: receive buffer of the listener.
        timeout_centiseconds: how long the kernel may hold packets back to send more at once.
        gather_milliseconds: how long the listener lets packets gather; a low queue-threshold makes many messages.
        trace: what is noted for :meth:`GivenGroupsSource.trace`: 0 what goes wrong, 1 also batches, 2 also packets.
    """

    meter: str
    node: str
    runtime: Path
    store: Path
    groups: tuple[GivenGroup, ...]
    key: Key = field(default_factory=Key)
    rows_max: int = 1_000_000
    buffer_bytes: int = 64 << 20
    timeout_centiseconds: int = 10
    gather_milliseconds: int = 5
    trace: int = 0

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
        self._live: Facts | None = None
        self._noted: list[TraceEvent] = []

    def open(self, now: Moment) -> list[Closed]:
        """Finishes what a dead process left, then listens.

        Raises:
            SourceError: another process counts for this meter, or a state file is not understood.
            GroupBusyError, PermissionDeniedError, TableError: see there.
        """
        try:
            closed, dead = self._generations.open()
            closed += self._finish_dead(dead, now)
            self._generations.start_listening(trace=self._config.trace)
            live = self._new(now)
            self._generations.begin(live, self._config.native_groups())
            self._live = live
            self._at_step("begun")
        except BaseException:
            self._generations.close()
            raise
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation at the next border between two datagrams. Blocks for about a ms.

        Raises:
            SourceError, TableError: see there; the open generation goes on.
        """
        self._generations.learn_names()
        live, end = self._required_live(), Moment(label_end_ns, now.monotonic_ns)
        following = self._new(end)
        self._at_step("noted")
        try:
            generation = self._generations.listener.roll(str(self._generations.state.table(following.seq)))
        except BaseException:
            self._generations.state.discard(following.seq)
            raise
        self._live = following
        self._at_step("rolled")
        closed = self._generations.freeze(live, end, generation, kernel=None)
        self._at_step("frozen")
        return closed

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:  # noqa: ARG002 (the rules are not ours)
        """Unbinds the groups, drains them, and closes the open generation."""
        self._generations.learn_names()
        try:
            generation = self._generations.listener.end()
            self._noted = self._generations.listener.trace()
            self._at_step("drained")
            return [self._generations.freeze(self._required_live(), now, generation, kernel=None)]
        finally:
            self._live = None
            self._generations.close()

    def stats(self) -> Totals:
        """Sums since this process started to listen."""
        return self._generations.listener.stats()

    def trace(self) -> list[TraceEvent]:
        """Takes what was noted since the last call; after :meth:`close` what was noted while draining."""
        noted, self._noted = self._noted, []
        return noted if self._live is None else self._generations.listener.trace()

    def _new(self, start: Moment) -> Facts:
        facts = self._generations.new(start, groups=[group.number for group in self._config.groups])
        self._generations.state.save(facts)
        return facts

    def _finish_dead(self, dead: list[Facts], now: Moment) -> list[Closed]:
        """The newest one was interrupted when the process ended; one before it had only not been written down."""
        made = []
        for facts in dead:
            if self._generations.state.table(facts.seq).exists():
                made.append(facts)
            else:  # it died before the listener had begun this one
                self._generations.state.discard(facts.seq)
        closed = []
        for facts, following in zip_longest(made, made[1:]):
            if following is not None:
                generation = self._generations.rows_of(facts)
                closed.append(self._generations.freeze(facts, following.start, generation, kernel=None))
            else:
                closed.append(self._generations.abandon(facts, now, "the process had ended"))
        return closed

    def _required_live(self) -> Facts:
        if self._live is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "not open")
        return self._live


def accounted_by(groups: tuple[GivenGroup, ...]) -> Callable[[Totals], Count]:
    """What of the totals counts each packet once: groups of one kind make one posting each, or both."""
    kinds = {group.account for group in groups}
    if kinds == {"destination"}:
        return received
    return sent if len(kinds) == 1 else readable
