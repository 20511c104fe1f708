"""The generations of a meter that counts in the kernel: opened, left, read and closed, and put in order meanwhile.

Everything here is for one thread at a time, in the network namespace that is counted.
"""

import contextlib
import logging
import socket
from dataclasses import dataclass, replace

from netledger._core import BpfMeter, Generation, Totals
from netledger.errors import NetledgerError, SourceError
from netledger.intervals import Clock, Moment
from netledger.receipt import Count, Observed
from netledger.sources.base import Closed, Gathered, Step, Unpinned
from netledger.sources.bookkeeping import Bookkeeping
from netledger.sources.bpf_config import BpfConfig
from netledger.sources.bpf_disturbed import interrupt, mark, told_unpinned, words
from netledger.sources.bpf_links import Interfaces
from netledger.sources.bpf_pins import Pins, network_namespace
from netledger.sources.bpf_proof import Proof, Prover, bracket
from netledger.sources.bpf_said import SOURCE, counted, observe
from netledger.sources.bpf_takeover import side_of
from netledger.sources.conntrack_base import begun_at
from netledger.sources.conntrack_proof import Verdict
from netledger.sources.lost import NoRows
from netledger.sources.nft import Nft
from netledger.sources.ruleset import SIDES, Side, other_side
from netledger.sources.state import Facts

log = logging.getLogger(__name__)

_UNBALANCED = "rows and receipt do not add up"  # words of the native core


@dataclass(slots=True)
class Left:
    """A generation that a cut has left behind, and whose receipt is not written yet.

    Attributes:
        facts: what is known of it.
        end: when it ended.
        before: what the counters that prove said before the kernel left it; None: not known.
        after: what they said when none of its packets was under way any more.
        generation: its rows; None until they are read.
        totals: what the kernel counted, where that is all that is believed.
        is_looked_at: whether somebody has looked since it was left: what the first look finds may be of its time.
    """

    facts: Facts
    end: Moment
    before: Count | None = None
    after: Count | None = None
    generation: Generation | NoRows | None = None
    totals: Totals | None = None
    is_looked_at: bool = False


class Counting:
    """What counts for one meter, and what is written down about it. Inert until something of it is called.

    Args:
        config: what to count.
        nft: how to run nft, for the proof.
        at_step: told each step that has been done.
        clock: tells when somebody disturbed the count.
    """

    def __init__(self, config: BpfConfig, *, nft: Nft, at_step: Step, clock: Clock) -> None:
        self._config = config
        self._at_step = at_step
        self._clock = clock
        self._prover = Prover(Proof(nft, config.selection(), config.pins.name), is_wanted=config.prove)
        self._next: Facts | None = None
        self.books = Bookkeeping(config, SOURCE, self._without_count)
        self.pins = Pins(config.meter, config.pins, config.native)
        self.interfaces = Interfaces(config.interface_choice())
        self.live: Facts | None = None
        """What the kernel counts for; None: nothing."""
        self.left: Left | None = None
        """What it counts for no more, and what is not closed yet."""
        self.looked_ns = 0
        """When all was last known to be in order, UTC nanoseconds."""
        self.unpinned: Unpinned | None = None
        """Why the kernel's objects are held by this process alone, as of the last look."""

    def start_anew(self, now: Moment) -> None:
        """A fresh program begins to count, at all hooks at one moment. When that fails, nothing of it stays.

        Raises:
            InUseError, SourceError, NotSupportedError, PermissionDeniedError, RulesetError: see there.
        """
        self.pins.claim()
        facts = self._noted(now, SIDES[0])
        try:
            self._load(SIDES[0], None)
            facts = self._prover.watched(facts)
            native = self.pins.native(SIDES[0])
            # Room for two from the start: who has no memory for the second is told before anything counts.
            native.prepare(facts.seq)
            native.prepare(facts.seq + 1)
            self._at_step("prepared")
            before = self._prover.read(facts)
            native.switch(facts.seq)
            self._at_step("switched")
        except BaseException:
            # It has never counted: nothing of it stays.
            with contextlib.suppress(NetledgerError):
                self.pins.remove(SIDES[0])
                self._prover.end(facts)
            self.books.state.discard(facts.seq)
            raise
        self._next, self.looked_ns = None, now.wall_ns
        if before is not None:
            native.settle()
        after = self._prover.read(facts)
        self.note(begun_at(facts, bracket(before, after)))
        self._at_step("begun")
        self._prepare_ahead()

    def _load(self, side: Side, control: Side | None) -> None:
        native = self.pins.native(side)
        native.load(None if control is None else str(self.pins.base / control))
        # Where the file system was mounted by this there was nothing to claim before.
        self.pins.claim()
        self._at_step("loaded")
        if self._config.attach == "tcx":
            self.interfaces.hang(native)
        else:
            native.attach()
        self._at_step("attached")

    def roll(self, end: Moment, side: Side) -> None:
        """Lets the next generation count, by the program that counts or by another one that takes its place."""
        if side == side_of(self.required()):
            self.inspect(self._clock.now())
        live = self.watched()
        following = self._next = replace(self._noted(end, side), rules=live.rules)
        native = self.pins.native(side)
        if side != side_of(live):
            self._replace_by(side, following)
        else:
            self._make_room(native, live, following)
        native.prepare(following.seq)
        self._at_step("prepared")
        before = self._prover.read(live)
        native.switch(following.seq)
        # From here on nothing may fail: the kernel has left the one before.
        self.live, self.left, self._next = following, Left(live, end, before), None
        self._at_step("switched")

    def _replace_by(self, side: Side, following: Facts) -> None:
        try:
            self._load(side, other_side(side))
        except BaseException:
            # The program that counts goes on.
            with contextlib.suppress(NetledgerError):
                self.pins.remove(side)
            self.books.state.discard(following.seq)
            self._next = None
            raise

    def finish(self) -> Closed:
        """Reads what was left, writes the receipt's facts, frees its memory. Goes on where an earlier try failed."""
        left = self.left
        if left is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "no generation was left")
        native = self.pins.native(side_of(left.facts))
        if left.generation is None:
            native.settle()
            self._at_step("settled")
            left.after = None if left.before is None else self._prover.read(left.facts)
            left.generation = self._read(native, left)
            self._at_step("read")
            if self.live is not None:
                self.inspect(self._clock.now())
        total = counted(left.totals or left.generation.totals)
        verdict = self._prover.verdict(left.facts, total, left.before, left.after)
        if self.live is not None:
            self.note(begun_at(self.live, None if verdict is None else verdict.base))
        closed = self.books.freeze(left.facts, left.end, left.generation, self._observed(left, verdict))
        self.left = None
        self._at_step("frozen")
        if self.live is not None:
            self._tidy(self.live, left.facts)
        return closed

    def _read(self, native: BpfMeter, left: Left) -> Generation | NoRows:
        """The rows of what was left.

        Rows that do not add up to the receipt are not booked under anybody's address. The kernel's count is kept, and
        the interval is closed: to refuse it for ever would help nobody.
        """
        try:
            return native.read(left.facts.seq, str(self.books.state.table(left.facts.seq)))
        except SourceError as error:
            if _UNBALANCED not in error.cause:
                raise
            left.totals = native.receipt(left.facts.seq)
            fields = {"meter": left.facts.meter, "seq": left.facts.seq, "error": error}
            log.error("rows_unbalanced", extra={"fields": fields})  # noqa: TRY400  (no traceback)
            return NoRows(f"its rows are not booked: {error.cause}")

    def _tidy(self, live: Facts, before: Facts) -> None:
        """Frees what is closed and makes room for the next one; what fails here is tried again by the next cut."""
        try:
            if side_of(before) != side_of(live):
                self.pins.remove(side_of(before))
            else:
                self.pins.native(side_of(live)).discard(before.seq)
            self._at_step("discarded")
            self._prepare_ahead()
        except NetledgerError as error:
            self._not_tidied(before, error)

    def _prepare_ahead(self) -> None:
        """Makes room for the generation behind the open one, so that a cut does not wait for memory."""
        live = self.required()
        self.native().prepare(live.seq + 1)
        self._at_step("ready")

    @staticmethod
    def _make_room(native: BpfMeter, live: Facts, following: Facts) -> None:
        """Frees what a tidying that failed has left; all but the one that is open has been read by now."""
        for number in native.generations():
            if number not in {live.seq, following.seq}:
                native.discard(number)

    def checked(self) -> Facts:
        """The open generation, with what somebody else did to what counts for it put in order, as far as that can be.

        It is asked before an end: what cannot be pinned any more, or looked at, is held by this process, and is gone
        with it unless it is read.
        """
        try:
            self.inspect(self._clock.now())
        except NetledgerError as error:
            what = f"nobody could look whether the program was attached to the end: {error}"
            self.note(interrupt(self.required(), what))
        return self.watched()

    def watched(self) -> Facts:
        """The same for the counters that prove, and for them alone."""
        live = self._prover.watched(self.required())
        self.note(live)
        return live

    def stop(self, live: Facts, now: Moment, *, is_here: bool) -> Closed:
        """The last generation: nothing is counted from one moment on, at all hooks; then the program is removed.

        ``is_here`` says whether this is the network namespace that was counted.
        """
        if self._next is not None:  # a cut had failed before the switch
            self.books.state.discard(self._next.seq)
            self._next = None
        live = replace(live, stopped=now, stopping=True)
        self.note(live)
        native, before = self.native(), self._prover.read(live) if is_here else None
        self._at_step("stopping")
        native.switch(0)
        self._at_step("stopped")
        self.live, self.left = None, Left(live, now, before)
        closed = self.finish()
        try:
            self.pins.remove(side_of(live))
            if is_here:
                self._prover.end(live)
        except NetledgerError as error:
            self._not_tidied(live, error)
        self._at_step("removed")
        return closed

    def inspect(self, now: Moment) -> None:
        """Puts in order what somebody else did, and notes it on the open generation, and on one that is not closed."""
        mended = self.native().mend()
        since_ns, self.looked_ns = self.looked_ns, now.wall_ns
        if (left := None if self.left is None or self.left.is_looked_at else self.left) is not None:
            left.is_looked_at = True
        self.books.state.leave_sign()
        self._tell_unpinned(now)
        if not mended:
            return
        live = self.required()
        log.warning("pins_changed", extra={"fields": {"meter": live.meter, "seq": live.seq, "what": words(mended)}})
        self.note(mark(live, mended, since_ns=since_ns, until_ns=now.wall_ns))
        if left is not None:
            left.facts = mark(left.facts, mended, since_ns=since_ns, until_ns=now.wall_ns)
            self.books.state.save(left.facts)
        self.pins.claim()

    def _tell_unpinned(self, now: Moment) -> None:
        """Says once that what counts cannot be pinned any more, and once that it can again: nothing stops by it."""
        found, before = self.native().unpinned(), self.unpinned
        self.unpinned = None if found is None else Unpinned(*found)
        if (self.unpinned is None) == (before is None):
            return
        live = self.required()
        fields: dict[str, object] = {"meter": live.meter, "seq": live.seq}
        if self.unpinned is None:
            log.warning("pinned_again", extra={"fields": fields})
        else:
            fields |= {"error": self.unpinned.why, "hint": self.unpinned.hint or "see who changed it"}
            log.error("not_pinned", extra={"fields": fields})
        self.note(told_unpinned(live, self.unpinned, now.wall_ns))

    def looked_at(self, facts: Facts) -> Facts:
        """A generation that was found, with what is wrong with its program, which is left as it is.

        From another network namespace nobody can see where it hangs: what it counted is believed then.
        """
        if not facts.fingerprint.endswith(network_namespace()):
            return facts
        # None: a hook of netfilter. What hung at an interface that is gone misses nothing.
        there = {None, *(index for index, _ in socket.if_nameindex())}
        gone = [link.name for link in self.native().links() if not link.is_attached and link.interface_index in there]
        mended = [(f"{name} was detached", True) for name in gone]
        return mark(facts, mended, since_ns=self.looked_ns, until_ns=self._clock.now().wall_ns)

    def is_here(self, facts: Facts) -> bool:
        """Whether this is the network namespace that was counted, and its counters that prove can be asked."""
        if not facts.fingerprint.endswith(network_namespace()):
            return False
        try:
            self._prover.read(facts)
        except NetledgerError as error:
            self._not_tidied(facts, error)
            return False
        return True

    def hang(self) -> None:
        """Hangs the program at interfaces that came, and takes it off those that went (tcx)."""
        if self._config.attach == "tcx":
            self._tell_late(self.interfaces.hang(self.native()))

    def look_at_another(self) -> None:
        """Notes what is wrong with a program that was found and will be replaced; it is left as it is."""
        self.note(self.looked_at(self.required()))
        if self._config.attach == "tcx":
            self._tell_late(self.interfaces.late(self.native()))

    def _tell_late(self, late: list[str]) -> None:
        for what in late:
            live = self.required()
            log.warning("counted_late", extra={"fields": {"meter": live.meter, "seq": live.seq, "what": what}})
            self.note(interrupt(live, what))

    def _noted(self, start: Moment, side: Side) -> Facts:
        """Writes down the next generation; the kernel does not count for it yet."""
        seq = None if self._next is None else self._next.seq
        facts = replace(self.books.new(start, seq=seq), side=side, fingerprint=self.wishes(side), has_rows=False)
        self.books.state.save(facts)
        self._at_step("noted")
        return facts

    def wishes(self, side: Side) -> str:
        """What the program is to be: another configuration, or another network namespace, needs another one."""
        return f"{self.pins.native(side).fingerprint} {network_namespace()}"

    def _observed(self, left: Left, verdict: Verdict | None) -> Observed:
        generation, live = left.generation, self.live
        if generation is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "its rows are not read")
        is_replaced = live is not None and side_of(live) != side_of(left.facts)
        attach = self._config.attach
        observed = observe(left.facts, generation, attach=attach, verdict=verdict, is_replaced=is_replaced)
        return observed if left.totals is None else replace(observed, kernel=counted(left.totals))

    def _without_count(self, facts: Facts, generation: Gathered | NoRows, _kernel: Count | None) -> Observed:
        """Of a generation whose maps are gone."""
        return replace(observe(facts, generation, attach=self._config.attach), kernel=None)

    def _not_tidied(self, facts: Facts, error: NetledgerError) -> None:
        log.warning("not_tidied", extra={"fields": {"meter": facts.meter, "seq": facts.seq, "error": error}})

    def is_next_slot_free(self) -> bool:
        """Whether the next number has the other slot; not after a number that was taken by a damaged file."""
        return (self.books.state.next_seq() - self.required().seq) % len(SIDES) == 1

    def note(self, facts: Facts) -> None:
        """Writes down what is known of the open generation."""
        self.live = facts
        self.books.state.save(facts)

    def native(self) -> BpfMeter:
        """The program that counts.

        Raises:
            SourceError: none does.
        """
        return self.pins.native(side_of(self.required()))

    def required(self) -> Facts:
        """The open generation.

        Raises:
            SourceError: there is none.
        """
        if self.live is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "not open")
        return self.live
