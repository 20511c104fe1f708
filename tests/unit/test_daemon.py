"""The daemon with sources in memory and real signals, files and time."""

import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from netledger.config import Config, loads
from netledger.daemon import Daemon
from netledger.daemon.logs import KeyValueFormatter, RepeatHandler
from netledger.daemon.runtime import RuntimeDirectoryError, RuntimeLock
from netledger.errors import SourceError
from netledger.intervals import SystemClock
from netledger.ledger.prefixes import Lengths
from netledger.ledger.reader import Reader
from netledger.receipt import rfc3339
from netledger.sources.file_systems import file_system
from tests.unit.memory_source import MemorySource, maker, no_bpf
from tests.unit.rows import wait_until


@dataclass
class Run:
    """A daemon in the main thread, and what another thread does to it meanwhile."""

    tmp_path: Path
    text: str = 'interval = "1d"\n'
    keep_rules: bool = False
    made: dict[str, list[MemorySource]] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def config(self) -> Config:
        places = f'node = "gw1"\nstore = "{self.tmp_path}/store"\nruntime = "{self.tmp_path}/run"\n'
        return loads(places + self.text, file="f")

    def __call__(self, meanwhile: Callable[[], None]) -> int:
        """Runs it, with ``meanwhile`` beside, then TERM; gives the exit code."""
        daemon = Daemon(
            self.config(),
            SystemClock(),
            make_source=maker(self.made),
            reload=self.config,
            probe=no_bpf,
            keep_rules=self.keep_rules,
        )
        thread = threading.Thread(target=self._beside, args=(meanwhile,))
        thread.start()
        code = daemon.run()
        thread.join()
        assert not self.failures, self.failures
        return code

    def _beside(self, meanwhile: Callable[[], None]) -> None:
        try:
            wait_until(lambda: signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "daemon")
            meanwhile()
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            self.failures.append(error)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    def receipts(self, meter: str = "nflog") -> list[dict[str, object]]:
        directory = self.tmp_path / "store" / "exports" / meter
        return [json.loads(path.read_text()) for path in sorted(directory.glob("*.receipt.json"))]

    def has_intervals(self, count: int, meter: str = "nflog") -> Callable[[], bool]:
        return lambda: len(self.receipts(meter)) >= count


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


def test_a_stop_closes_and_commits_the_last_interval(run: Run) -> None:
    assert run(lambda: wait_until(lambda: "nflog" in run.made, "source")) == 0
    assert run.made["nflog"][0].calls == ["open", "close"]
    (told,) = run.receipts()
    assert (told["node"], told["meter"], told["seq"], told["status"]) == ("gw1", "nflog", 1, "exact")
    assert run.made["nflog"][0].left == {}


def test_the_store_knows_what_a_meter_keeps_of_an_address(run: Run) -> None:
    run.text = "[meters.lan]\nprefix_length = {ipv4 = 24, ipv6 = 48}\n[meters.wan]\n"
    assert run(lambda: wait_until(lambda: len(run.made) == 2, "sources")) == 0
    known = Reader(run.tmp_path / "store").snapshot().prefix_lengths
    assert [(one.meter, one.lengths) for one in known] == [("lan", Lengths(24, 48))]


def test_intervals_end_at_boundaries_and_follow_each_other(run: Run) -> None:
    run.text = 'interval = "1s"\n'
    assert run(lambda: wait_until(run.has_intervals(3), "intervals")) == 0
    told = run.receipts()
    for before, after in pairwise(told):
        assert before["interval_end"] == after["interval_start"]
    assert all("." not in str(one["interval_end"]) for one in told[:-1])


def test_usr1_closes_the_interval_now(run: Run) -> None:
    def meanwhile() -> None:
        wait_until(lambda: bool(run.made) and "open" in run.made["nflog"][0].calls, "open source")
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(run.has_intervals(1), "interval")

    assert run(meanwhile) == 0
    assert [one["seq"] for one in run.receipts()] == [1, 2]


def test_leftovers_are_removed_and_no_meter_is_in_the_way_of_the_lock(run: Run) -> None:
    run.text = "[meters.lock]\n"
    leftover = run.tmp_path / "store" / "exports" / "lock" / ".x.csv.tmp"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 0
    assert len(run.receipts("lock")) == 1
    assert not leftover.exists()
    assert (run.tmp_path / "run" / "lock").is_dir()


def test_a_damaged_receipt_does_not_keep_a_meter_from_counting(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 0
    (receipt,) = (run.tmp_path / "store" / "exports" / "nflog").glob("*.receipt.json")
    receipt.write_text("")
    assert run(lambda: wait_until(lambda: len(run.made["nflog"]) == 2, "source")) == 0
    assert run.made["nflog"][1].calls == ["open", "close"]
    assert "last_interval_unknown" in events(caplog)


def test_the_rules_are_kept_if_asked_for(run: Run) -> None:
    run.keep_rules = True
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 0
    assert run.made["nflog"][0].calls[-1] == "close, keep rules"


def test_a_reload_restarts_what_changed_and_nothing_else(run: Run) -> None:
    run.text = "[meters.same]\n[meters.changed]\n[meters.moved]\n[meters.gone]\n"

    def meanwhile() -> None:
        wait_until(lambda: len(run.made) == 4 and run.made["gone"][0].calls == ["open"], "open sources")
        moved = '[meters.moved.nflog]\ntable = "other"\n'
        run.text = f"[meters.same]\n[meters.changed]\nrows_max = 10\n{moved}[meters.new]\n"
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(
            lambda: [len(run.made.get(name, [])) for name in ("changed", "moved", "new")] == [2, 2, 1], "sources"
        )
        wait_until(
            lambda: [run.made[name][-1].calls for name in ("changed", "moved", "new")] == [["open"]] * 3, "start"
        )

    assert run(meanwhile) == 0
    assert {name: [source.calls for source in sources] for name, sources in run.made.items()} == {
        "same": [["open", "close"]],
        "changed": [["open", "close, keep rules"], ["open", "close"]],
        "moved": [["open", "close"], ["open", "close"]],
        "gone": [["open", "close"]],
        "new": [["open", "close"]],
    }
    assert {name: len(run.receipts(name)) for name in run.made} == {
        "same": 1,
        "changed": 2,
        "moved": 2,
        "gone": 1,
        "new": 1,
    }


def test_a_new_meter_that_cannot_start_leaves_the_others_alone(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.made["busy"] = [MemorySource("busy", open_error=SourceError("nflog group 5", "bind", "busy"))]

    def meanwhile() -> None:
        wait_until(lambda: "nflog" in run.made and run.made["nflog"][0].calls == ["open"], "open source")
        run.text = 'interval = "1d"\n[meters.nflog]\n[meters.busy]\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: "open_failed" in events(caplog), "failure")

    assert run(meanwhile) == 0
    assert run.made["nflog"][0].calls == ["open", "close"]
    assert events(caplog).count("open_failed") == 1


def test_a_source_that_broke_is_started_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def meanwhile() -> None:
        wait_until(lambda: bool(run.made) and run.made["nflog"][0].calls == ["open"], "open source")
        run.made["nflog"][0].stats_error = SourceError("meter", "ask its thread", "it has ended")
        os.kill(os.getpid(), signal.SIGUSR1)  # to make it look
        wait_until(lambda: len(run.made["nflog"]) == 2 and run.made["nflog"][1].calls == ["open"], "new source")

    assert run(meanwhile) == 0
    broken, new = (source.calls for source in run.made["nflog"])
    # It may have looked by itself before the signal came.
    cuts = broken[1:-1]
    assert (broken[0], broken[-1], cuts in ([], ["cut"])) == ("open", "close, keep rules", True)
    assert new == ["open", "close"]
    assert [one["seq"] for one in run.receipts()] == list(range(1, len(cuts) + 3))
    assert "source_broke" in events(caplog)


def test_what_was_said_less_often_than_it_was_stands_before_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(number: int) -> None:
        wait_until(lambda: len(run.made.get("nflog", [])) > number and bool(run.made["nflog"][number].calls), "source")
        run.made["nflog"][number].stats_error = SourceError("meter", "ask its thread", "it has ended")
        os.kill(os.getpid(), signal.SIGUSR1)  # to make it look

    def meanwhile() -> None:
        for number in range(3):
            breaks(number)
        wait_until(lambda: len(run.made["nflog"]) == 4 and run.made["nflog"][3].calls == ["open"], "new source")

    text, logger = io.StringIO(), logging.getLogger("netledger")
    handler = RepeatHandler(text)
    handler.setFormatter(KeyValueFormatter())
    monkeypatch.setattr(logger, "handlers", [handler])
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        assert run(meanwhile) == 0
    finally:
        logger.setLevel(level)
    lines = text.getvalue().splitlines()
    (repeated,) = (line for line in lines if "repeated=" in line)
    assert ("event=source_broke" in repeated, repeated.endswith("repeated=2")) == (True, True)
    assert lines[-1] == "level=info event=stopped"


def test_a_bad_reload_changes_nothing_and_says_so(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def meanwhile() -> None:
        wait_until(lambda: bool(run.made) and run.made["nflog"][0].calls == ["open"], "open source")
        run.text = 'interval = "7m"\nrows = 3\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: "reload_refused" in events(caplog), "refusal")

    with caplog.at_level(logging.INFO, "netledger"):
        assert run(meanwhile) == 0
    told = [KeyValueFormatter().format(record) for record in caplog.records if record.message == "reload_refused"]
    assert told == [
        'level=error event=reload_refused problem="f:4: interval: 7 minutes do not divide a day" '
        'hint="\\"6m\\" or \\"8m\\" would"',
        'level=error event=reload_refused problem="f:5: rows: unknown key" '
        'hint="possible are node, interval, cut_on_assignment, store, runtime, ledger, meters, exports, attribution"',
    ]
    assert run.made["nflog"][0].calls == ["open", "close"]


def test_what_was_left_behind_is_committed_first(run: Run) -> None:
    (run.tmp_path / "store").write_text("in the way")
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 1
    assert list(run.made["nflog"][0].left) == [1]
    (run.tmp_path / "store").unlink()
    assert run(lambda: wait_until(run.has_intervals(1), "interval left behind")) == 0
    assert [one["seq"] for one in run.receipts()] == [1, 2]


def test_numbers_go_on_where_the_ledger_is(run: Run) -> None:
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 0
    shutil.rmtree(run.tmp_path / "store" / "exports")
    assert run(lambda: wait_until(lambda: len(run.made["nflog"]) == 2, "second source")) == 0
    assert run.made["nflog"][1].past.seq == 1
    assert run.made["nflog"][1].past.end_ns is not None


def test_a_source_that_does_not_start_ends_the_others_properly(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.text = "[meters.good]\n[meters.bad]\n"
    broken = SourceError("nflog group 5", "bind", "operation not permitted", "run as root, or with CAP_NET_ADMIN")
    make = maker(run.made)
    daemon = Daemon(
        run.config(),
        SystemClock(),
        make_source=lambda name, meter, config: (
            MemorySource(name, open_error=broken) if name == "bad" else make(name, meter, config)
        ),
        probe=no_bpf,
        reload=run.config,
    )
    with caplog.at_level(logging.INFO, "netledger"), pytest.raises(SourceError, match="nflog group 5: bind"):
        daemon.run()
    last = KeyValueFormatter().format(caplog.records[-1])
    assert last == (
        'level=error event=start_failed error="nflog group 5: bind: operation not permitted" '
        'hint="run as root, or with CAP_NET_ADMIN"'
    )
    assert events(caplog).count("start_failed") == 1
    assert {"started", "stopped"}.isdisjoint(events(caplog))
    assert run.made["good"][0].calls == ["open", "close"]
    assert len(run.receipts("good")) == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_two_daemons_do_not_share_a_runtime_directory(tmp_path: Path) -> None:
    first = RuntimeLock(tmp_path / "run")
    first.open()
    with pytest.raises(RuntimeDirectoryError) as caught:
        RuntimeLock(tmp_path / "run").open()
    assert str(caught.value) == f"{tmp_path}/run: lock: in use by pid {os.getpid()}"
    first.close()
    first.close()
    RuntimeLock(tmp_path / "run").open()


def test_the_lock_of_a_dead_process_does_not_block(tmp_path: Path) -> None:
    code = (
        "import os, pathlib; from netledger.daemon.runtime import RuntimeLock;"
        f"RuntimeLock(pathlib.Path({str(tmp_path)!r})).open(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "netledger.lock").read_text().strip().isdigit()
    RuntimeLock(tmp_path).open()


def test_a_runtime_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeDirectoryError, match="open: not a directory"):
        RuntimeLock(tmp_path / "file" / "run").open()


def test_who_may_not_make_the_runtime_directory_is_told_what_to_set(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    code = (
        "import os, pathlib; from netledger.daemon.runtime import RuntimeDirectoryError, RuntimeLock\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        f"try: RuntimeLock(pathlib.Path({str(tmp_path / 'run')!r})).open()\n"
        "except RuntimeDirectoryError as error: print(error, error.hint, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    what, hint = done.stdout.splitlines()
    assert what == f"{tmp_path}/run: open: permission denied"
    assert hint.endswith(", or set `runtime = …` and `store = …` in the configuration")
    assert ("run it as root" if os.geteuid() == 0 else "see the permissions of") in hint


MOUNTS = """\
22 28 0:20 / / rw - ext4 /dev/vda rw
23 22 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw
24 23 0:22 / /run/a\\040b rw - xfs /dev/vdb rw
25 22 0:23 / /over rw - xfs /dev/vdc rw
26 22 0:24 / /over rw - ramfs none rw
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/srv/x", "ext4"),
        ("/run/netledger", "tmpfs"),
        ("/running", "ext4"),
        ("/run/a b/c", "xfs"),
        ("/over", "ramfs"),
    ],
)
def test_the_file_system_of_a_directory_is_that_of_its_nearest_mount(directory: str, kind: str) -> None:
    assert file_system(Path(directory), MOUNTS) == kind


def test_the_file_system_of_a_real_directory_is_known(tmp_path: Path) -> None:
    assert file_system(tmp_path) != "?"
    assert file_system(Path("/proc")) == "proc"


def test_a_source_is_told_the_newest_number_and_end_of_the_exports(run: Run) -> None:
    for _ in range(2):
        assert run(lambda: wait_until(lambda: "nflog" in run.made, "source")) == 0
    first, second = (one.past for one in run.made["nflog"])
    assert (first.seq, first.end_ns) == (0, None)
    assert (second.seq, rfc3339(second.end_ns or 0)) == (1, run.receipts()[0]["interval_end"])
