"""A meter in the lab, in this process or in one that a test can kill, and what its receipts add up to."""

import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

import pyarrow as pa
from pydantic import TypeAdapter

from netledger.intervals import Moment, SystemClock
from netledger.receipt import ZERO, Count, Observed
from netledger.reports.written import Prefixes
from netledger.sources.base import Closed, Source, Step, no_step
from netledger.sources.bookkeeping import MeterConfig
from netledger.sources.nflog_managed import ManagedNflogConfig, ManagedNflogSource
from netledger.sources.nft import Nft, items
from tests.kernel.lab import Lab, wait_for

CLOCK = SystemClock()
ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 90.0

S = TypeVar("S", bound=Source)


@dataclass(frozen=True)
class Interval:
    """What is left of a closed generation after it was committed."""

    seq: int
    start: Moment
    end: Moment
    observed: Observed


ANSWER = TypeAdapter(list[Interval])


@dataclass
class Committed:
    """What a meter gave, and what it adds up to."""

    lab: Lab
    intervals: list[Interval] = field(default_factory=list)

    def commit(self, closed: Iterable[Closed]) -> list[Interval]:
        """Checks rows against receipts, releases, and keeps the figures."""
        done = []
        for one in closed:
            assert len(one.batch()) == one.observed.rows
            done.append(Interval(one.seq, one.start, one.end, one.observed))
            one.release()
        self.intervals += done
        return done

    def witnessed(self) -> Count:
        seen = self.lab.counter(self.lab.gw, "witness", "total")
        return Count(seen.packets, seen.bytes)

    def sum(self, what: str) -> Count:
        """``kernel``, ``accounted``, ``lost`` or ``unattributed`` over all intervals."""
        total = ZERO
        for interval in self.intervals:
            count = getattr(interval.observed, what)
            assert isinstance(count, Count), interval
            total += count
        return total

    def statuses(self) -> list[str]:
        return [str(interval.observed.status) for interval in self.intervals]

    def check_chain(self, *, stops: bool = False) -> None:
        """Numbers without gap, each interval starting where the one before ended, or later after a stop."""
        assert [one.seq for one in self.intervals] == list(range(1, len(self.intervals) + 1))
        for before, after in zip(self.intervals, self.intervals[1:], strict=False):
            assert before.end == after.start or (stops and before.end < after.start)


class Child:
    """The test's end of a meter in another process. As a context manager it kills the process at the end."""

    def __init__(self, bench: Committed, module: str, config: str, die_at: str) -> None:
        self._bench = bench
        argv = [sys.executable, "-m", module, config, die_at]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self._intervals(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=END_SECONDS)

    def tell(self, command: str) -> list[Interval] | None:
        """Hands over a command; None when the process died of it."""
        return self._intervals(self._exchange(command))

    def received_packets(self) -> int:
        """How many packets have reached it."""
        return int(self._exchange("stats"))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(END_SECONDS)

    def _exchange(self, command: str) -> bytes:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _intervals(self, line: bytes) -> list[Interval] | None:
        if not line:
            return None
        intervals = ANSWER.validate_json(line)
        self._bench.intervals += intervals
        return intervals


@dataclass
class Metered(Committed, ABC, Generic[S]):
    """A meter of any source. Use it with the thread inside the namespace that it counts."""

    MODULE: ClassVar[str]
    """What runs the same meter in a process of its own, see ``metering_child``."""

    config: MeterConfig = field(kw_only=True)
    source: S | None = None

    @abstractmethod
    def made(self, at_step: Step) -> S:
        """The source, inert."""

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = self.made(at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def closed_by_a_cut(self) -> Closed:
        """What a cut gives, not yet committed."""
        now = CLOCK.now()
        return self.opened().cut(label_end_ns=now.wall_ns, now=now)

    def cut(self) -> Interval:
        return self.commit([self.closed_by_a_cut()])[0]

    def close(self, *, keep_rules: bool = False) -> list[Interval]:
        source, self.source = self.opened(), None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=keep_rules))

    def opened(self) -> S:
        assert self.source is not None
        return self.source

    def wish(self, **wishes: object) -> None:
        """Another configuration, for the next one that opens it."""
        self.config = replace(self.config, **wishes)  # type: ignore[arg-type]  # names of fields, with their values

    def wait_for_packets(self, number: int) -> None:
        """Until it has counted so many since it was opened."""
        source = self.opened()
        wait_for(lambda: source.stats().received_packets >= number, 20, f"{number} packets; {source.glance()}")

    def child(self, die_at: str = "") -> Child:
        """The same meter in a process of its own, which dies at a step if one is given."""
        return Child(self, self.MODULE, self.config_text(), die_at)

    def config_text(self) -> str:
        """Its configuration, for another process."""
        return TypeAdapter(type(self.config)).dump_json(self.config).decode()


@dataclass
class Listed(Metered[S]):
    """One whose rows are added up as well."""

    PREFIXES: ClassVar[Prefixes]

    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Of all intervals: packets by interface, host and whether it sent or received them."""

    def commit(self, closed: Iterable[Closed]) -> list[Interval]:
        all_closed = list(closed)
        for one in all_closed:
            self._note_rows(one)
        return super().commit(all_closed)

    def books_each_packet_twice(self) -> bool:
        """As sent and as received: then the rows of each side are what was accounted."""
        return True

    def _note_rows(self, closed: Closed) -> None:
        columns = pa.record_batch(closed.batch()).to_pydict()
        hosts = [None if cell is None else self.PREFIXES.text(cell) for cell in columns["host"]]
        sums = {"sent": ZERO, "received": ZERO}
        for number, host in enumerate(hosts):
            for side in sums:
                count = Count(columns[f"{side}_packets"][number], columns[f"{side}_bytes"][number])
                self.rows[columns["interface"][number] or "", host or columns["account"][number], side] += count.packets
                sums[side] += count
        if self.books_each_packet_twice():
            assert set(sums.values()) == {closed.observed.accounted}


@dataclass
class Bench(Metered[ManagedNflogSource]):
    """A managed meter on the lab's gateway."""

    MODULE = "tests.kernel.metering_child"

    config: ManagedNflogConfig = field(kw_only=True)
    nft: Nft = field(default_factory=Nft)

    @classmethod
    def on(cls, lab: Lab, **wishes: object) -> "Bench":
        """With a witness installed before anything is counted."""
        lab.witness(lab.gw)
        config = ManagedNflogConfig(
            meter="lan", node="gw1", runtime=lab.directory / "run" / "lan", store=lab.directory / "store" / "meters"
        )
        return cls(lab, config=replace(config, **wishes))  # type: ignore[arg-type]  # names of fields, with their values

    def made(self, at_step: Step) -> ManagedNflogSource:
        return ManagedNflogSource(self.config, nft=self.nft, at_step=at_step)

    def cumulative(self) -> Count:
        """What the meter's own counters say, which nobody ever resets."""
        total = ZERO
        for item in items(Nft().table("inet", self.config.table)):
            counter = item.get("counter")
            if isinstance(counter, dict):
                packets, octets = counter["packets"], counter["bytes"]
                assert isinstance(packets, int)
                assert isinstance(octets, int)
                total += Count(packets, octets)
        return total


def leftovers(directory: Path) -> list[str]:
    """State files that are still there, the lock aside."""
    return sorted(path.name for path in directory.iterdir() if path.name != "lock")
