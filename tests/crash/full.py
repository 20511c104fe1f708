"""A store on a disk that is full, or dead, at many different moments; a program, see :mod:`tests.crash.disk`.

python -m tests.crash.full commit|maintain|dead DIRECTORY SEED
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from netledger.errors import LedgerError
from netledger.ledger import Known, Ledger
from netledger.ledger.maintain import GRACE_NS, maintain
from netledger.ledger.reader import Reader
from tests.crash.disk import Disk
from tests.crash.seeded import LATER_NS, PER_DAY, judge, to_commit, unknown_files
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

MEBIBYTES = 8
STEP_BYTES = 8192
ROOM_BYTES = 160 * 1024
TRIES = 3
FULL = ("no space left on device", "database or disk is full")
# Of pages that cannot be read any more SQLite may say that they are wrong; whether they are is judged afterwards.
DEAD = ("input/output error", "disk i/o error", "database disk image is malformed")
START = "begun"

Answer = dict[str, object]


class Trial:
    """A store on a small disk, how many of its intervals are acknowledged, and where attempts have failed."""

    def __init__(self, disk: Disk, seed: int) -> None:
        self.disk = disk
        self.store = disk.path / "store"
        self.clock = TestClock(LATER_NS)
        self.acknowledged = 0
        self.failed: Counter[str] = Counter()
        self.problems: list[str] = []
        self.seen = START
        self.seed = seed

    def opened(self) -> Ledger:
        ledger = Ledger(self.store, clock=self.clock, at_step=self._at_step)
        ledger.open()
        return ledger

    def commit(self, ledger: Ledger) -> None:
        """The next interval."""
        self.seen = START
        ledger.commit(*to_commit(self.seed, self.acknowledged + 1))
        self.acknowledged += 1

    def attempt(self, what: Callable[[], object], reasons: tuple[str, ...] = FULL) -> bool:
        """Whether that was refused; it may be for these reasons only."""
        try:
            what()
        except LedgerError as error:
            self.failed[self.seen] += 1
            if not any(reason in str(error) for reason in reasons):
                self.problems.append(f"{type(error).__name__} after {self.seen}: {error}")
            return True
        return False

    def check(self, when: str) -> None:
        """Everything that was acknowledged is there, and nothing twice."""
        found = judge(self.store, self.seed, self.acknowledged)
        self.problems += [f"{when}: {problem}" for problem in found.problems]

    def answer(self) -> Answer:
        return {"acknowledged": self.acknowledged, "failed": dict(self.failed), "problems": self.problems}

    def _at_step(self, name: str) -> None:
        self.seen = name


def commit_to_a_full_disk(trial: Trial) -> None:
    """With less and less room each time, so that it ends at another place of the protocol."""
    for room_bytes in range(0, ROOM_BYTES, STEP_BYTES):
        ledger = trial.opened()
        trial.commit(ledger)
        # Emptied, so that the database's log has to grow as well.
        ledger.close()
        ledger = trial.opened()
        trial.disk.fill(room_bytes)
        while not trial.attempt(lambda ledger=ledger: trial.commit(ledger)):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            pass
        for _ in range(TRIES - 1):
            trial.attempt(lambda ledger=ledger: trial.commit(ledger))  # type: ignore[misc]  # the same
        left = unknown_files(trial.store)
        if len(left) > 1:
            trial.problems.append(f"{room_bytes} bytes of room: one interval left {left}")
        if len(Reader(trial.store).snapshot().intervals) != trial.acknowledged:
            trial.problems.append(f"{room_bytes} bytes of room: another number of intervals")
        trial.disk.free()
        trial.commit(ledger)
        ledger.close()
    trial.check("in the end")


def maintain_on_a_full_disk(trial: Trial) -> None:
    """A day is compacted with less and less room."""
    for room_bytes in range(0, ROOM_BYTES, STEP_BYTES):
        with opened(trial.store, clock=trial.clock) as ledger:
            for _ in range(PER_DAY):
                trial.commit(ledger)
        ledger = trial.opened()
        trial.disk.fill(room_bytes)
        for _ in range(TRIES):
            trial.seen = START
            trial.attempt(lambda ledger=ledger: maintain(ledger))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        trial.disk.free()
        maintain(ledger)
        trial.clock.advance(GRACE_NS)
        maintain(ledger)
        ledger.close()
        left = unknown_files(trial.store)
        if left:
            trial.problems.append(f"{room_bytes} bytes of room: {left}")
        if len(Reader(trial.store).snapshot().intervals) != trial.acknowledged:
            trial.problems.append(f"{room_bytes} bytes of room: another number of intervals")
    trial.check("in the end")


def a_disk_that_dies(trial: Trial) -> None:
    """Every write fails: nothing is acknowledged, and after the disk is back the same intervals are committed."""
    for writers in range(1, 6):
        ledger = trial.opened()
        for _ in range(2 * writers):
            trial.commit(ledger)
        trial.disk.cut_power()
        for _ in range(TRIES):
            if not trial.attempt(lambda ledger=ledger: trial.commit(ledger), DEAD):  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                trial.problems.append("a dead disk took an interval")
        ledger.close()
        trial.disk.power_on()
        trial.check(f"{writers}")
        ledger = trial.opened()
        number = trial.acknowledged
        if number and not isinstance(ledger.commit(*to_commit(trial.seed, number)), Known):
            trial.problems.append(f"{number} was acknowledged, and is not known")
        trial.commit(ledger)
        ledger.close()
    trial.check("in the end")


SCENARIOS = {"commit": commit_to_a_full_disk, "maintain": maintain_on_a_full_disk, "dead": a_disk_that_dies}


def main(scenario: str, directory: str, seed: str) -> None:
    with Disk(Path(directory), mebibytes=MEBIBYTES) as disk:
        trial = Trial(disk, int(seed))
        SCENARIOS[scenario](trial)
    sys.stdout.write(json.dumps(trial.answer()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
