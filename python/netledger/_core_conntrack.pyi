"""Connection tracking, as ``netledger._core`` has it. A stub only: there is no module of this name."""

from collections.abc import Sequence
from typing import TypeAlias, final

_Above: TypeAlias = tuple[int | None, int | None, int | None, int | None, int | None]
"""Ports; type, code and id of ICMP."""

_Direction: TypeAlias = tuple[bytes, bytes, int, _Above, int | None, int | None, int | None]
"""Source, destination, protocol, what is above it, zone, packets, bytes."""

_Flow: TypeAlias = tuple[
    int,
    _Direction,
    _Direction,
    tuple[int | None, int | None, int | None, int | None, int | None, int | None],
    tuple[str | None, int | None, tuple[int, int] | None],
    tuple[int | None, int | None, int | None],
    tuple[bytes | None, bytes | None, bytes | None],
    _Direction | None,
]
"""Family, both directions; status, time-out, mark, zone, id, use; state, its number, tags of SCTP; start, stop and
event in nanoseconds; labels, helper, security context; the direction of the master."""

_Expectation: TypeAlias = tuple[
    int,
    tuple[_Direction, _Direction, _Direction],
    tuple[int | None, int | None, int | None, int | None, int | None],
    tuple[bytes | None, bytes | None],
]
"""Family; tuple, mask, master; time-out, id, zone, flags, class; helper, function."""

_Network: TypeAlias = tuple[int, bytes, int]
"""Family, address, prefix length."""

_Ends: TypeAlias = tuple[_Network | None, _Network | None, int | None, int | None, int | None, int | None, int | None]
"""Source, destination, ports; type, code and id of ICMP."""

_Wanted: TypeAlias = tuple[
    int | None, int | None, tuple[int, int] | None, tuple[int, int] | None, int | None, _Ends, _Ends
]
"""Family, protocol, mark and mask, status and mask, zone, original and reply direction."""

_Name: TypeAlias = tuple[int, bytes, bytes, int, _Above, int | None, int | None]
"""Family, source, destination, protocol, what is above it, zone of the direction, zone."""

_Happened: TypeAlias = tuple[tuple[_Flow, int, int] | None, tuple[int, int] | None]
"""A flow, what happened to it (0 new, 1 update, 2 destroy) and the socket that caused it; or overruns and dropped
messages."""

def conntrack_get(name: _Name, zero: bool) -> _Flow:
    """One flow, by one of its directions; with ``zero`` its counters are 0 from the same moment on.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def conntrack_delete(name: _Name, id: int | None) -> None:  # noqa: A002  # the core's own name
    """Deletes a flow, if it has this id.

    Raises:
        ObjectNotFoundError, PermissionDeniedError, NotSupportedError, SourceError.
    """

def conntrack_flush(family: int | None) -> None:
    """Deletes all flows, or those of a family.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

def conntrack_count() -> tuple[int, int | None]:
    """How many flows there are, and may be.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

def conntrack_statistics() -> list[tuple[int, list[int | None]]]:
    """Per processor its number and what it has counted, in the order of the kernel's numbers from 1 on.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

def conntrack_expectations(family: int | None) -> list[_Expectation]:
    """The flows that helpers expect.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

@final
class ConntrackDump:
    """A list of flows (0 the table, 1 dying, 2 unconfirmed) of the network namespace where it was made.

    Raises:
        NotSupportedError, SourceError.
    """

    def __new__(cls, list: int, wanted: _Wanted) -> ConntrackDump: ...  # noqa: A002  # the core's own name
    def part(self) -> list[_Flow] | None:
        """The flows of the next part, perhaps none; None at the end. The GIL is released.

        Raises:
            PermissionDeniedError, NotSupportedError, SourceError; UnsteadyError: what came is not all.
        """

@final
class ConntrackEvents:
    """The kernel's messages to these multicast groups, of the network namespace where it was made.

    Safe to share between threads.

    Raises:
        PermissionDeniedError, NotSupportedError, SourceError.
    """

    def __new__(
        cls, groups: Sequence[int], wanted: _Wanted, *, receive_buffer_bytes: int, reliable: bool
    ) -> ConntrackEvents: ...
    def wait(self, timeout_milliseconds: int | None) -> tuple[list[_Happened], bool]:
        """Some messages in their order, none when the time is over; and whether it is closed.

        The GIL is released. Signals are handled.
        """

    def close(self) -> None:
        """Ends the waiting, also in other threads. May be called twice."""

    def fileno(self) -> int:
        """Can be read when there is something to take."""
