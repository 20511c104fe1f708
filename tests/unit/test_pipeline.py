"""A closed generation becomes a durable interval exactly once, and waits when it cannot."""

import errno
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from netledger.errors import LedgerError, TableError
from netledger.exports.directory import CsvFiles
from netledger.exports.formats import Export
from netledger.intervals import Moment
from netledger.ledger import Ledger
from netledger.pipeline import CommitQueue, Exports, Pipeline
from netledger.receipt import Count, Observed, Receipt, Status
from tests.unit.memory_source import TestClock
from tests.unit.rows import RECEIPT, SECOND_NS, START_NS, MemoryGeneration, closed, row, wait_until

ROWS = [row("host", host="10.0.0.1", sent=(1000, 10)), row("host", host="10.0.0.2", received=(1000, 10))]


def observed(**changes: object) -> Observed:
    return replace(RECEIPT.observed, **{"rows": 2, **changes})  # type: ignore[arg-type]  # callers know the fields


@pytest.fixture
def exports(tmp_path: Path) -> CsvFiles:
    return CsvFiles(tmp_path / "store" / "exports")


def pipeline_of(tmp_path: Path) -> Pipeline:
    clock = TestClock(START_NS)
    files = Export(name="files", format="csv", directory=tmp_path / "store" / "exports")
    return Pipeline("gw1", Ledger(tmp_path / "store", clock=clock), Exports([files], clock=clock))


@pytest.fixture
def fresh(tmp_path: Path) -> Pipeline:
    return pipeline_of(tmp_path)


@pytest.fixture
def pipeline(fresh: Pipeline) -> Iterator[Pipeline]:
    fresh.open()
    yield fresh
    fresh.close()


def receipts(exports: CsvFiles, meter: str = "lan") -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(exports.of(meter).glob("*.receipt.json"))]


def only_receipt(exports: CsvFiles) -> dict[str, object]:
    """The one that is there as soon as the export has done its work."""
    wait_until(lambda: bool(receipts(exports)), "export")
    (told,) = receipts(exports)
    return told


def test_a_commit_writes_the_interval_and_releases_the_generation(pipeline: Pipeline, exports: CsvFiles) -> None:
    generation = MemoryGeneration(ROWS)
    receipt = pipeline.commit(closed(generation, observed=observed()), remarks=("it was late",))
    assert generation.released == 1
    assert receipt.status is Status.EXACT
    told = only_receipt(exports)
    assert (told["node"], told["status"], told["rows"], told["reason"]) == ("gw1", "exact", 2, "it was late")
    assert told["monotonic_seconds"] == 300


def test_an_interval_that_was_left_and_is_known_is_only_released(pipeline: Pipeline, exports: CsvFiles) -> None:
    pipeline.commit(closed(MemoryGeneration(ROWS), observed=observed()))
    before = only_receipt(exports)
    again = MemoryGeneration(ROWS[:1])
    pipeline.commit(closed(again, observed=observed(kernel=Count(99, 9999))))
    assert again.released == 1
    pipeline.close()
    assert receipts(exports) == [before]
    assert len(list(exports.of("lan").iterdir())) == 2


def test_a_failed_commit_keeps_the_generation(pipeline: Pipeline, exports: CsvFiles, tmp_path: Path) -> None:
    (tmp_path / "store" / "data").write_text("in the way")
    generation = MemoryGeneration(ROWS)
    with pytest.raises(LedgerError, match=r"data.*: commit: not a directory"):
        pipeline.commit(closed(generation, observed=observed()))
    assert generation.released == 0
    assert not exports.of("lan").exists()
    (tmp_path / "store" / "data").unlink()
    pipeline.commit(closed(generation, observed=observed()))
    assert generation.released == 1
    assert only_receipt(exports)["seq"] == 1


def test_what_is_lost_becomes_a_row_and_the_rows_add_up(pipeline: Pipeline, exports: CsvFiles) -> None:
    pipeline.commit(closed(MemoryGeneration(ROWS), observed=observed(kernel=Count(12, 1300))))
    told = only_receipt(exports)
    assert (told["status"], told["lost_packets"], told["lost_bytes"], told["rows"]) == ("lossy", 2, 300, 3)
    (table,) = exports.of("lan").glob("*.csv")
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    assert sum(int(line[-4]) for line in lines) == sum(int(line[-2]) for line in lines) == 1300
    assert sum(int(line[-3]) for line in lines) == sum(int(line[-1]) for line in lines) == 12


def test_rows_that_do_not_add_up_are_not_called_proven(pipeline: Pipeline, exports: CsvFiles) -> None:
    pipeline.commit(closed(MemoryGeneration(ROWS[:1]), observed=observed()))
    told = only_receipt(exports)
    assert told["status"] == "interrupted"
    assert "add up to 10 packets (1000 bytes) sent and 0 (0) received" in str(told["reason"])
    assert "there are 1 rows, but 2 were counted" in str(told["reason"])


def test_without_a_count_of_the_kernel_one_side_alone_is_right(pipeline: Pipeline, exports: CsvFiles) -> None:
    pipeline.commit(closed(MemoryGeneration(ROWS[:1]), observed=observed(kernel=None, rows=1)))
    told = only_receipt(exports)
    assert (told["status"], told["reason"]) == ("unproven", None)


def test_an_interval_is_never_negative(pipeline: Pipeline, exports: CsvFiles) -> None:
    backward = closed(MemoryGeneration(ROWS), observed=observed())
    end = Moment(backward.start.wall_ns - 3600 * SECOND_NS, backward.end.monotonic_ns)
    pipeline.commit(replace(backward, end=end))
    told = only_receipt(exports)
    assert (told["interval_start"], told["interval_end"]) == ("2025-11-20T10:00:00Z", "2025-11-20T10:00:00.000000001Z")
    assert told["reason"] == "the clock was stepped back by 299.999999999 s"


@dataclass
class Committed:
    receipts: list[Receipt] = field(default_factory=list)

    def __call__(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    @property
    def seqs(self) -> list[tuple[str, int]]:
        return [(receipt.meter, receipt.seq) for receipt in self.receipts]


@contextmanager
def running(pipeline: Pipeline) -> Iterator[tuple[CommitQueue, Committed]]:
    committed = Committed()
    queue = CommitQueue(pipeline, committed=committed)
    queue.open()
    try:
        yield queue, committed
    finally:
        queue.close()


def test_the_queue_commits_in_order_and_closing_drains_it(fresh: Pipeline) -> None:
    committed = Committed()
    queue = CommitQueue(fresh, committed=committed)
    for seq in (1, 2, 3):
        queue.put(closed(MemoryGeneration(ROWS), seq=seq, observed=observed()))
    assert queue.waiting("lan") == 3
    queue.open()
    assert queue.close() == 0
    assert committed.seqs == [("lan", 1), ("lan", 2), ("lan", 3)]
    assert queue.waiting("lan") == queue.waiting("other") == 0


class StuckGeneration(MemoryGeneration):
    """A table file that cannot be removed as long as a test wants it so."""

    is_stuck = True

    def release(self) -> None:
        if self.is_stuck:
            raise TableError("gen-1.table", "remove", "operation not permitted")
        super().release()


def test_a_meter_that_cannot_be_written_does_not_hold_up_another(
    fresh: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = StuckGeneration(ROWS)
    generations = [stuck, MemoryGeneration(ROWS), MemoryGeneration(ROWS)]
    with running(fresh) as (queue, committed), caplog.at_level(logging.ERROR, "netledger"):
        queue.put(closed(generations[0], seq=1, observed=observed()))
        queue.put(closed(generations[1], seq=2, observed=observed()))
        queue.put(closed(generations[2], seq=1, meter="wan", observed=observed()))
        wait_until(lambda: committed.seqs == [("wan", 1)], "commit of the other meter")
        wait_until(lambda: bool(caplog.records), "line in the log")
        assert queue.waiting("lan") == 2
        stuck.is_stuck = False
        wait_until(lambda: len(committed.seqs) == 3, "commit when there is a way again")
        assert committed.seqs[1:] == [("lan", 1), ("lan", 2)]
    assert [generation.released for generation in generations] == [1, 1, 1]
    assert {record.message for record in caplog.records} == {"commit_failed"}


def test_closing_gives_back_what_could_not_be_committed(fresh: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    generations = [MemoryGeneration(ROWS), MemoryGeneration(ROWS)]
    queue = CommitQueue(fresh, committed=Committed())
    queue.open()
    for seq, generation in enumerate(generations, start=1):
        queue.put(closed(generation, seq=seq, observed=observed()))
    assert queue.close() == 2
    assert [generation.released for generation in generations] == [0, 0]


def test_a_store_that_comes_late_gets_everything(fresh: Pipeline, tmp_path: Path, exports: CsvFiles) -> None:
    (tmp_path / "store").write_text("in the way")
    with running(fresh) as (queue, committed):
        queue.put(closed(MemoryGeneration(ROWS), observed=observed()))
        queue.put(closed(MemoryGeneration(ROWS), seq=2, observed=observed()))
        (tmp_path / "store").unlink()
        wait_until(lambda: len(committed.seqs) == 2, "commits when there is a store")
    assert len(receipts(exports)) == 2


class BrokenGeneration(MemoryGeneration):
    """A table file that cannot be read the first time it is tried, in a way that is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__(ROWS)
        self._error: Exception | None = error

    def release(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
        super().release()


@pytest.mark.parametrize(
    "error",
    [
        TableError("gen-1.table", "read", "damaged"),
        OSError(errno.EIO, os.strerror(errno.EIO)),
        RuntimeError("nobody thought of it"),
    ],
)
def test_the_thread_outlives_every_error_and_tries_again(fresh: Pipeline, exports: CsvFiles, error: Exception) -> None:
    generation = BrokenGeneration(error)
    with running(fresh) as (queue, committed):
        queue.put(closed(generation, observed=observed()))
        wait_until(lambda: committed.seqs == [("lan", 1)], "commit at the second try")
    assert generation.released == 1
    assert len(receipts(exports)) == 1
