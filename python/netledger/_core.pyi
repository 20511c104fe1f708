"""The native core: counts packets, knows nothing of users, prices or the wall clock.

Only ``netledger.sources``, ``netledger.nfacct`` and ``netledger.conntrack`` import this module. Small integers and
strings go in; Arrow batches, integer counters and the exceptions of ``netledger.errors`` come out. A packet, a callback
or a log line never crosses. What the last two use is described in files of their own, ``_core_*.pyi``.
"""

from collections.abc import Mapping, Sequence
from typing import final

from netledger._core_bpf import BpfLink, BpfMeter, bpf_check, bpf_log
from netledger._core_conntrack import (
    ConntrackDump,
    ConntrackEvents,
    conntrack_count,
    conntrack_delete,
    conntrack_expectations,
    conntrack_flush,
    conntrack_get,
    conntrack_statistics,
)
from netledger._core_flows import ConntrackMeter, FlowsCut, FlowsFound, FlowsOpened
from netledger._core_nfacct import (
    NfacctEvents,
    nfacct_add,
    nfacct_delete,
    nfacct_flush,
    nfacct_get,
    nfacct_list,
    nft_counters_all,
    nft_counters_of_table,
    nft_quotas,
)
from netledger._core_packet import PacketMeter

__all__ = [
    "Batch",
    "BpfLink",
    "BpfMeter",
    "ConntrackDump",
    "ConntrackEvents",
    "ConntrackMeter",
    "FlowsCut",
    "FlowsFound",
    "FlowsOpened",
    "Generation",
    "Glance",
    "KeySpec",
    "LiveRows",
    "Meter",
    "NfacctEvents",
    "NflogGroup",
    "PacketMeter",
    "PcapReader",
    "Totals",
    "TraceEvent",
    "bpf_check",
    "bpf_log",
    "capability_hint",
    "conntrack_count",
    "conntrack_delete",
    "conntrack_expectations",
    "conntrack_flush",
    "conntrack_get",
    "conntrack_statistics",
    "keep_capabilities",
    "nfacct_add",
    "nfacct_delete",
    "nfacct_flush",
    "nfacct_get",
    "nfacct_list",
    "nft_counters_all",
    "nft_counters_of_table",
    "nft_quotas",
    "recover",
]

@final
class KeySpec:
    """What rows are added up by.

    ``columns`` are any of host, peer, protocol, host_port, peer_port, interface, label, zone, mark; not interface and
    mark together. Prefix lengths cut host and peer. ``local`` are networks in text form; without any, every address is
    a host.

    Raises:
        ValueError: an unknown column, both interface and mark, a network that is none, a prefix length out of range.
    """

    def __new__(
        cls,
        *,
        columns: Sequence[str],
        ipv4_prefix_length: int = 32,
        ipv6_prefix_length: int = 64,
        local: Sequence[str] = ...,
    ) -> KeySpec: ...

@final
class NflogGroup:
    """One NFLOG group to receive.

    ``account`` says which postings its packets make: ``source`` (sent only), ``destination`` (received only) or
    ``both``. ``copy_range_bytes`` is how much of each packet the kernel copies. With ``strict_family`` 4 or 6 a packet
    of the other IP version is counted as unreadable instead of being accounted.
    """

    def __new__(cls, number: int, *, account: str, copy_range_bytes: int, strict_family: int = 0) -> NflogGroup: ...

@final
class Meter:
    """A thread that receives NFLOG groups into table files.

    Safe to share between threads; no call blocks the receiver.
    """

    def __new__(
        cls,
        *,
        key: KeySpec,
        rows_max: int,
        receive_buffer_bytes: int,
        timeout_centiseconds: int,
        gather_milliseconds: int = 0,
        trace: int = 0,
        trace_max: int = 65536,
    ) -> Meter: ...
    def begin(self, path: str, groups: Sequence[NflogGroup]) -> None:
        """Binds ``groups`` and opens a new generation at ``path``; an older one goes on receiving until :meth:`end`.

        Raises:
            GroupBusyError, PermissionDeniedError, SourceError, TableError.
        """

    def roll(self, path: str) -> Generation:
        """Lets the groups go on into a new table at ``path``, from a datagram border on; returns the closed one."""

    def end(self) -> Generation:
        """Unbinds the groups of the oldest generation, drains them to the kernel's acknowledgement and freezes it."""

    def stats(self) -> Totals:
        """Sums over all generations since the start."""

    def glance(self) -> Glance:
        """How far the open generations are. Asks nothing of the receiver; reads all rows only when a table is full."""

    def live(self, interface_names: Mapping[int, str], *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows of the open generations, added up by key, while packets go on coming.

        With ``top`` only so many, the greatest by ``sort`` first: bytes, packets or one of the counters. Read in the
        calling thread without the GIL; the receiver is neither asked nor held up. No number is torn, and none goes
        back from one call to the next of a generation, but different numbers may be of slightly different moments.

        Raises:
            ValueError: ``sort`` is none of those.
        """

    def trace(self) -> list[TraceEvent]:
        """Takes what has been noted since the last call; the ring is bounded and drops the newest."""

    def close(self) -> None:
        """Ends the thread. Open generations stay on disk as they are. May be called twice."""

@final
class Generation:
    """A closed generation: its rows are frozen."""

    @property
    def path(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def totals(self) -> Totals: ...
    @property
    def recovered(self) -> bool:
        """Whether it was found after a crash; its journal has been replayed."""

    @property
    def last_received_ns(self) -> int | None:
        """When the last datagram came, nanoseconds of CLOCK_BOOTTIME; None if none did."""

    def batch(self, interface_names: Mapping[int, str]) -> Batch:
        """The rows as Arrow columns; an interface index without a name becomes ``if17``."""

    def release(self) -> None:
        """Removes the table file. The generation is unusable afterwards."""

@final
class Glance:
    """How far the open generations of a meter are. During a cut there may be two."""

    @property
    def rows(self) -> int:
        """Of the fullest one."""

    @property
    def totals(self) -> Totals:
        """What they have got, and what of it is in no row of its own."""

    @property
    def since_start(self) -> Totals:
        """The same with all generations that the meter has closed; never goes back. Knows nothing of ``other``."""

@final
class LiveRows:
    """The rows of the open generations at one moment."""

    @property
    def rows(self) -> int:
        """All that have a packet, also those that are not in the batch."""

    @property
    def totals(self) -> Totals:
        """What the groups had got before the rows were read."""

    @property
    def sent_packets(self) -> int:
        """Of all rows, as the other three."""

    @property
    def sent_bytes(self) -> int: ...
    @property
    def received_packets(self) -> int: ...
    @property
    def received_bytes(self) -> int: ...
    @property
    def batch(self) -> Batch: ...

@final
class Totals:
    """Counters of a generation, a meter or a capture; all count from its start."""

    @property
    def received_packets(self) -> int:
        """Packets that reached this process."""

    @property
    def received_bytes(self) -> int:
        """IP total length of those that could be read."""

    @property
    def posted_sent_packets(self) -> int: ...
    @property
    def posted_sent_bytes(self) -> int: ...
    @property
    def posted_received_packets(self) -> int: ...
    @property
    def posted_received_bytes(self) -> int: ...
    @property
    def other_packets(self) -> int:
        """Sent postings beyond ``rows_max``, or received ones where a source makes only those."""

    @property
    def other_bytes(self) -> int: ...
    @property
    def sequence_gap_packets(self) -> int:
        """Packets that the kernel numbered and that never came."""

    @property
    def overruns(self) -> int:
        """ENOBUFS returns of the socket."""

    @property
    def truncated_datagrams(self) -> int: ...
    @property
    def malformed_messages(self) -> int: ...
    @property
    def length_unknown_packets(self) -> int:
        """Packets whose length field is 0 (super-packets); their bytes are not known from the header."""

    @property
    def unreadable(self) -> dict[str, int]:
        """Packets that could not be read, by reason."""

    @property
    def dropped_packets(self) -> int:
        """Packets that found no room in the ring of a packet socket; what is below is of packet sockets as well."""

    @property
    def super_packets(self) -> int:
        """Packets that the kernel, or the card, had put together or was yet to split; each is counted as one."""

    @property
    def wire_packets(self) -> int:
        """What was received, with the packets that its super-packets were or became in place of them."""

    @property
    def wire_bytes(self) -> int:
        """The bytes of those, an IP header in each. Only :class:`BpfMeter` knows them; else 0."""

    @property
    def fragments_unknown(self) -> int:
        """Later fragments whose first one was not seen: their ports are 0."""

    @property
    def length_lies(self) -> int:
        """Packets that claimed more bytes than there were; they are booked with what there was."""

    @property
    def ignored_packets(self) -> int:
        """Frames with a tag or a PPPoE header in which was no IP packet. They are not among the received ones."""

@final
class TraceEvent:
    """Something a meter noted: ``kind`` is batch, packet, short, version, missing or overrun."""

    @property
    def kind(self) -> str: ...
    @property
    def group(self) -> int: ...
    @property
    def address(self) -> bytes | None:
        """16 bytes, masked as the key says; packet only."""

    @property
    def is_source(self) -> bool: ...
    @property
    def numbers(self) -> tuple[int, int, int]:
        """What the kind says.

        batch: packets; packet: bytes, IP version; short: have, need, IP version expected; version: the version found;
        missing: count, received number, expected number. What is not named is 0.
        """

@final
class Batch:
    """Rows as Arrow columns, by the PyCapsule interface, without copying."""

    def __len__(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...
    def __arrow_c_schema__(self) -> object: ...

@final
class PcapReader:
    """Reads a pcap or pcapng capture; ``-`` is standard input.

    With ``interval_ns`` above 0 rows are kept apart by the interval of the packet's own time.

    Raises:
        CaptureError: not a capture, or of a link type that is not understood.
    """

    def __new__(cls, path: str, *, key: KeySpec, rows_max: int, interval_ns: int = 0) -> PcapReader: ...
    def read(self, bytes_max: int) -> bool:
        """Reads on for about ``bytes_max`` bytes; False when the capture is at its end. The GIL is released."""

    @property
    def position_bytes(self) -> int: ...
    @property
    def size_bytes(self) -> int | None: ...
    @property
    def first_ns(self) -> int | None: ...
    @property
    def last_ns(self) -> int | None: ...
    @property
    def truncated(self) -> str | None:
        """What is wrong with the end of the file, or None when it is whole."""

    @property
    def time_invalid_packets(self) -> int:
        """Frames whose fraction of a second is a second or more; they have the time of their second."""

    @property
    def totals(self) -> Totals: ...
    @property
    def link_types(self) -> list[str]: ...
    def batch(self) -> Batch:
        """The rows; with ``interval_ns`` a first column ``interval_start_ns`` (int64) is there."""

def recover(path: str) -> Generation:
    """Opens the table file of a process that died, and finishes the packets it had received but not yet added.

    The file tells its own key, networks and groups, so that a changed configuration does not matter.

    Raises:
        TableError: the file is damaged, of another version, or still in use.
    """

def capability_hint(*names: str) -> str:
    """What to do for who was refused and needs these capabilities, such as ``CAP_NET_ADMIN``.

    Names those that the calling thread lacks where it runs as root already.

    Raises:
        ValueError: one that is not known.
    """

def keep_capabilities(kept: int) -> tuple[int, bool]:
    """Gives up all capabilities (capabilities(7)) of the calling thread but those of the mask ``kept``, for good.

    What is left is handed to programs that are run, and they can gain nothing more; threads that are started later have
    the same. Returns the mask of what is left, and whether the bounding set could be cut to ``kept``.

    Raises:
        OSError: the kernel refuses.
    """
