"""Leases of a DHCP server, as its files tell them: whose an address is from when it is lent to when it is free."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from netledger.attribution.facts import Target
from netledger.attribution.learning import Recorder
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS, Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.claims import Claims, Holder, Nobody
from netledger.learners.files import Following
from netledger.learners.lease import Book, Called, Lease, News
from netledger.learners.names import refuse

# A server that writes its file anew leaves leases out for a moment. What is missing for so long is over, where the file
# was not written meanwhile; or in so many that were written one after the other.
_MISSING_NS: Final = SECOND_NS
_VERSIONS: Final = 3
_ROUNDING_SECONDS: Final = 0.01


@final
@dataclass(frozen=True, slots=True)
class _Missing:
    """A lease that the file does not name.

    Attributes:
        since_ns: since when, by the clock that is never stepped.
        version: the file in which it was missing last.
        versions: how many it was missing in.
    """

    since_ns: int
    version: tuple[int, ...]
    versions: int = 1

    def again(self, version: tuple[int, ...], now_ns: int) -> "_Missing":
        """It is missing in this one, too."""
        if version == self.version:
            return self
        since_ns = self.since_ns if self.versions + 1 >= _VERSIONS else now_ns
        return _Missing(since_ns, version, self.versions + 1)


@final
class LeasesLearner:
    """Follows the files of one server.

    Args:
        name: of the ``[attribution.NAME]``.
        path: the file; when it or one beside it changes, it is time to look.
        beside: how the names of those end, behind the name of the file.
        open_book: makes what reads them.
        called: what holders are called.
        clock: where the time comes from.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        open_book: Callable[[Path], Book],
        *,
        beside: Sequence[str] = (),
        called: Called,
        clock: Clock,
    ) -> None:
        self._name = name
        self._path = path
        # At once: what is missing in a half written file is not over yet, and what stands there is whole.
        self._following = Following(path, beside=beside)
        self._open_book = open_book
        self._called = called
        self._clock = clock
        self._standing = Standing(clock)
        self._ends: list[tuple[int, Target]] = []
        self._ends_of: dict[Target, int] = {}
        self._missing: dict[Target, _Missing] = {}
        self._looked_ns = 0

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Follows them until it is told to stop; while they are not there what was learnt stays.

        Raises:
            LearnerError: they cannot be watched.
            LedgerError: what was learnt cannot be kept.
        """
        self._standing.starts()
        self._ends, self._ends_of, self._missing, self._looked_ns = [], {}, {}, 0
        claims, book = Claims(self._name, record, self._standing), self._open_book(self._path)
        for _ in self._following.looks(stop, due_seconds=self._due_seconds):
            try:
                news = book.read()
            except LearnerError as error:
                self._standing.waits(error)
                continue
            now_ns = self._clock.now().wall_ns
            self._learn(claims, news, now_ns)
            self._looked_ns = now_ns
            self._standing.follows()

    def _learn(self, claims: Claims, news: News, now_ns: int) -> None:
        if news.refused:
            refuse(self._name, self._standing, "a lease", "this is none, or of nobody", count=news.refused)
        told: dict[Target, Holder | Nobody] = {
            target: self._told(lease, now_ns) for target, lease in news.leases.items()
        }
        told |= self._expired(now_ns)
        told |= dict.fromkeys(self._gone(claims, news), Nobody())
        claims.settle(told)

    def _told(self, lease: Lease, now_ns: int) -> Holder | Nobody:
        """What a lease comes to now; notes when that will be another."""
        self._ends_of.pop(lease.target, None)
        if not lease.is_held or (lease.ends_ns is not None and lease.ends_ns <= now_ns):
            return Nobody(since_ns=self._since(lease.ends_ns))
        holder = lease.holder(self._called)
        if holder is None:
            self._standing.refused("nobody can be called so")
            return Nobody()
        if lease.ends_ns is not None:
            self._ends_of[lease.target] = lease.ends_ns
            heapq.heappush(self._ends, (lease.ends_ns, lease.target))
        return replace(holder, since_ns=self._since(holder.since_ns))

    def _since(self, told_ns: int | None) -> int | None:
        """When it changed, as the server tells; not before the last look, for then it would have been seen."""
        return None if told_ns is None or told_ns < self._looked_ns else told_ns

    def _expired(self, now_ns: int) -> dict[Target, Holder | Nobody]:
        """Leases that have ended since, and of which the server has written nothing."""
        expired: dict[Target, Holder | Nobody] = {}
        while self._ends and self._ends[0][0] <= now_ns:
            ends_ns, target = heapq.heappop(self._ends)
            # It may have been renewed, and end later.
            if self._ends_of.get(target) == ends_ns:
                del self._ends_of[target]
                expired[target] = Nobody(since_ns=ends_ns)
        return expired

    def _gone(self, claims: Claims, news: News) -> list[Target]:
        """What the files have not named for a while, though they name all there is."""
        now_ns = self._clock.now().monotonic_ns
        if news.is_all:
            missing = [target for target in (*claims.targets(), *self._ends_of) if target not in news.leases]
            first = _Missing(now_ns, news.version)
            self._missing = {target: self._missing.get(target, first).again(news.version, now_ns) for target in missing}
        else:
            for target in news.leases:
                self._missing.pop(target, None)
        gone = [target for target, one in self._missing.items() if now_ns - one.since_ns >= _MISSING_NS]
        for target in gone:
            del self._missing[target]
            self._ends_of.pop(target, None)
        return gone

    def _due_seconds(self) -> float:
        """When something changes by the clock alone."""
        now = self._clock.now()
        waits_ns = [self._ends[0][0] - now.wall_ns] if self._ends else []
        waits_ns += [one.since_ns + _MISSING_NS - now.monotonic_ns for one in self._missing.values()]
        # A little later than that, so that it has come when it is looked at.
        return max(0, min(waits_ns)) / SECOND_NS + _ROUNDING_SECONDS if waits_ns else float("inf")
