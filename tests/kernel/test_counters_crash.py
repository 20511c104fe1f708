"""A meter of named counters that is killed: whatever the moment, each packet is booked once, in an exact interval."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.receipt import Count as Booked
from netledger.sources import restored
from netledger.sources.made import Register
from tests.kernel.counter_space import CONFIG, TOLD, Rules, Space
from tests.kernel.lab import Count, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("tallied", "noted", "begun", "frozen")
END_SECONDS = 90.0


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made, made.inside(made.here):
        yield made


class Dying:
    """A meter in a process of its own, which dies at a step."""

    def __init__(self, rules: Rules, die_at: str = "") -> None:
        self._rules = rules
        argv = [sys.executable, "-m", "tests.kernel.counter_space", CONFIG.dump_json(rules.config).decode(), die_at]
        self._process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.is_open = self._take()

    def tell(self, command: str) -> bool:
        """Whether it has lived to answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()
        return self._take()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=END_SECONDS)

    def wait(self) -> int:
        self._process.communicate(timeout=END_SECONDS)
        return self._process.returncode

    def _take(self) -> bool:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._rules.told += TOLD.validate_json(line) if line else []
        return bool(line)


def check(space: Space, rules: Rules) -> None:
    """All that the rules have counted is booked, once; nothing is in doubt; nothing is left over."""
    for name in ("web", "mail"):
        assert rules.booked(name) == rules.booked(f"inet beside {name}") == space.kernel(name)
    assert set(rules.statuses()) == {"exact"}
    assert [one.seq for one in rules.told] == list(range(1, len(rules.told) + 1))
    assert sorted(path.name for path in rules.config.runtime.iterdir()) == ["lock"]


@pytest.mark.parametrize("turn", [1, 2])
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_of_a_cut_loses_nothing(space: Space, step: str, turn: int) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    # A start takes some of these steps as well.
    earlier = 1 if step in {"noted", "begun"} else 0
    child = Dying(rules, f"{step}:{turn + earlier}")
    space.rules("web", "mail")
    for number in range(turn):
        space.send("web", 7)
        is_last = number + 1 == turn
        assert child.tell("cut") is not is_last
    assert child.wait() == -signal.SIGKILL
    space.send("web", 5)
    space.send("mail", 3)
    rules.open()
    space.send("mail", 2)
    rules.cut()
    rules.close()
    check(space, rules)


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_while_a_crash_is_made_good(space: Space, step: str) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    child = Dying(rules)
    space.rules("web", "mail")
    space.send("web", 4)
    child.kill()
    space.send("web", 3)
    second = Dying(rules, step)
    assert not second.is_open
    assert second.wait() == -signal.SIGKILL
    space.send("mail", 2)
    rules.open()
    rules.close()
    check(space, rules)


def test_kill_9_at_any_moment_and_again(space: Space) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    rules.open()
    space.rules("web", "mail")
    rules.close()
    for number in range(6):
        child = Dying(rules)
        space.send("web", 5)
        if number % 2:
            assert child.tell("cut")
            space.send("mail", 4)
        child.kill()
        space.send("mail", 1)
        rules.open()
        rules.close()
    check(space, rules)


def test_a_reset_that_was_seen_before_a_crash_is_written_down_after_it(space: Space) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    child = Dying(rules)
    space.rules("web", "mail")
    space.send("web", 9)
    assert child.tell("cut")
    nfacct.reset("web")
    # Looks are not taken more often than once a second.
    wait_for(lambda: child.tell("look") and _is_noted(rules), 5, "a look that sees the reset")
    child.kill()
    space.send("web", 20)
    (told,) = rules.open()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("reset", 20)
    assert "nfacct web: 9 packets (1152 bytes) when read at" in str(told.observed.interrupted)
    rules.close()
    assert rules.booked("web") == space.kernel("web")


def _is_noted(rules: Rules) -> bool:
    (path,) = rules.config.runtime.glob("gen-*.table")
    return bool(json.loads(path.read_bytes())["happened"].get("reset"))


def test_a_damaged_tally_costs_its_own_interval_and_is_told(space: Space) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    child = Dying(rules)
    space.rules("web", "mail")
    space.send("web", 9)
    assert child.tell("cut")
    child.kill()
    (path,) = rules.config.runtime.glob("gen-*.table")
    path.write_text("{")
    found = rules.open()
    assert [str(one.observed.status) for one in found] == ["interrupted"]
    space.send("web", 3)
    assert rules.cut().rows["web"]["packets"] == 3
    rules.close()
    assert rules.booked("web") == Count(12, 12 * 128)


def test_a_runtime_directory_that_is_gone_is_told_as_a_time_of_which_nothing_is_known(space: Space) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    child = Dying(rules)
    space.rules("web", "mail")
    assert child.tell("cut")
    space.send("web", 5)
    child.kill()
    shutil.rmtree(rules.config.runtime)
    (lost,) = rules.open()
    assert (str(lost.observed.status), lost.observed.table, lost.rows) == ("interrupted", "counters", {})
    assert "nobody can say what was counted: the runtime directory was removed" in str(lost.observed.interrupted)
    space.send("web", 2)
    told = rules.cut()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("baseline", 2)
    rules.close()


def test_an_object_made_by_restore_beside_a_dead_meter_is_not_booked_twice(space: Space) -> None:
    rules = Rules.on(space.directory, ensure=("web", "mail"))
    child = Dying(rules)
    space.rules("web", "mail")
    space.send("web", 10)
    assert child.tell("cut")
    child.kill()
    space.no_rules()
    nfacct.delete("web")
    restored.note(rules.config.runtime, {"web": Booked(10, 10 * 128)})
    with Register(rules.config.runtime.parent).making("web", Booked(10, 10 * 128)):
        nfacct.add("web", packets=10, octets=10 * 128)
    space.rules("web")
    space.send("web", 4)
    (told,) = rules.open()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("remade", 4)
    rules.close()
    assert rules.booked("web") == Count(14, 14 * 128)
    assert restored.noted(rules.config.runtime) == {}
