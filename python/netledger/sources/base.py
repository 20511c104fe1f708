"""What every source of traffic offers to the rest of the program."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from netledger._core import Batch, KeySpec, Totals
from netledger.intervals import Moment
from netledger.receipt import Count, Observed

PORT_COLUMNS = frozenset({"protocol", "host_port", "peer_port"})

Step: TypeAlias = Callable[[str], None]
"""Told the name of each step that has been done. Lets a test stop the process there."""


def no_step(_name: str) -> None:
    """Goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What the rows of a meter are added up by.

    Attributes:
        columns: any of host, peer, protocol, host_port, peer_port, interface, label, zone, mark; not interface and mark
            together.
        ipv4_prefix_length: bits of an IPv4 address that are kept.
        ipv6_prefix_length: bits of an IPv6 address that are kept.
        local: networks whose addresses get a row of their own; none: every address does.
    """

    columns: tuple[str, ...] = ("host",)
    ipv4_prefix_length: int = 32
    ipv6_prefix_length: int = 64
    local: tuple[str, ...] = ()

    @property
    def ports(self) -> bool:
        """Whether more of a packet than its addresses is needed."""
        return not PORT_COLUMNS.isdisjoint(self.columns)

    def native(self) -> KeySpec:
        """The same for the native core.

        Raises:
            ValueError: an unknown column, a network that is none, a length out of range.
        """
        return KeySpec(
            columns=self.columns,
            ipv4_prefix_length=self.ipv4_prefix_length,
            ipv6_prefix_length=self.ipv6_prefix_length,
            local=self.local,
        )


class ArrowRows(Protocol):
    """Rows as Arrow columns, by Arrow's PyCapsule interface."""

    def __len__(self) -> int:
        """How many."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """The schema and the array as capsules."""


class Rows(Protocol):
    """The rows of a closed generation."""

    @property
    def rows(self) -> int:
        """How many."""

    def batch(self, interface_names: Mapping[int, str], /) -> ArrowRows:
        """The rows as Arrow columns."""

    def release(self) -> None:
        """Removes them."""


class Gathered(Rows, Protocol):
    """What a process has gathered for a generation."""

    @property
    def totals(self) -> Totals:
        """Its sums."""

    @property
    def recovered(self) -> bool:
        """Whether it was found after a crash."""

    @property
    def last_received_ns(self) -> int | None:
        """When something last came, nanoseconds of CLOCK_BOOTTIME; None if nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A closed generation: one interval of one meter, frozen. It stays on disk until :meth:`release`.

    Attributes:
        meter: name of the meter.
        seq: number of the interval; with node and meter its identity.
        start: when it starts.
        end: when it ends.
        observed: what the source says of it.
        generation: its rows.
        interface_names: names of interface indexes, those that went away included.
        forget: removes what the source wrote down about it.
    """

    meter: str
    seq: int
    start: Moment
    end: Moment
    observed: Observed
    generation: Rows
    interface_names: Mapping[int, str]
    forget: Callable[[], None]

    def batch(self) -> ArrowRows:
        """The rows as Arrow columns."""
        return self.generation.batch(self.interface_names)

    def release(self) -> None:
        """Removes the generation from disk: only after the interval is committed.

        The facts go first: a table file without facts has been committed, and is swept up at the next start.
        """
        self.forget()
        self.generation.release()


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a meter's committed intervals.

    Attributes:
        seq: the highest number; 0 without any.
        end_ns: where the newest one ends, UTC nanoseconds; None when that is not known.
    """

    seq: int = 0
    end_ns: int | None = None


NO_PAST = Past()


@dataclass(frozen=True, slots=True)
class Unpinned:
    """What counts in the kernel goes with this process: nothing else holds it.

    Attributes:
        why: what keeps it from being pinned.
        hint: how to mend it, or None.
    """

    why: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """How far a source is, at one moment.

    Attributes:
        rows: of the open generation.
        other: what of it is in no row of its own.
        lost_packets: what the open generation is known to miss.
        overruns: how often its receive buffer was full.
        received: all that has come since the source was opened.
        lost_packets_since_open: what is known to be missing since then.
        overruns_since_open: how often the buffer was full since then.
        disturbed: what kept packets of the open generation from being counted, and was put in order; or None.
        unpinned: why what was counted would be lost by a kill; or None.
    """

    rows: int
    other: Count
    lost_packets: int
    overruns: int
    received: Count
    lost_packets_since_open: int
    overruns_since_open: int
    disturbed: str | None = None
    unpinned: Unpinned | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRows:
    """The rows of the open generation while packets keep coming.

    No number is torn, but two may be of slightly different moments: of a packet that is just being added its sent side
    may be there and its received side not yet.

    Attributes:
        rows: how many there are with a packet.
        sent: the sum of all of them.
        received: the same.
        batch: the rows asked for, as Arrow columns.
    """

    rows: int
    sent: Count
    received: Count
    batch: Batch


class Source(Protocol):
    """A mechanism that observes traffic for one meter.

    Not safe for concurrent use, but that any thread may call :meth:`glance` and :meth:`live` at any time.
    """

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        """Takes over what a dead process left, and starts to count.

        Of what was counted and is gone, since ``past`` or since it began to count, it gives an interrupted generation.

        Gives the generations that were closed then or by this; commit them first. The oldest comes first.
        """

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open generation and goes on with the next. Blocks for tens of ms; no packet falls between."""

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        """Last cut, drain, clean up; afterwards the source is unusable."""

    def disturb(self, what: str) -> None:
        """Notes that the open generation was interrupted, and by what. Not behind :meth:`close`."""

    def stats(self) -> Totals:
        """Sums since the source was opened."""

    def glance(self) -> Glance:
        """How far it is. Does not ask the receiver; any thread may call it.

        Raises:
            SourceError: it is not open.
        """

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of the open generation; with ``top`` only so many, the greatest by ``sort`` first.

        Packets keep coming meanwhile, and the receiver does not wait. Any thread may call it.

        Raises:
            SourceError: it is not open.
            ValueError: ``sort`` is neither bytes, packets nor a counter.
        """
