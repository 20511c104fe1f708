"""A capture file (pcap, pcapng) as a source: read once from start to end, no privileges."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from netledger._core import Batch, PcapReader, Totals
from netledger.errors import UsageError
from netledger.sources.base import Key

COLUMNS: Final = ("host", "peer", "protocol", "host_port", "peer_port")
"""What the rows of a capture can be added up by: it knows no interfaces of this machine, and no rules."""

# A step takes some ten milliseconds: often enough for a progress bar, and for Ctrl-C.
_STEP_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PcapConfig:
    """Which capture is read, and how.

    Attributes:
        path: the file; ``-`` is standard input.
        key: what rows are added up by.
        rows_max: rows beyond this are added up as *other*.
        interval_ns: above 0, rows are kept apart by the interval of each packet's own time, aligned to UTC.
    """

    path: str
    key: Key
    rows_max: int = 1_000_000
    interval_ns: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading has come.

    Attributes:
        position_bytes: bytes of the capture that are done with.
        size_bytes: size of the file; None for a pipe.
    """

    position_bytes: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A capture that has been read.

    Attributes:
        config: how it was read.
        first_ns: time of the earliest packet, UTC nanoseconds since 1970; None if no packet has a time.
        last_ns: time of the latest.
        totals: what was counted.
        time_invalid_packets: frames whose fraction of a second is a second or more; they count at their second.
        truncated: why reading ended before the end of the capture, or None when it is whole.
        link_types: names of the link types that it declares.
        rows: the rows, with ``interval_start_ns`` as their first column if there are intervals.
    """

    config: PcapConfig
    first_ns: int | None
    last_ns: int | None
    totals: Totals
    time_invalid_packets: int
    truncated: str | None
    link_types: tuple[str, ...]
    rows: Batch


class PcapSource:
    """Reads one capture. Not safe for concurrent use."""

    def __init__(self, config: PcapConfig) -> None:
        self._config = config

    def read(self, progress: Callable[[Progress], None]) -> Capture:
        """Reads to the end; tells ``progress`` after each step. Blocks for the disk or the pipe.

        Ctrl-C ends it early: what was read until then is given, and said to be incomplete. On a pipe only the second
        one does: the first has reached the writer too, and what it still has to say belongs to the capture.

        Raises:
            UsageError: the key cannot be: a column that a capture does not have, a network that is none.
            CaptureError: no capture, of a link type that is not understood, or the system cannot read it.
        """
        reader = self._open()
        patience = 1 if reader.size_bytes is None else 0
        interrupted = None
        goes_on = True
        while goes_on:
            try:
                goes_on = reader.read(_STEP_BYTES)
                progress(Progress(reader.position_bytes, reader.size_bytes))
            except KeyboardInterrupt:
                patience -= 1
                if patience < 0:
                    interrupted = f"reading was interrupted at byte {reader.position_bytes}"
                    break
        return Capture(
            config=self._config,
            first_ns=reader.first_ns,
            last_ns=reader.last_ns,
            totals=reader.totals,
            time_invalid_packets=reader.time_invalid_packets,
            truncated=interrupted or reader.truncated,
            link_types=tuple(reader.link_types),
            rows=reader.batch(),
        )

    def _open(self) -> PcapReader:
        config = self._config
        for column in config.key.columns:
            if column not in COLUMNS:
                raise UsageError(f"key {column}", "", f"a capture has none; it has {', '.join(COLUMNS)}")
        try:
            key = config.key.native()
        except ValueError as error:
            raise UsageError("key", "", str(error)) from None
        return PcapReader(config.path, key=key, rows_max=config.rows_max, interval_ns=config.interval_ns)
