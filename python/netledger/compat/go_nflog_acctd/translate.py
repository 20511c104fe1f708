"""Their options as our source: the same groups, the same key, and where the counters live meanwhile."""

import hashlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netledger.compat.go_nflog_acctd.messages import Event
from netledger.compat.go_nflog_acctd.options import Options
from netledger.exports.go_nflog_acctd import Row
from netledger.intervals import Moment
from netledger.schema import Account
from netledger.sources.base import Closed, Key
from netledger.sources.nflog_groups import GivenGroup, GivenGroupsConfig, GivenGroupsSource

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["GroupsMeter", "config_of", "rows_of", "rows_of_batch", "runtime_directory"]

_METER = "go-nflog-acctd"
_RUNTIME = Path("/run/netledger")
_ROOT = 0
_NAME_CHARACTERS = 12
_ADDRESS_BYTES, _COUNTER_BYTES = 16, 8
_COUNTERS = ("sent_bytes", "sent_packets", "received_bytes", "received_packets")
_IPV4_BITS, _IPV6_BITS = 32, 128
# What the old program asked the kernel for: full batches, or what there is after a second.
_TIMEOUT_CENTISECONDS = 100
# The header, and the option that has the length of a jumbogram.
_COPY_BYTES = {4: 20, 6: 48}
_TRACE_TROUBLE, _TRACE_BATCHES, _TRACE_PACKETS = range(3)


def runtime_directory(options: Options) -> Path:
    """Where the table files of the running periods are.

    As given; else below ``/run/netledger``, one for each log directory, so that a full disk or a log directory that is
    moved away does not stop the counting. Without root that is not writable: then in the log directory itself.
    """
    if options.runtime_directory:
        return Path(options.runtime_directory)
    if os.geteuid() != _ROOT:
        return Path(options.log_directory, ".netledger")
    name = hashlib.sha256(os.fsencode(os.path.realpath(options.log_directory))).hexdigest()[:_NAME_CHARACTERS]
    return _RUNTIME / f"{_METER}-{name}"


def config_of(options: Options, runtime: Path) -> GivenGroupsConfig:
    """The same wishes in the words of the source."""
    return GivenGroupsConfig(
        meter=_METER,
        node=socket.gethostname(),
        runtime=runtime,
        store=runtime,
        groups=tuple(
            GivenGroup(
                number=group.number,
                account="source" if group.is_source else "destination",
                strict_family=group.ip_version,
                copy_range_bytes=_COPY_BYTES[group.ip_version],
            )
            for group in options.groups
        ),
        key=Key(
            columns=("host",),
            ipv4_prefix_length=min(options.ipv4_prefix_length, _IPV4_BITS),
            ipv6_prefix_length=min(options.ipv6_prefix_length, _IPV6_BITS),
        ),
        timeout_centiseconds=_TIMEOUT_CENTISECONDS,
        trace=_TRACE_PACKETS if options.debug else _TRACE_BATCHES if options.verbose else _TRACE_TROUBLE,
    )


def rows_of(closed: Closed) -> list[Row]:
    """The rows of a closed period. A million take about a second."""
    # Imported with the first file: it is the heaviest thing this program uses.
    import pyarrow as pa

    return rows_of_batch(pa.record_batch(closed.batch()))


def rows_of_batch(batch: "pa.RecordBatch") -> list[Row]:
    """The rows of an Arrow batch."""
    if not batch.num_rows:
        return []
    # From the raw buffers: making Python objects of the values by Arrow's own means takes several times as long.
    accounts = batch.column("account")
    names = accounts.dictionary.to_pylist()
    known = [names[index] == Account.HOST for index in _raw(accounts.indices, 1)]
    packed = bytes(_raw(batch.column("host"), _ADDRESS_BYTES))
    addresses = (packed[first : first + _ADDRESS_BYTES] for first in range(0, len(packed), _ADDRESS_BYTES))
    counters = (_raw(batch.column(name), _COUNTER_BYTES).cast("Q").tolist() for name in _COUNTERS)
    return [
        Row(address if is_known else None, *numbers)
        for is_known, address, *numbers in zip(known, addresses, *counters, strict=True)
    ]


def _raw(column: "pa.Array", width_bytes: int) -> memoryview:
    """The values of a column of fixed width, without those that are sliced off."""
    first = column.offset * width_bytes
    return memoryview(column.buffers()[1])[first : first + len(column) * width_bytes]


class GroupsMeter:
    """The source, as the accounting uses it. Not safe for concurrent use."""

    def __init__(self, options: Options, runtime: Path) -> None:
        self._source = GivenGroupsSource(config_of(options, runtime))
        self._open = True

    def open(self, now: Moment) -> list[Closed]:
        """Starts to count; gives what a killed process left behind, oldest first.

        Raises:
            GroupBusyError, PermissionDeniedError, SourceError: see the source.
        """
        return self._source.open(now)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        """Closes the open period and goes on with the next.

        Raises:
            SourceError: it goes on open.
        """
        return self._source.cut(label_end_ns=label_end_ns, now=now)

    def close(self, *, now: Moment) -> list[Closed]:
        """Closes the last period, with all that the kernel still held.

        Raises:
            SourceError: the next start finds it.
        """
        self._open = False
        return self._source.close(now=now, keep_rules=False)

    def trace(self) -> Sequence[Event]:
        """What happened since the last call.

        Raises:
            SourceError: nothing is received any more.
        """
        events = self._source.trace()
        if self._open:
            self._source.stats()
        return events
