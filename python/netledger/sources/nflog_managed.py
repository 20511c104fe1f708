"""NFLOG with rules of our own: two generations, and a cut that misses no packet and counts none twice.

``docs/explanation/nflog.md`` tells the whole story. In short: two sides ``a`` and ``b``, each with counters and a log
group of its own. A cut lets the other side count, waits until the listener of the left one has drained it, and reads
its frozen counters: what they say is what must be in the rows.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from netledger._core import NflogGroup, Totals
from netledger.errors import RulesetError, SourceError
from netledger.intervals import Moment
from netledger.receipt import ZERO, Count
from netledger.sources.base import NO_PAST, Closed, Glance, LiveRows, Past, Step, no_step
from netledger.sources.bound import bound_groups, holder, two_free_groups
from netledger.sources.generations import Generations, Left, ListeningConfig
from netledger.sources.interfaces import warn_of_missing
from netledger.sources.kernel_rules import Disturbance, KernelRules, list_table, passed, wait_for_packets_under_way
from netledger.sources.listing import Listing
from netledger.sources.nft import Nft
from netledger.sources.observing import between, sent
from netledger.sources.ruleset import HOOKS, IP_VERSIONS, SIDES, Hook, Ruleset, Side, other_side
from netledger.sources.state import Facts, boot_id
from netledger.sources.takeover import Inheritance, sort_out

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedNflogConfig(ListeningConfig):
    """What a meter with rules of our own needs to know; the names of its objects in the kernel start with its own.

    Attributes:
        table: name of the inet table.
        hooks: where packets are counted.
        interfaces: only these; empty: all but loopback.
        interfaces_excluded: never these.
        networks: only packets from or to these; empty: all.
        networks_excluded: no packets from or to these.
    """

    table: str = "netledger"
    hooks: tuple[Hook, ...] = HOOKS
    interfaces: tuple[str, ...] = ()
    interfaces_excluded: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    networks_excluded: tuple[str, ...] = ()

    def rules(self, groups: tuple[int, int]) -> Ruleset:
        """The rules that this asks for."""
        return Ruleset(
            table=self.table,
            meter=self.meter,
            groups=groups,
            hooks=self.hooks,
            interfaces=self.interfaces,
            interfaces_excluded=self.interfaces_excluded,
            networks=self.networks,
            networks_excluded=self.networks_excluded,
            ports=self.key.ports,
        )


class ManagedNflogSource:
    """One meter with rules of our own. Not safe for concurrent use; belongs to the namespace of the calling thread.

    Args:
        config: what to count.
        nft: how to run nft.
        at_step: told each step that has been done; lets a test stop the process there.
    """

    def __init__(self, config: ManagedNflogConfig, *, nft: Nft | None = None, at_step: Step = no_step) -> None:
        self._config = config
        self._nft = nft or Nft()
        self._at_step = at_step
        self._generations = Generations(config, sent)
        self._kernel = KernelRules(self._nft, config.rules((0, 0)))
        self._live: Facts | None = None
        self._next: Facts | None = None
        self._left: Left | None = None
        self._known: Mapping[str, Count] = {}

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Takes over what a dead process left, then counts. Blocks for some tens of ms.

        Raises:
            SourceError: another process counts for this meter, or a state file cannot be read.
            RulesetError, PermissionDeniedError, GroupBusyError, TableError: see there.
        """
        try:
            closed, dead = self._generations.open(now, past)
            found = list_table(self._nft, self._config.table)
            self._kernel = KernelRules(self._nft, self._config.rules(self._choose_groups(dead, found)))
            self._generations.start_listening()
            closed += self._generations.tell_absence(now, past, remains=self._remains(found))
            inherited = sort_out(dead, found, self._kernel, boot_id())
            closed += self._finish_dead(inherited, found, now)
            if inherited.current is None:
                self._start_anew(found, now)
            else:
                closed.append(self._relieve(inherited.current, inherited.disturbance, found, now))
            self._generations.mark(self._required_live())
        except BaseException:
            self._generations.close()
            raise
        warn_of_missing(self._config.meter, self._config.interfaces)
        return sorted(closed, key=lambda each: each.seq)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation; the next one has counted from the same instant on. Blocks for some tens of ms.

        When nft fails the cut can be called again: it goes on where it stood, and no packet is lost by that.

        Raises:
            RulesetError, PermissionDeniedError, GroupBusyError, TableError: see there.
        """
        self._generations.learn_names()
        if self._left is None:
            self._change_sides(Moment(label_end_ns, now.monotonic_ns))
        return self._finish()

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """Last cut and clean up. With ``keep_rules`` the kernel goes on counting, for the next start to take over.

        Raises:
            RulesetError, PermissionDeniedError: nft failed. What was counted is still on disk and in the kernel.
        """
        self._generations.learn_names()
        try:
            closed = [] if self._left is None else [self._finish()]
            if keep_rules:
                closed.append(self.cut(label_end_ns=now.wall_ns, now=now))
                self._note(replace(self._required_live(), stopped=now))
            else:
                closed.append(self._stop(now))
        finally:
            self._generations.close()
        return closed

    def disturb(self, what: str) -> None:
        """Notes that what is open was interrupted."""
        self._note(self._required_live().disturbed(what))

    def stats(self) -> Totals:
        """Sums since this process started to listen."""
        return self._generations.listener.stats()

    def glance(self) -> Glance:
        """How far it is. Any thread may call it."""
        return self._generations.glance()

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what is open. Any thread may call it."""
        return self._generations.live(top=top, sort=sort)

    # --- start ---

    def _choose_groups(self, dead: list[Facts], found: Listing | None) -> tuple[int, int]:
        """Those of the dead process, if nobody has taken them; else two free ones."""
        bound = bound_groups()
        if dead and len(dead[-1].groups) == len(SIDES) and not any(group in bound for group in dead[-1].groups):
            return dead[-1].groups[0], dead[-1].groups[1]
        if not dead and found is not None:
            self._refuse_foreign_meter(found, set(bound))
        # Of its two groups a meter listens to one at a time: what another one logs to next is told by its rules alone.
        return two_free_groups(set(bound) | self._nft.log_groups())

    def _refuse_foreign_meter(self, found: Listing, bound: set[int]) -> None:
        """Rules of this name whose groups somebody listens to belong to a living process with another state."""
        chains = {self._kernel.rules.chain(side) for side in SIDES}
        rules = tuple(rule for rule in found.rules if rule.get("chain") in chains)
        for group in sorted(replace(found, rules=rules).log_groups() & bound):
            owner = holder(group)
            who = f"pid {owner.pid} ({owner.command})" if owner else "another process"
            subject, hint = f"meter {self._config.meter}", "stop that process, or give the meter another name"
            raise RulesetError(subject, "open", f"table {self._config.table} already counts for it by {who}", hint)

    def _finish_dead(self, inherited: Inheritance, found: Listing | None, now: Moment) -> list[Closed]:
        """Closes what needs no switch any more."""
        if inherited.unused is not None:
            self._generations.state.discard(inherited.unused.seq)
        ends = [*(facts.start for facts, _ in inherited.abandoned), now][1:]
        closed = [
            self._generations.abandon(facts, end, why)
            for (facts, why), end in zip(inherited.abandoned, ends, strict=True)
        ]
        if inherited.frozen is not None and inherited.current is not None:
            end = inherited.current.start
            facts = self._disturbed(inherited.frozen, inherited.disturbance, end)
            kernel = passed(self._kernel.counters(found, _side(facts)), facts.base)
            closed.append(self._generations.end(facts, end, self._generations.rows_of(facts), kernel=kernel))
        return closed

    def _remains(self, found: Listing | None) -> str | None:
        """What rules of this meter say that may have no state any more."""
        if found is None or not self._kernel.is_in(found):
            return None
        said = {name: found.counters.get(name, ZERO) for name in self._kernel.rules.counters()}
        words = (f"{name} {count.packets} packets, {count.bytes} bytes" for name, count in said.items())
        return f"counters found: {', '.join(words)}"

    def _start_anew(self, found: Listing | None, now: Moment) -> None:
        """Fresh rules. What nobody can explain any more is logged and removed."""
        remains = self._remains(found)
        if found is not None and remains is not None:
            log.warning("rules_replaced meter=%s what=%r", self._config.meter, remains)
            # Before the new generation is noted: rules that are found with a first generation were made for it.
            self._kernel.remove(found)
            self._at_step("cleared")
        first = self._prepare("a", now, self._kernel.counters(None, "a"), {})
        self._kernel.install("a", self._kernel.list())
        self._at_step("installed")
        self._take_over_rules(first)

    def _relieve(self, current: Facts, disturbance: Disturbance | None, found: Listing | None, now: Moment) -> Closed:
        """Lets the free side count, and closes the generation that the kernel has counted for until now."""
        current = self._disturbed(current, disturbance, now)
        side = other_side(_side(current))
        counting = found is not None and self._kernel.side(found) == current.side
        same = current.rules if current.fingerprint == self._kernel.rules.fingerprint() else {}
        unchanged = same if disturbance is None and counting else {}
        following = self._prepare(side, now, self._kernel.counters(found, side), unchanged)
        if found is not None and unchanged:
            self._kernel.switch(side, found)
        else:
            self._kernel.install(side, found)
        self._at_step("relieved")
        self._take_over_rules(following)
        wait_for_packets_under_way()
        kernel = passed(self._kernel.counters(self._kernel.list(), _side(current)), current.base)
        # With the rules leading nowhere the process had begun to stop: nothing was counted since then.
        end = current.stopped if current.stopped is not None and not counting else now
        return self._generations.end(current, end, self._generations.rows_of(current), kernel=kernel)

    def _take_over_rules(self, facts: Facts) -> None:
        """From now on the rules as they are must stay, and counters only grow."""
        found = self._kernel.list()
        if not facts.rules:
            facts = replace(facts, rules=self._kernel.snapshot(found))
        self._note(facts)
        self._next = None
        self._remember(found)

    # --- cut ---

    def _change_sides(self, end: Moment) -> None:
        """Lets the other side count."""
        found = self._kernel.list()
        disturbance = self._inspect(found)
        live = self._disturbed(self._required_live(), disturbance, end)
        side = other_side(_side(live))
        base = self._kernel.counters(found, side)
        if disturbance is None or not disturbance.counters_lost:
            # What the side said when it was closed: a straggler since then belongs to its next turn.
            base = {name: self._known.get(name, count) for name, count in base.items()}
        following = self._prepare(side, end, base, live.rules if disturbance is None else {})
        if disturbance is None and found is not None:
            disturbance = self._try_switch(side, found)
            live = self._disturbed(live, disturbance, end)
        if disturbance is not None:
            self._kernel.install(side, self._kernel.list())
            self._at_step("installed")
            found = self._kernel.list()
            self._remember(found)
            following = replace(following, rules=self._kernel.snapshot(found))
        self._live, self._next, self._left = following, None, Left(live, end)
        self._at_step("switched")

    def _try_switch(self, side: Side, found: Listing) -> Disturbance | None:
        try:
            self._kernel.switch(side, found)
        except RulesetError:
            # Somebody may have changed the rules since they were listed: that is no failure of nft.
            disturbance = self._inspect(self._kernel.list())
            if disturbance is None:
                raise
            return disturbance
        return None

    def _finish(self) -> Closed:
        """Drains the left side, reads its frozen counters, writes the facts. Goes on where an earlier try failed."""
        left, live = self._left, self._required_live()
        if left is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "no side was left")
        facts = left.facts
        if left.generation is None:
            wait_for_packets_under_way()
            left.generation = self._generations.listener.end()
            self._at_step("drained")
        found = self._kernel.list()
        self._at_step("listed")
        disturbance = self._inspect(found)
        if disturbance is not None:
            facts = self._disturbed(facts, disturbance, left.end)
            live = self._disturbed(live, disturbance, left.end)
            self._kernel.install(_side(live), found)
            live = replace(live, rules=self._kernel.snapshot(self._kernel.list()))
        self._note(live)
        kernel = passed(self._kernel.counters(found, _side(facts)), facts.base)
        self._remember(found)
        closed = self._generations.end(facts, left.end, left.generation, kernel=kernel)
        self._left = None
        self._at_step("frozen")
        return closed

    def _stop(self, now: Moment) -> Closed:
        """The last generation: the rules lead nowhere, the listener drains, the objects are removed."""
        if self._next is not None:  # a cut had failed before the switch
            self._generations.state.discard(self._next.seq)
            self._next = None
        found = self._kernel.list()
        live = self._disturbed(self._required_live(), self._inspect(found), now)
        self._note(replace(live, stopped=now, stopping=True))
        if found is not None and self._kernel.rules.chain("count") in found.chains:
            self._kernel.stop()
        self._at_step("stopped")
        wait_for_packets_under_way()
        generation = self._generations.listener.end()
        self._at_step("drained")
        found = self._kernel.list()
        kernel = passed(self._kernel.counters(found, _side(live)), live.base)
        closed = self._generations.end(live, now, generation, kernel=kernel)
        self._live = None
        self._generations.state.end()
        self._at_step("frozen")
        if found is not None and self._kernel.is_in(found):
            self._kernel.remove(found)
        self._at_step("removed")
        return closed

    # --- parts ---

    def _prepare(self, side: Side, start: Moment, base: Mapping[str, Count], rules: Mapping[str, JsonValue]) -> Facts:
        """Writes down the next generation and listens for it. Nothing is logged to its group yet."""
        pending = self._next
        rules_wanted = self._kernel.rules
        seq = None if pending is None else pending.seq
        facts = replace(
            self._generations.new(start, groups=rules_wanted.groups, seq=seq),
            side=side,
            base=base,
            rules=rules,
            fingerprint=rules_wanted.fingerprint(),
        )
        self._generations.state.save(facts)
        self._at_step("noted")
        if pending is None:
            copy_bytes = max(rules_wanted.copy_bytes(version) for version in IP_VERSIONS)
            group = NflogGroup(rules_wanted.group(side), account="both", copy_range_bytes=copy_bytes)
            self._generations.begin(facts, [group])
        self._next = facts
        self._at_step("prepared")
        return facts

    def _inspect(self, found: Listing | None) -> Disturbance | None:
        live = self._required_live()
        disturbance = self._kernel.disturbance(found, expected=live.rules, known=self._known)
        # With a generation prepared it may have been ourselves: nft can fail after the kernel has obeyed.
        astray = found is not None and self._next is None and self._kernel.side(found) != live.side
        if disturbance is None and astray:
            return Disturbance(
                f"chain {self._kernel.rules.chain('count')} leads to the other side", counters_lost=False
            )
        return disturbance

    def _disturbed(self, facts: Facts, disturbance: Disturbance | None, now: Moment) -> Facts:
        """The same with the disturbance written down; without counters that can be trusted it has no base."""
        if disturbance is None:
            return facts
        log.warning("rules_changed meter=%s seq=%d what=%r", facts.meter, facts.seq, disturbance.what)
        when = between(min(facts.start.wall_ns, now.wall_ns), now.wall_ns)
        facts = facts.disturbed(f"the rules were changed by someone else {when}: {disturbance.what}")
        if disturbance.counters_lost:
            facts = replace(facts, base={})
        self._generations.state.save(facts)
        return facts

    def _note(self, facts: Facts) -> None:
        self._live = facts
        self._generations.state.save(facts)

    def _remember(self, found: Listing | None) -> None:
        names = self._kernel.rules.counters()
        self._known = {name: count for name, count in found.counters.items() if name in names} if found else {}

    def _required_live(self) -> Facts:
        if self._live is None:
            raise SourceError(f"meter {self._config.meter}", "cut", "not open")
        return self._live


def _side(facts: Facts) -> Side:
    return "a" if facts.side == "a" else "b"
