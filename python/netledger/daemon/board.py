"""What the daemon knows of itself, for those who ask from another thread."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

import netledger
from netledger.config import Config
from netledger.daemon.meter import RunningMeter
from netledger.daemon.rates import Rate, Rates
from netledger.errors import LedgerError, NetledgerError, SourceError
from netledger.intervals import SECOND_NS, Clock
from netledger.ledger.reader import Reader
from netledger.live import namespace
from netledger.live.shape import AttributionStatus, DaemonStatus, LastCommit, MeterStatus, ProblemStatus
from netledger.pipeline import CommitQueue
from netledger.pipeline.problems import Problem, Problems, Trouble
from netledger.receipt import Receipt, rfc3339
from netledger.sources.base import Glance
from netledger.sources.interfaces import absent
from netledger.sources.namespaces import Namespace

_log = logging.getLogger(__name__)

_MILLISECOND_NS: Final = 1_000_000

# What a full buffer has cost, by source.
_TOLD_LATER: Final = "the receipt tells what is missing"
_TOLD_BY: Final = {
    "nflog": "how many is told by the next packet that comes",
    "conntrack": "the kernel tells again which flows ended",
}


# What is over when a meter does not count any more.
_OF_COUNTING: Final = (
    Trouble.CUT,
    Trouble.CLOCK,
    Trouble.TABLE,
    Trouble.LOSS,
    Trouble.DISTURBED,
    Trouble.UNPINNED,
    Trouble.INTERFACE,
)


@dataclass(slots=True)
class _Entry:
    """A meter that counts."""

    meter: RunningMeter
    since_ns: int
    rates: Rates
    absent: frozenset[str]
    """Interfaces that the log has told to be missing."""


@dataclass(slots=True)
class _Known:
    """What outlives a meter that is closed and opened again."""

    commit: LastCommit | None = None
    lost_packets: int = 0
    other_packets: int = 0


@final
@dataclass(slots=True)
class Board:
    """Safe to use from any thread; holds its lock only to look something up.

    Attributes:
        config: what the daemon was started with.
        clock: where the time comes from.
        queue: where intervals wait.
        problems: what is wrong.
        learners: how those are that learn whose an address is; notes what is wrong with them.
    """

    config: Config
    clock: Clock
    queue: CommitQueue
    problems: Problems
    learners: Callable[[], tuple[AttributionStatus, ...]] = tuple
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _meters: dict[str, _Entry] = field(default_factory=dict, init=False)
    _known: dict[str, _Known] = field(default_factory=dict, init=False)
    _started_ns: int = field(init=False)

    def __post_init__(self) -> None:
        self._started_ns = self.clock.now().wall_ns

    def opened(self, meter: RunningMeter) -> None:
        """A meter counts from now on. Reads the store, for what it committed before."""
        now, missing = self.clock.now(), frozenset(_absent(meter))
        with self._lock:
            self._meters[meter.name] = _Entry(meter, now.wall_ns, Rates(now.monotonic_ns), missing)
            is_new = meter.name not in self._known
            known = self._known.setdefault(meter.name, _Known())
        if is_new:
            known.commit = self._committed_before(meter.name)
        for what in (Trouble.NOT_COUNTING, Trouble.SOURCE):
            self.problems.clear(what, meter=meter.name)

    def closed(self, name: str) -> None:
        """A meter does not count any more."""
        with self._lock:
            self._meters.pop(name, None)
        for what in _OF_COUNTING:
            self.problems.clear(what, meter=name)

    def committed(self, receipt: Receipt) -> None:
        """An interval is durable."""
        commit = LastCommit(
            seq=receipt.seq,
            interval_end=rfc3339(receipt.end_ns),
            status=str(receipt.status),
            committed_at=rfc3339(self.clock.now().wall_ns),
        )
        observed = receipt.observed
        with self._lock:
            self._known[receipt.meter] = _Known(commit, observed.admitted_packets, observed.other.packets)

    def meter(self, name: str) -> RunningMeter | None:
        """A meter that counts."""
        with self._lock:
            entry = self._meters.get(name)
        return None if entry is None else entry.meter

    def names(self) -> list[str]:
        """The meters that count."""
        with self._lock:
            return sorted(self._meters)

    def look(self) -> None:
        """Takes a reading of all meters. To be called from time to time, so that a first question gets its answer."""
        for _ in self._looked():
            pass
        self.learners()

    def status(self) -> DaemonStatus:
        """How things are."""
        meters = tuple(self._meter_status(*found) for found in self._looked())
        attribution = self.learners()
        return DaemonStatus(
            version=netledger.__version__,
            pid=os.getpid(),
            now=rfc3339(self.clock.now().wall_ns),
            started_at=rfc3339(self._started_ns),
            node=self.config.node,
            store=self.config.store,
            runtime=self.config.runtime,
            meters=meters,
            problems=tuple(self._problem_status(problem) for problem in self.problems.all()),
            network_namespace=namespace.own(),
            attribution=attribution,
        )

    def _looked(self) -> Iterator[tuple[_Entry, _Known, Glance | None, Rate | None]]:
        with self._lock:
            entries = [(name, self._meters[name], self._known[name]) for name in sorted(self._meters)]
        for name, entry, known in entries:
            try:
                glance = entry.meter.glance()
            except SourceError:
                # It is just being closed, or it broke: then that is noted as a problem by who notices.
                yield entry, known, None, None
                continue
            with self._lock:
                rate = entry.rates.read(self.clock.now().monotonic_ns, glance.received)
            self._note_limits(name, entry.meter, known, glance)
            self._note_absent(name, entry)
            yield entry, known, glance, rate

    def _note_limits(self, name: str, meter: RunningMeter, known: _Known, glance: Glance) -> None:
        """What is too small for what comes: noted while the open interval suffers by it, or the one before did."""
        mechanism = meter.chosen.mechanism
        lost, other = glance.lost_packets + known.lost_packets, glance.other.packets + known.other_packets
        why = f"{lost:,} packets in this interval and the one before it" if lost else None
        if why is None and glance.overruns:
            why = f"the receive buffer was full; {_TOLD_BY.get(mechanism, _TOLD_LATER)}"
        size, key = meter.config.buffer_bytes(mechanism), meter.config.buffer_key(mechanism)
        hint = None if size is None else f"raise meters.{name}.{mechanism}.{key}, which is {size}"
        self.problems.set(Trouble.LOSS, why, meter=name, hint=hint)
        why = f"{other:,} packets in this interval and the one before it are counted without detail" if other else None
        hint = f"raise meters.{name}.rows_max, which is {meter.config.rows_max}, or keep fewer columns in its key"
        self.problems.set(Trouble.TABLE, why, meter=name, hint=hint)
        hint = "it was put in order; the receipt of the interval tells it, too"
        self.problems.set(Trouble.DISTURBED, glance.disturbed, meter=name, hint=hint)
        why, hint = (None, None) if glance.unpinned is None else (glance.unpinned.why, glance.unpinned.hint)
        self.problems.set(Trouble.UNPINNED, why, meter=name, hint=hint)

    def _note_absent(self, name: str, entry: _Entry) -> None:
        """Interfaces that are not there. The log has those that were missing from the start."""
        missing = _absent(entry.meter)
        with self._lock:
            new, entry.absent = set(missing) - entry.absent, frozenset(missing)
        for interface in sorted(new):
            _log.warning("interface_not_there", extra={"fields": {"meter": name, "interface": interface}})
        why = f"there is no {', '.join(missing)} now: nothing is counted there" if missing else None
        hint = f"correct meters.{name}.interfaces if it is misspelt; it is counted as soon as it is there"
        self.problems.set(Trouble.INTERFACE, why, meter=name, hint=hint)

    def _meter_status(self, entry: _Entry, known: _Known, glance: Glance | None, rate: Rate | None) -> MeterStatus:
        meter, start_ns = entry.meter, entry.meter.start_ns
        age_ns = None if start_ns is None else self.clock.now().wall_ns - start_ns
        return MeterStatus(
            name=meter.name,
            source=meter.chosen.mechanism,
            source_why=meter.chosen.why,
            source_better=meter.chosen.better,
            netns=meter.config.netns,
            interval_seconds=meter.config.interval_seconds,
            counting_since=rfc3339(entry.since_ns),
            interval_start=None if start_ns is None else rfc3339(start_ns),
            interval_age_seconds=None if age_ns is None else max(0, age_ns // SECOND_NS),
            rows=None if glance is None else glance.rows,
            rows_max=meter.config.rows_max,
            other_packets=None if glance is None else glance.other.packets,
            received_packets=None if glance is None else glance.received.packets,
            received_bytes=None if glance is None else glance.received.bytes,
            packets_per_second=None if rate is None else rate.packets,
            bytes_per_second=None if rate is None else rate.bytes,
            rate_milliseconds=None if rate is None else rate.window_ns // _MILLISECOND_NS,
            lost_packets=None if glance is None else glance.lost_packets_since_open,
            overruns=None if glance is None else glance.overruns_since_open,
            intervals_waiting=self.queue.waiting(meter.name),
            is_export_due=self.queue.is_export_due(meter.name),
            last_commit=known.commit,
        )

    def _problem_status(self, problem: Problem) -> ProblemStatus:
        why = problem.why
        if problem.what is Trouble.STORE:
            names = self.names() if problem.meter is None else [problem.meter]
            waiting = sum(self.queue.waiting(name) for name in names)
            why = f"{why}; {waiting} {'interval waits' if waiting == 1 else 'intervals wait'}"
        return ProblemStatus(
            what=str(problem.what),
            meter=problem.meter,
            export=problem.export,
            why=why,
            hint=problem.hint,
            since=rfc3339(problem.since_ns),
        )

    def _committed_before(self, name: str) -> LastCommit | None:
        reader = Reader(Path(self.config.store))
        try:
            newest = reader.newest(node=self.config.node, meter=name) if reader.version() else None
        except LedgerError:
            return None  # who commits to it says so
        return (
            None
            if newest is None
            else LastCommit(
                seq=newest.seq,
                interval_end=rfc3339(newest.end_ns),
                status=str(newest.status),
                committed_at=rfc3339(newest.committed_ns),
            )
        )


def _absent(meter: RunningMeter) -> list[str]:
    """The interfaces that are missing where a meter counts; none where one cannot look. Blocks for a moment."""
    wanted, netns = meter.config.interfaces, meter.config.netns
    if netns is None or not wanted:
        return absent(wanted)
    place = Namespace(netns)
    try:
        place.open()
        return place.run(lambda: absent(wanted))
    except (NetledgerError, OSError):
        return []
    finally:
        place.close()
