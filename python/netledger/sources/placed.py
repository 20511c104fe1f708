"""A source that counts in a network namespace which is not that of the program."""

from collections.abc import Callable
from typing import Final, final

from netledger._core import Totals
from netledger.errors import NamespaceAbsentError, PermissionDeniedError, SourceError
from netledger.intervals import Moment
from netledger.sources.base import NO_PAST, Closed, Glance, LiveRows, Past, Source
from netledger.sources.leavings import Finishing
from netledger.sources.namespaces import Namespace

GONE: Final = "its network namespace went away"


@final
class PlacedSource:
    """Any source, opened, cut and closed in a namespace. Not safe for concurrent use, as the source itself.

    What the source makes there, sockets and threads, stays there; what it runs, such as nft, runs there. When the
    name of the namespace goes, or means another one, it says so by :meth:`stats`, and a close then takes everything of
    ours out of it, so that nothing keeps it alive.

    Args:
        source: inert until it is opened.
        path: the file of the namespace.
    """

    def __init__(self, source: Source, path: str) -> None:
        self._source = source
        self._namespace = Namespace(path)

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """As the source has it.

        Raises:
            NamespaceAbsentError: the namespace is not there.
            PermissionDeniedError: it may not be entered.
            SourceError: as the source has it.
        """
        self._namespace.open()
        try:
            return self._namespace.run(lambda: self._source.open(now, past))
        except BaseException:
            self._namespace.close()
            raise

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """As the source has it."""
        return self._namespace.run(lambda: self._source.cut(label_end_ns=label_end_ns, now=now))

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """As the source has it, but that nothing is kept in a namespace whose name is gone."""
        try:
            if self._namespace.is_there():
                return self._namespace.run(lambda: self._source.close(now=now, keep_rules=keep_rules))
            return self._namespace.run(self._leaving(now))
        finally:
            self._namespace.close()

    def finish(self, now: Moment, past: Past) -> list[Closed]:
        """What a dead process left, by a source that can do only that; else by opening and closing it.

        In the namespace if it can be entered: from elsewhere nobody sees what was done to what counts there.
        """
        source = self._source
        if not isinstance(source, Finishing):
            return [*self.open(now, past), *self.close(now=now, keep_rules=False)]
        if not self._can_be_entered():
            return source.finish(now, past)
        try:
            return self._namespace.run(lambda: source.finish(now, past))
        finally:
            self._namespace.close()

    def disturb(self, what: str) -> None:
        """As the source has it."""
        self._source.disturb(what)

    def stats(self) -> Totals:
        """As the source has it.

        Raises:
            SourceError: the namespace went away, or as the source has it.
        """
        if not self._namespace.is_there():
            raise SourceError(f"network namespace {self._namespace.path}", "", "it went away, or another has its name")
        return self._namespace.run(self._source.stats)

    def glance(self) -> Glance:
        """As the source has it."""
        return self._source.glance()

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """As the source has it."""
        return self._source.live(top=top, sort=sort)

    def _can_be_entered(self) -> bool:
        """Whether the namespace is there and open from now on; who names none any more may lack the right to it."""
        try:
            self._namespace.open()
            self._namespace.run(lambda: None)
        except (NamespaceAbsentError, PermissionDeniedError):
            self._namespace.close()
            return False
        return True

    def _leaving(self, now: Moment) -> Callable[[], list[Closed]]:
        def leave() -> list[Closed]:
            self._source.disturb(GONE)
            return self._source.close(now=now, keep_rules=False)

        return leave
