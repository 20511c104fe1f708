"""A recorder on a real ledger, without a daemon: nothing is counted, so there is nothing to cut."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from netledger.attribution.facts import Fact, Target
from netledger.attribution.painting import claims
from netledger.intervals import SECOND_NS, Clock
from netledger.learners.base import Learner, Stop
from netledger.ledger import Ledger
from netledger.ledger.assignments import Assignments
from tests.unit.rows import wait_until

Span = tuple[str | None, int, int | None]
"""Subject, from and to in seconds; None is until further notice."""


@dataclass
class Kept:
    """Keeps facts in a store, and counts the cuts that were asked for."""

    store: Path
    clock: Clock
    cuts: int = 0
    assignments: Assignments = field(init=False)

    def __post_init__(self) -> None:
        ledger = Ledger(self.store, clock=self.clock)
        ledger.open()
        ledger.close()
        self.assignments = Assignments(self.store, self.clock)

    def learn(self, facts: Sequence[Fact]) -> None:
        self.assignments.add(facts)

    def open_claims(self, source: str) -> list[Fact]:
        return self.assignments.open_claims(source)

    def cut_moment(self) -> int:
        self.cuts += 1
        return self.clock.now().wall_ns

    def facts(self) -> list[Fact]:
        """All that were ever learnt."""
        return self.assignments.facts()

    def held(self, target: str) -> list[tuple[str | None, str | None, int, int | None]]:
        """Who had a target: subject, device, from and to in nanoseconds."""
        wanted = Target.parse(target)
        spans = claims(fact for fact in self.facts() if fact.target == wanted)
        return [(fact.subject, fact.mac, start, None if end >> 62 else end) for start, end, fact in spans]

    def spans(self, target: str) -> list[Span]:
        """The same in whole seconds, without the device."""
        return [
            (subject, start // SECOND_NS, None if end is None else end // SECOND_NS)
            for subject, _, start, end in self.held(target)
        ]

    def now(self) -> dict[str, str | None]:
        """Who has what until further notice."""
        found: dict[str, str | None] = {}
        for target in {fact.target for fact in self.facts()}:
            held = self.held(str(target))
            if held and held[-1][3] is None:
                found[str(target)] = held[-1][0] or held[-1][1]
        return found


@contextmanager
def running(learner: Learner, record: Kept) -> Iterator[threading.Thread]:
    """The learner in a thread of its own, from when it follows its source; what ends it is raised here."""
    failures: list[BaseException] = []
    stop = Stop()

    def run() -> None:
        try:
            learner.run(record, stop)
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: learner.status().state != "starting" or not thread.is_alive(), "start")
        yield thread
    finally:
        stop.set()
        thread.join(60)
        stop.close()
    assert not thread.is_alive()
    if failures:
        raise failures[0]
