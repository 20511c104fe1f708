"""The packet source, as the accounting uses it."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from netledger.compat.nacctd.counting import NO_FLOW, Counted
from netledger.compat.nacctd.kernel_filter import program_of
from netledger.compat.nacctd.naccttab import Table
from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.schema import Account
from netledger.sources.base import Closed, Key, Past
from netledger.sources.packet import PacketConfig, PacketSource

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PacketCounting", "config_of", "rows_of_batch"]

_METER: Final = "nacctd"
_ROWS_MAX: Final = 1 << 20
_IPV4: Final = 4
# A cut takes up to twice as long, and there is one at each change of a user.
_RETIRE_MILLISECONDS: Final = 4
# By the field that a column is for: without the field the column is not needed. Addresses always are, for the users.
_COLUMNS: Final = {2: "protocol", 4: "host_port", 6: "peer_port"}


def config_of(table: Table, runtime: Path) -> PacketConfig:
    """The same wishes in the words of the source."""
    columns = tuple(column for field, column in _COLUMNS.items() if field not in table.disabled)
    return PacketConfig(
        meter=_METER,
        node=socket.gethostname(),
        runtime=runtime,
        store=runtime,
        key=Key(columns=("host", "peer", *columns, "interface")),
        rows_max=_ROWS_MAX,
        account="source",
        interfaces=tuple(map(_exactly, table.iflimits)),
        interfaces_excluded=tuple(map(_exactly, table.notdevs)),
        loopback=True,
        families=(_IPV4,),
        program=program_of(table),
        promiscuous=tuple(map(_exactly, table.devices)),
        retire_milliseconds=_RETIRE_MILLISECONDS,
    )


def rows_of_batch(batch: "pa.RecordBatch") -> list[Counted]:
    """The rows of an Arrow batch. What found no room in the table is a flow of its own, without addresses."""
    names = batch.schema.names
    count = batch.num_rows

    def column(name: str) -> list[int]:
        return [0 if value is None else value for value in batch.column(name).to_pylist()] if name in names else []

    zeros = [0] * count
    accounts = batch.column("account").to_pylist()
    interfaces = batch.column("interface").to_pylist()
    return [
        Counted(protocol, _address(source), source_port, _address(destination), destination_port, device, *counts)
        if account != Account.OTHER
        else Counted(*NO_FLOW, *counts)
        for account, protocol, source, source_port, destination, destination_port, device, *counts in zip(
            accounts,
            column("protocol") or zeros,
            batch.column("host").to_pylist(),
            column("host_port") or zeros,
            batch.column("peer").to_pylist(),
            column("peer_port") or zeros,
            interfaces,
            column("sent_packets"),
            column("sent_bytes"),
            strict=True,
        )
    ]


@final
class _PacketCut:
    """A closed generation of the source."""

    def __init__(self, closed: Closed) -> None:
        self._closed = closed
        self.seq = closed.seq
        self.start_ns = closed.start.monotonic_ns

    def rows(self) -> list[Counted]:
        """What was counted. A hundred thousand take about half a second."""
        # Imported with the first cut: it is the heaviest thing this program uses.
        import pyarrow as pa

        return rows_of_batch(pa.record_batch(self._closed.batch()))

    def release(self) -> None:
        """Removes it."""
        self._closed.release()


@final
class PacketCounting:
    """A packet source that is opened, cut, and opened again with other settings."""

    def __init__(self, runtime: Path) -> None:
        self._runtime = runtime
        self._source: PacketSource | None = None

    def open(self, table: Table, now: Moment, *, absorbed: int) -> list[_PacketCut]:
        """Starts to count.

        Raises:
            SourceError: another process counts here, or the kernel refuses.
            OSError: the runtime directory cannot be used.
        """
        source = PacketSource(config_of(table, self._runtime))
        left = source.open(now, Past(seq=absorbed))
        self._source = source
        return [_PacketCut(closed) for closed in left]

    def cut(self, now: Moment) -> _PacketCut:
        """Closes the open generation and goes on with the next."""
        return _PacketCut(self._open_source().cut(label_end_ns=now.wall_ns, now=now))

    def close(self, now: Moment) -> list[_PacketCut]:
        """Closes the last generation."""
        return [_PacketCut(closed) for closed in self._open_source().close(now=now, keep_rules=False)]

    def fullness(self) -> float:
        """How much of the room for flows is taken.

        Raises:
            SourceError: a receiver has ended.
        """
        source = self._open_source()
        source.stats()
        return source.glance().rows / _ROWS_MAX

    def dropped_packets(self) -> int:
        """What the kernel has dropped since the source was opened."""
        return self._open_source().stats().dropped_packets

    def _open_source(self) -> PacketSource:
        if self._source is None:
            raise SourceError("nacctd", "count", "not open")
        return self._source


def _exactly(name: str) -> str:
    """A pattern for one name only: a ``*`` behind it would stand for anything."""
    return f"{name[:-1]}[*]" if name.endswith("*") else name


def _address(value: bytes | None) -> int:
    # An IPv4 address lies in the last four of sixteen bytes.
    return int.from_bytes(value[-4:], "big") if value else 0
