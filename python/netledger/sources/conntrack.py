"""conntrack: what flows moved, by the counters that the kernel keeps for each of them.

``docs/explanation/conntrack.md`` tells the whole story. In short: the native core keeps a table of all flows in a file:
what each had moved when the books were closed last, and what it has moved by now. It listens for flows that end, and a
cut reads all that live; the rows of the interval are the differences. Beside them the counters of a table of our own
count the same packets on their own.
"""

import contextlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from netledger._core import ConntrackMeter, FlowsCut, FlowsFound, Totals
from netledger.errors import NetledgerError, SourceError, TableError
from netledger.intervals import Moment
from netledger.receipt import ZERO, Count
from netledger.sources.base import NO_PAST, Closed, Glance, LiveRows, Past, Step, no_step
from netledger.sources.bookkeeping import Bookkeeping, MeterConfig
from netledger.sources.conntrack_base import base_behind, base_of, begun_at
from netledger.sources.conntrack_fresh import Fresh
from netledger.sources.conntrack_proof import Bracket, bypassed, judge
from netledger.sources.conntrack_rules import COUNTERS, ConntrackRules, ConntrackTable, bracket
from netledger.sources.conntrack_said import SOURCE, baseline, observe, silence, without_rows
from netledger.sources.conntrack_switches import Switches, words
from netledger.sources.nft import Nft
from netledger.sources.observing import between, live_rows, sent
from netledger.sources.state import Facts, boot_id

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackConfig(MeterConfig):
    """What a meter that counts flows needs to know.

    Attributes:
        prove: whether counters of our own count beside conntrack's.
        zones: only flows of these; empty: all.
    """

    prove: bool = True
    zones: tuple[int, ...] = ()

    def rules(self) -> ConntrackRules:
        """The table that this asks for."""
        return ConntrackRules(meter=self.meter, prove=self.prove, zones=self.zones)


@dataclass(slots=True)
class _Left:
    """A generation that a cut has left behind, and whose receipt is not written yet."""

    facts: Facts
    end: Moment
    cut: FlowsCut
    gap: str | None
    bypasses: tuple[str, ...]


class ConntrackSource:
    """One meter that counts flows. Not safe for concurrent use; belongs to the namespace of the calling thread.

    Args:
        config: what to count.
        nft: how to run nft.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, config: ConntrackConfig, *, nft: Nft | None = None, at_step: Step = no_step) -> None:
        self._config = config
        self._at_step = at_step
        self._books = Bookkeeping(config, SOURCE, without_rows)
        self._table = ConntrackTable(nft or Nft(), config.rules())
        self._switches = Switches(config.runtime.parent)
        self._meter: ConntrackMeter | None = None
        self._live: Facts | None = None
        self._next: Facts | None = None
        self._left: _Left | None = None
        self._fresh = Fresh()
        self._known_bypasses: tuple[str, ...] = ()
        self._overruns = 0
        self._lost_packets = 0

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Takes over what a dead process left, then counts. Blocks for some tens of ms, and while all flows are read.

        Raises:
            SourceError: another process counts for this meter, or a state file cannot be read.
            RulesetError, PermissionDeniedError, NotSupportedError, TableError: see there.
        """
        try:
            closed, dead = self._books.open(now, past)
            closed += self._books.tell_absence(now, past)
            closed += self._take_over(self._without_unused(dead), now)
            self._books.mark(self._required_live())
            self._books.state.leave_sign()
        except BaseException:
            self._let_go()
            raise
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation, at the moment when all flows are read. Blocks for tens of ms, more with many.

        When it fails it can be called again: it goes on where it stood, and no packet is lost by that.

        Raises:
            RulesetError, PermissionDeniedError, SourceError, TableError, OSError: see there.
        """
        if self._left is None:
            self._roll(Moment(label_end_ns, now.monotonic_ns), gap=None)
        return self._finish()

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """Last cut and clean up. With ``keep_rules`` the kernel goes on counting, for the next start to take over.

        Raises:
            RulesetError, PermissionDeniedError, SourceError, TableError: what was counted is still on disk.
        """
        try:
            closed = [] if self._left is None else [self._finish()]
            closed.append(self.cut(label_end_ns=now.wall_ns, now=now))
            following = replace(self._required_live(), stopped=now)
            if keep_rules:
                self._books.state.save(following)
            else:
                self._end_meter()
                self._books.state.end()
                self._clean_up(following)
        finally:
            self._let_go()
        return closed

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        self._live = self._required_live().disturbed(what)
        self._books.state.save(self._live)

    def stats(self) -> Totals:
        """Sums since this process started to listen. Leaves a sign that it still does."""
        self._books.state.leave_sign()
        return self._native().stats()

    def glance(self) -> Glance:
        """How far it is. Any thread may call it. Reads all flows, if that was not done a moment ago."""
        native = self._native()
        self._fresh.make(native.refresh)
        found = native.glance()
        ever = found.since_start
        return Glance(
            rows=found.rows,
            other=ZERO,
            lost_packets=0,
            overruns=found.totals.overruns,
            received=Count(ever.received_packets, ever.received_bytes),
            lost_packets_since_open=self._lost_packets,
            overruns_since_open=self._overruns + found.totals.overruns,
        )

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """What flows have moved in the open interval. Any thread may call it. Reads them as :meth:`glance` does."""
        native = self._native()
        self._fresh.make(native.refresh)
        return live_rows(native.live(top=top, sort=sort))

    # --- start ---

    def _without_unused(self, dead: list[Facts]) -> list[Facts]:
        """Without a first generation that never began: nobody has been promised anything of it."""
        if len(dead) == 1 and not dead[0].begun and self._books.state.known(dead[0].seq - 1) is None:
            self._books.state.discard(dead[0].seq)
            return []
        return dead

    def _take_over(self, dead: list[Facts], now: Moment) -> list[Closed]:
        """Goes on where a process died and closes what it left open; or begins anew, with nothing to go on with."""
        found = self._found() if dead else None
        why = None if found is None else self._why_not_gone_on_with(dead, found)
        if found is None or why is not None:
            closed = self._abandon(dead, now, why or "what was noted of its flows is lost")
            self._start_anew(now)
            return closed
        current, *rest = dead
        closed, cut = [], self._native().refold(str(self._books.state.table(current.seq)), seq=current.seq)
        if cut is not None and rest:
            self._left, self._live = _Left(current, rest[0].start, cut, None, self._bypasses()), rest[0]
            self._at_step("refolded")
            closed.append(self._finish())
            current = self._required_live()
        elif rest:
            self._books.state.discard(rest[0].seq)  # the cut that it was noted for had not begun
        before = self._books.state.known(current.seq - 1)
        if not current.begun and before is not None:
            current = self._begun(current, base_behind(before))
        self._live = self._watched(current, now)
        self._native().open(counters=self._counters)
        self._at_step("opened")
        self._roll(now, gap=silence(current, self._books.state.last_sign_ns, now.wall_ns))
        self._at_step("relieved")
        return [*closed, self._finish()]

    def _found(self) -> FlowsFound | None:
        """What a dead process noted of flows; None when it is lost or damaged."""
        self._meter = self._new_meter()
        try:
            return self._meter.found()
        except TableError as error:
            if error.operation == "lock":
                raise
            aside = self._books.state.set_aside(self._flows)
            log.error("flows_damaged meter=%s file=%s error=%r", self._config.meter, aside, str(error))  # noqa: TRY400  (no traceback)
            return None

    def _why_not_gone_on_with(self, dead: list[Facts], found: FlowsFound) -> str | None:
        if dead[0].boot_id != boot_id() or not found.same_boot:
            return "the machine was restarted"
        if found.seq > dead[0].seq or (found.seq == dead[0].seq and len(dead) == 1):
            return f"what was noted of its flows belongs to generation {found.seq}"
        return None

    def _abandon(self, dead: list[Facts], now: Moment, why: str) -> list[Closed]:
        """Closes what nobody counted for any more, with what is left of its rows."""
        if len(dead) > 1 and not dead[-1].begun:
            *dead, unused = dead
            self._books.state.discard(unused.seq)
        closed = []
        for facts, end in zip(dead, [*(facts.start for facts in dead), now][1:], strict=False):
            path = str(self._books.state.table(facts.seq))
            cut = None if self._meter is None else self._meter.refold(path, seq=facts.seq)
            closed.append(self._books.abandon(facts, end, why, None if cut is None else cut.generation))
        self._end_meter()
        self._flows.unlink(missing_ok=True)
        return closed

    def _start_anew(self, now: Moment) -> None:
        facts = self._noted(now, seq=None)
        try:
            self._live = self._started(facts)
        except BaseException:
            # It has never counted: nothing of it stays.
            self._end_meter()
            with contextlib.suppress(NetledgerError):
                self._clean_up(facts)
            raise
        self._at_step("begun")

    def _started(self, facts: Facts) -> Facts:
        rules = self._table.install()
        self._at_step("installed")
        changed = self._switches.open()
        self._bypasses()
        self._at_step("switched")
        self._meter = self._new_meter()
        opened = self._meter.open(counters=self._counters)
        self._at_step("opened")
        said = "; ".join(part for part in (words(changed), baseline(opened)) if part) or None
        base = bracket(opened.before, opened.after)
        return self._begun(replace(facts, rules=rules, said=said), base)

    def _new_meter(self) -> ConntrackMeter:
        """Inert until it is opened; then it belongs to the network namespace of the calling thread."""
        return ConntrackMeter(
            path=str(self._flows),
            key=self._config.key.native(),
            rows_max=self._config.rows_max,
            buffer_bytes=self._config.buffer_bytes,
            zones=self._config.zones,
        )

    # --- cut ---

    def _roll(self, end: Moment, *, gap: str | None) -> None:
        """Lets all flows be read, and their differences be written as the rows of the open generation."""
        live = self._watched(self._required_live(), end)
        self._next = following = self._noted(end, seq=None if self._next is None else self._next.seq)
        path, bypasses = str(self._books.state.table(live.seq)), self._bypasses()
        cut = self._native().cut(path, seq=live.seq, counters=self._counters)
        # From here on nothing may fail: the cut is done, and cannot be done again.
        self._left, self._live, self._next = _Left(live, end, cut, gap, bypasses), following, None
        self._at_step("cut")

    def _finish(self) -> Closed:
        """Writes the receipt's facts, and where the next interval begins. Goes on where an earlier try failed."""
        left = self._left
        if left is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "no generation was left")
        cut, facts = left.cut, left.facts
        now = bracket(cut.before, cut.after)
        verdict = judge(sent(cut.generation.totals), base=base_of(facts), now=now)
        if left.bypasses:
            verdict = bypassed(left.bypasses, now=now)
        observed = observe(facts, cut.generation, verdict=verdict, cut=cut, gap=left.gap)
        closed = self._books.freeze(facts, left.end, cut.generation, observed)
        self._at_step("frozen")
        self._live = self._begun(self._required_live(), verdict.base)
        self._left = None
        self._lost_packets += observed.lost.packets
        self._overruns += cut.overruns
        self._at_step("begun")
        return closed

    def _watched(self, live: Facts, now: Moment) -> Facts:
        """The open generation, with what others did to the table and the switches: both are mended at once."""
        wishes = self._table.rules.fingerprint()
        is_ours = live.fingerprint == wishes
        what = self._table.changed(live.rules) if is_ours else "the configuration"
        if what is not None:
            live = replace(live, rules=self._table.install(), fingerprint=wishes, base={})
        told = "; ".join(part for part in (what, words(self._switches.open())) if part)
        if told:
            log.warning("conntrack_changed meter=%s seq=%d what=%r", live.meter, live.seq, told)
            when = between(min(live.start.wall_ns, now.wall_ns), now.wall_ns)
            live = live.disturbed(f"what flows are counted by was changed {when}: {told}")
            self._books.state.save(live)
            self._live = live
        return live

    def _bypasses(self) -> tuple[str, ...]:
        """Flowtables since the last look: one that was there then has carried packets since."""
        before, self._known_bypasses = self._known_bypasses, self._table.bypasses()
        if new := [name for name in self._known_bypasses if name not in before]:
            hint = "give it up, or do not expect exact books"
            fields = {"meter": self._config.meter, "flowtables": ", ".join(new), "hint": hint}
            log.warning("flows_offloaded", extra={"fields": fields})
        return tuple(dict.fromkeys((*before, *self._known_bypasses)))

    # --- parts ---

    @property
    def _flows(self) -> Path:
        return self._config.runtime / "flows.table"

    @property
    def _counters(self) -> tuple[str, tuple[str, ...]] | None:
        return (self._table.rules.table, COUNTERS) if self._config.prove else None

    def _noted(self, start: Moment, *, seq: int | None) -> Facts:
        """Writes down the next generation; nothing is counted for it yet."""
        live = self._live
        facts = replace(
            self._books.new(start, seq=seq),
            rules={} if live is None else live.rules,
            fingerprint=self._table.rules.fingerprint(),
            has_rows=False,  # until a cut makes its table
        )
        self._books.state.save(facts)
        self._at_step("noted")
        return facts

    def _begun(self, facts: Facts, base: Bracket | None) -> Facts:
        """Writes down that a generation counts, and what the counters said then."""
        begun = begun_at(facts, base)
        self._books.state.save(begun)
        return begun

    def _clean_up(self, following: Facts) -> None:
        """Takes out what was put into the kernel, and what was noted for a generation that will not be."""
        self._books.state.discard(following.seq)
        self._flows.unlink(missing_ok=True)
        self._at_step("discarded")
        self._table.remove()
        self._at_step("removed")
        self._switches.close(restore=True)
        self._at_step("restored")

    def _let_go(self) -> None:
        """Ends everything in this process; files and the kernel's objects stay. May be called twice."""
        self._end_meter()
        self._live = None
        self._switches.close(restore=False)
        self._books.close()

    def _end_meter(self) -> None:
        if self._meter is not None:
            self._meter.close()
        self._meter = None

    def _native(self) -> ConntrackMeter:
        if self._meter is None:
            raise SourceError(f"meter {self._config.meter}", "listen", "not open")
        return self._meter

    def _required_live(self) -> Facts:
        if self._live is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "not open")
        return self._live
