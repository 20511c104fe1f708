"""Commits, repeats, housekeeping, retention, other writers and crashes in any order: each interval is there once."""

import os
import signal
import tempfile
from collections import Counter
from pathlib import Path
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pyarrow import parquet

from netledger.intervals import DAY_NS, HOUR_NS, SECOND_NS
from netledger.ledger import Committed, Known, Ledger
from netledger.ledger.maintain import GRACE_NS, maintain
from netledger.ledger.reader import Reader
from netledger.ledger.rows import STORED_COLUMNS
from netledger.ledger.verify import verify
from tests.crash.lives import PROCESSES, dying_at
from tests.crash.seeded import (
    FIRST_NS,
    SECONDS,
    expected_rows,
    expected_sums,
    number_of,
    rows_by_number,
    seq,
    start_of,
    to_commit,
    unknown_files,
)
from tests.unit.memory_source import TestClock

SEED = 11
STEPS = (
    "written", "synced", "renamed", "named", "inserted", "committed", "rolled_up", "replaced", "counted", "dropped",
    "unlinked", "forgotten",
)  # fmt: skip
COUNTERS = STORED_COLUMNS[-4:]
CRASH_SECONDS = 60


def act(store: Path, wall_ns: int, die_at: str, number: int, keep_days: int | None) -> None:
    """What a process does that may die: it commits an interval, and keeps house."""
    ledger = Ledger(store, clock=TestClock(wall_ns), at_step=dying_at(die_at))
    ledger.open()
    ledger.commit(*to_commit(SEED, number))
    maintain(ledger, keep_days=keep_days)
    ledger.close()


class Store(RuleBasedStateMachine):
    """A store, and beside it which intervals must be in it with their rows."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Path(self.folder.name) / "store"
        self.clock = TestClock(FIRST_NS)
        self.committed = 0
        # Numbers whose rows retention has taken, and those of which it may have, as it was killed.
        self.gone: set[int] = set()
        self.may_be_gone: set[int] = set()
        self.ledger = self.opened()
        self.others: list[Ledger] = []

    def opened(self) -> Ledger:
        ledger = Ledger(self.store, clock=self.clock)
        ledger.open()
        return ledger

    @rule(count=st.integers(1, 9))
    def commit(self, count: int) -> None:
        for _ in range(count):
            self.commit_next(self.ledger)

    def commit_next(self, ledger: Ledger) -> None:
        self.committed += 1
        ledger.commit(*to_commit(SEED, self.committed))
        self.clock.wall_ns = max(self.clock.wall_ns, start_of(seq(self.committed)) + SECONDS * SECOND_NS)

    @rule(back=st.integers(0, 30))
    def repeat(self, back: int) -> None:
        if back < self.committed:
            assert isinstance(self.ledger.commit(*to_commit(SEED, self.committed - back)), Known)

    @rule()
    def commit_by_two(self) -> None:
        """The same interval comes to two writers, the next one to the second first."""
        if not self.others:
            self.others.append(self.opened())
        self.commit_next(self.ledger)
        assert isinstance(self.others[0].commit(*to_commit(SEED, self.committed)), Known)
        self.commit_next(self.others[0])
        assert isinstance(self.ledger.commit(*to_commit(SEED, self.committed)), Known)

    @rule(ns=st.sampled_from([GRACE_NS, 2 * HOUR_NS, DAY_NS]))
    def wait(self, ns: int) -> None:
        self.clock.wall_ns += ns

    @rule(keep_days=st.sampled_from([None, None, 1, 2]))
    def keep_house(self, keep_days: int | None) -> None:
        maintain(self.ledger, keep_days=keep_days)
        self.gone |= self.older_than(keep_days)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = self.opened()

    @rule(
        step=st.sampled_from(STEPS), times=st.integers(1, 3), keep_days=st.sampled_from([None, 1]), alone=st.booleans()
    )
    def crash(self, *, step: str, times: int, keep_days: int | None, alone: bool) -> None:
        """A process dies at a step; the interval comes again to the next one."""
        number = self.committed + 1
        self.ledger.close()
        if alone:
            self.end_others()
        arguments = (self.store, self.clock.wall_ns, f"{step}:{times}", number, keep_days)
        process = PROCESSES.Process(target=act, args=arguments)
        process.start()
        process.join(CRASH_SECONDS)
        assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
        is_done = process.exitcode == 0
        process.close()
        self.ledger = self.opened()
        if alone:
            assert unknown_files(self.store) == []
        outcome = self.ledger.commit(*to_commit(SEED, number))
        assert isinstance(outcome, Known if is_done else Known | Committed)
        self.committed = number
        (self.gone if is_done else self.may_be_gone).update(self.older_than(keep_days))
        self.clock.wall_ns = max(self.clock.wall_ns, start_of(seq(number)) + SECONDS * SECOND_NS)

    def older_than(self, keep_days: int | None) -> set[int]:
        """Numbers that retention takes away now."""
        if keep_days is None:
            return set()
        first_ns = (self.clock.wall_ns - keep_days * DAY_NS) // DAY_NS * DAY_NS
        return {number for number in range(1, self.committed + 1) if start_of(seq(number)) < first_ns}

    @invariant()
    def each_interval_is_there_once(self) -> None:
        snapshot = Reader(self.store).snapshot()
        there = [number_of((one.meter, one.seq)) for one in snapshot.intervals]
        assert sorted(there) == list(range(1, self.committed + 1))
        found = rows_by_number(snapshot)
        for number in there:
            expected, rows = expected_rows(SEED, number), found.pop(number, Counter())
            if number in self.may_be_gone and not rows:
                self.gone.add(number)
            assert rows == (Counter() if number in self.gone else expected), number
        self.may_be_gone.clear()
        assert not found

    @invariant()
    def sums_are_exact(self) -> None:
        """Hourly sums and the rows that are not among them, against all that was ever committed."""
        live = "SELECT path FROM files WHERE dropped_at IS NULL AND (tab = 'rollup_hour' OR NOT rolled_up)"
        paths = Reader(self.store).read(lambda connection: connection.execute(live).fetchall())
        found = [0] * len(COUNTERS)
        for (path,) in paths:
            table = parquet.read_table(self.store / path, columns=list(COUNTERS), partitioning=None)
            for place, name in enumerate(COUNTERS):
                found[place] += sum(cast("list[int]", table[name].to_pylist()))
        expected = [expected_sums(SEED, number)[1:] for number in range(1, self.committed + 1)]
        assert found == [sum(column) for column in zip(*expected, strict=True)] or not expected

    def teardown(self) -> None:
        """At the end nothing is left over, and ``verify`` finds nothing."""
        self.end_others()
        self.ledger.close()
        try:
            self.opened().close()
            assert unknown_files(self.store) == []
            assert [str(problem) for problem in verify(Reader(self.store))] == []
        finally:
            self.folder.cleanup()

    def end_others(self) -> None:
        while self.others:
            self.others.pop().close()


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=int(os.environ.get("NETLEDGER_EXAMPLES") or 8), stateful_step_count=14, deadline=None
)
