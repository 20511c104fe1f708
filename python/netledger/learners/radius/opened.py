"""Sessions that are open, found by their id and by their bundle."""

from collections.abc import Iterator
from typing import final

from netledger.learners.radius.request import Request
from netledger.learners.radius.session import Key, Session


@final
class Opened:
    """The sessions that go on. Not safe for concurrent use."""

    def __init__(self) -> None:
        self._by_id: dict[Key, list[Session]] = {}
        self._by_bundle: dict[Key, list[Session]] = {}
        self._count = 0

    def __len__(self) -> int:
        """How many there are."""
        return self._count

    def __iter__(self) -> Iterator[Session]:
        """All of them."""
        return (session for sessions in self._by_id.values() for session in sessions)

    def add(self, session: Session) -> None:
        """Takes in a session that is not there yet."""
        self._by_id.setdefault(session.key, []).append(session)
        self._count += 1
        if session.multi:
            self._by_bundle.setdefault(session.bundle, []).append(session)

    def remove(self, session: Session) -> None:
        """Takes out a session that is there."""
        _drop(self._by_id, session.key, session)
        self._count -= 1
        if session.multi:
            _drop(self._by_bundle, session.bundle, session)

    def find(self, request: Request) -> Session | None:
        """The session that a request is about."""
        same = self._by_id.get((request.nas.client, request.session), [])
        return next((one for one in same if one.nas.is_same(request.nas)), None)

    def known_as(self, session: Session) -> Session | None:
        """The session with exactly the same names as another one."""
        return next((one for one in self._by_id.get(session.key, []) if one.name == session.name), None)

    def links(self, session: Session) -> list[Session]:
        """The other links of its bundle."""
        if not session.multi:
            return []
        return [one for one in self._by_bundle.get(session.bundle, []) if one is not session]


def _drop(lists: dict[Key, list[Session]], key: Key, session: Session) -> None:
    lists[key].remove(session)
    if not lists[key]:
        del lists[key]
