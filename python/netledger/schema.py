"""What a traffic row is made of: every column's name, unit and meaning, once.

The native core builds its batches by the same list; a test compares the two. Adding a column is one entry here.
"""

from dataclasses import dataclass
from enum import StrEnum


class Account(StrEnum):
    """To whom a movement is booked."""

    HOST = "host"
    """An accounted address."""
    EXTERNAL = "external"
    """Everything that is not local, together."""
    OTHER = "other"
    """Beyond ``rows_max``: counted, but without detail."""
    UNATTRIBUTED = "unattributed"
    """The kernel counted it and it never reached this program."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a traffic row.

    Attributes:
        name: as it stands in files, reports and options.
        arrow: its Arrow type in a batch of the native core, or None where the interval gives the value.
        unit: of the number, or how the text reads; empty for plain names.
        meaning: one sentence for people.
    """

    name: str
    arrow: str | None
    unit: str
    meaning: str


_ADDRESS = "fixed_size_binary[16]"
_NAME = "dictionary<values=string, indices=uint32, ordered=0>"
_BYTES = "bytes, IP header included"

INTERVAL_COLUMNS = (
    Column("interval_start", None, "RFC 3339, UTC", "Start of the interval; belongs to it."),
    Column("interval_end", None, "RFC 3339, UTC", "End of the interval; belongs to the next one."),
    Column("node", None, "", "The machine that counted."),
    Column("meter", None, "", "The configured accounting that the row comes from."),
)
"""The same for all rows of an interval; a batch does not carry them."""

_ACCOUNT = Column(
    "account",
    "dictionary<values=string, indices=uint8, ordered=0>",
    "host, external, other or unattributed",
    "To whom the row is booked.",
)

_KEYS = (
    Column("host", _ADDRESS, "IP address", "The accounted address, cut to the meter's prefix length."),
    Column("peer", _ADDRESS, "IP address", "The other end, cut to the meter's prefix length."),
    Column("protocol", "uint8", "IP protocol number", "Upper protocol, after IPv6 extension headers."),
    Column("host_port", "uint16", "port", "Port of the host; for ICMP the type."),
    Column("peer_port", "uint16", "port", "Port of the peer; for ICMP the code."),
    Column(
        "interface",
        _NAME,
        "",
        "Where the packets that the host sent came from, or those it received went to; "
        "with the source packet, where they were seen.",
    ),
    Column("label", _NAME, "", "What the kernel's rule calls it: the prefix of an NFLOG rule."),
    Column("zone", "uint16", "", "Zone of connection tracking that the flow was in; 0 is the one that all have."),
    Column("mark", "uint32", "", "Mark of the connection (`ct mark`) when its flow was read; 0 is none."),
)

_COUNTERS = (
    Column("sent_bytes", "uint64", _BYTES, "Sent by the host."),
    Column("sent_packets", "uint64", "packets", "Sent by the host."),
    Column("received_bytes", "uint64", _BYTES, "Received by the host."),
    Column("received_packets", "uint64", "packets", "Received by the host."),
)

BATCH_COLUMNS = (_ACCOUNT, *_KEYS, *_COUNTERS)
"""A batch of the native core, in its order."""

ROW_COLUMNS = INTERVAL_COLUMNS + BATCH_COLUMNS
"""A traffic row as files and reports have it, in their order."""

KEY_COLUMNS = tuple(column.name for column in _KEYS)
"""What rows can be added up by; each is empty where it is not in the meter's key, or does not apply to the row."""

CONNECTION_COLUMNS = ("zone", "mark")
"""Those of :data:`KEY_COLUMNS` that only connection tracking knows: a key has them for its source alone."""

COUNTER_COLUMNS = tuple(column.name for column in _COUNTERS)
"""Never empty."""


class Table(StrEnum):
    """What kind of rows an interval has. The value is also the name of their directory in the store."""

    TRAFFIC = "traffic"
    """Movements of addresses: :data:`ROW_COLUMNS`. Every balance and every report of traffic is made of these."""
    COUNTERS = "counters"
    """Named counters of the kernel: :data:`NAMED_COLUMNS`. A packet may be in many of them, or in none."""


class Kind(StrEnum):
    """Where a named counter lives in the kernel."""

    NFACCT = "nfacct"
    NFT = "nft"


class Change(StrEnum):
    """What happened to a named counter in an interval, other than that it counted."""

    APPEARED = "appeared"
    """It was not there before. What it had counted by then is booked."""
    BASELINE = "baseline"
    """It was there when its meter began. What it had counted by then is not booked."""
    RESET = "reset"
    """Somebody set it back. What it counted since it was last read until then is not known."""
    REMADE = "remade"
    """Somebody deleted it and made it again. The same is not known."""
    GONE = "gone"
    """Somebody deleted it. The same is not known."""


_NAMED = (
    Column("kind", _NAME, "nfacct or nft", "Where the counter lives in the kernel."),
    Column("name", _NAME, "", "The object's name; of nft its family, table and name: `inet filter web`."),
    Column("bytes", "uint64", _BYTES, "Counted in the interval."),
    Column("packets", "uint64", "packets", "Counted in the interval."),
    Column("total_bytes", "uint64", _BYTES, "What the kernel's counter said when it was last read."),
    Column("total_packets", "uint64", "packets", "What the kernel's counter said when it was last read."),
    Column("quota", "uint64", "bytes or packets", "Limit of an nfacct object that has one."),
    Column("quota_unit", _NAME, "bytes or packets", "What the limit is counted in."),
    Column("over_quota", "uint8", "1 or 0", "Whether the limit has been reached since the object was made or reset."),
    Column("change", _NAME, "appeared, baseline, reset, remade or gone", "What happened to the counter, or nothing."),
)

NAMED_BATCH_COLUMNS = _NAMED
"""What the source of named counters gives, in its order."""

NAMED_COUNTER_COLUMNS = ("bytes", "packets", "total_bytes", "total_packets")
"""Those of them that are numbers and never empty."""

NAMED_COLUMNS = INTERVAL_COLUMNS + _NAMED
"""A row of a named counter as files and reports have it, in their order."""
