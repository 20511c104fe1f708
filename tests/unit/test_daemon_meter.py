"""One meter: when it cuts, and what it does when it cannot."""

from itertools import pairwise
from pathlib import Path

import pytest

from netledger.config import Meter, loads
from netledger.daemon.choice import Chosen
from netledger.daemon.meter import RunningMeter
from netledger.errors import RulesetError, SourceError
from netledger.intervals import DAY_NS, Moment
from netledger.ledger import Ledger
from netledger.pipeline import WAITING_MAX, CommitQueue, Exports, Pipeline
from netledger.receipt import Receipt
from netledger.sources.base import Past
from tests.unit.memory_source import MemorySource, TestClock
from tests.unit.rows import SECOND_NS, START_NS

MINUTE_NS = 60 * SECOND_NS


class Bench:
    """A meter of one minute on a clock of its own; what it closes is committed at the end."""

    def __init__(self, store: Path) -> None:
        self.committed: list[Receipt] = []
        self.clock = TestClock(START_NS)
        pipeline = Pipeline(
            "gw1",
            Ledger(store, clock=self.clock),
            Exports([], clock=self.clock),
        )
        self.queue = CommitQueue(pipeline, committed=self.committed.append)
        self.source = MemorySource("lan")
        config = loads('[meters.lan]\ninterval = "1m"\n', file="f").meters["lan"]
        assert isinstance(config, Meter)
        self.meter = RunningMeter(
            "lan", config, self.source, queue=self.queue, clock=self.clock, chosen=Chosen("nflog")
        )

    def commit(self) -> list[Receipt]:
        self.queue.open()
        assert self.queue.close() == 0
        return self.committed

    def ends(self) -> list[int]:
        return [(receipt.end_ns - START_NS) // SECOND_NS for receipt in self.commit()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_cuts_when_it_is_due_and_not_before(bench: Bench) -> None:
    bench.meter.open()
    assert bench.meter.wait_ns() == MINUTE_NS
    bench.clock.advance(MINUTE_NS - 1)
    bench.meter.cut_if_due()
    assert bench.source.calls == ["open"]
    bench.clock.advance(SECOND_NS // 10)
    bench.meter.cut_if_due()
    bench.meter.cut_if_due()
    assert bench.source.calls == ["open", "cut"]
    bench.clock.advance(10 * SECOND_NS)
    bench.meter.close(keep_rules=False)
    assert bench.ends() == [60, 70]


def test_a_clock_stepped_back_never_gives_a_negative_interval(bench: Bench) -> None:
    bench.meter.open()
    bench.clock.advance(MINUTE_NS)
    bench.meter.cut_if_due()
    bench.clock.wall_ns -= 3600 * SECOND_NS
    bench.clock.monotonic_ns += 30 * SECOND_NS
    bench.meter.cut_if_due()
    bench.meter.cut()
    bench.meter.close(keep_rules=False)
    receipts = bench.commit()
    assert all(receipt.start_ns < receipt.end_ns for receipt in receipts)
    assert all(before.end_ns == after.start_ns for before, after in pairwise(receipts))
    assert receipts[1].reason == "the clock was stepped back by 29.999999999 s"


def test_a_clock_stepped_back_is_told_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.meter.open()
    bench.meter.cut_if_due()
    assert caplog.messages == []
    bench.clock.wall_ns -= 3600 * SECOND_NS
    bench.meter.cut_if_due()
    bench.meter.cut_if_due()
    assert caplog.messages == ["clock_stepped_back"]


def test_it_starts_behind_what_a_dead_process_left(bench: Bench) -> None:
    ahead = MemorySource("lan", start=Moment(START_NS, 0))
    ahead.left = bench.source.left
    ahead.cut(label_end_ns=START_NS + 90 * SECOND_NS, now=Moment(START_NS, 0))
    bench.meter.open()
    assert bench.meter.wait_ns() == 2 * MINUTE_NS
    assert bench.queue.waiting("lan") == 1


@pytest.mark.parametrize(
    ("ahead_ns", "start_ns"),
    [
        (-SECOND_NS, 0),
        (3600 * SECOND_NS, 3600 * SECOND_NS),
        (DAY_NS + 1, 0),
    ],
)
def test_a_clock_stepped_back_while_nobody_ran_makes_no_overlap(bench: Bench, ahead_ns: int, start_ns: int) -> None:
    bench.meter.open(Past(seq=1, end_ns=START_NS + ahead_ns))
    assert bench.source.start.wall_ns == START_NS + start_ns
    assert bench.meter.wait_ns() == start_ns + MINUTE_NS


def test_a_cut_that_fails_is_tried_again_with_growing_pauses(bench: Bench) -> None:
    bench.meter.open()
    bench.source.cut_error = RulesetError("nft", "apply", "device or resource busy")
    bench.clock.advance(MINUTE_NS)
    waits = []
    for _ in range(8):
        bench.meter.cut_if_due()
        bench.meter.cut_if_due()
        waits.append(bench.meter.wait_ns() // SECOND_NS)
        bench.clock.advance(bench.meter.wait_ns())
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert bench.source.calls.count("cut") == 8
    bench.source.cut_error = None
    bench.meter.cut_if_due()
    (receipt,) = bench.commit()
    assert receipt.end_ns == bench.clock.wall_ns
    assert receipt.reason == "it could not be cut in time: nft: apply: device or resource busy"
    assert bench.meter.wait_ns() < MINUTE_NS


def test_a_cut_that_was_not_due_and_failed_is_tried_again_soon(bench: Bench) -> None:
    bench.meter.open()
    bench.clock.advance(10 * SECOND_NS)
    bench.source.cut_error = RulesetError("nft", "apply", "device or resource busy")
    bench.meter.cut()
    bench.source.cut_error = None
    assert bench.meter.wait_ns() == SECOND_NS
    bench.clock.advance(SECOND_NS)
    bench.meter.cut_if_due()
    assert bench.meter.wait_ns() == MINUTE_NS - 11 * SECOND_NS
    assert bench.ends() == [11]


def test_a_full_disk_below_the_source_is_a_failed_cut(bench: Bench) -> None:
    bench.meter.open()
    bench.source.cut_error = OSError(28, "No space left on device", "/store/meters/lan.seq")
    bench.meter.cut()
    bench.source.cut_error = None
    bench.meter.cut()
    (receipt,) = bench.commit()
    assert receipt.reason == (
        "it could not be cut in time: meter lan: /store/meters/lan.seq: cut: no space left on device"
    )


def test_the_end_of_an_interval_is_what_the_source_says(bench: Bench) -> None:
    bench.meter.open()
    bench.clock.advance(MINUTE_NS)
    half_way = MemorySource.cut

    def cut(*, label_end_ns: int, now: Moment) -> object:
        return half_way(bench.source, label_end_ns=label_end_ns - 5 * SECOND_NS, now=now)

    bench.source.cut = cut  # type: ignore[assignment,method-assign]  # the same, with an end of its own
    bench.meter.cut_if_due()
    assert bench.meter.wait_ns() == 0
    assert bench.ends() == [55]


def test_with_too_many_intervals_waiting_the_open_one_grows(bench: Bench) -> None:
    bench.meter.open()
    for _ in range(WAITING_MAX + 3):
        bench.clock.advance(MINUTE_NS)
        bench.meter.cut_if_due()
    assert bench.source.calls.count("cut") == WAITING_MAX + 1
    bench.meter.close(keep_rules=False)
    receipts = bench.commit()
    assert len(receipts) == WAITING_MAX + 2
    assert receipts[-1].end_ns - receipts[-1].start_ns == 2 * MINUTE_NS
    assert receipts[-1].reason == f"{WAITING_MAX + 1} intervals waited for the store, so this one was not cut in time"


def test_a_failed_cut_is_not_tried_while_too_many_intervals_wait(bench: Bench) -> None:
    bench.meter.open()
    for _ in range(WAITING_MAX + 1):
        bench.clock.advance(MINUTE_NS)
        bench.meter.cut_if_due()
    bench.source.cut_error = RulesetError("nft", "apply", "device or resource busy")
    bench.meter.cut()
    bench.clock.advance(SECOND_NS)
    bench.meter.cut_if_due()
    assert bench.source.calls.count("cut") == WAITING_MAX + 2
    assert bench.meter.wait_ns() == MINUTE_NS - SECOND_NS


def test_a_source_that_cannot_be_opened_says_why(bench: Bench) -> None:
    bench.source.open_error = SourceError("meter lan", "open", "already counted by pid 7")
    with pytest.raises(SourceError, match="already counted by pid 7"):
        bench.meter.open()
    with pytest.raises(RuntimeError, match="not open"):
        bench.meter.cut()
