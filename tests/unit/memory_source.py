"""A source in memory: counts what a test tells it to, and breaks when it is told to."""

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from netledger._core import KeySpec, PcapReader, Totals
from netledger.config import Config, Meter
from netledger.errors import PermissionDeniedError, SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.schema import COUNTER_COLUMNS
from netledger.sources.base import NO_PAST, Closed, Glance, LiveRows, Past
from tests.unit.rows import MemoryGeneration, Row, batch, row

# The header of a pcap file of raw IP, and no packet.
EMPTY_CAPTURE = bytes.fromhex("d4c3b2a1020004000000000000000000ffff000065000000")
NOTHING = Observed(kernel=Count(0, 0), accounted=Count(0, 0), rows=0, source="memory", meaning="whole packets")


STILL = Glance(
    rows=0,
    other=Count(0, 0),
    lost_packets=0,
    overruns=0,
    received=Count(0, 0),
    lost_packets_since_open=0,
    overruns_since_open=0,
)


def no_bpf(_meter: Meter) -> None:
    """A probe where bpf cannot be used."""
    raise PermissionDeniedError("bpf", "load the program", "operation not permitted", "give it CAP_BPF")


@functools.cache
def no_totals() -> Totals:
    """Totals of nothing, by the native core; they cannot be made by hand."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as capture:
        capture.write(EMPTY_CAPTURE)
        capture.flush()
        return PcapReader(capture.name, key=KeySpec(columns=("host",)), rows_max=1).totals


@dataclass
class TestClock:
    """Time as the test sets it."""

    __test__ = False  # it is no test, though its name begins so

    wall_ns: int
    monotonic_ns: int = 0

    def now(self) -> Moment:
        return Moment(self.wall_ns, self.monotonic_ns)

    def advance(self, ns: int) -> None:
        self.wall_ns += ns
        self.monotonic_ns += ns


@dataclass
class MemorySource:
    """One meter. What was closed and not released is taken over by the next source of the same ``left``."""

    meter: str
    left: dict[int, Closed] = field(default_factory=dict)
    cut_error: Exception | None = None
    open_error: SourceError | None = None
    stats_error: SourceError | None = None
    calls: list[str] = field(default_factory=list)
    start: Moment = field(default_factory=lambda: Moment(0, 0))
    seq: int = 1
    past: Past = NO_PAST
    seen: Glance = STILL
    content: list[Row] = field(default_factory=list)

    def open(self, now: Moment, past: Past = NO_PAST) -> list[Closed]:
        self.calls.append("open")
        if self.open_error is not None:
            raise self.open_error
        self.start, self.past = now, past
        left = [self.left[seq] for seq in sorted(self.left)]
        self.seq = max(self.seq, *(seq + 1 for seq in self.left), 1)
        return left

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        self.calls.append("cut")
        if self.cut_error is not None:
            raise self.cut_error
        return self._close(Moment(label_end_ns, now.monotonic_ns))

    def close(self, *, now: Moment, keep_rules: bool) -> list[Closed]:
        self.calls.append("close, keep rules" if keep_rules else "close")
        return [self._close(now)]

    def disturb(self, what: str) -> None:
        self.calls.append(f"disturb: {what}")

    def stats(self) -> Totals:
        if self.stats_error is not None:
            raise self.stats_error
        return no_totals()

    def glance(self) -> Glance:
        if self.stats_error is not None:
            raise self.stats_error
        return self.seen

    def live(self, *, top: int | None = None, sort: str = "bytes") -> LiveRows:
        """The rows as they were given, the first ones; the order is the native core's to make."""
        assert sort == "bytes"
        sums = {name: sum(int(str(one[name])) for one in self.content) for name in COUNTER_COLUMNS}
        return LiveRows(
            rows=len(self.content),
            sent=Count(sums["sent_packets"], sums["sent_bytes"]),
            received=Count(sums["received_packets"], sums["received_bytes"]),
            batch=batch(self.content[:top]),
        )

    def _close(self, end: Moment) -> Closed:
        generation = _Forgotten(self.left, self.seq)
        made = Closed(
            meter=self.meter,
            seq=self.seq,
            start=self.start,
            end=end,
            observed=replace(NOTHING, kernel=Count(1, 100), accounted=Count(1, 100), rows=1),
            generation=generation,
            interface_names={},
            forget=lambda: None,
        )
        self.left[self.seq] = made
        self.start, self.seq = end, self.seq + 1
        return made


class _Forgotten(MemoryGeneration):
    """Leaves the list of what is to be taken over when it is released."""

    def __init__(self, left: dict[int, Closed], seq: int) -> None:
        super().__init__([row("host", host="10.0.0.1", sent=(100, 1), received=(100, 1))])
        self._left = left
        self._seq = seq

    def release(self) -> None:
        super().release()
        del self._left[self._seq]


def maker(made: dict[str, list[MemorySource]]) -> Callable[[str, Meter, Config], MemorySource]:
    """Makes sources, and keeps them by meter, the newest last."""

    def make(name: str, _meter: Meter, _config: Config) -> MemorySource:
        before = made.setdefault(name, [])
        # Numbers go on where the last source stopped: they are what an interval is known by.
        last = before[-1] if before else MemorySource(name)
        before.append(MemorySource(name, left=last.left, seq=last.seq, open_error=last.open_error))
        return before[-1]

    return make
