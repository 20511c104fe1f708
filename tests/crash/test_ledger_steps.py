"""The daemon under traffic and the housekeeping beside it die at each named step of the ledger; then the sums."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb

from netledger.intervals import DAY_NS, SystemClock
from netledger.ledger.maintain import maintain
from tests.crash.test_every_step import await_death
from tests.crash.test_store_kill9 import named_steps
from tests.crash.trial import Trial, say
from tests.kernel.lab import Child, Count, Lab
from tests.kernel.senders import ROOT
from tests.unit.memory_source import TestClock
from tests.unit.rows import SECOND_NS, batch
from tests.unit.store import HOSTS, opened, receipt_of

STEPWISE = "tests.crash.stepwise"
PER_DAY = 3
A_DAY = Count(10 * PER_DAY, 1000 * PER_DAY)
SUMS = (
    "SELECT meter, sum(sent_packets)::BIGINT, sum(sent_bytes)::BIGINT, sum(received_packets)::BIGINT, "
    "sum(received_bytes)::BIGINT FROM {} GROUP BY meter"
)


def test_the_daemon_and_its_housekeeping_killed_at_each_step_lose_and_double_nothing(tmp_path: Path, lab: Lab) -> None:
    trial = Trial(lab, interval="1s", rate=10_000)
    trial.wait_for_next_interval()
    steps = named_steps(tmp_path)
    deaths: Counter[str] = Counter()
    for day, at_housekeeping in enumerate(steps["compactor"]):
        # There are fewer steps of a commit: they come again, one commit later.
        turn, place = divmod(day, len(steps["writer"]))
        at_commit = steps["writer"][place]
        commit_a_day(trial.gateway.store, day)
        trial.gateway.child.kill()
        keeper = keep_house(trial, at_housekeeping)
        daemon = trial.gateway.start_dying(STEPWISE, f"{at_commit}:{turn + 1}")
        for child, step in ((daemon, f"{at_commit} of a commit"), (keeper, f"{at_housekeeping} of housekeeping")):
            await_death(child)
            assert child.wait() == -signal.SIGKILL, f"{step}: {child.errors()}"
            deaths[step] += 1
        trial.gateway.start_counting()
    trial.wait_for_next_interval()
    outcome, days = trial.end(), len(steps["compactor"])
    before = Count(A_DAY.packets * days, A_DAY.bytes * days)
    outcome = replace(outcome, reported=outcome.reported - before)
    say(f"{deaths.total()} deaths at {len(deaths)} steps of the ledger, under traffic\n{outcome.figures()}")
    assert outcome.problems() == []
    assert by_files(trial.gateway.store) == {"lan": outcome.witness, "old": before}
    assert json.loads(netledger("audit", "--verify", "--json", store=trial.gateway.store))["problems"] == []


def commit_a_day(store: Path, day: int) -> None:
    """Gives housekeeping something of each kind to do: intervals of a day long ago, and files to be removed at once."""
    with opened(store, clock=TestClock(SystemClock().now().wall_ns)) as ledger:
        # What the one before has left, so that files of its day do not count any more.
        maintain(ledger)
        for seq in range(1, PER_DAY + 1):
            receipt = receipt_of(day * PER_DAY + seq, meter="old")
            shifted = day * DAY_NS - day * PER_DAY * 300 * SECOND_NS
            moved = replace(receipt, start_ns=receipt.start_ns + shifted, end_ns=receipt.end_ns + shifted)
            ledger.commit(moved, batch(HOSTS))
        # Their grace is a quarter of an hour, which no test waits for.
        ledger.connection.execute("UPDATE files SET dropped_at = 0 WHERE dropped_at IS NOT NULL")


def keep_house(trial: Trial, step: str) -> Child:
    """Housekeeping as the daemon starts it, which dies at the step."""
    words = ["maintain", "--config", os.devnull, "--store", str(trial.gateway.store)]
    return trial.lab.spawn(trial.lab.gw, [sys.executable, "-m", STEPWISE, f"{step}:1", *words])


def by_files(store: Path) -> dict[str, Count]:
    """What DuckDB adds up over the files that ``netledger files`` prints."""
    with duckdb.connect() as connection:
        found = connection.execute(SUMS.format(netledger("files", "--sql", store=store))).fetchall()
    assert all(counts[:2] == counts[2:] for _, *counts in found)
    return {meter: Count(packets, octets) for meter, packets, octets, *_ in found}


def netledger(*words: str, store: Path) -> str:
    """What a command prints about a store."""
    argv = [sys.executable, "-m", "netledger", *words, "--config", os.devnull, "--store", str(store)]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120).stdout
