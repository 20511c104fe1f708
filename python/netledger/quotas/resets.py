"""Ends of periods: what was used goes to the ledger, and the kernel's object begins anew.

An nft object goes on counting and gets another limit: there is no moment at which anything can be lost. An nfacct
object can only be set to 0, by the same step of the kernel that tells what it had. A process may be killed between that
answer and the ledger; so the answer is noted first where a kill does not reach it (:mod:`netledger.quotas.taking`).
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from netledger.errors import NetledgerError
from netledger.intervals import SECOND_NS, Clock
from netledger.ledger.quota_facts import Told
from netledger.quotas.book import Book
from netledger.quotas.definition import Kind
from netledger.quotas.objects import Objects, Seen, wanted_limit
from netledger.quotas.state import Reading, State, What, count_of, counted, period_told
from netledger.quotas.taking import Found, Taking
from netledger.receipt import ZERO, Count

ASKED: Final = "command"
"""By what a period was ended that is not over yet."""

_log = logging.getLogger(__name__)


@final
@dataclass(frozen=True, slots=True)
class Reset:
    """The end of a period.

    Attributes:
        used: in it.
        base: what the object has counted when the next one begins.
        is_exact: whether ``used`` is known, and not only the least that it can have been.
        at_most: then the greatest that it can have been, where that is known; the difference may be the next one's.
        identity: of the object, where the kernel gives one.
        is_asked: whether somebody wants a new period before this one is over.
    """

    used: Count
    base: Count = ZERO
    is_exact: bool = True
    at_most: Count | None = None
    identity: str = ""
    is_asked: bool = False


@final
class Resets:
    """Ends periods. To be used from one thread.

    Args:
        book: the quotas.
        objects: the kernel's side of them.
        clock: tells which period is next.
        traces: where it is noted that a count is being taken; in memory, and kept over a restart.
    """

    def __init__(self, book: Book, objects: Objects, clock: Clock, traces: Path | None) -> None:
        self._book = book
        self._objects = objects
        self._clock = clock
        self._traces = traces

    def end(self, state: State, seen: Seen, *, is_asked: bool = False) -> State:
        """A period is over, or is to end now because somebody has asked for that.

        Raises:
            NetledgerError: the kernel or the ledger refuses; it is to be tried again.
        """
        if state.definition.kind is Kind.NFACCT:
            return self._take(state, seen, is_asked=is_asked)
        count = self._objects.count_of_all(state.definition)
        self._book.at_step("limit_lifted")
        # Its count goes on: killed here, nothing was taken, and the next look sets the limit.
        reset = Reset(state.used(count), base=count, identity=seen.identity, is_asked=is_asked)
        state = self._write_reset(state, reset)
        self._objects.set_limit(state.definition, wanted_limit(state))
        return state

    def _take(self, state: State, seen: Seen, *, is_told: bool = False, is_asked: bool = False) -> State:
        """An nfacct object is set to 0 by who takes its count: that leaves a trace, and stands in the ledger before."""
        taking = self._taking(state)
        try:
            taking.begin()
            if not is_told:
                told: Told = {**counted(seen.count), **period_told(state.period), **_by(is_asked=is_asked)}
                reading = Reading(seen.count, self._clock.now().wall_ns, seen.identity, state.added.id)
                state = self._book.write(state.definition.name, What.RESETTING, told, reading=reading)
            taking.about()
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise NetledgerError(f"quota {state.definition.name}", "begin anew", cause) from error
        self._book.at_step("about")
        count = self._objects.take(state.definition)
        self._book.at_step("answered")
        taking.taken(count)
        self._book.at_step("taken")
        state = self._write_reset(state, Reset(state.used(count), is_asked=is_asked))
        taking.forget()
        return state

    def finish(self, state: State, seen: Seen | None) -> State:
        """A process has died between the steps of a reset: the count was taken, or was not.

        Raises:
            NetledgerError: as :meth:`end`.
        """
        if state.resetting is None:
            return state
        before, taking = count_of(state.resetting.told), self._taking(state)
        found, is_asked = taking.read(), state.resetting.told.get("by") == ASKED
        if found is Found.NOT_TAKEN and seen is not None and seen.count.covers(before):
            return self._take(state, seen, is_told=True, is_asked=is_asked)
        if isinstance(found, Count):
            state = self._write_reset(state, Reset(state.used(found), is_asked=is_asked))
        else:
            # It was at least so much. The object is left as it is: whether it was taken cannot be known where it now
            # has more, and to take it for a second time would lose what belongs to the next period.
            at_most = None if seen is None or not seen.count.covers(before) else state.used(seen.count)
            least = Reset(state.used(before), is_exact=False, at_most=at_most, is_asked=is_asked)
            state = self._write_reset(state, least)
        taking.forget()
        return state

    def _taking(self, state: State) -> Taking:
        end_ns = 0 if state.period is None else state.period.end_ns
        return Taking(self._traces, f"{state.definition.name}.{end_ns}")

    def _write_reset(self, state: State, reset: "Reset") -> State:
        now_ns = self._clock.now().wall_ns
        ended, name, begun = state.period, state.definition.name, state.definition.period(now_ns)
        if reset.is_asked and ended is not None and begun is not None and ended.contains(now_ns):
            ended, begun = replace(ended, end_ns=now_ns), replace(begun, start_ns=now_ns)
        told: Told = {
            **counted(reset.used),
            "is_exact": reset.is_exact,
            "at_most": None if reset.at_most is None else counted(reset.at_most),
            "was_reached": state.reached is not None,
            "ended_start": None if ended is None else ended.start_ns,
            "ended_end": None if ended is None else ended.end_ns,
            "base": counted(reset.base),
            **period_told(begun),
            **_by(is_asked=reset.is_asked),
        }
        reading = Reading(reset.base, now_ns, reset.identity, state.added.id)
        state = self._book.write(name, What.RESET, told, reading=reading)
        fields = {"quota": name, "used": state.amount(reset.used), "is_exact": reset.is_exact}
        if ended is not None:
            fields |= {"late_seconds": max(0, now_ns - ended.end_ns) // SECOND_NS}
        _log.info("quota_reset", extra={"fields": fields})
        return state


def _by(*, is_asked: bool) -> Told:
    return {"by": ASKED} if is_asked else {}
