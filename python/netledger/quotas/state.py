"""From facts to what is: pure. The same facts give the same state, in the daemon and on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, final

from netledger.errors import DamageError, UsageError
from netledger.ledger.quota_facts import Fact, Told
from netledger.quotas.definition import Definition, Unit, from_told
from netledger.receipt import ZERO, Count, rfc3339
from netledger.reports.periods import Period


class What(StrEnum):
    """The kinds of facts. Scripts hold on to these words."""

    ADDED = "added"
    """A quota was agreed."""
    REMOVED = "removed"
    """It does not hold any more."""
    MADE = "made"
    """The kernel's object was not there; it is made with what was used."""
    CHANGED = "changed"
    """Somebody set the kernel's object back or made it anew, or the clock; what was used goes on to count."""
    REACHED = "reached"
    """The limit was reached."""
    RESETTING = "resetting"
    """A period is over; its count is about to be taken."""
    RESET = "reset"
    """A period is over, with what was used in it; the next one has begun."""
    EVENTS_LOST = "events_lost"
    """The kernel had no room for events; all quotas were looked at instead."""
    COMMAND_STARTED = "command_started"
    """The command for a fact is about to be run."""
    COMMAND_ENDED = "command_ended"
    """It has ended, or will not be run, with its result."""


ALL: Final = "*"
"""In the place of a name: a fact about all quotas."""


@final
@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel's object said.

    Attributes:
        count: of the object itself.
        at_ns: when, UTC nanoseconds since 1970.
        identity: tells an object from one that was made anew under its name, where the kernel gives that; else empty.
        added_id: which quota of this name it belongs to.
    """

    count: Count
    at_ns: int
    identity: str
    added_id: int

    def told(self) -> Told:
        """As it stands in the ledger."""
        return {
            "packets": self.count.packets,
            "bytes": self.count.bytes,
            "at": self.at_ns,
            "identity": self.identity,
            "added_id": self.added_id,
        }


@final
@dataclass(frozen=True, slots=True)
class Job:
    """A command that is to be run because of a fact, exactly once.

    Attributes:
        fact: why.
        started: the fact that it is about to be run, or None.
    """

    fact: Fact
    started: Fact | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a quota stands, by its facts.

    What is used in its period is ``carried`` + what the object counts - ``base``.

    Attributes:
        definition: what was agreed.
        added: the fact that it was.
        newest_id: of the facts about it.
        begun: the fact that its present period began with: that it was added, or a reset.
        period: the present one, or None for a quota that never begins anew.
        carried: what earlier objects of this period counted.
        base: what the object had counted when the period, or the object's service, began.
        reached: the fact that the limit was reached in this period, or None.
        resetting: the fact that the count is about to be taken, while it is not known to be.
        jobs: commands that have not ended, by the number of the fact they are run for.
        last_result: the newest command's end, or None.
        reading: the newest that was written down, or None.
    """

    definition: Definition
    added: Fact
    newest_id: int
    begun: Fact
    period: Period | None
    carried: Count = ZERO
    base: Count = ZERO
    reached: Fact | None = None
    resetting: Fact | None = None
    jobs: Mapping[int, Job] = field(default_factory=dict)
    last_result: Fact | None = None
    reading: Reading | None = None

    def used(self, count: Count) -> Count:
        """What is used in this period when the object says ``count``."""
        since = count - self.base if count.covers(self.base) else ZERO
        return self.carried + since

    def amount(self, used: Count) -> int:
        """Of what was used, that which is limited."""
        return used.packets if self.definition.unit is Unit.PACKETS else used.bytes

    def is_over(self, used: Count) -> bool:
        """Whether the limit is reached."""
        return self.amount(used) >= self.definition.limit

    def last_used(self) -> Count:
        """What was used by the newest reading that was written down."""
        return self.carried if self.reading is None else self.used(self.reading.count)


@final
class States:
    """All quotas of a machine, kept up by adding facts in their order."""

    def __init__(self) -> None:
        self.by_name: dict[str, State] = {}
        self.newest_id = 0
        self.newest_of: dict[str, int] = {}

    def add(self, facts: Sequence[Fact]) -> None:
        """Takes facts in.

        Raises:
            DamageError: one cannot be understood.
        """
        for fact in facts:
            if fact.id <= self.newest_id:
                continue
            self.newest_id = fact.id
            self.newest_of[fact.quota] = fact.id
            try:
                self._add(fact)
            except (KeyError, ValueError, TypeError, OverflowError, UsageError) as error:
                cause = f"fact {fact.id} ({fact.kind}) cannot be understood: {error}"
                raise DamageError(f"quota {fact.quota}", "read", cause) from error

    def note(self, readings: Mapping[str, Told]) -> None:
        """Takes readings in, where they belong to the quota that now has the name."""
        for name, told in readings.items():
            state = self.by_name.get(name)
            if state is not None and told.get("added_id") == state.added.id:
                reading = Reading(count_of(told), integer(told, "at"), str(told["identity"]), state.added.id)
                self.by_name[name] = replace(state, reading=reading)

    def _add(self, fact: Fact) -> None:
        if fact.kind == What.ADDED:
            period = period_of(fact.told)
            self.by_name[fact.quota] = State(
                definition=from_told(fact.quota, mapping(fact.told, "definition")),
                added=fact,
                newest_id=fact.id,
                begun=fact,
                period=period,
                base=count_of(mapping(fact.told, "base")),
            )
            return
        state = self.by_name.get(fact.quota)
        if state is not None:
            state = replace(state, newest_id=fact.id)
            after = _after(state, fact)
            if fact.kind == What.REMOVED:
                del self.by_name[fact.quota]
            else:
                self.by_name[fact.quota] = after


def _after(state: State, fact: Fact) -> State:
    """The state behind one more fact."""
    told = fact.told
    match What(fact.kind):
        case What.MADE | What.CHANGED:
            period = period_of(told) if "period_start" in told else state.period
            carried, base = count_of(mapping(told, "carried")), count_of(mapping(told, "base"))
            return replace(state, carried=carried, base=base, period=period)
        case What.REACHED:
            return _with_job(replace(state, reached=fact), fact)
        case What.RESETTING:
            return replace(state, resetting=fact)
        case What.RESET:
            after = replace(
                state,
                begun=fact,
                period=period_of(told),
                carried=ZERO,
                base=count_of(mapping(told, "base")),
                reached=None,
                resetting=None,
            )
            return _with_job(after, fact) if state.definition.is_run_at_reset else after
        case What.COMMAND_STARTED | What.COMMAND_ENDED:
            return _with_result(state, fact)
        case _:
            return state


def _with_result(state: State, fact: Fact) -> State:
    number = integer(fact.told, "of")
    if number not in state.jobs:  # of an earlier quota of this name
        return state
    if fact.kind == What.COMMAND_STARTED:
        return replace(state, jobs={**state.jobs, number: replace(state.jobs[number], started=fact)})
    jobs = {other: job for other, job in state.jobs.items() if other != number}
    return replace(state, jobs=jobs, last_result=fact)


def _with_job(state: State, fact: Fact) -> State:
    return replace(state, jobs={**state.jobs, fact.id: Job(fact)}) if state.definition.command else state


def count_of(told: Told) -> Count:
    """Packets and bytes.

    Raises:
        KeyError, TypeError, OverflowError: they are not there.
    """
    return Count(integer(told, "packets"), integer(told, "bytes"))


def counted(count: Count) -> Told:
    """Packets and bytes, as :func:`count_of` reads them."""
    return {"packets": count.packets, "bytes": count.bytes}


def period_of(told: Told) -> Period | None:
    """The period that a fact names, or None."""
    if told["period_start"] is None:
        return None
    return Period(integer(told, "period_start"), integer(told, "period_end"))


def period_told(period: Period | None) -> Told:
    """A period, as :func:`period_of` reads it."""
    if period is None:
        return {"period_start": None, "period_end": None}
    return {"period_start": period.start_ns, "period_end": period.end_ns}


def integer(told: Told, name: str) -> int:
    """A number.

    Raises:
        KeyError, TypeError: it is not there.
    """
    value = told[name]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is no number")
    return value


def mapping(told: Told, name: str) -> Told:
    """A part.

    Raises:
        KeyError, TypeError: it is not there.
    """
    value = told[name]
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is no object")
    return value


def since(last: Reading | None) -> dict[str, str]:
    """Until when what was used is known; what passed between then and the change is not."""
    return {} if last is None else {"known_until": rfc3339(last.at_ns)}
