"""The generations of one meter as they are written down: noted, frozen, abandoned, found again. For every source."""

import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from netledger._core import recover
from netledger.errors import SourceError, TableError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed, rfc3339
from netledger.schema import Table
from netledger.sources.base import NO_PAST, Closed, Gathered, Key, Past
from netledger.sources.lasting import Mark
from netledger.sources.lost import NoRows, absence, nothing_observed
from netledger.sources.observing import between
from netledger.sources.state import Closing, Facts, State, boot_id

log = logging.getLogger(__name__)

LOST = "lost"
"""In place of a side, for a generation of which nothing but its time is known."""

Observe: TypeAlias = Callable[[Facts, Gathered | NoRows, Count | None], Observed]
"""What a source says of a generation: its facts, its rows, and the kernel's own count if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterConfig:
    """What every meter needs to know.

    Attributes:
        meter: its name.
        node: name of this machine.
        runtime: directory for the state of this meter; volatile.
        store: directory for what must survive a restart of the machine.
        key: what rows are added up by.
        rows_max: more rows than this are added to one row *other*.
        buffer_bytes: receive buffer of the listener.
    """

    meter: str
    node: str
    runtime: Path
    store: Path
    key: Key = field(default_factory=Key)
    rows_max: int = 1_000_000
    buffer_bytes: int = 64 << 20


class Bookkeeping:
    """State files of one meter. Inert until :meth:`open`; not safe for concurrent use.

    Args:
        config: what to count.
        source: the mechanism, as receipts name it.
        observe: what is to be said of a generation that nobody counts for any more.
        table: what kind of rows it has.
    """

    def __init__(self, config: MeterConfig, source: str, observe: Observe, *, table: Table = Table.TRAFFIC) -> None:
        self._config = config
        self._source = source
        self._observe = observe
        self._table = table
        self._is_empty = True
        self.meter = config.meter
        self.names: dict[int, str] = {}
        self.state = State(config.runtime, config.store, config.meter)

    def open(self, now: Moment, past: Past = NO_PAST) -> tuple[list[Closed], list[Facts]]:
        """Keeps other processes out; gives what a dead one closed, and what it left open. Oldest first.

        Files that are damaged are moved aside, and their intervals are closed as interrupted.

        Raises:
            SourceError, TableError: another process counts for this meter, or a file cannot be read.
        """
        self.state.open(past.seq)
        self.learn_names()
        facts, damaged = self.state.load()
        self._is_empty = not facts and not damaged
        facts = self._until_now(facts, now)
        closed = [self._closed(each, self.rows_of(each)) for each in facts if each.closing is not None]
        for seq, path in damaged.items():
            closed += self._replace_damaged(seq, path, facts, now, past)
        return closed, [each for each in facts if each.closing is None]

    def tell_absence(self, now: Moment, past: Past, *, remains: str | None = None) -> list[Closed]:
        """An interrupted generation for what a dead process counted and left no trace of, if it is known to have been.

        ``remains`` tells of rules that were found all the same.
        """
        found = absence(self.state.lasting.mark(), past, end_ns=now.wall_ns, boot=boot_id(), remains=remains)
        if not self._is_empty or found is None:
            return []
        start_ns, why = found
        return [self._close_lost(self.state.next_seq(), start_ns, now, why)]

    def mark(self, facts: Facts) -> None:
        """Notes in the store that the meter counts, from its first generation on. Blocks for the disk."""
        lasting = self.state.lasting
        before = lasting.mark()
        lasting.set_mark(Mark(before.since_ns if before else facts.start.wall_ns, boot_id()))

    def close(self) -> None:
        """Lets other processes in; files stay. May be called twice."""
        self.state.close()

    def new(self, start: Moment, *, groups: Sequence[int] = (), seq: int | None = None) -> Facts:
        """Facts of the next generation; nothing is written yet."""
        return Facts(
            seq=self.state.next_seq() if seq is None else seq,
            meter=self._config.meter,
            node=self._config.node,
            start=start,
            boot_id=boot_id(),
            groups=tuple(groups),
        )

    def freeze(self, facts: Facts, end: Moment, generation: Gathered | NoRows, observed: Observed) -> Closed:
        """Writes down how a generation ended. From now on it gives the same receipt after any number of crashes."""
        if isinstance(generation, NoRows):
            noted = "; ".join(part for part in (facts.interrupted, generation.why) if part)
            observed = replace(observed, interrupted=noted, why_lost=None)
        frozen = replace(
            facts,
            closing=Closing(end=end, observed=observed, interface_names=dict(self.names)),
            has_rows=not isinstance(generation, NoRows),
        )
        self.state.save(frozen)
        return self._closed(frozen, generation)

    def abandon(self, facts: Facts, end: Moment, why: str, rows: Gathered | None = None) -> Closed:
        """Freezes a generation of a dead process that nobody counted for any more; ``rows``: else of its file."""
        if facts.boot_id != boot_id():
            # The monotonic clock of another boot means nothing here: the wall clock has to do.
            elapsed_ns = max(0, end.wall_ns - facts.start.wall_ns)
            end = Moment(end.wall_ns, facts.start.monotonic_ns + elapsed_ns)
        generation = self.rows_of(facts) if rows is None else rows
        since_ns = min(self.last_sign_ns(facts, generation), end.wall_ns)
        noted = facts.disturbed(f"{between(since_ns, end.wall_ns)} nobody counted: {why}")
        return self.freeze(noted, end, generation, self._observe(noted, generation, None))

    def rows_of(self, facts: Facts) -> Gathered | NoRows:
        """The rows of a generation of a dead process. A damaged table file is moved aside: then there are none.

        Raises:
            TableError: another process has it.
        """
        if not facts.has_rows:
            return NoRows("its rows are lost")
        path = self.state.table(facts.seq)
        try:
            return recover(str(path))
        except TableError as error:
            if error.operation == "lock":
                raise
            aside = self.state.set_aside(path)
            log.error("table_damaged meter=%s file=%s error=%r", facts.meter, aside, str(error))  # noqa: TRY400  (no traceback)
            return NoRows(f"its rows are lost: {error}")

    def is_whole(self, facts: Facts) -> bool:
        """Whether the table file of a generation can be read."""
        try:
            recover(str(self.state.table(facts.seq)))
        except TableError:
            return False
        return True

    @staticmethod
    def last_sign_ns(facts: Facts, generation: Gathered | NoRows) -> int:
        """When a generation last received anything, UTC nanoseconds: until then somebody listened."""
        elapsed_ns = (generation.last_received_ns or 0) - facts.start.monotonic_ns
        return facts.start.wall_ns + max(0, elapsed_ns)

    def learn_names(self) -> None:
        """Notes the names of the interfaces. Those of interfaces that went away are kept."""
        self.names.update(socket.if_nameindex())

    def silence(self, facts: Facts, generation: Gathered | NoRows) -> str:
        """Since when nobody listened to a generation that was found after a crash."""
        if facts.stopped is not None:
            return f"nobody listened: the meter was stopped at {rfc3339(facts.stopped.wall_ns)}"
        last = rfc3339(self.last_sign_ns(facts, generation))
        return f"nobody listened: the process was killed, and last received at {last}"

    def _without_rows(self, facts: Facts, generation: NoRows) -> Facts:
        """A closed one whose table was damaged later: what the kernel counted stays."""
        if facts.closing is None:
            return facts
        why = "; ".join(part for part in (facts.interrupted, generation.why) if part)
        observed = nothing_observed(why, source=self._source, table=self._table)
        observed = replace(observed, kernel=facts.closing.observed.kernel)
        lost = replace(facts, closing=replace(facts.closing, observed=observed), has_rows=False)
        self.state.save(lost)
        return lost

    def _until_now(self, facts: list[Facts], now: Moment) -> list[Facts]:
        """A start that closed a lost generation and died before it counted has left nothing behind it: it ends now."""
        if not facts or facts[-1].has_rows or facts[-1].side != LOST or facts[-1].closing is None:
            return facts
        *before, newest = facts
        return [*before, self._note_lost(newest.seq, newest.start.wall_ns, now, newest.interrupted or "")]

    def _replace_damaged(self, seq: int, path: Path, facts: list[Facts], now: Moment, past: Past) -> list[Closed]:
        aside = self.state.set_aside(path)
        self.state.set_aside(self.state.table(seq))
        log.error("state_damaged meter=%s file=%s", self._config.meter, aside)
        if seq <= past.seq:  # it has been committed
            self.state.discard(seq)
            return []
        before = [each.closing.end.wall_ns for each in facts if each.seq < seq and each.closing is not None]
        mark = self.state.lasting.mark()
        known = [*before, *(ns for ns in (past.end_ns, mark.since_ns if mark else None) if ns is not None)]
        end = next((each.start for each in facts if each.seq > seq), now)
        start_ns = min(max(known, default=end.wall_ns), end.wall_ns)
        why = f"{between(start_ns, end.wall_ns)} nobody can say what was counted: {aside.name} is damaged"
        return [self._close_lost(seq, start_ns, end, why)]

    def _close_lost(self, seq: int, start_ns: int, end: Moment, why: str) -> Closed:
        return self._closed(self._note_lost(seq, start_ns, end, why), NoRows(why))

    def _note_lost(self, seq: int, start_ns: int, end: Moment, why: str) -> Facts:
        # Its own clock is not known, so it lasts as long as the wall clock says.
        start = Moment(start_ns, end.monotonic_ns - (end.wall_ns - start_ns))
        closing = Closing(
            end=end, observed=nothing_observed(why, source=self._source, table=self._table), interface_names={}
        )
        facts = self.new(start, groups=(), seq=seq)
        lost = replace(facts, side=LOST, interrupted=why, closing=closing, has_rows=False)
        self.state.save(lost)
        return lost

    def _closed(self, facts: Facts, generation: Gathered | NoRows) -> Closed:
        if facts.closing is None:
            raise SourceError(f"meter {facts.meter}", "close", f"generation {facts.seq} is open")
        if isinstance(generation, NoRows) and facts.has_rows:
            return self._closed(self._without_rows(facts, generation), generation)
        return Closed(
            meter=facts.meter,
            seq=facts.seq,
            start=facts.start,
            end=facts.closing.end,
            observed=facts.closing.observed,
            generation=generation,
            interface_names=facts.closing.interface_names,
            forget=lambda: self.state.forget(facts.seq),
        )
