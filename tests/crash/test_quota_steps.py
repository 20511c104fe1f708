"""Who keeps quotas dies at each named step; then nothing is lost, told twice or run twice."""

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.quotas.definition import Definition, Every, Kind
from netledger.quotas.state import What
from tests.crash.quota_life import live
from tests.crash.trial import say
from tests.kernel.quota_space import PACKET_BYTES, Space, lines, octets, packets, script, told

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

KINDS = {
    "nfacct": packets(10, every=Every.DAY, is_run_at_reset=True),
    "nft": octets(1000, every=Every.DAY, is_run_at_reset=True),
}
OF_COMMANDS = ("command_started", "begun", "command_ended")
AT_LIMIT = ("reached", *OF_COMMANDS)
IN_THE_MOMENT = ("about", "answered")
AT_END = {
    "nfacct": ("resetting", *IN_THE_MOMENT, "taken", "reset", *OF_COMMANDS),
    "nft": ("limit_lifted", "reset", *OF_COMMANDS),
}
WHEN_GONE = ("made", "object_made")
CASES = [
    *((kind, "limit", step) for kind in KINDS for step in AT_LIMIT),
    *((kind, "end", step) for kind in KINDS for step in AT_END[kind]),
    *((kind, "gone", step) for kind in KINDS for step in WHEN_GONE),
    ("nft", "set back", "changed"),
    ("nft", "set back", "limit_set"),
]


@dataclass
class Trial:
    """A quota of ten packets a day, whose command leaves a line for each event."""

    space: Space
    one: Definition
    passed: int = 0

    @property
    def ran(self) -> Path:
        return self.space.directory / "ran"

    @property
    def directory(self) -> Path:
        return self.space.runtime / "quota.commands"

    def life(self) -> None:
        live(self.space.store, self.directory, self.space.clock)

    def dies(self, step: str) -> None:
        words = [str(self.space.store), str(self.directory), str(self.space.clock.wall_ns), f"{step}:1"]
        child = self.space.spawn(self.space.here, [sys.executable, "-m", "tests.crash.quota_life", *words])
        assert child.wait() == -signal.SIGKILL, f"{step}: {child.errors()}"

    def send(self, number: int) -> int:
        self.passed += number
        return self.space.send(number)

    def problems(self, too_much: int = 0) -> list[str]:
        """What is not as it must be, after a life that nobody ended.

        ``too_much`` is what may be in two periods, for nobody knows in which.
        """
        found = []
        events = self.space.facts(What.REACHED, What.RESET)
        # That a limit was reached in a period that is over is written down, and not acted on.
        ends = self.space.facts(What.COMMAND_ENDED)
        too_late = {fact.told["of"] for fact in ends if str(fact.told["result"]).startswith("not run: the period")}
        wanted = Counter(f"{fact.id} {fact.kind}" for fact in events if fact.id not in too_late)
        if Counter(lines(self.ran)) != wanted:
            found.append(f"commands {lines(self.ran)} for {wanted}")
        per_period = Counter(str(value) for value in told(self.space.facts(What.REACHED), "period_start"))
        if any(number > 1 for number in per_period.values()):
            found.append(f"reached more than once: {per_period}")
        taken = sum(int(str(value)) for value in told(self.space.facts(What.RESET), "bytes"))
        used = self.space.used(self.one).bytes
        if taken + used - too_much != self.passed * PACKET_BYTES:
            found.append(f"{taken} of earlier periods and {used} of this one are not {self.passed} packets")
        if self.space.state(self.one.name).jobs:
            found.append("a command is left")
        return found


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made, made.inside(made.here):
        yield made


@pytest.mark.parametrize(("kind", "what", "step"), CASES, ids=["-".join(case).replace(" ", "-") for case in CASES])
def test_a_death_at_any_step_is_mended_by_the_next_life(space: Space, kind: str, what: str, step: str) -> None:
    program = script(
        space.directory / "program", f'echo "$NETLEDGER_EVENT_ID $NETLEDGER_EVENT" >> {space.directory}/ran'
    )
    trial = Trial(space, replace(KINDS[kind], command=(str(program),)))
    space.agree(trial.one)
    assert trial.send(6) == 6
    trial.life()
    bring_about(trial, what)
    trial.dies(step)
    if what == "end":
        # More than the period had that is ending: whether its count was taken cannot be told by what is there now.
        trial.send(9)
    trial.life()
    trial.life()
    # Where the process died between the note that it would take the count and the kernel's answer it was not taken,
    # and nobody can know: then it stands in both periods, and the fact says so.
    assert trial.problems(too_much=800 if step == "about" else 0) == []
    resets = space.facts(What.RESET)
    assert told(resets, "is_exact") == ([step not in IN_THE_MOMENT] if what == "end" else [])
    if step in IN_THE_MOMENT:
        assert told(resets, "bytes") == [800]
        assert told(resets, "at_most") == [
            {"packets": 17 - 8 * (step == "answered"), "bytes": 1700 - 800 * (step == "answered")}
        ]
    # It keeps on as if nothing had been.
    left = max(0, 1000 - space.used(trial.one).bytes) // PACKET_BYTES
    if what == "gone":
        space.load(trial.one)
        trial.life()
    assert space.send(12) == left
    if what != "end":
        assert left == {"limit": 0, "gone": 4, "set back": 4}[what]
    say(f"quota {kind}: killed at {step} ({what}): mended; commands run: {len(lines(trial.ran))}")


def bring_about(trial: Trial, what: str) -> None:
    """What the life that dies has to deal with."""
    space = trial.space
    match what:
        case "limit":
            # Not beyond: nft tells no more than the limit then.
            trial.send(4)
        case "end":
            trial.send(2)
            space.tomorrow()
        case "gone":
            space.unload(trial.one)
            if trial.one.kind is Kind.NFACCT:
                nfacct.delete(trial.one.name)
        case _:
            space.run(space.here, ["nft", "reset", "quotas"])
