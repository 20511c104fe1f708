"""The child that keeps the store in order: when it runs, as what, and what is said of it. Real processes."""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netledger.config import Config, loads
from netledger.daemon import run as daemon
from netledger.daemon.housekeeping import Housekeeping
from netledger.intervals import HOUR_NS, SECOND_NS
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from netledger.pipeline.problems import Problems, Trouble
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS, wait_until
from tests.unit.store import filled
from tests.unit.test_daemon import Run

MINUTE_NS = 60 * SECOND_NS


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO, "netledger"):
        yield


def config(store: Path, keep: str = "") -> Config:
    return loads(f'store = "{store}"\n[ledger]\n{keep}', file="f")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def until(housekeeping: Housekeeping, condition: Callable[[], bool], what: str) -> None:
    """Lets time pass for the child, and none for the clock."""

    def turned() -> bool:
        housekeeping.turn()
        return condition()

    wait_until(turned, what)


def fields(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, object]]:
    return [record.fields for record in caplog.records if record.message == event]  # type: ignore[attr-defined]  # given as extra


def counting(path: Path, then: str = "") -> list[str]:
    """A program that adds a line with its arguments to a file."""
    return python(f"import json, sys; open({str(path)!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n'); {then}")


def starts(path: Path) -> list[list[str]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_it_keeps_the_store_in_order_and_says_what_it_did(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = filled(tmp_path / "store")
    housekeeping = Housekeeping(config(store), TestClock(START_NS), problems=Problems(), first_ns=0)
    until(housekeeping, lambda: bool(fields(caplog, "housekeeping_done")), "housekeeping")
    (told,) = fields(caplog, "housekeeping_done")
    assert told == {
        "days_rolled_up": 1,
        "days_by_subject": 0,
        "days_compacted": 1,
        "days_dropped": 0,
        "rollup_days_dropped": 0,
        "files_removed": 0,
        "seconds": 0.0,
    }
    assert len(Reader(store).snapshot().rollups) == 1
    assert verify(Reader(store)) == []


def test_the_daemon_does_so_beside_the_counting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store")
    monkeypatch.setattr(daemon, "Housekeeping", functools.partial(Housekeeping, first_ns=0))
    run = Run(tmp_path, 'interval = "1s"\n')
    assert run(lambda: wait_until(lambda: bool(fields(caplog, "housekeeping_done")), "housekeeping", 30)) == 0
    assert len(Reader(store).snapshot().rollups) == 1
    assert verify(Reader(store)) == []


def test_hup_with_another_time_to_keep_rows_takes_effect_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "store")
    # The loop turns when a meter is due, or every ten seconds.
    run = Run(tmp_path, 'interval = "1s"\n')
    monkeypatch.setattr(daemon, "Housekeeping", functools.partial(Housekeeping, first_ns=0))

    def meanwhile() -> None:
        wait_until(lambda: bool(fields(caplog, "housekeeping_done")), "housekeeping", 30)
        run.text += '[ledger]\nkeep_detail = "1d"\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(
            lambda: any(told["days_dropped"] == 1 for told in fields(caplog, "housekeeping_done")), "dropped days", 30
        )

    assert run(meanwhile) == 0
    snapshot = Reader(store).snapshot()
    assert snapshot.days_dropped == {"2025-11-20"}
    assert len(snapshot.rollups) == 1
    assert verify(Reader(store)) == []


def test_it_is_started_once_in_an_hour_and_one_at_a_time(tmp_path: Path) -> None:
    path, clock = tmp_path / "starts", TestClock(START_NS + 10 * MINUTE_NS)
    command = counting(path, "print('{}'); sys.stdin.read()")
    housekeeping = Housekeeping(config(tmp_path), clock, problems=Problems(), command=command, first_ns=MINUTE_NS)
    housekeeping.turn()
    assert housekeeping._child is None
    clock.advance(MINUTE_NS)
    for hour in (1, 2, 3):
        until(housekeeping, lambda: housekeeping._child is None and len(starts(path)) == hour, "child")  # noqa: B023  # called at once
        # The rest of the hour, and the hour is not closed at its very end.
        clock.advance(HOUR_NS - 10 * MINUTE_NS if hour == 1 else HOUR_NS - 2 * MINUTE_NS)
        housekeeping.turn()
        assert housekeeping._child is None
        clock.advance(2 * MINUTE_NS)
    assert len(starts(path)) == 3


def test_while_one_runs_no_other_is_started_and_a_stop_ends_it(tmp_path: Path) -> None:
    path, clock = tmp_path / "pid", TestClock(START_NS)
    command = python(f"import os, signal; open({str(path)!r}, 'a').write(f'{{os.getpid()}}\\n'); signal.pause()")
    housekeeping = Housekeeping(config(tmp_path), clock, problems=Problems(), command=command, first_ns=0)
    until(housekeeping, lambda: path.exists() and path.read_text().endswith("\n"), "child")
    clock.advance(5 * HOUR_NS)
    housekeeping.turn()
    (pid,) = path.read_text().split()
    os.kill(int(pid), 0)
    housekeeping.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    housekeeping.stop()


def test_failures_are_told_with_a_pause_that_grows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = TestClock(START_NS)
    command = python("import sys; sys.exit('netledger: store: write: no space left on device\\nhint: make room')")
    problems = Problems(clock)
    housekeeping = Housekeeping(config(tmp_path), clock, problems=problems, command=command, first_ns=0)
    for number in range(1, 9):
        until(housekeeping, lambda: len(fields(caplog, "housekeeping_failed")) == number, "failure")  # noqa: B023  # called at once
        told = fields(caplog, "housekeeping_failed")[-1]
        assert told["error"] == "store: write: no space left on device"
        assert told["again_seconds"] == min(60 << (number - 1), 3600)
        clock.advance(int(str(told["again_seconds"])) * SECOND_NS - 1)
        housekeeping.turn()
        assert housekeeping._child is None
        clock.advance(1)
    (noted,) = problems.all()
    assert (noted.what, noted.why) == (Trouble.HOUSEKEEPING, "store: write: no space left on device")
    mended = config(filled(tmp_path / "store"))
    after = Housekeeping(mended, clock, problems=problems, first_ns=0)
    until(after, lambda: problems.all() == [], "end of the problem")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"), "killed by SIGKILL"),
        (python("import sys; sys.exit(7)"), "exit code 7"),
        (["/nonexistent/python"], "no such file or directory"),
    ],
)
def test_whatever_ends_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: list[str], error: str
) -> None:
    housekeeping = Housekeeping(config(tmp_path), TestClock(START_NS), problems=Problems(), command=command, first_ns=0)
    until(housekeeping, lambda: bool(fields(caplog, "housekeeping_failed")), "failure")
    assert fields(caplog, "housekeeping_failed")[0]["error"] == error


def test_what_is_kept_is_what_the_daemon_knows_now(tmp_path: Path) -> None:
    path, clock = tmp_path / "starts", TestClock(START_NS)
    first = config(tmp_path, 'keep_detail = "90d"\n')
    housekeeping = Housekeeping(first, clock, problems=Problems(), command=counting(path, "print('{}')"), first_ns=0)
    until(housekeeping, lambda: housekeeping._child is None and len(starts(path)) == 1, "child")
    housekeeping.reload(first)
    housekeeping.turn()
    assert housekeeping._child is None
    housekeeping.reload(config(tmp_path, 'keep_detail = "30d"\nkeep_rollups = "365d"\n'))
    until(housekeeping, lambda: housekeeping._child is None and len(starts(path)) == 2, "second child")
    common = ["--config", os.devnull, "--store", str(tmp_path), "--keep-days"]
    assert starts(path) == [[*common, "90"], [*common, "30", "--keep-rollup-days", "365"]]


def test_it_takes_only_what_nobody_else_wants() -> None:
    code = (
        "import os; from netledger.cli.maintain import _step_aside; _step_aside(); "
        "print(os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE, open('/proc/self/oom_score_adj').read().strip())"
    )
    done = subprocess.run(python(code), check=True, capture_output=True, text=True)
    assert done.stdout == "19 True 900\n"


def test_killed_at_any_moment_it_leaves_a_store_in_order(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", 5)
    before = Reader(store).snapshot().intervals
    clock = TestClock(START_NS)
    for pause in range(12):
        housekeeping = Housekeeping(config(store), clock, problems=Problems(), first_ns=0)
        housekeeping.turn()
        child = housekeeping._child
        assert child is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            child._process.wait(0.1 + 0.05 * pause)
        housekeeping.stop()
        assert verify(Reader(store)) == []
    assert Reader(store).snapshot().intervals == before
