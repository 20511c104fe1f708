"""The sessions of all access servers: requests in, facts out. No clock, no socket and no disk.

Requests come late, twice, out of order or never. The rules are in docs/reference/attribution.md; in short: a thing is
booked once, an address has one session, of two that tell the same address the one that got it later has it, and a
session whose end was not told ends at its last sign of life.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, final

from netledger.attribution.facts import Fact, Target
from netledger.learners.names import subject as name_of
from netledger.learners.radius.ended import Ended
from netledger.learners.radius.moments import Arrival
from netledger.learners.radius.opened import Opened
from netledger.learners.radius.request import SECOND_NS, Nas, Request, Status
from netledger.learners.radius.session import NAS_RESTART, REPLACED, STALE, STOP, Session, Sign, begun, resumed

SESSIONS_MAX: Final = 262_144
"""Sessions that are open at one time; a Start beyond them gets no answer."""
LASTED_MAX_SECONDS: Final = 31 * 86_400
"""How far back the beginning of a session is believed of which nothing else is known."""
STALE_MAX: Final = 1000
"""Sessions that are given up at one time."""

_NASES_MAX: Final = 65_536
# Two ways to tell one time may differ by this much: whole seconds here, the moment of a cut there.
_ROUGHLY_NS: Final = 5 * SECOND_NS
# A Start with the id of an open session that tells a later time than this is about another session.
_RESTART_NS: Final = 60 * SECOND_NS


@final
class FullError(Exception):
    """There is no room for another session: the request gets no answer, and its sender will try again."""


@final
class Sessions:
    """What is known of all sessions. Not safe for concurrent use; after an error it is to be made anew.

    Args:
        source: the name that the facts get.
        stale_after_ns: how long an access server that sends interim updates may be silent about a session.
        sessions_max: how many may be open at once.

    Attributes:
        unbooked: how many requests told of a session without saying whose it is, or when it began.
    """

    def __init__(self, source: str, *, stale_after_ns: int, sessions_max: int = SESSIONS_MAX) -> None:
        self._source = source
        self._stale_after_ns = stale_after_ns
        self._sessions_max = sessions_max
        self._open = Opened()
        self._ended = Ended()
        self._holders: dict[Target, Session] = {}
        self._lively: set[Nas] = set()
        self._resumed_ns = 0
        self.unbooked = 0

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def open(self) -> Iterable[Session]:
        """Those that are open."""
        return self._open

    def resume(self, claims: Iterable[Fact], *, signs: Mapping[str, Sign], now_ns: int) -> None:
        """Takes over what was open when the last process ended.

        Args:
            claims: what this source claims until further notice.
            signs: last signs of life; a session that is not among them is taken to have been alive until now.
            now_ns: the time. Nobody is called silent for what came before it.
        """
        self._resumed_ns = now_ns
        for claim in claims:
            session = resumed(claim)
            if session is None:
                continue
            known = self._open.known_as(session)
            if known is None:
                known = session
                sign = signs.get(session.name)
                known.seen_ns, known.usage = (sign.seen_ns, sign.usage) if sign else (now_ns, None)
                self._open.add(known)
                if sign is not None and sign.seen_ns > session.start_ns:
                    self._is_lively(known.nas)
            known.claims[claim.target] = claim.valid_from_ns
            known.start_ns = min(known.start_ns, claim.valid_from_ns)
            known.seen_ns = max(known.seen_ns, claim.valid_from_ns)
            self._holders[claim.target] = known

    def apply(self, request: Request, at: Arrival) -> list[Fact]:
        """Takes over what a request says.

        Returns:
            What is to be kept before it is answered; often nothing.

        Raises:
            FullError: there is no room for another session; nothing was changed.
        """
        match request.status:
            case Status.START:
                return self._started(request, at)
            case Status.INTERIM:
                self._is_lively(request.nas)
                return self._alive(request, at)
            case Status.STOP:
                return self._stopped(request, at)
            case Status.ON | Status.OFF:
                return self._restarted(request, at)
            case None:
                return []

    def stale(self, now_ns: int) -> list[Fact]:
        """Ends the sessions of which nothing was heard for too long, at their last sign of life.

        Only those of access servers that send interim updates: of the others silence says nothing. Not too many at
        once, for requests wait meanwhile; the others are ended by the next call.
        """
        limit_ns = now_ns - self._stale_after_ns
        if self._resumed_ns >= limit_ns:
            return []
        silent = (one for one in self.open() if one.seen_ns < limit_ns and one.nas in self._lively)
        some = list(itertools.islice(silent, STALE_MAX))
        return [fact for session in some for fact in self._end(session, session.seen_ns, STALE)]

    def _started(self, request: Request, at: Arrival) -> list[Fact]:
        session = self._open.find(request)
        facts: list[Fact] = []
        if session is not None:
            if session.is_of(request) and at.told_ns - max(session.start_ns, session.seen_ns) <= _RESTART_NS:
                return self._alive(request, at)
            facts += self._end(session, at.moment_ns, REPLACED)
        ended = self._ended.find(request)
        is_late = ended is not None and at.told_ns <= ended.end_ns + _ROUGHLY_NS
        is_his = ended is not None and (not request.is_named or name_of(request.user) == ended.subject)
        if ended is not None and is_late and is_his and ended.is_of(request):
            return facts  # sent before the Stop, and come behind it
        return facts + self._begin(request, at.moment_ns, at)

    def _alive(self, request: Request, at: Arrival) -> list[Fact]:
        session = self._open.find(request)
        if session is None:
            return self._found(request, at)
        # What was told since is newer: it takes no name and no address back. A clock that was set makes nothing late.
        is_late = not at.is_live and at.told_ns < session.seen_ns
        if request.status is Status.INTERIM:
            # A Start that is sent again is none: who takes over sees by signs behind a beginning that updates come.
            session.seen_ns = max(session.seen_ns, at.told_ns)
            self._is_lively(session.nas)  # as its own Start named it
        session.usage = request.usage or session.usage
        facts: list[Fact] = []
        subject = name_of(request.user) if request.is_named and not is_late else None
        if subject is not None and subject != session.subject:
            # Another name for the same session, as after a login inside it: from now on it is booked to that.
            facts += self._rename(session, subject, at.moment_ns)
        new = [target for target in request.targets if target not in session.claims]
        if is_late and any("." in target.value for target in session.claims):
            new = [target for target in new if "." not in target.value]
        if any("." in target.value for target in new):
            facts += self._leave_ipv4(session, at.moment_ns)
        for target in new:
            facts += self._claim(session, target, at.moment_ns)
        return facts

    def _found(self, request: Request, at: Arrival) -> list[Fact]:
        """A sign of life of a session that is not open: its Start was lost, or it was given up too early."""
        ended = self._ended.find(request)
        if ended is not None and at.told_ns <= ended.end_ns + (_ROUGHLY_NS if ended.ended == STOP else 0):
            return []
        if ended is not None and ended.ended != STOP:
            return self._goes_on(ended, request, at)
        lasted_ns = _lasted_ns(request)
        return self._begin(request, at.told_ns - lasted_ns if lasted_ns else at.moment_ns, at)

    def _goes_on(self, session: Session, request: Request, at: Arrival) -> list[Fact]:
        """A session that was given up lives: it has given nothing back."""
        self._make_room()
        self._ended.remove(session.key)
        had, session.claims, session.lost = session.claims, {}, {}
        session.end_ns, session.ended, session.cause = 0, "", ""
        self._open.add(session)
        facts = [fact for target, since_ns in had.items() for fact in self._claim(session, target, since_ns)]
        return facts + self._alive(request, at)

    def _stopped(self, request: Request, at: Arrival) -> list[Fact]:
        session = self._open.find(request)
        if session is not None:
            session.usage = request.usage or session.usage
            session.cause = request.cause
            for target in request.targets:
                if target not in session.claims and target not in self._holders:
                    session.claims[target] = max(session.start_ns, self._ended.freed_ns(target))
            return self._end(session, at.moment_ns, STOP)
        ended = self._ended.find(request)
        if ended is None:
            return self._past(request, at)
        if ended.ended != STOP:
            return self._end_again(ended, request, at)
        # Told twice, unless the id has come again for a session that began behind the end of this one.
        is_another = at.told_ns - _lasted_ns(request) >= ended.end_ns and request.usage != ended.usage
        return self._past(request, at) if is_another else []

    def _restarted(self, request: Request, at: Arrival) -> list[Fact]:
        """The access server has begun anew, or is about to end: its sessions are over, unless they are newer."""
        gone = [
            one
            for one in self.open()
            if one.nas.is_same(request.nas) and one.start_ns < at.told_ns and one.seen_ns <= at.told_ns
        ]
        return [fact for session in gone for fact in self._end(session, at.moment_ns, NAS_RESTART)]

    def _begin(self, request: Request, start_ns: int, at: Arrival) -> list[Fact]:
        subject = name_of(request.user)
        if subject is None:
            self.unbooked += 1
            return [fact for target in request.targets for fact in self._vacate(target, start_ns)]
        self._make_room()
        session = begun(request, subject=subject, start_ns=start_ns, seen_ns=at.told_ns)
        facts = self._free_port(session, request)
        self._open.add(session)
        for target in request.targets:
            facts += self._claim(session, target, session.start_ns)
        return facts

    def _make_room(self) -> None:
        if len(self._open) >= self._sessions_max:
            raise FullError

    def _vacate(self, target: Target, moment_ns: int) -> list[Fact]:
        """Somebody without a name has got an address: whoever had it has it no longer."""
        holder = self._holders.get(target)
        if holder is None or holder.claims[target] >= moment_ns:
            return []
        del self._holders[target]
        return [*self._lose(holder, target, moment_ns), self._nobody(target, moment_ns, None)]

    def _free_port(self, session: Session, request: Request) -> list[Fact]:
        """Ends what was on the same line with the same address: its Stop was lost."""
        held = {id(holder): holder for target in request.targets if (holder := self._holders.get(target)) is not None}
        return [
            fact
            for one in held.values()
            if one.port and one.port == session.port and one.nas.is_same(session.nas) and not one.is_link_of(session)
            if one.start_ns <= session.start_ns
            for fact in self._end(one, session.start_ns, REPLACED)
        ]

    def _claim(self, session: Session, target: Target, start_ns: int) -> list[Fact]:
        holder = self._holders.get(target)
        if holder is not None and holder.is_link_of(session):
            session.claims[target] = start_ns
            return []
        if holder is not None and holder.claims[target] > start_ns:
            return self._claim_past(session, target, start_ns, holder.claims[target])
        facts = [] if holder is None else self._lose(holder, target, start_ns)
        # Who began earlier and ended later than it is told of this one has had it until then.
        session.claims[target] = max(start_ns, self._ended.freed_ns(target))
        self._holders[target] = session
        facts.append(self._fact(session, target, session.claims[target], None))
        return facts

    def _claim_past(self, session: Session, target: Target, start_ns: int, lost_ns: int) -> list[Fact]:
        """A session that began earlier is told of later: it had the address until the one that has it now got it."""
        start_ns = self._ended.freed_ns(target, since_ns=start_ns)
        if start_ns >= lost_ns:
            return []
        session.claims[target] = start_ns
        session.lost[target] = lost_ns
        return [self._fact(session, target, start_ns, lost_ns)]

    def _lose(self, session: Session, target: Target, moment_ns: int) -> list[Fact]:
        """Another session has got one of the addresses; when it was the last one, this session is over."""
        lost_ns = max(moment_ns, session.claims[target] + 1)
        for one in (session, *self._open.links(session)):
            if target in one.claims:
                one.lost.setdefault(target, lost_ns)
        if all(one in session.lost for one in session.claims):
            return self._end(session, moment_ns, REPLACED)
        return []

    def _leave_ipv4(self, session: Session, moment_ns: int) -> list[Fact]:
        """A session has one IPv4 address at a time, and any number of IPv6 prefixes."""
        facts: list[Fact] = []
        for target in [one for one in session.claims if "." in one.value and one not in session.lost]:
            if self._holders.get(target) is session:
                del self._holders[target]
                facts += [self._nobody(target, moment_ns, None), *self._inherit(session, target, moment_ns)]
            del session.claims[target]
        return facts

    def _rename(self, session: Session, subject: str, moment_ns: int) -> list[Fact]:
        session.subject = subject
        held = [target for target in session.claims if self._holders.get(target) is session]
        for target in held:
            session.claims[target] = max(moment_ns, session.claims[target])
        return [self._fact(session, target, session.claims[target], None) for target in held]

    def _end(self, session: Session, end_ns: int, ended: str) -> list[Fact]:
        session.end_ns = max(end_ns, session.start_ns + 1)
        session.ended = ended
        self._open.remove(session)
        facts: list[Fact] = []
        for target in list(session.claims):
            if target in session.lost:
                facts += self._until(session, target, session.lost[target])
            elif self._holders.get(target, session) is not session:
                del session.claims[target]  # the bundle goes on with its other links
            else:
                self._holders.pop(target, None)
                facts += self._until(session, target, None)
                facts += self._inherit(session, target, session.end_ns)
        self._ended.add(session)
        return facts

    def _until(self, session: Session, target: Target, next_ns: int | None) -> list[Fact]:
        """What a session had, until its end; after it nobody has it until the next one got it."""
        start_ns = session.claims[target]
        until_ns = max(session.end_ns, start_ns + 1)
        if next_ns is not None:
            until_ns = min(until_ns, next_ns)
        facts = [self._fact(session, target, start_ns, until_ns)] if until_ns > start_ns else []
        if next_ns is None or until_ns < next_ns:
            facts.append(self._nobody(target, until_ns, next_ns))
        return facts

    def _inherit(self, session: Session, target: Target, moment_ns: int) -> list[Fact]:
        """Gives an address to another link of the same bundle, if one goes on."""
        heir = next((one for one in self._open.links(session) if target in one.claims and target not in one.lost), None)
        if heir is None:
            return []
        self._holders[target] = heir
        heir.claims[target] = max(moment_ns, session.claims[target] + 1)
        return [self._fact(heir, target, heir.claims[target], None)]

    def _end_again(self, session: Session, request: Request, at: Arrival) -> list[Fact]:
        """The Stop of a session that had been given up: what it tells is better than what was taken for true."""
        session.usage = request.usage or session.usage
        session.cause, session.ended = request.cause, STOP
        before_ns, session.end_ns = session.end_ns, max(at.told_ns, session.start_ns + 1)
        facts: list[Fact] = []
        for target in session.claims:
            next_ns = session.lost.get(target, self._next_start(session, target))
            if next_ns is None and target in self._holders:
                next_ns = max(before_ns, session.claims[target] + 1)  # who has it is told to have had it before
            facts += self._until(session, target, next_ns)
        return facts

    def _next_start(self, session: Session, target: Target) -> int | None:
        """When the next session got an address; None when none has since."""
        holder = self._holders.get(target)
        others = [one for one in self._ended.of(target) if one is not session]
        if holder is not None:
            others.append(holder)
        since_ns = session.claims[target]
        return min((one.claims[target] for one in others if one.claims[target] >= since_ns), default=None)

    def _past(self, request: Request, at: Arrival) -> list[Fact]:
        """The Stop of a session of which nothing else is known: when it began is told by how long it lasted."""
        subject, lasted_ns = name_of(request.user), _lasted_ns(request)
        if subject is None or not lasted_ns:
            self.unbooked += 1
            return []
        session = begun(request, subject=subject, start_ns=at.told_ns - lasted_ns, seen_ns=at.told_ns)
        session.end_ns, session.ended, session.cause = at.told_ns, STOP, request.cause
        facts: list[Fact] = []
        for target in request.targets:
            session.claims[target] = start_ns = self._ended.freed_ns(target, since_ns=session.start_ns)
            next_ns = self._next_start(session, target)
            # Nobody after it is not said: what is known of that time does not come from this session.
            until_ns = at.told_ns if next_ns is None else min(at.told_ns, next_ns)
            if until_ns > start_ns:
                facts.append(self._fact(session, target, start_ns, until_ns))
        self._ended.add(session)
        return facts

    def _is_lively(self, nas: Nas) -> None:
        if len(self._lively) < _NASES_MAX:
            self._lively.add(nas)

    def _fact(self, session: Session, target: Target, start_ns: int, end_ns: int | None) -> Fact:
        nobody = self._nobody(target, start_ns, end_ns)
        return replace(nobody, subject=session.subject, detail=session.detail())

    def _nobody(self, target: Target, start_ns: int, end_ns: int | None) -> Fact:
        return Fact(target=target, valid_from_ns=start_ns, valid_to_ns=end_ns, subject=None, source=self._source)


def _lasted_ns(request: Request) -> int:
    """For how long the session has been there, as its Acct-Session-Time tells; 0 where it does not."""
    seconds = request.usage.seconds if request.usage else 0
    return min(seconds, LASTED_MAX_SECONDS) * SECOND_NS
