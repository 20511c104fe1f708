"""Periods open, close and get their files, with a clock and a source of the test's own."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from netledger._core import Batch
from netledger.compat.go_nflog_acctd.accounting import Accounting
from netledger.compat.go_nflog_acctd.files import Journal
from netledger.compat.go_nflog_acctd.log import Log
from netledger.compat.go_nflog_acctd.options import parse_options
from netledger.compat.go_nflog_acctd.signals import EndSignals
from netledger.errors import SourceError, TableError
from netledger.exports.go_nflog_acctd import Row
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.base import Closed
from tests.unit.compat.go_nflog_acctd.test_gotext import NOON, SECOND_NS, zone
from tests.unit.compat.go_nflog_acctd.test_messages import Noted
from tests.unit.compat.go_nflog_acctd.test_render import packed

OBSERVED = Observed(kernel=None, accounted=Count(1, 60), rows=1, source="nflog", meaning="merged super-packets")


@dataclass
class Times:
    """A clock that goes on by one of these steps, in seconds, each time it is looked at; then stands still."""

    steps: list[float] = field(default_factory=list)
    wall_ns: int = NOON

    def now(self) -> Moment:
        self.wall_ns += int((self.steps.pop(0) if self.steps else 0) * SECOND_NS)
        return Moment(self.wall_ns, self.wall_ns)


@dataclass
class Released:
    """Rows that can be let go, or not."""

    refusals: int = 0
    rows: int = 1

    def batch(self, interface_names: Mapping[int, str]) -> Batch:
        raise AssertionError(interface_names)

    def release(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise TableError("gen", "release", "input/output error")


@dataclass
class Source:
    """Closes periods of one packet each. ``refusals`` are cuts that fail; ``ended`` makes it fail for good."""

    opened: Moment
    refusals: int = 0
    refusal: Exception = field(default_factory=lambda: TableError("gen-2", "create", "no space left on device"))
    ended: bool = False
    seq: int = 0
    at_news: Callable[[], None] = lambda: None
    news: list[Noted] = field(default_factory=list)

    def cut(self, *, label_end_ns: int, now: Moment) -> Closed:
        if self.refusals:
            self.refusals -= 1
            raise self.refusal
        end = Moment(label_end_ns, now.monotonic_ns)
        closed, self.opened = self.closed(end), end
        return closed

    def close(self, *, now: Moment) -> list[Closed]:
        return [self.closed(now)]

    def trace(self) -> list[Noted]:
        if self.ended:
            raise SourceError("meter", "ask its thread", "it has ended")
        self.at_news()
        news, self.news = self.news, []
        return news

    def closed(self, end: Moment) -> Closed:
        self.seq += 1
        return Closed(
            meter="test", seq=self.seq, start=self.opened, end=end, observed=OBSERVED, generation=Released(),
            interface_names={}, forget=lambda: None,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with zone("UTC"):
        yield


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "acc"
    made.mkdir()
    return made


def accounting(directory: Path, source: Source, *words: str, clock: Times | None = None) -> Accounting:
    options = parse_options(["-log-directory", str(directory), "-ip4-dst-group", "4", *words])
    clock = clock or Times()
    log = Log(Times(), program="test", verbose=options.verbose)
    return Accounting(
        options,
        source,
        lambda _closed: [Row(packed("10.9.0.2"), 0, 0, 60, 1)],
        clock=clock,
        journal=Journal(directory.parent / "files.json"),
        log=log,
    )


def end_when(condition: Callable[[], bool]) -> Callable[[], None]:
    def look() -> None:
        if condition():
            os.kill(os.getpid(), signal.SIGTERM)

    return look


def names(directory: Path) -> list[str]:
    return sorted(path.name.replace("2026-11-20-", "") for path in directory.iterdir())


def run(directory: Path, source: Source, clock: Times, *words: str) -> int:
    with EndSignals() as signals:
        return accounting(directory, source, *words, clock=clock).run(source.opened, signals)


def test_periods_are_adjacent_and_end_where_the_schedule_says(directory: Path) -> None:
    source = Source(Moment(NOON + 2 * SECOND_NS, 0))
    source.at_news = end_when(lambda: source.seq == 2)
    clock = Times([2] + [0.75] * 40)
    assert run(directory, source, clock, "-interval", "5s", "-verbose") == 0
    first, second, last = names(directory)
    assert first == "120002_120005.csv"
    assert second == "120005_120010.csv"
    assert last.startswith("120010_")


def test_a_clock_that_is_stepped_forward_ends_the_period_at_once(directory: Path) -> None:
    source = Source(Moment(NOON, 0))
    source.at_news = end_when(lambda: source.seq == 1)
    assert run(directory, source, Times([0, 3602]), "-interval", "5s", "-verbose") == 0
    assert names(directory)[0] == "120000_130002.csv"
    assert names(directory)[1].startswith("130002_")


def test_a_clock_that_is_stepped_back_lets_the_period_wait_for_its_end(directory: Path) -> None:
    source = Source(Moment(NOON, 0))
    source.at_news = end_when(lambda: source.seq == 1)
    assert run(directory, source, Times([0, -3600, 0, 3600, 5]), "-interval", "5s", "-verbose") == 0
    assert names(directory)[0] == "120000_120005.csv"


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (TableError("gen-2", "create", "no space left on device"), "gen-2: create: no space left on device"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_a_period_that_cannot_be_ended_goes_on(
    directory: Path, capfd: pytest.CaptureFixture[str], refusal: Exception, words: str
) -> None:
    source = Source(Moment(NOON, 0), refusals=1, refusal=refusal)
    source.at_news = end_when(lambda: source.seq == 1)
    assert run(directory, source, Times([0] + [0.5] * 80), "-interval", "5s", "-verbose") == 0
    assert names(directory)[0] == "120000_120010.csv"
    assert f"Failed to end the period: {words}" in capfd.readouterr().err


def test_when_nothing_is_received_any_more_it_ends(directory: Path) -> None:
    with pytest.raises(SourceError):
        run(directory, Source(Moment(NOON, 0), ended=True), Times())
    assert names(directory) == []


def test_counters_that_cannot_be_let_go_are_not_written_twice(
    directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = Source(Moment(NOON, 0))
    book = accounting(directory, source)
    closed = source.closed(Moment(NOON + SECOND_NS, 0))
    book.take([replace(closed, generation=Released(1))])
    assert "Failed to let the counters go: gen: release: input/output error" in capfd.readouterr().err
    book.take([])
    assert names(directory) == ["120000_120001.csv"]
    assert (directory.parent / "files.json").read_text() == "{}"


def test_after_a_crash_behind_the_renaming_the_file_is_not_written_again(directory: Path) -> None:
    source = Source(Moment(NOON, 0))
    closed = source.closed(Moment(NOON + SECOND_NS, 0))
    stuck = replace(closed, generation=Released(1))
    accounting(directory, source).take([stuck])
    # Another process finds the same period again.
    accounting(directory, source).take([closed])
    assert names(directory) == ["120000_120001.csv"]


def test_trouble_is_told_always_and_traffic_only_when_asked_for(
    directory: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, traffic in ((), []), (("-verbose",), ["4: Processing 1 packets"]):
        source = Source(Moment(NOON, 0), news=[Noted("batch", (1, 0, 0)), Noted("version", (6, 0, 0))])
        source.at_news = end_when(lambda: True)
        assert run(directory, source, Times(), *words) == 0
        lines = [line[20:] for line in capfd.readouterr().err.splitlines()]
        assert [line for line in lines if "Processing" in line] == traffic
        assert lines.count("Bad IP version: 6") == 1
