"""A meter in the lab, and what its receipts add up to."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from netledger.intervals import Moment, SystemClock
from netledger.receipt import ZERO, Count, Observed
from netledger.sources.base import Closed, Step, no_step
from netledger.sources.nflog_managed import ManagedNflogConfig, ManagedNflogSource
from netledger.sources.nft import Nft, items
from tests.kernel.lab import Lab

CLOCK = SystemClock()


@dataclass(frozen=True)
class Interval:
    """What is left of a closed generation after it was committed."""

    seq: int
    start: Moment
    end: Moment
    observed: Observed


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


@dataclass
class Bench(Committed):
    """A managed meter on the lab's gateway. Use it with the thread inside that namespace."""

    config: ManagedNflogConfig = field(kw_only=True)
    source: ManagedNflogSource | None = None
    nft: Nft = field(default_factory=Nft)

    @classmethod
    def on(cls, lab: Lab, **wishes: object) -> "Bench":
        """With a witness installed before anything is counted."""
        lab.witness(lab.gw)
        config = ManagedNflogConfig(
            meter="lan", node="gw1", runtime=lab.directory / "run" / "lan", store=lab.directory / "store" / "meters"
        )
        return cls(lab, config=replace(config, **wishes))  # type: ignore[arg-type]  # names of fields, with their values

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = ManagedNflogSource(self.config, nft=self.nft, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Interval:
        assert self.source is not None
        now = CLOCK.now()
        return self.commit([self.source.cut(label_end_ns=now.wall_ns, now=now)])[0]

    def close(self, *, keep_rules: bool = False) -> list[Interval]:
        assert self.source is not None
        source, self.source = self.source, None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=keep_rules))

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
