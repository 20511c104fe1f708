"""Many exports beside each other: each writes every interval once, and none holds up another or the ledger."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from netledger.durable import Step, no_step
from netledger.exports.formats import Export
from netledger.ledger import Ledger
from netledger.ledger.maintain import compact
from netledger.pipeline import CommitQueue, Exports, ExportState, Pipeline
from netledger.pipeline.problems import Problems
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS, MemoryGeneration, closed, wait_until
from tests.unit.store import opened
from tests.unit.test_pipeline import ROWS, observed


class Running:
    """A pipeline with its exports, over a store."""

    def __init__(self, store: Path, wanted: Sequence[Export], *, at_step: Step = no_step) -> None:
        self.store = store
        self.problems = Problems()
        self.exports = Exports(wanted, clock=TestClock(START_NS), problems=self.problems, at_step=at_step)
        self.pipeline = Pipeline("gw1", Ledger(store, clock=TestClock(START_NS)), self.exports)
        self.pipeline.open()

    def commit(self, *seqs: int, meter: str = "lan") -> None:
        for seq in seqs:
            self.pipeline.commit(closed(MemoryGeneration(ROWS), meter=meter, seq=seq, observed=observed()))

    def state(self, name: str) -> ExportState:
        return next(state for state in self.exports.states() if state.name == name)

    def wait(self, name: str, condition: Callable[[ExportState], bool], what: str) -> ExportState:
        wait_until(lambda: condition(self.state(name)), f"{what}: {self.state(name)}")
        return self.state(name)

    def settle(self, *names: str) -> None:
        for name in names or [state.name for state in self.exports.states()]:
            self.wait(name, lambda state: state.due == 0, "end of what is due")


@contextmanager
def running(store: Path, *wanted: Export, at_step: Step = no_step) -> Iterator[Running]:
    made = Running(store, wanted, at_step=at_step)
    try:
        yield made
    finally:
        made.pipeline.close()


def export(directory: Path, name: str = "a", **changes: object) -> Export:
    return replace(Export(name=name, format="jsonl", directory=directory), **changes)  # type: ignore[arg-type]  # any


def written(directory: Path, meter: str = "lan") -> list[int]:
    """The numbers of the intervals that are there."""
    return [int(path.stem.rpartition("-")[2]) for path in sorted((directory / meter).glob("*.jsonl"))]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_one_that_fails_holds_up_neither_another_nor_the_ledger_and_catches_up(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "bad").write_text("in the way")
    bad, good = export(tmp_path / "bad", "bad"), export(tmp_path / "good", "good")
    with running(store, bad, good) as run, caplog.at_level(logging.INFO, "netledger"):
        run.commit(1, 2, 3)
        run.settle("good")
        assert written(tmp_path / "good") == [1, 2, 3]
        state = run.wait("bad", lambda state: state.error is not None and state.due == 3, "failure")
        assert "not a directory" in str(state.error)
        assert (state.format, state.directory, state.since_ns) == ("jsonl", tmp_path / "bad", START_NS)
        assert state.next_try_seconds is not None
        assert 0 <= state.next_try_seconds <= 2
        assert [(one.what, one.export) for one in run.problems.all()] == [("export_failing", "bad")]
        assert run.exports.is_due("lan")
        (tmp_path / "bad").unlink()
        run.settle("bad")
        wait_until(lambda: run.state("bad").error is None, "end of trouble")
        assert run.state("bad") == ExportState(name="bad", format="jsonl", directory=tmp_path / "bad", due=0)
        assert run.problems.all() == []
        assert not run.exports.is_due("lan")
    assert written(tmp_path / "bad") == [1, 2, 3]
    messages = [record.message for record in caplog.records]
    assert messages.count("export_resumed") == 1
    assert "export_failed" in messages


def test_a_meter_that_cannot_be_written_does_not_hold_up_another(tmp_path: Path, store: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lan").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1, 2)
        run.commit(1, 2, meter="wan")
        wait_until(lambda: written(tmp_path / "a", "wan") == [1, 2], "intervals of the other meter")
        assert run.exports.is_due("lan")
        (tmp_path / "a" / "lan").unlink()
        run.settle()
    assert written(tmp_path / "a") == [1, 2]


def test_one_that_hangs_holds_up_neither_another_nor_the_ledger(tmp_path: Path, store: Path) -> None:
    released = threading.Event()

    def hang(_name: str) -> None:
        if threading.current_thread().name == "export slow":
            assert released.wait(90)

    slow, fast = export(tmp_path / "slow", "slow"), export(tmp_path / "fast", "fast")
    with running(store, slow, fast, at_step=hang) as run:
        run.commit(1, 2, 3)
        run.settle("fast")
        assert written(tmp_path / "fast") == [1, 2, 3]
        assert run.state("slow").due == 3
        released.set()
        run.settle()
    assert written(tmp_path / "slow") == [1, 2, 3]


def test_what_a_process_did_not_get_to_is_written_by_the_next(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run, caplog.at_level(logging.WARNING, "netledger"):
        run.commit(1, 2)
        run.pipeline.close()
    (left,) = [record for record in caplog.records if record.message == "exports_left"]
    assert left.__dict__["fields"]["due"] == 2
    (tmp_path / "a").unlink()
    with running(store, export(tmp_path / "a")) as run:
        wait_until(lambda: written(tmp_path / "a") == [1, 2], "what was due")


def test_closing_writes_all_that_is_due(tmp_path: Path, store: Path) -> None:
    with running(store, export(tmp_path / "a")) as run:
        run.commit(*range(1, 21))
    assert written(tmp_path / "a") == list(range(1, 21))


def test_only_the_meters_that_are_wanted(tmp_path: Path, store: Path) -> None:
    with running(store, export(tmp_path / "a", meters=("wan",))) as run:
        run.commit(1)
        run.commit(1, meter="wan")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["wan"]


def test_none_at_all_is_possible(tmp_path: Path, store: Path) -> None:
    with running(store) as run:
        run.commit(1)
        assert run.exports.states() == []
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_one_that_is_added_gets_what_is_committed_from_then_on(tmp_path: Path, store: Path) -> None:
    with running(store, export(tmp_path / "a", "a")) as run:
        run.commit(1)
        run.pipeline.change_exports([export(tmp_path / "a", "a"), export(tmp_path / "b", "b")])
        run.commit(2)
    assert written(tmp_path / "a") == [1, 2]
    assert written(tmp_path / "b") == [2]


def test_one_that_is_removed_forgets_what_was_due_and_says_so(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run, caplog.at_level(logging.WARNING, "netledger"):
        run.commit(1, 2)
        run.wait("a", lambda state: state.error is not None, "failure")
        run.pipeline.change_exports([])
        assert run.exports.states() == []
        wait_until(lambda: run.problems.all() == [], "end of trouble")
        (tmp_path / "a").unlink()
        run.pipeline.change_exports([export(tmp_path / "a")])
        run.commit(3)
    assert written(tmp_path / "a") == [3]
    (dropped,) = [record for record in caplog.records if record.message == "exports_dropped"]
    assert {key: dropped.__dict__["fields"][key] for key in ("export", "meter", "intervals")} == {
        "export": "a",
        "meter": "lan",
        "intervals": 2,
    }


def test_a_meter_that_is_taken_out_is_forgotten_and_the_others_are_not(tmp_path: Path, store: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1)
        run.commit(1, meter="wan")
        run.wait("a", lambda state: state.error is not None, "failure")
        run.pipeline.change_exports([export(tmp_path / "b", meters=("wan",))])
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["wan"]


def test_what_is_due_at_a_start_and_nobody_wants_any_more_is_forgotten(
    tmp_path: Path, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1)
    with caplog.at_level(logging.WARNING, "netledger"), running(store, export(tmp_path / "b", "b")):
        pass
    assert "exports_dropped" in [record.message for record in caplog.records]
    assert not (tmp_path / "b").exists()


def test_what_is_due_goes_where_the_export_is_now(tmp_path: Path, store: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1, 2)
        run.wait("a", lambda state: state.error is not None, "failure")
        run.pipeline.change_exports([export(tmp_path / "b")])
        run.commit(3)
    assert written(tmp_path / "b") == [1, 2, 3]


def test_a_change_in_the_middle_of_a_write_doubles_nothing(tmp_path: Path, store: Path) -> None:
    in_write, goes_on = threading.Event(), threading.Event()

    def pause(name: str) -> None:
        if name == "synced" and not in_write.is_set():
            in_write.set()
            assert goes_on.wait(90)

    with running(store, export(tmp_path / "a"), at_step=pause) as run:
        run.commit(1, 2)
        assert in_write.wait(90)
        run.pipeline.change_exports([export(tmp_path / "b")])
        run.commit(3)
        assert written(tmp_path / "b") == []
        goes_on.set()
    assert written(tmp_path / "a") == [1]
    assert written(tmp_path / "b") == [2, 3]


@pytest.mark.parametrize("form", ["csv", "jsonl", "go-nflog-acctd"])
def test_an_interval_has_the_same_bytes_whenever_it_is_written(tmp_path: Path, store: Path, form: str) -> None:
    (tmp_path / "late").write_text("in the way")
    early, late = export(tmp_path / "early", "early", format=form), export(tmp_path / "late", "late", format=form)
    with running(store, early, late) as run:
        run.commit(1, 2, 3)
    with opened(store) as ledger:
        assert compact(ledger, "2025-11-20")
    (tmp_path / "late").unlink()
    with running(store, early, late) as run:
        run.settle()
    files = {
        name: {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in ("early", "late")
    }
    assert files["early"] == files["late"]
    assert len(files["early"]) == (6 if form == "csv" else 3)


def test_a_list_that_comes_through_the_queue_counts_from_the_next_interval_on(tmp_path: Path, store: Path) -> None:
    exports = Exports([export(tmp_path / "a", "a")], clock=TestClock(START_NS))
    pipeline = Pipeline("gw1", Ledger(store, clock=TestClock(START_NS)), exports)
    committed: list[int] = []
    queue = CommitQueue(pipeline, committed=lambda receipt: committed.append(receipt.seq))
    queue.open()
    queue.put(closed(MemoryGeneration(ROWS), seq=1, observed=observed()))
    wait_until(lambda: committed == [1], "commit")
    queue.change_exports([export(tmp_path / "b", "b")])
    queue.put(closed(MemoryGeneration(ROWS), seq=2, observed=observed()))
    assert queue.close() == 0
    assert written(tmp_path / "b") == [2]


def test_two_nodes_with_one_directory_are_told_apart(tmp_path: Path, store: Path) -> None:
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1)
    exports = Exports([export(tmp_path / "a")], clock=TestClock(START_NS))
    other = Pipeline("gw2", Ledger(tmp_path / "other", clock=TestClock(START_NS)), exports)
    other.open()
    other.commit(closed(MemoryGeneration(ROWS), seq=1, observed=observed()))
    wait_until(lambda: exports.states()[0].error is not None, "refusal")
    state = exports.states()[0]
    other.close()
    assert "another interval has this name" in str(state.error)
    assert "another node writes there" in str(state.hint)


def test_a_store_that_is_let_go_of_and_opened_again_goes_on_exporting(tmp_path: Path, store: Path) -> None:
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1)
        run.settle()
        run.pipeline.let_go()
        wait_until(lambda: not list(store.glob("ledger.sqlite-*")), "end of the last connection")
        run.pipeline.open()
        run.commit(2)
        assert len(run.exports.states()) == 1
    assert written(tmp_path / "a") == [1, 2]


def test_a_change_while_the_store_is_let_go_of_forgets_later(tmp_path: Path, store: Path) -> None:
    (tmp_path / "a").write_text("in the way")
    with running(store, export(tmp_path / "a")) as run:
        run.commit(1)
        run.wait("a", lambda state: state.error is not None, "failure")
        run.pipeline.let_go()
        run.pipeline.change_exports([export(tmp_path / "b", "b")])
        run.pipeline.open()
        run.commit(2)
        run.pipeline.change_exports([export(tmp_path / "a"), export(tmp_path / "b", "b")])
        (tmp_path / "a").unlink()
    assert written(tmp_path / "b") == [2]
    assert written(tmp_path / "a") == []
