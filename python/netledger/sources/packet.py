"""packet: what passes the interfaces, by packet sockets with a ring.

Nothing is put into the kernel but the sockets, which go with the process. The kernel has no count of its own here that
would prove ours: what is lost is what it says that it dropped. ``docs/explanation/packet.md`` tells the whole story.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from netledger._core import PacketMeter, Totals
from netledger.errors import NetledgerError, PermissionDeniedError, SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.base import NO_PAST, Closed, Gathered, Glance, LiveRows, Past, Step, no_step
from netledger.sources.bookkeeping import Bookkeeping, MeterConfig
from netledger.sources.interfaces import warn_of_missing
from netledger.sources.lost import NoRows
from netledger.sources.nflog_groups import Account
from netledger.sources.observing import live_rows, received, sent
from netledger.sources.packet_filter import PacketChoice
from netledger.sources.packet_links import Follower, InterfaceChoice, Links
from netledger.sources.packet_program import Instruction
from netledger.sources.packet_said import SOURCE, observe
from netledger.sources.packet_twice import Twice
from netledger.sources.privileges import CAP_NET_RAW, hint
from netledger.sources.state import Facts
from netledger.sources.turns import Turns

# A daemon that was started without such a meter has given it up.
_AFTER_A_RELOAD: Final = "; after a reload: restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketConfig(MeterConfig):
    """What a meter of packet sockets needs to know. ``buffer_bytes`` is not used: the ring is the buffer.

    Attributes:
        account: which postings a packet makes: ``source`` only sent ones, ``destination`` only received ones, or both.
        interfaces: only these, by patterns. Empty: all but loopback.
        interfaces_excluded: never these.
        loopback: loopback too, without naming it.
        families: the IP versions that count.
        choice: which packets are wanted.
        program: one of the caller's own, in place of ``choice``: for the kernel, as :class:`PacketChoice` makes it.
        promiscuous: interfaces that are to receive what is for other machines too, by patterns.
        ring_bytes: memory of each ring.
        threads: so many rings, each with a thread.
        retire_milliseconds: the kernel hands packets over when they are so old. A cut takes up to twice as long.
    """

    account: Account = "both"
    interfaces: tuple[str, ...] = ()
    interfaces_excluded: tuple[str, ...] = ()
    loopback: bool = False
    families: tuple[int, ...] = (4, 6)
    choice: PacketChoice = field(default_factory=PacketChoice)
    program: tuple[Instruction, ...] | None = None
    promiscuous: tuple[str, ...] = ()
    ring_bytes: int = 64 << 20
    threads: int = 1
    retire_milliseconds: int = 20

    def native(self) -> PacketMeter:
        """The native meter; inert.

        Raises:
            SourceError: the choice of packets cannot be made a program for the kernel.
            ValueError: a value that the core does not take.
        """
        try:
            program = self.choice.program() if self.program is None else self.program
        except ValueError as error:
            raise SourceError(f"meter {self.meter}", "choose packets", str(error)) from error
        except NetledgerError as error:
            raise SourceError(f"meter {self.meter}", "choose packets", error.cause, error.hint) from error
        return PacketMeter(
            key=self.key.native(),
            rows_max=self.rows_max,
            account=self.account,
            interfaces=self.interfaces,
            interfaces_excluded=self.interfaces_excluded,
            loopback=self.loopback,
            ring_bytes=self.ring_bytes,
            retire_milliseconds=self.retire_milliseconds,
            threads=self.threads,
            promiscuous=self.promiscuous,
            families=self.families,
            filter=program,
        )

    def interface_choice(self) -> InterfaceChoice:
        """Which interfaces are counted, as the core decides it."""
        return InterfaceChoice(only=self.interfaces, excluded=self.interfaces_excluded, loopback=self.loopback)


class PacketSource:
    """One meter of packet sockets. Not safe for concurrent use; belongs to the namespace of the thread that opens it.

    Args:
        config: what to count.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, config: PacketConfig, *, at_step: Step = no_step) -> None:
        self._config = config
        self._at_step = at_step
        self._books = Bookkeeping(config, SOURCE, self._observed)
        self._follower = Follower(self._told)
        self._twice = Twice(config.meter, config.interface_choice())
        self._turns = Turns(self._books, self._frozen, at_step=at_step)
        self._meter: PacketMeter | None = None

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Finishes what a dead process left, then listens.

        Raises:
            SourceError: another process counts for this meter, a state file cannot be read, or the kernel refuses.
            PermissionDeniedError, TableError: see there.
        """
        try:
            closed, dead = self._books.open(now, past)
            closed += self._books.tell_absence(now, past)
            dead = self._without_unused(dead, past)
            # Before theirs is closed: should this process die now, the next one knows since when nobody counts.
            live = self._turns.note(now)
            closed += self._finish_dead(dead, now)
            self._at_step("finished")
            self._begin(live)
        except BaseException:
            self._let_go()
            raise
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation: a packet belongs to it by the moment when the kernel got it. Blocks for some ms.

        When it fails it can be called again: it goes on where it stood, and no packet is lost by that.

        Raises:
            SourceError, TableError, OSError: see there.
        """
        return self._turns.cut(Moment(label_end_ns, now.monotonic_ns), self._native().roll)

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:  # noqa: ARG002  (there are no rules)
        """Closes the open generation and the sockets; what the rings still hold is counted."""
        try:
            closed = self._turns.unfinished()
            generation = self._native().end()
            self._at_step("drained")
            closed.append(self._frozen(self._turns.required(), now, generation))
            self._books.state.end()
            return closed
        finally:
            self._let_go()

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        self._turns.disturb(what)

    def stats(self) -> Totals:
        """Sums since this process started to listen.

        Raises:
            SourceError: a thread has failed.
        """
        self._follower.check()
        return self._native().stats()

    def glance(self) -> Glance:
        """How far it is. Any thread may call it."""
        found = self._native().glance()
        now, ever = found.totals, found.since_start
        return Glance(
            rows=found.rows,
            other=Count(now.other_packets, now.other_bytes),
            lost_packets=now.dropped_packets,
            overruns=now.overruns,
            received=Count(ever.received_packets, ever.received_bytes),
            lost_packets_since_open=ever.dropped_packets,
            overruns_since_open=ever.overruns,
        )

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what is open. Any thread may call it."""
        return live_rows(self._native().live(top=top, sort=sort))

    # --- start ---

    def _begin(self, live: Facts) -> None:
        try:
            self._meter = self._config.native()
            self._meter.begin(str(self._books.state.table(live.seq)))
        except BaseException as error:
            self._books.state.discard(live.seq)  # it has never counted
            if isinstance(error, PermissionDeniedError):
                what = f"{hint(CAP_NET_RAW)}{_AFTER_A_RELOAD}"
                raise PermissionDeniedError(error.subject, error.operation, error.cause, what) from error
            raise
        self._at_step("begun")
        self._turns.begin(live)
        self._books.mark(live)
        # Behind the sockets: what comes up between the two is counted all the same, and told then.
        self._follower.open()
        warn_of_missing(self._config.meter, self._config.interfaces)

    def _finish_dead(self, dead: list[Facts], now: Moment) -> list[Closed]:
        """The newest one was interrupted when the process ended; one before it had only not been written down."""
        closed = []
        for facts, following in zip_longest(dead, dead[1:]):
            if following is not None:
                closed.append(self._frozen(facts, following.start, self._books.rows_of(facts)))
            elif self._has_begun(facts):
                closed.append(self._books.abandon(facts, now, "the process had ended"))
            else:
                self._books.state.remove_table(facts.seq)
                rows = NoRows("it had not begun to count")
                closed.append(self._books.abandon(facts, now, "the process had ended", rows))
        return closed

    def _without_unused(self, dead: list[Facts], past: Past) -> list[Facts]:
        """Without the newest one if it never began, and nobody would miss it.

        That is so for the first of all, and where the one before it is still open: it goes on to the present.
        """
        if not dead or self._has_begun(dead[-1]):
            return dead
        newest = dead[-1].seq
        is_first = self._books.state.known(newest - 1) is None and past.seq < newest - 1
        if len(dead) > 1 or is_first:
            self._books.state.discard(newest)
            return dead[:-1]
        return dead

    def _has_begun(self, facts: Facts) -> bool:
        """Whether the receivers had. Unless that is written down, its table may be half made, or missing."""
        return facts.begun or self._books.is_whole(facts)

    # --- interfaces ---

    def _told(self, links: Links, names: Mapping[int, str]) -> None:
        """Called in the follower's thread, and once by who opens."""
        self._native().interfaces_changed(names)
        self._twice.look(links)

    # --- parts ---

    def _frozen(self, facts: Facts, end: Moment, generation: Gathered | NoRows) -> Closed:
        return self._books.freeze(facts, end, generation, self._observed(facts, generation, None))

    def _observed(self, facts: Facts, generation: Gathered | NoRows, _kernel: Count | None) -> Observed:
        totals = generation.totals
        accounted = received(totals) if self._config.account == "destination" else sent(totals)
        return observe(totals, generation, accounted, ring_bytes=self._config.ring_bytes, interrupted=facts.interrupted)

    def _let_go(self) -> None:
        """Ends everything in this process; files stay. May be called twice."""
        self._follower.close()
        if self._meter is not None:
            self._meter.close()
        self._meter = self._turns.live = None
        self._books.close()

    def _native(self) -> PacketMeter:
        if self._meter is None:
            raise SourceError(f"meter {self._config.meter}", "listen", "not open")
        return self._meter
