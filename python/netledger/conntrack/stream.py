"""Being told when flows begin, change and end."""

from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self, final

from netledger._core import ConntrackEvents
from netledger.conntrack.flows import Event, EventKind, Lost
from netledger.conntrack.told import event_of
from netledger.conntrack.wanted import Filter, native_filter

__all__ = ["EVENT_QUEUE_BYTES", "Events", "events"]

EVENT_QUEUE_BYTES: Final = 1 << 24
"""What the kernel may queue of events by default: room for some ten thousands."""

_GROUPS: Final = {EventKind.NEW: 1, EventKind.UPDATE: 2, EventKind.DESTROY: 3}


@final
class Events:
    """The stream of what happens to flows. From :func:`events`.

    May be shared between threads; each event goes to one of them.
    """

    def __init__(self, native: ConntrackEvents, timeout_seconds: float | None) -> None:
        self._native = native
        self._timeout_seconds = timeout_seconds
        self._taken: deque[Event | Lost] = deque()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event | Lost]:
        return self

    def __next__(self) -> Event | Lost:
        """The next event; the iteration ends when there is none within ``timeout_seconds``, and when it is closed."""
        event = self.wait(self._timeout_seconds)
        if event is None:
            raise StopIteration
        return event

    def wait(self, timeout_seconds: float | None = None) -> Event | Lost | None:
        """The next event, or None when there is none in time, or when it is closed. Blocks; 0 looks only.

        Raises:
            SourceError: the kernel's refusal.
            ValueError: a time below 0.
        """
        milliseconds = _milliseconds(timeout_seconds)
        while not self._closed:
            try:
                return self._taken.popleft()
            except IndexError:
                happened, _closed = self._native.wait(milliseconds)
            if not happened:
                return None
            self._taken.extend(map(event_of, happened))
        return None

    def fileno(self) -> int:
        """For ``select`` and event loops: when it can be read, call :meth:`wait` with 0 until there is None.

        Belongs to the kernel's queue; nothing else may be done with it.
        """
        return self._native.fileno()

    def close(self) -> None:
        """Ends the stream, also for a thread that waits. What is queued is dropped. May be called twice."""
        self._closed = True
        self._native.close()


def events(
    groups: Iterable[EventKind] = tuple(EventKind),
    filter: Filter | None = None,  # noqa: A002  # the word for it
    *,
    timeout_seconds: float | None = None,
    queue_bytes: int = EVENT_QUEUE_BYTES,
    reliable: bool = False,
) -> Events:
    """Listens, from this moment on, to what happens to flows that pass the filter.

    Each item is an :class:`Event`, or :class:`Lost` when ``queue_bytes`` were full; a loss comes before what was still
    queued then. What the filter leaves out never enters the queue, as far as the kernel can tell it. With ``reliable``
    the kernel keeps what finds no room and sends it again: of DESTROY events none is lost, and until they are taken the
    flows fill the kernel's table. ``timeout_seconds`` is how long the iteration waits for each item; None is for ever.

    A flow that began while no program listened sends no events if ``nf_conntrack_events`` is 2, as it is by default.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: a time below 0, a queue that is none, or no groups.
    """
    _milliseconds(timeout_seconds)
    if not 0 < queue_bytes < 2**30:
        raise ValueError(f"queue_bytes is above 0 and below 2**30, not {queue_bytes}")
    numbers = sorted({_GROUPS[group] for group in groups})
    if not numbers:
        raise ValueError("groups names at least one kind of events")
    native = ConntrackEvents(numbers, native_filter(filter), receive_buffer_bytes=queue_bytes, reliable=reliable)
    return Events(native, timeout_seconds)


def _milliseconds(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not 0 <= seconds < 2**31:
        raise ValueError(f"timeout_seconds is 0 or more, not {seconds}")
    return round(seconds * 1000)
