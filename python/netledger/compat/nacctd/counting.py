"""What counts underneath, as the accounting sees it."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from netledger.compat.nacctd.naccttab import Table
from netledger.intervals import Moment

__all__ = ["NO_FLOW", "Counted", "Counting", "Cut"]


class Counted(NamedTuple):
    """What one flow has sent on one interface. Addresses are numbers."""

    protocol: int
    source: int
    source_port: int
    destination: int
    destination_port: int
    device: str
    packets: int
    size: int

    @property
    def has_no_flow(self) -> bool:
        """Whether these are all the packets whose flows found no room in the table."""
        return self[:6] == NO_FLOW


NO_FLOW: Final = (0, 0, 0, 0, 0, "other")
"""In place of a flow, where the table had no room for it."""


class Cut(Protocol):
    """A closed generation."""

    @property
    def seq(self) -> int:
        """Its number."""

    @property
    def start_ns(self) -> int:
        """When it started, by the monotonic clock."""

    def rows(self) -> list[Counted]:
        """What was counted."""

    def release(self) -> None:
        """Removes it: only after its rows are durable elsewhere.

        Raises:
            SourceError, OSError: it is still there.
        """


class Counting(Protocol):
    """A meter of packets, by flow and interface. Not safe for concurrent use."""

    def open(self, table: Table, now: Moment, *, absorbed: int) -> Sequence[Cut]:
        """Starts to count ``now``; gives what an earlier process has left, oldest first.

        ``absorbed`` is the number of the last generation that is known.

        Raises:
            SourceError, OSError: it cannot.
        """

    def cut(self, now: Moment) -> Cut:
        """Closes the open generation and goes on with the next, which starts ``now``; no packet falls between.

        Raises:
            SourceError, OSError: it goes on open.
        """

    def close(self, now: Moment) -> Sequence[Cut]:
        """Closes the last generation, with all that the kernel still held.

        Raises:
            SourceError, OSError: the next start finds it.
        """

    def fullness(self) -> float:
        """How much of the room for flows is taken, from 0 to 1.

        Raises:
            SourceError: nothing is received any more.
        """

    def dropped_packets(self) -> int:
        """What the kernel had no room for in the ring, since the start."""
