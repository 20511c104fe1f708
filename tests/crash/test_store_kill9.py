"""kill -9 of a writer, a compactor and a reader that share a store: at each named step, and at any other moment."""

import os
import random
import threading
from collections import Counter
from pathlib import Path

from netledger.ledger.maintain import GRACE_NS, maintain
from tests.crash.lives import Lives
from tests.crash.seeded import LATER_NS, judge, to_commit, unknown_files
from tests.crash.trial import say
from tests.kernel.lab import wait_for
from tests.unit.memory_source import TestClock
from tests.unit.store import opened

ROUNDS = 10
KILLS_MIN = 60


def named_steps(store: Path) -> dict[str, list[str]]:
    """The steps of the protocol, as the code itself names them, by who comes to them."""
    done: list[str] = []
    clock = TestClock(LATER_NS)
    with opened(store, clock=clock, at_step=done.append) as ledger:
        for number in (1, 3):
            ledger.commit(*to_commit(2, number))
        writer = list(dict.fromkeys(done))
        done.clear()
        maintain(ledger)
        clock.advance(GRACE_NS)
        maintain(ledger)
    return {"writer": writer, "compactor": list(dict.fromkeys(done))}


def test_every_acknowledged_interval_is_there_once_whatever_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    chance, pause = random.Random(seed), threading.Event()  # noqa: S311  (moments, not secrets)
    store = tmp_path / "store"
    steps = [(role, step) for role, names in named_steps(tmp_path / "first").items() for step in names]
    assert {step for _, step in steps} >= {
        "written",
        "synced",
        "renamed",
        "named",
        "inserted",
        "committed",
        "replaced",
        "rolled_up",
        "counted",
    }
    # A compactor forgets files once in a grace; a second time would be long to wait for.
    plan = [
        (role, f"{step}:{times}")
        for role, step in steps
        for times in ((1, 2, chance.randint(3, 5)) if role == "writer" else (1,) if step == "forgotten" else (1, 2))
    ]
    chance.shuffle(plan)
    rounds = [plan[start::ROUNDS] for start in range(ROUNDS)]
    with Lives(store, tmp_path / "told", seed) as lives:
        lives.start("writer")
        wait_for(lives.told.acknowledged, 30, "an interval")
        for dying in rounds:
            lives.start("compactor")
            lives.start("reader")
            for role, die_at in dying:
                pause.wait(chance.uniform(0.0, 0.4))
                lives.kill(role)
                lives.start(role, die_at)
                lives.await_death(role)
                lives.start(role)
            pause.wait(chance.uniform(0.1, 0.5))
            everyone = ["writer", "compactor", "reader"]
            chance.shuffle(everyone)
            for role in everyone:
                lives.kill(role)
            with opened(store):
                assert unknown_files(store) == []
            lives.start("writer")
        lives.kill("writer")
    told, verdict = lives.told, judge(store, seed, lives.told.acknowledged())
    say(
        f"store, kill -9: {lives.kills.total()} kills ({by_role(lives.kills)}; {len(plan)} of them at named steps), "
        f"{verdict.acknowledged} acknowledged, {len(verdict.lost)} lost, {len(verdict.double)} double; "
        f"{told.count('snapshots')} snapshots, {told.count('compactions')} compactions, "
        f"{told.count('committed, not acknowledged')} committed and not acknowledged; NETLEDGER_SEED={seed}"
    )
    assert told.troubles() + told.refusals() == []
    assert verdict.problems == []
    with opened(store):
        assert unknown_files(store) == []
    assert lives.kills.total() >= KILLS_MIN
    assert min(told.count("snapshots"), verdict.acknowledged) > 50
    assert told.count("compactions") > 10


def by_role(kills: Counter[str]) -> str:
    return ", ".join(f"{number} {role}" for role, number in sorted(kills.items()))
