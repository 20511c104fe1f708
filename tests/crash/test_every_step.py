"""A crash between any two steps: the daemon dies before its 1st, 2nd, 3rd… rename, fsync, message, nft call."""

import re

from tests.crash.trial import Trial, say, shim
from tests.kernel.lab import Child, Lab, wait_for

STEPS_MAX = 400
LIFE_SECONDS = 30.0
DIED = re.compile(r"died at step (\d+): (\w+)")


def test_a_crash_before_any_step_of_start_cut_and_commit_keeps_the_books_whole(lab: Lab) -> None:
    """Each life takes over what the one before left, commits it, begins, and dies one step later than that one.

    It goes on until a life has cut and committed an interval of its own: by then each step of each has been hit.
    """
    trial = Trial(lab, interval="1s", rate=10_000)
    trial.gateway.child.kill()
    hit: list[str] = []
    for number in range(1, STEPS_MAX):
        before = newest(trial)
        life = trial.gateway.start(f"LD_PRELOAD={shim()}", f"NETLEDGER_DIE_AT={number}")
        await_death(life)
        died = DIED.search(life.errors())
        assert died, f"life {number} ended by itself: {life.errors()}"
        hit.append(died[2])
        if newest(trial) >= before + 3:
            break
    else:
        raise AssertionError(f"no life of {STEPS_MAX} steps committed an interval of its own: {hit}")
    trial.gateway.start()
    trial.wait_for_next_interval()
    outcome = trial.end()
    say(f"{len(hit)} lives, died before: {', '.join(sorted(set(hit)))}")
    say(outcome.figures())
    assert outcome.problems() == []
    assert {"rename", "fsync", "unlink"} <= set(hit)


def await_death(life: Child) -> None:
    """Waits until it died by itself."""
    wait_for(lambda: not life.running, LIFE_SECONDS, f"a death: {life.argv}")


def newest(trial: Trial) -> int:
    """The highest number of a committed interval."""
    return max((interval.seq for interval in trial.gateway.books().intervals), default=0)
