"""Keeps quotas: looks at the kernel's objects, writes down what became of them, and puts them in order.

Each change of the kernel stands in the ledger first, and can be done again: killed between the two, the next look
finds the difference and mends it. The one exception is the count of an nfacct object, which is taken and set to 0 in
one step: that leaves a trace (:mod:`netledger.quotas.taking`), and that it is about to happen stands in the ledger with
what was used so far. A count that was taken and never written is told as *at least* so much.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, final

from netledger.errors import NetledgerError, ObjectBusyError, ObjectExistsError, OutdatedError
from netledger.intervals import HOUR_NS, SECOND_NS, Clock
from netledger.ledger.quota_facts import Told
from netledger.quotas.alone import COMMAND_SECONDS, LOOK_SECONDS, alone
from netledger.quotas.book import Book, the
from netledger.quotas.definition import Kind
from netledger.quotas.objects import LATE_HINT, Objects, Seen, late_cut, wanted_limit
from netledger.quotas.resets import Resets
from netledger.quotas.state import Reading, State, What, counted, period_told, since
from netledger.receipt import ZERO, Count

CHECKPOINT_NS: Final = 60 * SECOND_NS
"""How often what is used is written down where it has changed: so much is lost by a power cut."""

# A clock that is set a little back at a boundary must not begin the old period once more.
_CLOCK_BACK_NS: Final = HOUR_NS
# An event that is heard so long after a reset may be of the period before it.
_EVENT_LATE_NS: Final = 10 * SECOND_NS

_log = logging.getLogger(__name__)


@final
class Keeper:
    """Looks after all quotas of a book. To be used from one thread.

    Args:
        book: the quotas.
        objects: the kernel's side of them.
        clock: tells when a period is over.
        listen: takes in events that the kernel has sent, by :meth:`event`; asked before a quota is called reached
            because of its count alone, for an event tells which packet it was.
        traces: where it is noted that a count is being taken; in memory, and kept over a restart.
    """

    def __init__(
        self,
        book: Book,
        objects: Objects,
        clock: Clock,
        *,
        listen: Callable[[], None] = lambda: None,
        traces: Path | None = None,
    ) -> None:
        self._listen = listen
        self._resets = Resets(book, objects, clock, traces)
        self._book = book
        self._objects = objects
        self._clock = clock
        self._readings: dict[str, Reading] = {}
        self._read_in: dict[str, int] = {}
        # Those of them that were read from an object; others say what one was made with.
        self._sighted: dict[str, Reading] = {}
        self._written_ns: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._late: set[int] = set()
        self._not_cut: dict[str, str] = {}
        self._heard: dict[int, Count] = {}
        self._taken_up: set[int] = set()
        self._made: frozenset[int] = frozenset()

    @property
    def failures(self) -> Mapping[str, str]:
        """The quotas that could not be looked after the last time, and why."""
        return {name: why for name, why in self._failed.items() if name in self._book.states}

    @property
    def late(self) -> Mapping[str, str]:
        """The quotas that the kernel cuts too late, and why: somebody has set their objects back."""
        return {name: why for name, why in self._not_cut.items() if name in self._book.states}

    def next_end_ns(self) -> int | None:
        """When the first period ends, by the wall clock."""
        ends = [state.period.end_ns for state in self._book.states.values() if state.period is not None]
        return min(ends, default=None)

    def look(self, by: str, kinds: Collection[Kind] = tuple(Kind)) -> None:
        """Looks at the objects of these kinds, and does what is due. Blocks for the disk, and for nft where needed.

        ``by`` says what led to it, for facts: ``look``, ``start`` or ``event``. One quota that cannot be kept holds up
        no other.

        Raises:
            LedgerError: the ledger cannot be read.
            QuotaError: another process changes quotas all the time.
        """
        with alone(self._book.store, seconds=LOOK_SECONDS):
            self._look(by, kinds)

    def _look(self, by: str, kinds: Collection[Kind]) -> None:
        self._book.refresh()
        self._objects.look_anew()
        self._readings = {name: one for name, one in self._readings.items() if name in self._book.states}
        for name, state in list(self._book.states.items()):
            if state.definition.kind in kinds:
                self._guarded(name, by)
        self._checkpoint(only_due=True)

    def restore(self) -> list[str]:
        """Makes the objects that are not there, with what was used, and says whose; nothing else is done.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with alone(self._book.store, seconds=COMMAND_SECONDS):
            return self._restored()

    def _restored(self) -> list[str]:
        self._book.refresh()
        made = []
        for name, state in list(self._book.states.items()):
            try:
                if self._objects.seen(state.definition) is None:
                    # A period whose end was begun is over: the object is for the next one.
                    self._make_again(state if state.resetting is None else self._resets.finish(state, None))
                    made.append(name)
            except NetledgerError as error:
                self._fail(name, error)
        return made

    def reset(self, name: str) -> State:
        """Begins a quota's period anew, now; what was used until now goes to the ledger. Blocks for seconds at most.

        Raises:
            QuotaError: there is none of this name, or another process changes quotas all the time.
            NetledgerError: the kernel or the ledger refuses.
        """
        with alone(self._book.store, seconds=COMMAND_SECONDS):
            state, seen = self._settled(the(self._book, name))
            if state.reached is None and state.is_over(state.used(seen.count)):
                state = self._notice(state, seen, "look")
            state = self._resets.end(state, seen, is_asked=True)
            self._readings.pop(name, None)
        return state

    def event(self, name: str, count: Count) -> None:
        """The kernel says that an nfacct object has reached its limit, with what it had counted then."""
        with suppress(NetledgerError):
            self._book.refresh()
        state = self._book.states.get(name)
        if state is None or state.definition.kind is not Kind.NFACCT:
            return
        is_known = state.reached is not None or state.resetting is not None
        if is_known or not state.is_over(state.used(count)) or self._is_of_before(state, count):
            return
        # Kept until it is written down: it tells which packet it was.
        self._heard[state.newest_id] = count
        try:
            self._reached(state, count, "event")
        except OutdatedError:
            return
        except NetledgerError as error:
            self._fail(name, error)

    def _is_of_before(self, state: State, count: Count) -> bool:
        """Whether an event is of the period that was just reset: the object has less than it tells."""
        if state.begun.kind != What.RESET or self._clock.now().wall_ns >= state.begun.happened_ns + _EVENT_LATE_NS:
            return False
        try:
            seen = self._objects.seen(state.definition)
        except NetledgerError:
            return False  # the next look judges by the count
        return seen is not None and not seen.count.covers(count)

    def close(self) -> None:
        """Writes down what is used.

        Raises:
            LedgerError: the disk is full, broken or refuses.
        """
        self._checkpoint(only_due=False)

    def _guarded(self, name: str, by: str) -> None:
        try:
            self._keep(self._book.states[name], by)
        except OutdatedError:
            # Who has changed it has done so on purpose; the next look sees what it is now.
            return
        except NetledgerError as error:
            self._fail(name, error)
        else:
            if self._failed.pop(name, None) is not None:
                _log.info("quota_kept_again", extra={"fields": {"quota": name}})

    def _fail(self, name: str, error: NetledgerError) -> None:
        self._failed[name] = str(error)
        fields: dict[str, object] = {"quota": name, "error": error}
        _log.error("quota_not_kept", extra={"fields": fields | ({"hint": error.hint} if error.hint else {})})

    def _keep(self, state: State, by: str) -> None:
        self._not_cut.pop(state.definition.name, None)
        state, seen = self._settled(state)
        if state.reached is None and state.is_over(state.used(seen.count)):
            state = self._notice(state, seen, by)
        if state.period is not None:
            now_ns = self._clock.now().wall_ns
            if now_ns >= state.period.end_ns:
                self._resets.end(state, seen)
                self._readings.pop(state.definition.name, None)
                return
            if now_ns < state.period.start_ns - _CLOCK_BACK_NS:
                state = self._turn_back(state, seen)
        if state.definition.kind is Kind.NFT and seen.limit != wanted_limit(state):
            self._objects.set_limit(state.definition, wanted_limit(state))
            self._book.at_step("limit_set")
            seen = self._objects.seen(state.definition) or seen
        elif state.definition.kind is Kind.NFACCT and state.carried != ZERO:
            state, seen = self._take_in(state, seen)
        self._remember(state, seen)
        self._say_taken_up(state, seen)

    def _settled(self, state: State) -> tuple[State, Seen]:
        """The object that belongs to the quota, after whatever had happened to it."""
        one = state.definition
        seen = self._objects.seen(one)
        if state.resetting is not None:
            state = self._resets.finish(state, seen)
            self._readings.pop(one.name, None)
            seen = self._objects.seen(one)
        if seen is None:
            state, seen = self._make_again(state)
        elif self._is_set_back(state, seen):
            state, seen = self._carry_on(state, seen)
        if one.kind is Kind.NFACCT and (seen.limit, seen.unit) != (one.limit, one.unit):
            state, seen = self._replace(state, seen)
        return state, seen

    def _notice(self, state: State, seen: Seen, by: str) -> State:
        """The limit is reached, by the count. An event that is there already tells which packet it was."""
        self._listen()
        state = self._book.states[state.definition.name]
        if state.reached is None:
            heard = self._heard.get(state.newest_id)
            state = self._reached(state, heard or seen.count, by if heard is None else "event")
        self._heard.clear()
        return state

    def _say_taken_up(self, state: State, seen: Seen) -> None:
        if state.added.id not in self._taken_up:
            self._taken_up.add(state.added.id)
            one, used = state.definition, state.amount(state.used(seen.count))
            fields = {"quota": one.name, "kind": one.kind, "used": used, "limit": one.limit, "unit": one.unit}
            _log.info("quota_taken_up", extra={"fields": fields})

    def _turn_back(self, state: State, seen: Seen) -> State:
        """The clock was wrong when the period began, and is far behind it: a period that holds now, nothing else."""
        told = {"why": "the clock is behind the period", **counted(state.used(seen.count))}
        told |= {"carried": counted(state.carried), "base": counted(state.base)}
        period = state.definition.period(self._clock.now().wall_ns)
        state = self._book.write(state.definition.name, What.CHANGED, {**told, **period_told(period)})
        _log.warning("quota_clock", extra={"fields": {"quota": state.definition.name}})
        return state

    def _last(self, state: State) -> Reading | None:
        """The newest reading of the quota, from memory or from the ledger."""
        found = self._readings.get(state.definition.name)
        # Another process may have begun a period since: then it is of the time before.
        return (
            found if found is not None and self._read_in.get(state.definition.name) == state.begun.id else state.reading
        )

    def _is_set_back(self, state: State, seen: Seen) -> bool:
        last = self._last(state)
        if last is None:
            return False
        return not seen.count.covers(last.count) or bool(last.identity and last.identity != seen.identity)

    def _make_again(self, state: State) -> tuple[State, Seen]:
        """The object is not there: after a reboot, or because somebody has deleted it."""
        last = self._last(state)
        used = state.carried if last is None else state.used(last.count)
        told = {"why": "the kernel had no object of this name", **since(last), **counted(used)}
        # The reading goes with it: killed here, the object is missing still, and made with the same.
        reading = self._reading(state, Seen(count=used, limit=None, unit=state.definition.unit))
        fresh = {"carried": counted(ZERO), "base": counted(ZERO)}
        if state.newest_id not in self._made:  # else it is written, and the kernel has refused to make it
            state = self._book.write(state.definition.name, What.MADE, {**told, **fresh}, reading=reading)
            self._made |= {state.newest_id}
        self._keep_reading(state, reading)
        with suppress(ObjectExistsError):  # somebody was quicker; the next look judges what it is
            had = self._sighted.get(state.definition.name)
            self._objects.make(state.definition, used, had if had is last else None)
            self._book.at_step("object_made")
        self._made -= {state.newest_id}
        fields = {"quota": state.definition.name, "used": state.amount(used), **since(last)}
        _log.warning("quota_made", extra={"fields": fields})
        seen = self._objects.seen(state.definition)
        if seen is None:
            raise NetledgerError(f"quota {state.definition.name}", "make its object", "it is gone again")
        return state, seen

    def _carry_on(self, state: State, seen: Seen) -> tuple[State, Seen]:
        """Somebody has set the object back, or made it anew: what was used until then goes on to count."""
        last = self._last(state)
        used = state.carried if last is None else state.used(last.count)
        told = {"why": "its object was set back or made anew by somebody else", **since(last), **counted(used)}
        state = self._book.write(
            state.definition.name,
            What.CHANGED,
            {**told, "carried": counted(used), "base": counted(ZERO)},
            reading=self._reading(state, seen),
        )
        self._readings.pop(state.definition.name, None)
        fields = {"quota": state.definition.name, "used": state.amount(used), **since(last)}
        _log.warning("quota_changed", extra={"fields": fields})
        return state, seen

    def _take_in(self, state: State, seen: Seen) -> tuple[State, Seen]:
        """An nfacct object gets what was used before it, as soon as no rule uses it: its count cannot be written."""
        name = state.definition.name
        if seen.is_used:
            if (why := late_cut(state, seen)) is not None:
                self._not_cut[name] = why
            if state.added.id not in self._late:
                self._late.add(state.added.id)
                fields = {"quota": name, "carried": state.amount(state.carried), "hint": LATE_HINT}
                _log.warning("quota_late", extra={"fields": fields})
            return state, seen
        try:
            self._objects.delete(state.definition)
        except ObjectBusyError:
            return state, seen
        self._late.discard(state.added.id)
        self._remember(state, seen)
        return self._make_again(state)

    def _replace(self, state: State, seen: Seen) -> tuple[State, Seen]:
        """The object of this name has no such quota: somebody made one in its place."""
        try:
            self._objects.delete(state.definition)
        except ObjectBusyError as error:
            hint = "take the rules that use it out; then it is made anew, with what was used"
            raise NetledgerError(
                f"quota {state.definition.name}", "keep", "its nfacct object has another limit or none", hint
            ) from error
        self._remember(state, seen)
        return self._make_again(state)

    def _reached(self, state: State, count: Count, by: str) -> State:
        used = state.used(count)
        limit = state.definition.limit
        told: Told = {
            **counted(used),
            "limit": limit,
            "unit": str(state.definition.unit),
            "by": by,
            **period_told(state.period),
        }
        reading = replace(self._reading(state, Seen(count=count, limit=None, unit=state.definition.unit)), identity="")
        state = self._book.write(state.definition.name, What.REACHED, told, reading=reading)
        if state.definition.kind is Kind.NFACCT:
            # Newer than what the last look has seen: set back right behind the event, it has less than this.
            self._keep_reading(state, reading)
        fields = {"quota": state.definition.name, "used": state.amount(used), "limit": limit}
        _log.warning("quota_reached", extra={"fields": {**fields, "unit": state.definition.unit, "by": by}})
        return state

    def _reading(self, state: State, seen: Seen) -> Reading:
        return Reading(seen.count, self._clock.now().wall_ns, seen.identity, state.added.id)

    def _remember(self, state: State, seen: Seen) -> None:
        reading = self._reading(state, seen)
        self._keep_reading(state, reading)
        self._sighted[state.definition.name] = reading

    def _keep_reading(self, state: State, reading: Reading) -> None:
        self._readings[state.definition.name] = reading
        self._read_in[state.definition.name] = state.begun.id

    def _checkpoint(self, *, only_due: bool) -> None:
        now_ns = self._clock.now().monotonic_ns
        due = {}
        for name, reading in self._readings.items():
            state = self._book.states.get(name)
            if state is None or self._read_in.get(name) != state.begun.id:
                continue
            written = state.reading
            if written is not None and (written.count, written.identity) == (reading.count, reading.identity):
                continue
            if written is None or not only_due or now_ns >= self._written_ns.get(name, 0) + CHECKPOINT_NS:
                due[name] = reading
                self._written_ns[name] = now_ns
        if due:
            self._book.note(due)
