"""Learners while the daemon runs: started, started again, changed by HUP, told in status."""

import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netledger.attribution.learning import Recorder
from netledger.config import Config, loads
from netledger.config.attribution import Attribution
from netledger.daemon import attribution
from netledger.daemon.attribution import Learners
from netledger.daemon.learners import make_learner
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS, Clock, SystemClock
from netledger.learners.base import Learner, LearnerStatus, Standing, Stop
from netledger.live import Client
from netledger.live.shape import SOCKET
from netledger.pipeline.problems import Problems
from netledger.receipt import rfc3339
from netledger.reports.status import shown
from tests.unit.recorder import Kept
from tests.unit.rows import wait_until
from tests.unit.test_daemon import Run


@dataclass
class Scripted:
    """A learner whose source does what the test says."""

    name: str
    clock: Clock
    runs: int = 0
    failures: list[Exception] = field(default_factory=list)
    standing: Standing = field(init=False)
    stopped: threading.Event = field(default_factory=threading.Event)
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        self.standing = Standing(self.clock)

    def run(self, record: Recorder, stop: Stop) -> None:
        self.standing.starts()
        assert record.open_claims(self.name) == []
        self.runs += 1
        if self.runs > 1:
            # What was told of the one before is to be seen first.
            assert self.turn.acquire(timeout=60)
        if self.failures:
            raise self.failures.pop(0)
        self.standing.follows()
        stop.wait()
        self.stopped.set()

    def status(self) -> LearnerStatus:
        return self.standing.status()


@dataclass
class Desk:
    """The runner with scripted learners."""

    record: Kept
    made: dict[str, list[Scripted]] = field(default_factory=dict)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    problems: Problems = field(default_factory=Problems)

    def config(self, text: str) -> Config:
        return loads(text, file="f")

    def make(self, name: str, wanted: Attribution, clock: Clock) -> Learner:
        assert wanted.source in {"static", "directory"}
        one = Scripted(name, clock, failures=self.failures.get(name, []))
        self.made.setdefault(name, []).append(one)
        return one

    def learners(self, text: str) -> Learners:
        return Learners(
            self.config(text), SystemClock(), record=self.record, problems=self.problems, make_learner=self.make
        )

    def whats(self) -> list[tuple[str, str, str | None]]:
        return [(str(one.what), one.why, one.hint) for one in self.problems.all()]


A = '[attribution.a]\nsource = "static"\npath = "/a.csv"\n'
B = '[attribution.b]\nsource = "directory"\npath = "/b"\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(Kept(tmp_path / "store", SystemClock()))


def test_one_that_fails_is_started_again_and_told_until_it_follows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_PAUSE_SECONDS", 0.05)
    failures: list[Exception] = [LearnerError("x", "open", "it is not there", "make it"), ValueError("odd")]
    desk.failures["a"] = failures
    learners = desk.learners(A + B)
    learners.open()
    try:
        seen: set[str] = set()

        def follows() -> bool:
            one, other = learners.look()
            assert (one.name, one.source, other.name, other.source) == ("a", "static", "b", "directory")
            if one.state == "failed" and str(one.why) not in seen:
                seen.add(str(one.why))
                ((what, why, _),) = desk.whats()
                assert (what, why) == ("attribution_failing", f"a: {one.why}")
                desk.made["a"][0].turn.release()
            return one.state == "following"

        wait_until(follows, "success")
        assert seen == {"x: open: it is not there", "attribution a: ValueError('odd')"}
        assert desk.whats() == []
        assert desk.made["a"][0].runs == 3
    finally:
        learners.close()
    assert desk.made["a"][0].stopped.is_set()


def test_one_that_ends_by_itself_has_failed(desk: Desk) -> None:
    class Short:
        def __init__(self) -> None:
            self.standing = Standing(SystemClock())

        def run(self, record: Recorder, stop: Stop) -> None:
            self.standing.starts()
            assert record.open_claims("a") == []
            assert not stop.is_set()

        def status(self) -> LearnerStatus:
            return self.standing.status()

    learners = Learners(
        desk.config(A),
        SystemClock(),
        record=desk.record,
        problems=desk.problems,
        make_learner=lambda _name, _wanted, _clock: Short(),
    )
    learners.open()
    wait_until(lambda: [one.why for one in learners.look()] == ["attribution a: it has ended by itself"], "failure")
    learners.close()


def test_a_reload_leaves_alone_what_was_not_changed(desk: Desk) -> None:
    learners = desk.learners(A + B)
    learners.open()
    wait_until(lambda: [one.state for one in learners.look()] == ["following", "following"], "start")
    after = desk.config(A.replace("/a.csv", "/c.csv") + B + A.replace(".a]", ".c]"))
    learners.let_go(after)
    learners.take_up(after)
    assert [one.name for one in learners.look()] == ["a", "b", "c"]
    assert (len(desk.made["a"]), len(desk.made["b"]), len(desk.made["c"])) == (2, 1, 1)
    assert desk.made["a"][0].stopped.is_set()
    assert not desk.made["b"][0].stopped.is_set()
    learners.let_go(desk.config(""))
    learners.take_up(desk.config(""))
    assert learners.look() == ()
    assert desk.made["b"][0].stopped.is_set()
    learners.close()


def test_the_daemon_learns_from_the_start_and_after_hup(tmp_path: Path) -> None:
    run, client = Run(tmp_path), Client(tmp_path / "run")
    people = tmp_path / "people.csv"
    people.write_text("target,subject\n10.0.0.2,alice\n")
    run.text += f'[attribution.people]\nsource = "static"\npath = "{people}"\n'

    def meanwhile() -> None:
        wait_until((tmp_path / "run" / SOCKET).exists, "socket")
        # It records first and says second that it follows.
        found = ("people", "static", 1, "following", None)
        wait_until(
            lambda: (
                [(one.name, one.source, one.facts, one.state, one.why) for one in client.status().attribution]
                == [found]
            ),
            "fact",
        )
        run.text += f'[attribution.more]\nsource = "static"\npath = "{tmp_path}/more.csv"\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: len(client.status().attribution) == 2, "reload")
        wait_until(lambda: [one.what for one in client.status().problems] == ["attribution_failing"], "problem")
        said = client.status()
        text = "\n".join(str(line) for line in shown(said).renderables)
        assert "attribution  source  state" in text
        assert "people       static  following" in text
        assert f": more: {tmp_path}/more.csv: read: no such file or directory" in text

    assert run(meanwhile) == 0
    assert Kept(tmp_path / "store", SystemClock()).now() == {"10.0.0.2": "alice"}


def test_a_file_that_came_with_a_reload_is_cut_for_when_its_time_comes(tmp_path: Path) -> None:
    run = Run(tmp_path, text='interval = "1d"\ncut_on_assignment = true\n')
    people = tmp_path / "people.csv"

    def meanwhile() -> None:
        wait_until((tmp_path / "run" / SOCKET).exists, "socket")
        begins = rfc3339(SystemClock().now().wall_ns + 3 * SECOND_NS)
        people.write_text(f"target,subject,from\n10.0.0.2,alice,{begins}\n")
        run.text += f'[attribution.people]\nsource = "static"\npath = "{people}"\n'
        os.kill(os.getpid(), signal.SIGHUP)
        # Nothing else would end an interval of a day.
        wait_until(run.has_intervals(1), "cut", seconds=60)

    assert run(meanwhile) == 0
    assert len(run.receipts()) == 2


def test_every_kind_of_the_configuration_has_its_learner(tmp_path: Path) -> None:
    clock = SystemClock()
    radius = '[attribution.c]\nsource = "radius"\nsecret_file = "/c"\n'
    others = [f'[attribution.{kind}]\nsource = "{kind}"\n' for kind in ("wireguard", "neighbours")]
    for text in (A, B, radius, *others):
        (wanted,) = loads(text, file="f").attribution.values()
        assert isinstance(make_learner("x", wanted, clock, runtime=tmp_path).status(), LearnerStatus)


def test_a_storm_of_changes_leaves_nothing_behind(desk: Desk) -> None:
    def held() -> tuple[int, int]:
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    learners = desk.learners("")
    learners.open()
    before = held()
    for number in range(50):
        after = desk.config(A.replace("/a.csv", f"/{number}.csv") + (B if number % 2 else ""))
        learners.let_go(after)
        learners.take_up(after)
    assert [one.name for one in learners.look()] == ["a", "b"]
    assert (len(desk.made["a"]), len(desk.made["b"])) == (50, 25)
    learners.close()
    assert held() == before
