"""What a running daemon answers. Times are RFC 3339 in UTC; counters are integers.

Fields may be added in later versions; none is taken away, renamed or given another meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

SOCKET: Final = "netledger.sock"
"""Its name in the runtime directory. With a dot in it, so that no meter can have this name for its directory."""
REQUEST_BYTES_MAX: Final = 4096
"""A longer request is refused."""
TOP_MAX: Final = 10_000
"""More rows are not given at once."""
TOP_DEFAULT: Final = 100
SORTS: Final = ("bytes", "packets", "sent_bytes", "sent_packets", "received_bytes", "received_packets")
"""What rows can be ranked by."""

Row = Mapping[str, str | int | None]
"""One row of the live table, by the names of the columns."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemStatus:
    """Something that is wrong at this moment.

    Attributes:
        what: the kind of it, such as ``store_not_written``.
        meter: whose it is; None when it is everybody's.
        export: name of the export that it is about, or None.
        why: the cause.
        hint: how to mend it, or None.
        since: when it began.
    """

    what: str
    meter: str | None
    export: str | None
    why: str
    hint: str | None
    since: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LastCommit:
    """The newest committed interval of a meter.

    Attributes:
        seq: its number.
        interval_end: where it ends.
        status: how far it is proven.
        committed_at: when it was committed.
    """

    seq: int
    interval_end: str
    status: str
    committed_at: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MeterStatus:
    """One meter that counts. What is None could not be known at this moment.

    Attributes:
        name: of the meter.
        source: the mechanism that counts.
        source_why: why it is this one, where the configuration leaves it open (`auto`); else None.
        source_better: what it would take to be counted by bpf, where `auto` came to another; else None.
        netns: the file of the network namespace that it counts in; None: the daemon's own.
        interval_seconds: length of an interval.
        counting_since: when it was opened.
        interval_start: where the open interval begins.
        interval_age_seconds: how long ago that was.
        rows: of the open interval.
        rows_max: what finds no room in so many is counted without detail.
        other_packets: counted without detail in the open interval.
        received_packets: that have come since it was opened.
        received_bytes: of those.
        packets_per_second: in the last seconds.
        bytes_per_second: in the last seconds.
        rate_milliseconds: how many those were.
        lost_packets: that the kernel numbered and that never came, since it was opened.
        overruns: how often the receive buffer was full, since it was opened.
        intervals_waiting: closed, and not committed yet.
        is_export_due: whether committed intervals are not exported yet.
        last_commit: the newest committed interval, or None.
    """

    name: str
    source: str
    interval_seconds: int
    counting_since: str
    interval_start: str | None
    interval_age_seconds: int | None
    rows: int | None
    rows_max: int
    other_packets: int | None
    received_packets: int | None
    received_bytes: int | None
    packets_per_second: int | None
    bytes_per_second: int | None
    rate_milliseconds: int | None
    lost_packets: int | None
    overruns: int | None
    intervals_waiting: int
    is_export_due: bool
    last_commit: LastCommit | None
    source_why: str | None = None
    source_better: str | None = None
    netns: str | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionStatus:
    """One source that tells whose an address is.

    Attributes:
        name: of the ``[attribution.NAME]``.
        source: the kind of it.
        state: ``starting``, ``following``, ``waiting`` (not there; it looks again by itself) or ``failed`` (it is
            started again after a pause).
        since: when that began.
        facts: how many were learnt since the daemon began.
        last_learnt: when the last of them was, or None.
        refused: how much of what it told was no address, no name or no time.
        refused_reasons: how much of it for which reason, in the words of the log.
        why: what is wrong, or None.
        hint: how to mend it, or None.
    """

    name: str
    source: str
    state: str
    since: str
    facts: int
    last_learnt: str | None
    refused: int
    why: str | None
    hint: str | None
    refused_reasons: dict[str, int] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """A running daemon.

    Attributes:
        version: of the program.
        pid: of the process.
        now: when this was said.
        started_at: when the process began.
        node: name of the machine in rows and receipts.
        store: directory of what is durable.
        runtime: directory of what is being counted.
        meters: that count, by name.
        problems: what is wrong now, the oldest first; empty when all is well.
        network_namespace: the inode of the network namespace that it looks at, or None where it is not known.
        attribution: where it is learnt whose an address is, by name.
    """

    version: str
    pid: int
    now: str
    started_at: str
    node: str
    store: str
    runtime: str
    meters: tuple[MeterStatus, ...]
    problems: tuple[ProblemStatus, ...]
    network_namespace: int | None = None
    attribution: tuple[AttributionStatus, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableHead:
    """What is said of a live table in front of its rows.

    Attributes:
        meter: whose it is.
        now: when it was read.
        interval_start: where the open interval begins.
        sort: what the rows are ranked by.
        rows: how many there are.
        rows_shown: how many of them follow.
        sent_bytes: of all rows, as the other three.
    """

    meter: str
    now: str
    interval_start: str | None
    sort: str
    rows: int
    rows_shown: int
    sent_bytes: int
    sent_packets: int
    received_bytes: int
    received_packets: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LiveTable:
    """The greatest rows of a meter's open interval.

    Attributes:
        head: what is said of all of them.
        rows: those asked for, the greatest first; columns that the meter does not keep are missing.
    """

    head: TableHead
    rows: tuple[Row, ...]
