"""Rows as the native core gives them, and closed generations that hold them; without a kernel."""

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from netledger.intervals import Moment
from netledger.receipt import Count, Observed, Receipt
from netledger.sources.base import Closed

SECOND_NS = 1_000_000_000
START_NS = 1_763_632_800 * SECOND_NS  # 2025-11-20T10:00:00Z

RECEIPT = Receipt(
    node="gw1",
    meter="lan",
    seq=12,
    start_ns=START_NS,
    end_ns=START_NS + 300 * SECOND_NS,
    monotonic_ns=300 * SECOND_NS,
    observed=Observed(
        kernel=Count(10, 1000), accounted=Count(10, 1000), rows=3, source="nflog", meaning="merged super-packets"
    ),
)

ARROW = pa.schema(
    [
        pa.field("account", pa.dictionary(pa.uint8(), pa.string()), nullable=False),
        pa.field("host", pa.binary(16)),
        pa.field("peer", pa.binary(16)),
        pa.field("protocol", pa.uint8()),
        pa.field("host_port", pa.uint16()),
        pa.field("peer_port", pa.uint16()),
        pa.field("interface", pa.dictionary(pa.uint32(), pa.string())),
        pa.field("label", pa.dictionary(pa.uint32(), pa.string())),
        pa.field("zone", pa.uint16()),
        pa.field("mark", pa.uint32()),
        *(
            pa.field(name, pa.uint64(), nullable=False)
            for name in ("sent_bytes", "sent_packets", "received_bytes", "received_packets")
        ),
    ]
)

Row = Mapping[str, str | int | bytes | None]


def row(
    account: str,
    *,
    host: str | None = None,
    peer: str | None = None,
    sent: tuple[int, int] = (0, 0),
    received: tuple[int, int] = (0, 0),
    **columns: str | int,
) -> Row:
    """A row; ``sent`` and ``received`` are bytes and packets."""
    return {
        "account": account,
        "host": _packed(host),
        "host_text": host,
        "peer": _packed(peer),
        "sent_bytes": sent[0],
        "sent_packets": sent[1],
        "received_bytes": received[0],
        "received_packets": received[1],
        **columns,
    }


def batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """The rows as Arrow columns of the native core's types."""
    return pa.record_batch(
        [pa.array([line.get(column.name) for line in rows], column.type) for column in ARROW], schema=ARROW
    )


@dataclass
class MemoryGeneration:
    """A closed generation in memory; counts how often it was released."""

    content: Sequence[Row] = field(default_factory=list)
    released: int = 0

    @property
    def rows(self) -> int:
        return len(self.content)

    def batch(self, _interface_names: Mapping[int, str]) -> pa.RecordBatch:
        return batch(self.content)

    def release(self) -> None:
        self.released += 1


def _packed(address: str | None) -> bytes | None:
    if address is None:
        return None
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def closed(
    generation: MemoryGeneration, *, meter: str = "lan", seq: int = 1, observed: Observed | None = None
) -> Closed:
    """A closed generation of 300 seconds; the one with number 2 follows the one with number 1."""
    start = Moment(START_NS + (seq - 1) * 300 * SECOND_NS, (seq - 1) * 300 * SECOND_NS)
    return Closed(
        meter=meter,
        seq=seq,
        start=start,
        end=Moment(start.wall_ns + 300 * SECOND_NS, start.monotonic_ns + 300 * SECOND_NS),
        observed=observed or RECEIPT.observed,
        generation=generation,
        interface_names={},
        forget=lambda: None,
    )


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    """Waits for a condition, and fails when it does not come true."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        pause.wait(0.005)
