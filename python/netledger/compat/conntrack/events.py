"""Shows events until a signal ends it."""

import os
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Final, Self, final

from netledger import conntrack
from netledger.compat.conntrack.asking import filter_of
from netledger.compat.conntrack.matching import matcher
from netledger.compat.conntrack.origin import program_of
from netledger.compat.conntrack.refusal import Refusal, prefix
from netledger.compat.conntrack.request import Kinds, Output, Request
from netledger.compat.conntrack.show import Show
from netledger.compat.conntrack.streams import Streams
from netledger.conntrack import Event, EventKind, Lost
from netledger.errors import PermissionDeniedError

__all__ = ["show_events"]

_KINDS: Final = {
    Kinds.NEW: EventKind.NEW,
    Kinds.UPDATES: EventKind.UPDATE,
    Kinds.DESTROY: EventKind.DESTROY,
}
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_NO_ROOM: Final = """\
WARNING: We have hit ENOBUFS! We are losing events.
This message means that the current netlink socket buffer size is too small.
Please, check --buffer-size in conntrack(8) manpage."""


def show_events(request: Request, show: Show, streams: Streams) -> None:
    """Listens, and shows what is asked for, until SIGINT or SIGTERM. Must run in the main thread.

    Raises:
        BrokenPipeError, Refusal: standard output cannot be written.
        NetledgerError: the kernel refuses.
    """
    matches = matcher(request)
    overruns = 0
    with _listen(request, streams) as events, _EndSignals(events.fileno()) as signals:
        while signals.wait():
            while not signals.came and (event := events.wait(0)) is not None:
                if isinstance(event, Lost):
                    overruns += event.overruns
                    streams.tell(_NO_ROOM)
                elif matches(event.flow):
                    show.event(event.kind, event.flow, _cause(event, request))
    show.end()
    if overruns and not request.strict:
        times = "once" if overruns == 1 else f"{overruns} times"
        streams.tell(f"{prefix()}the kernel had no room for events {times}; those are not shown.")
    streams.tell(f"{prefix()}{show.shown} flow events have been shown.")


def _listen(request: Request, streams: Streams) -> conntrack.Events:
    kinds = request.kinds or Kinds.ALL
    groups = {group for kind, group in _KINDS.items() if kind in kinds}
    try:
        if request.buffer_bytes is None:
            return conntrack.events(groups, filter_of(request))
        events = conntrack.events(groups, filter_of(request), queue_bytes=max(1, request.buffer_bytes))
    except PermissionDeniedError as error:
        streams.tell("mnl_socket_bind: Operation not permitted")
        raise Refusal("Can't open netlink socket") from error
    streams.tell(f"NOTICE: Netlink socket buffer size has been set to {_room(events.fileno())} bytes.")
    return events


def _room(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as taken:
        return taken.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _cause(event: Event, request: Request) -> str:
    """Which program made the event, if one did; within XML it would be in the way."""
    if not event.portid or (Output.XML in request.output and not request.strict):
        return ""
    program = program_of(event.portid)
    name = "" if program is None else f" progname={program}"
    return f" [USERSPACE] portid={event.portid}{name}"


@final
class _EndSignals:
    """Catches SIGINT and SIGTERM while it is entered; one that comes between two looks is not missed.

    Attributes:
        came: whether there was one.
    """

    def __init__(self, descriptor: int) -> None:
        self._poll = select.poll()
        self._descriptor = descriptor
        self._pipe = (-1, -1)
        self._fd_before = -1
        self._before: dict[signal.Signals, object] = {}
        self.came = False

    def __enter__(self) -> Self:
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._fd_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._note) for number in _ENDING}
        self._poll.register(self._pipe[0], select.POLLIN)
        self._poll.register(self._descriptor, select.POLLIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself has given
        signal.set_wakeup_fd(self._fd_before)
        for descriptor in self._pipe:
            os.close(descriptor)

    def wait(self) -> bool:
        """Blocks until there may be an event, and says so; False when a signal has come."""
        if not self.came:
            self._poll.poll()
        return not self.came

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
