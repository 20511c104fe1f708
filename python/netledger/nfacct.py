"""The kernel's named counters (``nfnetlink_acct``), which ``iptables -m nfacct`` counts into: a netlink API.

    from netledger import nfacct

    nfacct.add("http-traffic")
    for counter in nfacct.list():
        print(counter.text, counter.packets, counter.bytes)

It is for any program and needs no daemon: what libnetfilter_acct is to C. Counters belong to a network namespace; each
call is about that of the calling thread. All need CAP_NET_ADMIN, and those that do not say otherwise do not block: the
kernel answers while it is asked.

Names are 1 to 31 bytes without NUL, in no encoding. Where a name is expected a string will do; it stands for its bytes
in UTF-8, with ``surrogateescape`` for those that are none, just as ``Counter.text`` gives them.
"""

import enum
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeAlias, final

from netledger._core import (
    NfacctEvents,
    nfacct_add,
    nfacct_delete,
    nfacct_flush,
    nfacct_get,
    nfacct_list,
)
from netledger.errors import ObjectNotFoundError

__all__ = [
    "NAME_BYTES_MAX",
    "Counter",
    "Events",
    "Lost",
    "Only",
    "Quota",
    "Unit",
    "add",
    "delete",
    "events",
    "flush",
    "get",
    "list",
    "reset",
    "reset_all",
]

NAME_BYTES_MAX: Final = 31
EVENT_QUEUE_BYTES: Final = 1 << 20
"""What the kernel may queue of events by default: room for some thousands."""

_NUMBER_MAX: Final = 2**64 - 1
_OVERQUOTA: Final = 4
_QUOTA_FLAGS: Final = 3
_Bytes: TypeAlias = bytes
_Told: TypeAlias = tuple[_Bytes, int, int, int, int, int | None]


@final
class Unit(enum.Enum):
    """What a quota is counted in."""

    PACKETS = "packets"
    BYTES = "bytes"


_FLAG_OF: Final = {Unit.PACKETS: 1, Unit.BYTES: 2}


@final
class Only(enum.Enum):
    """Which counters: the filters that the kernel knows."""

    ALL = "all"
    PLAIN = "plain"
    """Those without a quota."""
    PACKET_QUOTA = "packet-quota"
    BYTE_QUOTA = "byte-quota"
    OVER_QUOTA = "over-quota"
    """Those that have reached their quota since they were made or reset."""


_FILTERS: Final = {
    Only.ALL: (0, 0),
    Only.PLAIN: (_QUOTA_FLAGS, 0),
    Only.PACKET_QUOTA: (1, 1),
    Only.BYTE_QUOTA: (2, 2),
    Only.OVER_QUOTA: (_OVERQUOTA, _OVERQUOTA),
}


@final
@dataclass(frozen=True, slots=True)
class Quota:
    """A limit, 0 to 2**64 - 1 packets or bytes.

    It is reached by the packet with which the counter comes to the limit or beyond: then the event is sent. The rule
    matches from the first packet on with which the counter is beyond it.
    """

    limit: int
    unit: Unit

    def __post_init__(self) -> None:
        _check_number("limit", self.limit)


@final
@dataclass(frozen=True, slots=True)
class Counter:
    """A counter, as it was when the kernel was asked.

    Attributes:
        name: its bytes.
        packets: how many have passed its rules.
        bytes: their IP total lengths, headers included.
        references: 1, and 1 more for each rule that uses it.
        quota: its limit, or None.
        over_quota: whether the limit has been reached since it was made or reset.
    """

    name: _Bytes
    packets: int
    bytes: int
    references: int = 1
    quota: Quota | None = None
    over_quota: bool = False

    @property
    def text(self) -> str:
        """The name as a string; bytes that are no UTF-8 are escaped as surrogates, and come back by encoding it."""
        return self.name.decode(errors="surrogateescape")


@final
@dataclass(frozen=True, slots=True)
class Lost:
    """So many events are missing from the stream; the kernel had no room for them."""

    events: int


def list(only: Only = Only.ALL) -> tuple[Counter, ...]:  # noqa: A001  # the command's name; nobody imports it bare
    """The counters of this network namespace, in the order in which they were made.

    A list that came to its end too early, because counters were deleted while it was written, is asked for again.

    Raises:
        UnsteadyError: that happened too many times in a row.
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    return tuple(map(_counter, nfacct_list(*_FILTERS[only])))


def get(name: _Bytes | str) -> Counter:
    """One counter.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: no counter can have this name.
    """
    return _counter(nfacct_get(_name(name), zero=False))


def reset(name: _Bytes | str) -> Counter:
    """Takes a counter and leaves 0, so that each packet is in what is returned or still in the counter, never lost.

    Its quota begins anew; ``over_quota`` says how it was before.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: no counter can have this name.
    """
    return _counter(nfacct_get(_name(name), zero=True))


def reset_all(only: Only = Only.ALL) -> Iterator[Counter]:
    """Takes one counter after the other, as :func:`reset` does, while it is iterated.

    Each is handed out as soon as it is taken, so that an error later on loses none. Counters that are deleted meanwhile
    are left out.

    Raises:
        UnsteadyError, PermissionDeniedError, NotSupportedError, SourceError.
    """
    # Not by the kernel's dump that zeroes: it loses what does not fit into a part of the answer any more.
    for name in dict.fromkeys(counter.name for counter in list(only)):
        with suppress(ObjectNotFoundError):
            yield reset(name)


def add(name: _Bytes | str, *, quota: Quota | None = None, packets: int = 0, octets: int = 0) -> None:
    """Makes a counter; with ``packets`` and ``octets`` (bytes) to go on with, as when one is restored.

    Raises:
        ObjectExistsError, PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: no counter can have this name, or a number is not within 0 to 2**64 - 1.
    """
    _check_number("packets", packets)
    _check_number("octets", octets)
    flags, limit = (0, None) if quota is None else (_FLAG_OF[quota.unit], quota.limit)
    nfacct_add(_name(name), packets=packets, octets=octets, flags=flags, quota=limit)


def delete(name: _Bytes | str) -> None:
    """Deletes a counter.

    Raises:
        ObjectBusyError: a rule uses it.
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: no counter can have this name.
    """
    nfacct_delete(_name(name))


def flush() -> None:
    """Deletes all counters that no rule uses.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """
    nfacct_flush()


@final
class Events:
    """The stream of counters that reach their quota. From :func:`events`.

    May be shared between threads; each event goes to one of them.
    """

    def __init__(self, native: NfacctEvents, timeout_seconds: float | None) -> None:
        self._native = native
        self._timeout_seconds = timeout_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Counter | Lost]:
        return self

    def __next__(self) -> Counter | Lost:
        """The next event; the iteration ends when there is none within ``timeout_seconds``, and when it is closed."""
        event = self.wait(self._timeout_seconds)
        if event is None:
            raise StopIteration
        return event

    def wait(self, timeout_seconds: float | None = None) -> Counter | Lost | None:
        """The next event, or None when there is none in time, or when it is closed. Blocks; 0 looks only.

        Raises:
            SourceError: the kernel's refusal.
            ValueError: a time below 0.
        """
        told, lost, _closed = self._native.wait(_milliseconds(timeout_seconds))
        if told is not None:
            return _counter(told)
        return Lost(lost) if lost is not None else None

    def fileno(self) -> int:
        """For ``select`` and event loops: it can be read when :meth:`wait` has something, which may be read to its end.

        Belongs to the kernel's queue; nothing else may be done with it.
        """
        return self._native.fileno()

    def close(self) -> None:
        """Ends the stream, also for a thread that waits. What is queued is dropped. May be called twice."""
        self._native.close()


def events(*, timeout_seconds: float | None = None, queue_bytes: int = EVENT_QUEUE_BYTES) -> Events:
    """Listens, from this moment on, for counters that reach their quota; each is told once until it is reset.

    Each item is the counter as it was when it reached its quota, or :class:`Lost`: how many the kernel had to drop
    because ``queue_bytes`` were full. A loss comes before what was still queued then. ``timeout_seconds`` is how long
    the iteration waits for each item; None is for ever.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
        ValueError: a time below 0, or a queue that is none.
    """
    _milliseconds(timeout_seconds)
    if not 0 < queue_bytes < 2**30:
        raise ValueError(f"queue_bytes is above 0 and below 2**30, not {queue_bytes}")
    return Events(NfacctEvents(queue_bytes), timeout_seconds)


def _counter(told: _Told) -> Counter:
    name, packets, octets, references, flags, limit = told
    quota = None
    if limit is not None and flags & _QUOTA_FLAGS:
        quota = Quota(limit, Unit.PACKETS if flags & _FLAG_OF[Unit.PACKETS] else Unit.BYTES)
    return Counter(name, packets, octets, references, quota, bool(flags & _OVERQUOTA))


def _name(name: _Bytes | str) -> _Bytes:
    raw = name.encode(errors="surrogateescape") if isinstance(name, str) else name
    if not 1 <= len(raw) <= NAME_BYTES_MAX or b"\0" in raw:
        raise ValueError(f"name is 1 to {NAME_BYTES_MAX} bytes, none of them NUL, not {raw!r}")
    return raw


def _check_number(what: str, number: int) -> None:
    if not 0 <= number <= _NUMBER_MAX:
        raise ValueError(f"{what} is 0 to 2**64 - 1, not {number}")


def _milliseconds(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if not 0 <= seconds < 2**31:
        raise ValueError(f"timeout_seconds is 0 or more, not {seconds}")
    return round(seconds * 1000)
