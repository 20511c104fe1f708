"""bpf: counted in the kernel, by a program and maps that outlive the process.

``docs/explanation/bpf.md`` tells the whole story. In short: the program adds each packet to its row in the generation
whose number is open. A cut writes the next number; room for that one was made before. Then it waits until no packet of
the generation that was left is under way, and writes its rows into a table file as all sources have them. The kernel's
copy goes when that is whole and the facts are written. A process that dies leaves the kernel counting.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace

from netledger._core import Totals
from netledger.intervals import Clock, Moment, SystemClock
from netledger.receipt import Count
from netledger.sources.base import NO_PAST, Closed, Glance, LiveRows, Past, Step, no_step
from netledger.sources.bpf_config import BpfConfig
from netledger.sources.bpf_counting import Counting, Left
from netledger.sources.bpf_disturbed import interrupt
from netledger.sources.bpf_said import told
from netledger.sources.bpf_takeover import Inheritance, side_of, sort_out, stray
from netledger.sources.bpf_watch import Watch
from netledger.sources.interfaces import warn_of_missing
from netledger.sources.nft import Nft
from netledger.sources.observing import between, live_rows
from netledger.sources.packet_links import Follower, Links
from netledger.sources.ruleset import SIDES, other_side
from netledger.sources.state import Facts, boot_id

log = logging.getLogger(__name__)


class BpfSource:
    """One meter that counts in the kernel. Belongs to the network namespace of the thread that opens it.

    Args:
        config: what to count.
        nft: how to run nft, for the proof.
        at_step: told each step that has been done; lets a test stop the process there.
        clock: tells when somebody disturbed the count.
    """

    def __init__(
        self, config: BpfConfig, *, nft: Nft | None = None, at_step: Step = no_step, clock: Clock | None = None
    ) -> None:
        self._config = config
        self._at_step = at_step
        self._clock = clock or SystemClock()
        self._counting = Counting(config, nft=nft or Nft(), at_step=at_step, clock=self._clock)
        self._follower = Follower(self._told)
        self._watch = Watch(self._look)
        # Two threads of this source's own note what they find on the generation that is open.
        self._lock = threading.RLock()
        self._is_open = False

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Takes over what a dead process left, then counts. Blocks for some tens of ms, more where programs are loaded.

        Raises:
            SourceError: another process counts for this meter, a state file cannot be read, or the kernel refuses.
            NotSupportedError: this kernel cannot, or a version of netledger with another layout has pinned a program.
            PermissionDeniedError, RulesetError, TableError: see there.
        """
        try:
            with self._lock:
                closed, inherited = self._take_up(now, past)
                self._follower.open()
                if inherited.current is None:
                    self._counting.start_anew(now)
                else:
                    closed.append(self._relieve(inherited.current, now))
                self._counting.books.mark(self._counting.required())
                self._is_open = True
        except BaseException:
            self._let_go()
            raise
        self._watch.open()
        warn_of_missing(self._config.meter, self._config.interfaces)
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation; the next one has counted from the same instant on. Blocks for some tens of ms.

        A million rows take half a second, in which the kernel goes on counting. When it fails it can be called again:
        it goes on where it stood, and no packet is lost by that.

        Raises:
            SourceError, PermissionDeniedError, RulesetError, TableError, OSError: see there.
        """
        with self._lock:
            if self._counting.left is None:
                self._counting.roll(Moment(label_end_ns, now.monotonic_ns), side_of(self._counting.required()))
            return self._counting.finish()

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """Last cut and clean up. With ``keep_rules`` the kernel goes on counting, for the next start to take over.

        But it does not where that cannot be pinned: then it would end with this process, with all that it has counted.

        Raises:
            SourceError, PermissionDeniedError, RulesetError, TableError: what was counted is on disk, or in the kernel.
        """
        try:
            with self._lock:
                closed = [] if self._counting.left is None else [self._counting.finish()]
                live = self._counting.checked()
                if keep_rules and (unpinned := self._counting.unpinned) is not None:
                    fields: dict[str, object] = {"meter": self._config.meter, "error": unpinned.why}
                    log.warning("not_left_counting", extra={"fields": fields})
                    keep_rules = False
                if keep_rules:
                    closed.append(self.cut(label_end_ns=now.wall_ns, now=now))
                    self._counting.note(replace(self._counting.required(), stopped=now))
                    fields = {"meter": self._config.meter, "directory": self._config.pins}
                    log.info("left_counting", extra={"fields": fields})
                else:
                    closed.append(self._counting.stop(live, now, is_here=True))
                    self._counting.books.state.end()
        finally:
            self._let_go()
        return closed

    def finish(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Finishes what a dead process left, as :meth:`open` does, and counts no more: what is pinned is removed.

        In any network namespace. What it gives stays on disk, for the next one that opens this meter. To be called in
        place of :meth:`open`; afterwards the source is unusable.

        Raises:
            SourceError, NotSupportedError, PermissionDeniedError, TableError: see :meth:`open`.
        """
        try:
            with self._lock:
                closed, inherited = self._take_up(now, past)
                if inherited.current is not None:
                    live = self._counting.looked_at(inherited.current)
                    closed.append(self._counting.stop(live, now, is_here=self._counting.is_here(live)))
        finally:
            self._let_go()
        return sorted(closed, key=lambda each: each.seq)

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        with self._lock:
            self._counting.note(interrupt(self._counting.required(), what))

    def stats(self) -> Totals:
        """Sums since this process began to count.

        Raises:
            SourceError: what somebody else did cannot be put in order, or interfaces cannot be followed.
        """
        self._follower.check()
        self._watch.check()
        return self._counting.native().glance().since_start

    def glance(self) -> Glance:
        """How far it is. Any thread may call it."""
        found, live = self._counting.native().glance(), self._counting.live
        now, ever = found.totals, found.since_start
        return Glance(
            rows=found.rows,
            other=Count(now.other_packets, now.other_bytes),
            lost_packets=0,
            overruns=0,
            received=Count(ever.received_packets, ever.received_bytes),
            lost_packets_since_open=0,
            overruns_since_open=0,
            disturbed=None if live is None else live.interrupted,
            unpinned=self._counting.unpinned,
        )

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what is open. Any thread may call it."""
        return live_rows(self._counting.native().live(self._counting.books.names.copy(), top=top, sort=sort))

    # --- start ---

    def _take_up(self, now: Moment, past: Past) -> tuple[list[Closed], Inheritance]:
        """Closes what needs no switch any more, and removes programs that nobody knows of."""
        closed, dead = self._counting.books.open(now, past)
        here = [facts for facts in dead if facts.boot_id == boot_id() and facts.begun]
        found = self._counting.pins.look(is_expected=bool(here))
        inherited = sort_out(dead, found, boot_id())
        strange = {side: found[side] for side in stray(found, inherited)}
        remains = told(self._counting.pins.remains(strange))
        closed += self._counting.books.tell_absence(now, past, remains=remains)
        if remains is not None:
            log.warning("pins_removed", extra={"fields": {"meter": self._config.meter, "what": remains}})
        for facts in inherited.unused:
            self._counting.books.state.discard(facts.seq)
        if inherited.current is not None:
            self._counting.looked_ns = self._counting.books.state.last_sign_ns or inherited.current.start.wall_ns
            self._counting.note(replace(inherited.current, begun=True))
        for facts, why in inherited.abandoned:
            closed.append(self._counting.books.abandon(facts, inherited.end_of(facts) or now, why))
        closed += [self._finish_left(facts, inherited, now) for facts in inherited.left]
        for side in SIDES:
            if side in found and (self._counting.live is None or side != side_of(self._counting.live)):
                self._counting.pins.remove(side)
        self._at_step("cleared")
        return closed, inherited

    def _finish_left(self, facts: Facts, inherited: Inheritance, now: Moment) -> Closed:
        end = inherited.end_of(facts) or facts.stopped
        if end is None:
            facts = interrupt(facts, f"{between(facts.start.wall_ns, now.wall_ns)} counting was ended by someone else")
        self._counting.left = Left(facts, end or now)
        return self._counting.finish()

    def _relieve(self, current: Facts, now: Moment) -> Closed:
        """Lets the next generation count, by the same program or another, and closes the one that was found."""
        side = side_of(current)
        is_same = current.fingerprint == self._counting.wishes(side) and self._counting.is_next_slot_free()
        if is_same:
            self._counting.inspect(now)
            self._counting.hang()
        else:
            self._counting.look_at_another()
        self._counting.roll(now, side if is_same else other_side(side))
        return self._counting.finish()

    # --- what others do ---

    def _look(self) -> None:
        """Called once a second, in the watch's thread."""
        with self._lock:
            if self._counting.live is not None:
                self._counting.inspect(self._clock.now())

    def _told(self, links: Links, names: Mapping[int, str]) -> None:
        """Called in the follower's thread, and once by who opens."""
        with self._lock:
            self._counting.books.names.update(names)
            self._counting.interfaces.tell(links)
            if self._is_open:
                self._counting.hang()

    def _let_go(self) -> None:
        """Ends everything in this process; files and the kernel's objects stay. May be called twice."""
        with self._lock:
            self._is_open, self._counting.live = False, None
        # Without the lock, for which their threads may wait.
        self._follower.close()
        self._watch.close()
        self._counting.pins.close()
        self._counting.books.close()
