"""A day of the daemon: the test tells what is counted and what time it is."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from netledger.compat.nacctd.accounting import Accounting
from netledger.compat.nacctd.book import Book
from netledger.compat.nacctd.counting import Counted
from netledger.compat.nacctd.debugging import DebugFile
from netledger.compat.nacctd.lines import parse_line
from netledger.compat.nacctd.naccttab import Table
from netledger.compat.nacctd.records import Flow
from netledger.compat.nacctd.users import Users
from netledger.errors import SourceError
from netledger.intervals import SECOND_NS, Moment
from tests.unit.compat.nacctd.quiet import Told, table_in

S = SECOND_NS
CLIENT = 0x0A320002
NONE: frozenset[int] = frozenset()


def row(port: int = 4000, packets: int = 1, *, device: str = "ppp0") -> Counted:
    return Counted(17, 0x0A320001, port, CLIENT, 9000, device, packets, packets * 100)


@dataclass
class Generation:
    """What was counted between two cuts."""

    seq: int
    start_ns: int
    counted: list[Counted] = field(default_factory=list)
    is_released: bool = False

    def rows(self) -> list[Counted]:
        return self.counted

    def release(self) -> None:
        assert not self.is_released
        self.is_released = True


class Scripted:
    """Counts what the test says."""

    def __init__(self) -> None:
        self.all: list[Generation] = []
        self.tables: list[Table] = []
        self.refused: Table | None = None
        self.full = 0.0
        self.dropped = 0

    def open(self, table: Table, now: Moment, *, absorbed: int) -> Sequence[Generation]:  # noqa: ARG002  all are given; the book knows which it has
        if table is self.refused:
            raise SourceError("nacctd", "open", "refused")
        left = [each for each in self.all if not each.is_released]
        self.tables.append(table)
        self._begin(now)
        return left

    def cut(self, now: Moment) -> Generation:
        self._begin(now)
        self.full = 0.0
        return self.all[-2]

    def close(self, _now: Moment) -> Sequence[Generation]:
        return [self.all[-1]]

    def fullness(self) -> float:
        return self.full

    def dropped_packets(self) -> int:
        return self.dropped

    def count(self, *rows: Counted) -> None:
        self.all[-1].counted.extend(rows)

    def _begin(self, now: Moment) -> None:
        self.all.append(Generation(len(self.all) + 1, now.monotonic_ns))


Deed = Callable[[], object]


class Day:
    """A daemon whose clock stands still until it waits. ``deeds`` are done at their seconds after the start."""

    def __init__(self, directory: Path, more: str = "", **files: str) -> None:
        self.directory = directory
        self.table = table_in(directory, more, **files)
        self.now = Moment(1_000_000 * S, 500 * S)
        self.started = self.now
        self.told = Told()
        self.counting = Scripted()
        self.reloaded: Table | None = None
        self._deeds: Iterator[tuple[float, Deed | int]] = iter(())

    def run(self, deeds: Sequence[tuple[float, Deed | int]]) -> int:
        """Runs until the last deed, which is a signal that ends it."""
        self._deeds = iter(sorted(deeds, key=lambda deed: deed[0]))
        self._next = next(self._deeds)
        debug = DebugFile(str(self.directory / "debug"), 4 | 256 | 512, DayClock(self))
        debug.open()
        self.book = Book(self.table, self.told)  # type: ignore[arg-type]  # it says the same
        self.book.open(self.now)
        users = Users(self.table, self.directory, self.told, debug)  # type: ignore[arg-type]  # the same
        left = self.counting.open(self.table, self.now, absorbed=self.book.noted)
        users.recall()
        accounting = Accounting(
            self.table,
            self.book,
            self.counting,
            users,
            clock=DayClock(self),
            log=self.told,  # type: ignore[arg-type]  # the same
            debug=debug,
            reload=lambda: self.reloaded,
            started=self.started,
        )
        accounting.take(left)
        users.begin(self.started)
        try:
            return accounting.run(self)  # type: ignore[arg-type]  # it waits as the signals do
        finally:
            users.close()
            debug.close()

    def wait(self, seconds: float, _descriptor: int = -1) -> list[int]:
        """Instead of waiting: the clock goes on, to the next deed at most, which is done."""
        wake_ns = self.now.monotonic_ns + max(int(seconds * S), 1_000_000)
        due_ns = self.started.monotonic_ns + int(self._next[0] * S)
        reached_ns = max(self.now.monotonic_ns, min(wake_ns, due_ns))
        passed_ns = reached_ns - self.now.monotonic_ns
        self.now = Moment(self.now.wall_ns + passed_ns, reached_ns)
        if reached_ns < due_ns:
            return []
        deed = self._next[1]
        self._next = next(self._deeds, (1e9, 0))
        if isinstance(deed, int):
            return [deed]
        deed()
        return []

    def lines(self, name: str = "log") -> list[tuple[float, Flow, int]]:
        """When each line was written, seconds after the start, and what it says."""
        found = []
        for line in (self.directory / name).read_bytes().splitlines(keepends=True):
            counts = parse_line(line, NONE)
            assert counts is not None
            found.append((int(line.split(b"\t")[0]) - self.started.wall_ns / S, counts[0], counts[1]))
        return found

    def sums(self, name: str = "log") -> Counter[tuple[int | None, str | None]]:
        """Packets by source port and user."""
        sums: Counter[tuple[int | None, str | None]] = Counter()
        for _when, flow, packets in self.lines(name):
            sums[flow.source_port, flow.user] += packets
        return sums


class DayClock:
    """The clock of a day."""

    def __init__(self, day: Day) -> None:
        self._day = day

    def now(self) -> Moment:
        return self._day.now
