"""The meter of flows, as ``netledger._core`` has it. A stub only: there is no module of this name."""

from collections.abc import Sequence
from typing import final

from netledger._core import (  # noqa: TID251 - a part of the same stub
    Generation,
    Glance,
    KeySpec,
    LiveRows,
    Totals,
)

@final
class ConntrackMeter:
    """Follows the flows of connection tracking and books what they moved. A thread does the work once it is open.

    What the kernel said of each flow lies in a file at ``path``, which survives the process: the next one goes on from
    there. ``families`` are 2 (IPv4) and 10 (IPv6); without ``zones`` all zones are counted. ``buffer_bytes`` is the
    receive buffer for events, beyond the system's limit; the kernel doubles the number for its own needs. With the
    queue empty, events are gathered for ``gather_milliseconds``. At most ``flows_max`` flows are followed at once,
    those that ended since the last cut included; the file is as large as there were flows, 128 bytes each. Flows that
    ended give up their place when they are ``ended_max``: what they moved is added up in a file beside, ``path`` with
    ``.1`` or ``.2`` behind it, until the cut.

    May be shared between threads. Making one touches nothing. Needs ``CAP_NET_ADMIN``.
    """

    def __new__(
        cls,
        *,
        path: str,
        key: KeySpec,
        rows_max: int,
        buffer_bytes: int,
        families: Sequence[int] = ...,
        zones: Sequence[int] = ...,
        gather_milliseconds: int = 5,
        flows_max: int = 16_777_216,
        ended_max: int = 1_048_576,
    ) -> ConntrackMeter: ...
    def found(self) -> FlowsFound | None:
        """What an earlier process left at ``path``; None if there is nothing. Only before it is open.

        Raises:
            TableError: what lies there is no flow table, damaged, or in use by a running process.
        """

    def refold(self, table_path: str, *, seq: int) -> FlowsCut | None:
        """Cut ``seq`` of an earlier process once more, if it was the last one begun, with the facts that it had.

        A cut that was interrupted is made again at ``table_path``, whatever half of it is there. Of a complete one the
        table is opened; None if that is gone, for it was released. Of a flow table of another start of the machine or
        network namespace (``FlowsFound.same_boot``) the cut behind its last one books what is left in it, and the flow
        table is removed. None as well where there is no such cut. Only before it is open.

        Raises:
            SourceError: it is open.
            TableError: the table cannot be made, is damaged or in use.
        """

    def open(self, *, counters: tuple[str, Sequence[str]] | None = None) -> FlowsOpened:
        """Takes over the flow table or makes one, listens, and asks for all flows.

        In the network namespace of the calling thread. Blocks for the dump: about two seconds for a million flows.
        ``counters`` are a table of nft in the family inet and names of counters in it, which are read right before and
        right behind the dump.

        Raises:
            PermissionDeniedError: ``CAP_NET_ADMIN`` is missing.
            NotSupportedError: the kernel lacks ``nf_conntrack_netlink``.
            ObjectNotFoundError: there is no such counter.
            SourceError: it is open already, or the last cut is to be folded again first.
            TableError: the flow table cannot be made, is damaged or in use.
            UnsteadyError: the kernel could not list its flows in one piece, again and again.
        """

    def cut(self, table_path: str, *, seq: int, counters: tuple[str, Sequence[str]] | None = None) -> FlowsCut:
        """Asks for all flows, and books what each has moved since the last cut into a new table at ``table_path``.

        Blocks for the dump and for the booking: about three seconds for a million flows. What fails leaves nothing cut.
        A flow that the dump does not show and whose end was not told leaves with the cut after that.

        Raises:
            TableError: the table cannot be made.
            ObjectNotFoundError, UnsteadyError: as for ``open``.
            SourceError: it is not open, or listening has failed.
        """

    def refresh(self) -> None:
        """Asks for all flows now, so that ``glance`` and ``live`` are of this moment. Blocks for the dump.

        Raises:
            UnsteadyError: as for ``open``.
            SourceError: it is not open, or listening has failed.
        """

    def stats(self) -> Totals:
        """What moved since it was opened, booked or not. Waits while a dump is under way.

        Raises:
            SourceError: it is not open, or listening has failed.
        """

    def glance(self) -> Glance:
        """Flows (as ``rows``), what moved since the last cut, and since it was opened. Never waits.

        As of the last event, dump or cut.

        Raises:
            SourceError: it is not open.
        """

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of what moved since the last cut, made of the flows in the calling thread; as of ``glance``.

        ``sort`` as for ``Meter.live``. Takes about a second for a million flows.

        Raises:
            ValueError: an unknown order.
            SourceError: it is not open.
        """

    def close(self) -> None:
        """Ends the thread. The flow table stays as it is. May be called twice."""

@final
class FlowsFound:
    """A flow table of an earlier process."""

    @property
    def phase(self) -> str:
        """``open``: no cut is under way; ``folding``: its last cut is to be made again by ``refold``."""
    @property
    def seq(self) -> int:
        """Of the last cut that was begun; 0: none."""
    @property
    def flows(self) -> int: ...
    @property
    def same_boot(self) -> bool:
        """It was written since the machine started, and in this network namespace. Others are of no use to ``open``."""

@final
class FlowsOpened:
    """What was there at the start."""

    @property
    def found(self) -> bool:
        """The flow table of an earlier process was taken over; there is no baseline then."""
    @property
    def seq(self) -> int:
        """Of the last cut that was begun; 0: none."""
    @property
    def flows(self) -> int: ...
    @property
    def baseline_flows(self) -> int:
        """Flows that are older than the table; what they had moved by then is not booked."""
    @property
    def baseline_packets(self) -> int: ...
    @property
    def baseline_bytes(self) -> int: ...
    @property
    def vanished(self) -> int:
        """Flows of the earlier process that ended while nobody listened."""
    @property
    def uncounted(self) -> int:
        """Flows without counters: they began while ``nf_conntrack_acct`` was off."""
    @property
    def before(self) -> dict[str, tuple[int, int]] | None:
        """Packets and bytes of the named counters right before the dump; None where none were asked for."""
    @property
    def after(self) -> dict[str, tuple[int, int]] | None:
        """The same right behind it."""

@final
class FlowsCut:
    """A cut, and what happened since the one before."""

    @property
    def generation(self) -> Generation: ...
    @property
    def seq(self) -> int: ...
    @property
    def before(self) -> dict[str, tuple[int, int]] | None:
        """As of ``FlowsOpened``."""
    @property
    def after(self) -> dict[str, tuple[int, int]] | None: ...
    @property
    def events(self) -> int:
        """Ends of flows that were told."""
    @property
    def overruns(self) -> int:
        """How often the queue of events was full. The kernel sends those again."""
    @property
    def vanished(self) -> int:
        """Flows that were gone without their end being told: what they moved after they were seen last is not known."""
    @property
    def resets(self) -> int:
        """Flows whose counters somebody set to zero; what they counted in between is not known."""
    @property
    def uncounted(self) -> int:
        """Flows of the dump without counters."""
    @property
    def new_flows(self) -> int: ...
    @property
    def flows(self) -> int:
        """Flows that are left."""
    @property
    def duplicates(self) -> int:
        """Ends that were told again; they are booked once.

        Without ``nf_conntrack_timestamp`` also the end of another flow of the same ends, id and counters.
        """
    @property
    def malformed(self) -> int:
        """Messages that could not be read."""
    @property
    def refused(self) -> int:
        """Flows that found no room, for want of disk space or beyond ``flows_max``. Not booked."""
