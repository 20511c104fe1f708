"""Commands of quotas: real processes, each begun once, bounded in time, number and output; never a shell."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netledger.intervals import SECOND_NS
from netledger.ledger.quota_facts import Fact, QuotaFacts
from netledger.quotas.book import Book
from netledger.quotas.commands import AT_A_TIME, GRACE_NS, Commands
from netledger.quotas.definition import Definition, Every, Unit
from netledger.quotas.process import OUTPUT_BYTES_MAX, TOLD_BYTES
from netledger.quotas.state import What, counted, period_told
from netledger.receipt import ZERO, Count, parse_rfc3339
from tests.unit.memory_source import TestClock
from tests.unit.rows import wait_until
from tests.unit.store import opened

NOON_NS = parse_rfc3339("2026-11-20T12:00:00Z")


@dataclass
class Place:
    """A store, a runtime directory, and one life after the other of who runs commands."""

    path: Path
    clock: TestClock = field(default_factory=lambda: TestClock(NOON_NS))
    lives: list[Commands] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.path / "run" / "quota.commands"

    @property
    def trace(self) -> Path:
        """Where programs of these tests leave a line."""
        return self.path / "trace"

    def book(self) -> Book:
        return Book(self.path / "store", "gw1", self.clock)

    def script(self, text: str) -> str:
        path = self.path / "program"
        path.write_text(f"#!/bin/sh\necho begun >> {self.trace}\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def agree(self, *command: str, name: str = "guest", **more: object) -> Definition:
        one = Definition(name=name, limit=1000, unit=Unit.BYTES, command=command, **more)  # type: ignore[arg-type]  # as it has them
        told = {"definition": one.told(), "base": counted(ZERO), **period_told(one.period(self.clock.wall_ns))}
        self.book().write_all(name, [(What.ADDED, told)])
        return one

    def reach(self, one: Definition, used: int = 1000) -> None:
        book = self.book()
        book.refresh()
        told = {**counted(Count(1, used)), **period_told(book.states[one.name].period)}
        book.write_all(one.name, [(What.REACHED, told)])

    def life(self) -> Commands:
        """A process that has just started."""
        book = self.book()
        book.refresh()
        self.lives.append(Commands(book, self.directory, self.clock, node="gw1"))
        self.lives[-1].sweep()
        return self.lives[-1]

    def facts(self, what: What) -> list[Fact]:
        return [fact for fact in QuotaFacts(self.path / "store", "gw1").since().facts if fact.kind == what]

    def until_ended(self, commands: Commands, number: int = 1) -> Fact:
        def ended() -> bool:
            commands.turn()
            return len(self.facts(What.COMMAND_ENDED)) >= number

        wait_until(ended, "the end of the command")
        return self.facts(What.COMMAND_ENDED)[-1]

    def begun(self) -> int:
        return len(self.trace.read_text().splitlines()) if self.trace.exists() else 0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "run").mkdir()
    made = Place(tmp_path)
    with opened(tmp_path / "store"):
        pass
    yield made
    for commands in made.lives:
        for one in list(commands._running.values()):  # nothing may outlive a test
            one.process.kill(signal.SIGKILL)
        commands.close()


def test_the_words_of_a_command_are_its_arguments_whatever_is_in_them(place: Place) -> None:
    words = ["a b", "$(touch /tmp/x)", "; echo no", "`id`", "*", "", "-n", "größe\n", "'\""]
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    one = place.agree(sys.executable, "-c", program, *words)
    place.reach(one)
    ended = place.until_ended(place.life())
    assert ended.told["result"] == "done"
    told = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True).stdout
    assert ended.told["output"] == told.strip()


def test_the_environment_says_what_happened_and_nothing_else(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the daemon")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    one = place.agree("/usr/bin/env", every=Every.DAY)
    place.reach(one, 1234)
    told = str(place.until_ended(place.life()).told["output"])
    environment = dict(line.split("=", 1) for line in told.splitlines())
    assert "SECRET" not in environment
    assert "NOTIFY_SOCKET" not in environment
    assert environment["NETLEDGER_QUOTA"] == "guest"
    assert environment["NETLEDGER_EVENT"] == "reached"
    assert (environment["NETLEDGER_USED"], environment["NETLEDGER_LIMIT"]) == ("1234", "1000")
    assert environment["NETLEDGER_PERIOD_END"] == "2026-11-21T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "result", "code", "number"),
    [("exit 3", "failed", 3, None), ("kill -SEGV $$", "failed", None, "SIGSEGV"), ("echo fine", "done", 0, None)],
)
def test_how_it_ended_is_written_down(
    place: Place, text: str, result: str, code: int | None, number: str | None
) -> None:
    place.reach(place.agree(place.script(text)))
    ended = place.until_ended(place.life())
    assert (ended.told["result"], ended.told["code"], ended.told["signal"]) == (result, code, number)
    assert list(place.directory.iterdir()) == []


def test_a_program_that_is_not_there_is_told_and_not_tried_again(place: Place) -> None:
    place.reach(place.agree("/no/such/program"))
    commands = place.life()
    assert place.until_ended(commands).told["result"] == "failed: no such file or directory"
    commands.turn()
    assert len(place.facts(What.COMMAND_ENDED)) == 1


def test_a_command_that_hangs_gets_term_and_then_kill_with_all_its_children(place: Place) -> None:
    place.reach(place.agree(place.script(f"trap '' TERM; sleep 600 & echo $! > {place.trace}.child; wait; wait; wait")))
    commands = place.life()
    commands.turn()
    child = Path(f"{place.trace}.child")
    wait_until(lambda: child.exists() and child.read_text().strip() != "", "the child")
    place.clock.advance(59 * SECOND_NS)
    commands.turn()
    assert place.facts(What.COMMAND_ENDED) == []
    place.clock.advance(SECOND_NS)
    commands.turn()
    place.clock.advance(GRACE_NS)
    ended = place.until_ended(commands)
    assert "by force after 60 s" in str(ended.told["result"])
    assert ended.told["signal"] == "SIGKILL"
    wait_until(lambda: not is_running(int(child.read_text())), "the end of the child")


def test_output_without_end_is_cut(place: Place) -> None:
    place.reach(place.agree(place.script("yes 0123456789abcdef | head -c 3000000; echo; echo END")))
    commands = place.life()
    fact = place.until_ended(commands)
    assert fact.told["result"] == "done"
    assert str(fact.told["output"]).endswith("(cut)")
    assert len(str(fact.told["output"])) <= TOLD_BYTES + len(" (cut)")
    assert str(fact.told["output"]).startswith("0123456789abcdef\n")
    assert OUTPUT_BYTES_MAX < 3_000_000


def test_a_few_run_at_a_time_and_none_is_forgotten(place: Place) -> None:
    gate = place.path / "gate"
    os.mkfifo(gate)
    program = place.script(f"read x < {gate}")
    for number in range(AT_A_TIME + 3):
        place.reach(place.agree(program, name=f"guest{number}"))
    commands = place.life()
    commands.turn()
    wait_until(lambda: place.begun() == AT_A_TIME, "the first commands")
    commands.turn()
    assert len(commands.descriptors()) == AT_A_TIME

    def fed() -> bool:
        with contextlib.suppress(OSError):
            descriptor = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
            os.write(descriptor, b"go\n")
            os.close(descriptor)
        commands.turn()
        return len(place.facts(What.COMMAND_ENDED)) == AT_A_TIME + 3

    wait_until(fed, "the end of all")
    assert place.begun() == AT_A_TIME + 3


def test_a_life_that_ends_before_it_begins_the_command_leaves_it_to_the_next(place: Place) -> None:
    """It had written that it would, and no more."""
    one = place.agree(place.script("exit 0"))
    place.reach(one)
    first = place.life()
    first._begin = lambda *_: None  # type: ignore[method-assign]  # killed right here
    first.turn()
    assert len(place.facts(What.COMMAND_STARTED)) == 1
    assert place.begun() == 0
    assert place.until_ended(place.life()).told["result"] == "done"
    assert place.begun() == 1
    assert len(place.facts(What.COMMAND_STARTED)) == 1


def test_a_command_that_runs_is_waited_for_by_the_next_life_and_bounded(place: Place) -> None:
    one = place.agree(place.script("exec sleep 600"))
    place.reach(one)
    first = place.life()
    first.turn()
    wait_until(lambda: place.begun() == 1, "the command")
    pid = int(next(place.directory.glob("*.pid")).read_text().split()[0])
    first.close()
    second = place.life()
    second.turn()
    assert len(second.descriptors()) == 1
    assert place.facts(What.COMMAND_ENDED) == []
    place.clock.advance(60 * SECOND_NS)
    second.turn()
    os.waitpid(pid, 0)  # as init would: here its parent lives on
    assert "by force" in str(place.until_ended(second).told["result"])
    assert place.begun() == 1


def test_a_command_that_ended_while_nobody_lived_is_not_run_again(place: Place) -> None:
    one = place.agree(place.script("echo was here"))
    place.reach(one)
    first = place.life()
    first.turn()
    pid = int(next(place.directory.glob("*.pid")).read_text().split()[0])
    os.waitpid(pid, 0)
    first.close()
    ended = place.until_ended(place.life())
    assert str(ended.told["result"]).startswith("unknown")
    assert ended.told["output"] == "was here"
    assert place.begun() == 1


def test_after_a_reboot_what_may_have_begun_is_not_run_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one = place.agree(place.script("exit 0"))
    place.reach(one)
    first = place.life()
    first._begin = lambda *_: None  # type: ignore[method-assign]  # the machine went down right here
    first.turn()
    monkeypatch.setattr("netledger.quotas.commands.boot_id", lambda: "another")
    ended = place.until_ended(place.life())
    assert "not run again" in str(ended.told["result"])
    assert place.begun() == 0


def test_a_period_that_is_over_is_not_acted_for(place: Place) -> None:
    one = place.agree(place.script("exit 0"), every=Every.DAY)
    place.reach(one)
    book = place.book()
    book.refresh()
    place.clock.advance(86_400 * SECOND_NS)
    told = {**counted(Count(1, 1000)), "base": counted(ZERO), **period_told(one.period(place.clock.wall_ns))}
    book.write(one.name, What.RESET, told)
    assert "period in which it was reached is over" in str(place.until_ended(place.life()).told["result"])
    assert place.begun() == 0


def test_a_reset_runs_it_only_where_that_was_asked_for(place: Place) -> None:
    for name, is_run in (("undone", True), ("left", False)):
        one = place.agree(place.script('echo "$NETLEDGER_QUOTA $NETLEDGER_EVENT"'), name=name, is_run_at_reset=is_run)
        book = place.book()
        book.refresh()
        told = {**counted(Count(1, 1000)), "base": counted(ZERO), **period_told(None)}
        book.write(one.name, What.RESET, told)
    assert place.until_ended(place.life()).told["output"] == "undone reset"
    assert place.begun() == 1


def test_a_reset_does_not_overtake_what_it_undoes(place: Place) -> None:
    gate = place.path / "gate"
    os.mkfifo(gate)
    program = place.script(
        f'[ $NETLEDGER_EVENT = reached ] && read x < {gate}; echo "$NETLEDGER_EVENT" >> {place.trace}'
    )
    one = place.agree(program, is_run_at_reset=True)
    place.reach(one)
    commands = place.life()
    commands.turn()
    wait_until(lambda: place.begun() == 1, "the first command")
    book = place.book()
    book.refresh()
    book.write(one.name, What.RESET, {**counted(Count(1, 1000)), "base": counted(ZERO), **period_told(None)})
    commands._book.refresh()
    commands.turn()
    assert len(commands.descriptors()) == 1
    gate.write_text("go\n")
    place.until_ended(commands, 2)
    assert [line for line in place.trace.read_text().splitlines() if line != "begun"] == ["reached", "reset"]


def test_a_quota_that_is_taken_out_has_no_command_any_more(place: Place) -> None:
    one = place.agree(place.script("exit 0"))
    place.reach(one)
    commands = place.life()
    _remove(place, one)
    commands.turn()
    commands.turn()
    assert place.begun() == 0
    assert place.facts(What.COMMAND_STARTED) == []


def test_a_stop_ends_what_runs(place: Place) -> None:
    place.reach(place.agree(place.script("exec sleep 600")))
    commands = place.life()
    commands.turn()
    wait_until(lambda: place.begun() == 1, "the command")
    commands.stop(place.clock.monotonic_ns)
    (ended,) = place.facts(What.COMMAND_ENDED)
    assert ended.told["signal"] == "SIGTERM"
    assert "with netledger" in str(ended.told["result"])


def test_where_nothing_can_be_begun_it_waits(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.reach(place.agree(place.script("exit 0")))
    (place.path / "run").rename(place.path / "gone")
    commands = place.life()
    commands.turn()
    assert [record.message for record in caplog.records] == ["quota_command_waits"]
    (place.path / "gone").rename(place.path / "run")
    commands.turn()
    assert place.begun() == 0
    place.clock.advance(5 * SECOND_NS)
    assert place.until_ended(commands).told["result"] == "done"
    assert place.begun() == 1


def _remove(place: Place, one: Definition) -> None:
    book = place.book()
    book.refresh()
    book.write_all(one.name, [(What.REMOVED, counted(ZERO))])


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
