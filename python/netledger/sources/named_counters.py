"""The source ``nfacct``: named counters of the kernel, read at each cut.

The kernel counts, whether anybody looks or not; this source never changes a number there. What it knows of a counter is
what it has seen last. So a process that dies loses nothing: the next one looks again, and closes the interval whole.
Between cuts a look is taken now and then as well (by :meth:`glance`): should somebody set a counter back, what it
counted until that look is known.
"""

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from netledger import nfacct
from netledger._core import Totals
from netledger.errors import ObjectExistsError, SourceError, TableError
from netledger.intervals import Clock, Moment, SystemClock
from netledger.receipt import ZERO, Count, Observed
from netledger.schema import Kind, Table
from netledger.sources import restored, tally_file
from netledger.sources.base import NO_PAST, Closed, Gathered, Glance, LiveRows, Past, Step, no_step
from netledger.sources.bookkeeping import Bookkeeping, MeterConfig
from netledger.sources.lost import NoRows, no_totals
from netledger.sources.made import Register
from netledger.sources.named import Choice, Sights, name_of
from netledger.sources.observing import MEANING
from netledger.sources.state import Facts, boot_id
from netledger.sources.tally import Identity, Sight, Tally
from netledger.sources.tally_file import TallyRows

SOURCE: Final = "nfacct"

_LOOK_SECONDS: Final = 1.0
# A look at very many counters takes its time: it may take this part of all time.
_LOOK_SHARE: Final = 20
_RESTARTED: Final = "the machine was restarted, and its counters began anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCountersConfig(MeterConfig):
    """What a meter of named counters needs to know.

    Attributes:
        choice: which counters.
    """

    choice: Choice


@dataclass(frozen=True, slots=True)
class _Left:
    """A generation that a cut has left behind, and whose receipt is not written yet."""

    facts: Facts
    end: Moment
    rows: TallyRows


class _Books(Bookkeeping):
    """Its generations have tallies in place of tables."""

    def __init__(self, config: NamedCountersConfig) -> None:
        super().__init__(config, SOURCE, _observed, table=Table.COUNTERS)

    def rows_of(self, facts: Facts) -> Gathered | NoRows:
        """The rows of a generation of a dead process; a damaged tally is moved aside."""
        if not facts.has_rows:
            return NoRows("its rows are lost")
        path = self.state.table(facts.seq)
        try:
            tally, choice = tally_file.load(path)
            return TallyRows(tally, path, choice, recovered=True)
        except TableError as error:
            self.state.set_aside(path)
            return NoRows(f"its rows are lost: {error}")

    def has_begun(self, facts: Facts) -> bool:
        """Whether something may be booked on it: not where a start or a cut has come no further than its note."""
        return facts.begun or self.state.table(facts.seq).exists()


class NamedCountersSource:
    """One meter of named counters.

    Not safe for concurrent use, but that any thread may call :meth:`glance`.

    Args:
        config: what to count.
        clock: tells when a look was taken.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, config: NamedCountersConfig, *, clock: Clock | None = None, at_step: Step = no_step) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._at_step = at_step
        self._books = _Books(config)
        self._sights_of = Sights(config.choice)
        # Of all meters: theirs lie beside this one's.
        self._register = Register(config.runtime.parent)
        # Which counters the open tally is of: until a start has closed what it found, those that were wanted before.
        self._choice = config.choice
        # Held while a look is taken and booked: looks come from two threads, and belong into one order.
        self._lock = threading.Lock()
        self._live: Facts | None = None
        self._tally: Tally | None = None
        self._left: _Left | None = None
        self._closed_before = ZERO
        self._next_look = 0.0

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Closes what a dead process left open, with what the counters have come to until now, and begins the next.

        Raises:
            InUseError: another process counts for this meter.
            PermissionDeniedError, UnsteadyError, SourceError: the counters cannot be read.
        """
        try:
            closed, dead = self._books.open(now, past)
            closed += self._books.tell_absence(now, past)
            closed += self._take_over(dead, now)
        except BaseException:
            self._books.close()
            raise
        restored.forget(self._config.runtime)
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Looks, books, and goes on with the next generation. Blocks for some ms.

        When it fails it can be called again: it goes on where it stood, and nothing is lost by that.

        Raises:
            UnsteadyError, PermissionDeniedError, SourceError, OSError: see there.
        """
        with self._lock:
            if self._left is None:
                self._look()
                self._roll(Moment(label_end_ns, now.monotonic_ns), self._required()[1].next())
            return self._finish()

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """Closes the open generation; with ``keep_rules`` it stays open, and the next start goes on with it."""
        with self._lock:
            try:
                closed = [] if self._left is None else [self._finish()]
                self._look()
                live, tally = self._required()
                path = self._books.state.table(live.seq)
                tally_file.save(tally, path, self._choice)
                self._at_step("tallied")
                if not keep_rules:
                    rows = TallyRows(tally, path, self._choice, recovered=False)
                    closed.append(self._books.freeze(live, now, rows, _observed(live, rows, None)))
                    self._books.state.end()
                return closed
            finally:
                self._live = self._tally = None
                self._books.close()

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        with self._lock:
            live, _ = self._required()
            self._live = live.disturbed(what)
            self._books.state.save(self._live)

    def stats(self) -> Totals:
        """Nothing is received. Says whether it is open.

        Raises:
            SourceError: it is not.
        """
        self._required()
        return no_totals()

    def glance(self) -> Glance:
        """What was booked so far. Looks at the counters, but not too often. Any thread may call it."""
        with self._lock:
            self._required()
            if time.monotonic() >= self._next_look:
                self._look()
            _, tally = self._required()
            booked = tally.booked
            return Glance(
                rows=len(tally.entries),
                other=ZERO,
                lost_packets=0,
                overruns=0,
                received=_sum(self._closed_before, booked),
                lost_packets_since_open=0,
                overruns_since_open=0,
            )

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:  # noqa: ARG002  # as every source has it
        """There are no rows of addresses.

        Raises:
            SourceError: always.
        """
        raise SourceError(
            f"meter {self._config.meter}", "list", "named counters have no addresses", "netledger counters"
        )

    def _take_over(self, dead: list[Facts], now: Moment) -> list[Closed]:
        if dead and not self._books.has_begun(dead[-1]):
            # The one before it is still open.
            self._books.state.discard(dead[-1].seq)
            dead = dead[:-1]
        closed = [
            self._books.freeze(facts, following.start, rows, _observed(facts, rows, None))
            for facts, following in pairwise(dead)
            for rows in [self._books.rows_of(facts)]
        ]
        if not dead:
            self._begin(now, self._first_tally())
            return closed
        live, rows = dead[-1], self._books.rows_of(dead[-1])
        if not isinstance(rows, TallyRows):
            closed.append(self._books.abandon(live, now, "what was booked is lost"))
            self._begin(now, self._first_tally())
        elif live.boot_id != boot_id():
            closed.append(self._books.abandon(live, now, _RESTARTED))
            self._begin(now, self._first_tally())
        else:
            self._live, self._tally, self._choice = live, rows.tally, rows.choice
            if rows.choice.wishes == self._config.choice.wishes:
                self._look()
                self._roll(now, rows.tally.next())
            else:
                self._roll(now, self._look_anew(rows.tally, rows.choice))
            closed.append(self._finish())
        return closed

    def _look_anew(self, tally: Tally, before: Choice) -> Tally:
        """Books what other counters than are wanted now have come to, and gives the tally to go on with.

        One look is for both, so that a counter that is in both misses nothing.
        """
        after = self._config.choice
        with self._register.steady() as noted:
            sights = Sights(before.joined(after)).look()
        tally.look({one: sight for one, sight in sights.items() if before.takes(*one)}, self._now_ns(), noted)
        known = restored.noted(self._config.runtime)
        made = self._make_missing(sights, tally)
        following = tally.next_of(sights, lambda identity: after.takes(*identity), known)
        for identity, (had, number) in made.items():
            if identity not in following.entries:
                following.made_again(identity, had, number)
        return following

    def _first_tally(self) -> Tally:
        self._make_missing(self._sights_of.look(), None)
        known = restored.noted(self._config.runtime)
        with self._register.steady() as noted:
            tally = Tally.begun(self._sights_of.look(), self._now_ns(), known)
        tally.made_seen = max((one.number for one in noted.values()), default=0)
        return tally

    def _begin(self, start: Moment, tally: Tally) -> None:
        """Opens a generation; when that fails it has never been."""
        facts = self._books.new(start)
        try:
            self._books.state.save(facts)
            self._at_step("noted")
            tally_file.save(tally, self._books.state.table(facts.seq), self._config.choice)
            self._at_step("begun")
            facts = replace(facts, begun=True)
            self._books.state.save(facts)
        except BaseException:
            self._books.state.discard(facts.seq)
            raise
        self._live, self._tally, self._choice = facts, tally, self._config.choice
        self._books.mark(facts)

    def _roll(self, end: Moment, following: Tally) -> None:
        live, tally = self._required()
        path = self._books.state.table(live.seq)
        # Before the next one is there: from then on this one is as it stands in its file.
        tally_file.save(tally, path, self._choice)
        self._at_step("tallied")
        rows = TallyRows(tally, path, self._choice, recovered=False)
        self._begin(end, following)
        self._left = _Left(live, end, rows)

    def _finish(self) -> Closed:
        left = self._left
        if left is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "no generation was left")
        closed = self._books.freeze(left.facts, left.end, left.rows, _observed(left.facts, left.rows, None))
        self._closed_before = _sum(self._closed_before, left.rows.tally.booked)
        self._left = None
        self._at_step("frozen")
        return closed

    def _look(self) -> None:
        """Books what the counters have come to. What somebody did to them is written down at once."""
        live, tally = self._required()
        began = time.monotonic()
        with self._register.steady() as noted:
            sights = self._sights_of.look()
        is_disturbed = tally.look(sights, self._now_ns(), noted)
        is_disturbed |= bool(self._make_missing(sights, tally))
        if is_disturbed:
            tally_file.save(tally, self._books.state.table(live.seq), self._choice)
            self._at_step("disturbed")
        ended = time.monotonic()
        self._next_look = ended + max(_LOOK_SECONDS, (ended - began) * _LOOK_SHARE)

    def _make_missing(self, sights: Mapping[Identity, Sight], tally: Tally | None) -> dict[Identity, tuple[Sight, int]]:
        """Makes the objects that are to be there and are not, with what they had, as the tally says.

        Gives what that was, and the number of the note.

        It is noted in the tally if that is of them.
        """
        made: dict[Identity, tuple[Sight, int]] = {}
        for identity in ((Kind.NFACCT, name) for name in self._config.choice.ensure):
            if identity in sights:
                continue
            before = None if tally is None else tally.had(identity)
            had = Count(0, 0) if before is None else Count(before.packets, before.bytes)
            noting = self._register.making(identity[1], had, had if before else None, self._now_ns() if before else 0)
            with suppress(ObjectExistsError), noting as number:  # somebody came first: the next look finds what it is
                nfacct.add(name_of(identity[1]), packets=had.packets, octets=had.bytes)
                made[identity] = Sight(had.packets, had.bytes), number
                if tally is not None and self._choice.takes(*identity):
                    tally.made_again(identity, made[identity][0], number)
        return made

    def _now_ns(self) -> int:
        return self._clock.now().wall_ns

    def _required(self) -> tuple[Facts, Tally]:
        if self._live is None or self._tally is None:
            raise SourceError(f"meter {self._config.meter}", "count", "not open")
        return self._live, self._tally


def _observed(facts: Facts, generation: Gathered | NoRows, _kernel: Count | None) -> Observed:
    tally = generation.tally if isinstance(generation, TallyRows) else Tally(facts.start.wall_ns)
    disturbed = "; ".join(part for part in (facts.interrupted, tally.interrupted()) if part)
    return Observed(
        # What is accounted is the kernel's own count; where that was disturbed, what is known of it.
        kernel=tally.booked if isinstance(generation, TallyRows) else None,
        accounted=tally.booked,
        rows=generation.rows,
        interrupted=disturbed or None,
        source=SOURCE,
        meaning=MEANING,
        why_lost=tally.remarks(),
        table=Table.COUNTERS,
    )


def _sum(one: Count, other: Count) -> Count:
    try:
        return one + other
    except OverflowError:
        return other
