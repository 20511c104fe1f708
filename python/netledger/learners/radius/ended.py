"""Sessions that have ended, remembered for a while: what is told of them may come late, or once more."""

from collections import OrderedDict, deque
from typing import Final, final

from netledger.attribution.facts import Target
from netledger.learners.radius.request import Request
from netledger.learners.radius.session import Key, Session

ENDED_MAX: Final = 65_536
"""Sessions that are remembered; the one that ended first is forgotten first."""

_PER_TARGET_MAX: Final = 16


@final
class Ended:
    """The last sessions that have ended. Not safe for concurrent use."""

    def __init__(self, sessions_max: int = ENDED_MAX) -> None:
        self._sessions_max = sessions_max
        self._sessions: OrderedDict[Key, Session] = OrderedDict()
        self._by_target: dict[Target, deque[Session]] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._sessions)

    def add(self, session: Session) -> None:
        """Remembers a session; one with the same id is forgotten for it."""
        self.remove(session.key)
        self._sessions[session.key] = session
        for target in session.claims:
            self._by_target.setdefault(target, deque(maxlen=_PER_TARGET_MAX)).append(session)
        if len(self._sessions) > self._sessions_max:
            self.remove(next(iter(self._sessions)))

    def remove(self, key: Key) -> None:
        """Forgets a session, if it is known."""
        session = self._sessions.pop(key, None)
        if session is None:
            return
        for target in session.claims:
            of_target = self._by_target.get(target)
            if of_target is not None and session in of_target:
                of_target.remove(session)
            if not of_target:
                self._by_target.pop(target, None)

    def find(self, request: Request) -> Session | None:
        """The session that a request is about."""
        session = self._sessions.get((request.nas.client, request.session))
        return session if session is not None and session.nas.is_same(request.nas) else None

    def of(self, target: Target) -> tuple[Session, ...]:
        """Those that had an address, the last ones of it."""
        return tuple(self._by_target.get(target, ()))

    def freed_ns(self, target: Target, *, since_ns: int | None = None) -> int:
        """When the last one gave an address back; 0 where none is known.

        With ``since_ns``: from when on it was free of those who had it then; that moment, where nobody had it.
        """
        if since_ns is None:
            return max((session.claim_end_ns(target) for session in self.of(target)), default=0)
        ends = [one.claim_end_ns(target) for one in self.of(target) if one.claims[target] <= since_ns]
        return max([since_ns, *ends])
