"""kill -9 at random moments under 50,000 packets/s: afterwards every packet is in exactly one row."""

import os
import random

import pytest

from tests.crash.kill9 import kill_at_random
from tests.crash.trial import say
from tests.kernel.lab import Lab


@pytest.mark.parametrize(("kills", "interval"), [(20, "1s"), (6, "2s")])
def test_rows_add_up_to_the_witness_after_kills_at_random_moments(lab: Lab, kills: int, interval: str) -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    say(f"repeat it with NETLEDGER_SEED={seed}")
    outcome = kill_at_random(lab, kills=kills, seed=seed, interval=interval)
    say(outcome.figures())
    assert outcome.problems() == []
    # A program that accounted nothing and called it all lost would balance too.
    assert outcome.books.accounted.packets > outcome.witness.packets // 4
    assert outcome.books.statuses["exact"] > 0
    assert outcome.witness.packets > 50_000


def test_nothing_is_lost_while_nobody_is_killed(lab: Lab) -> None:
    outcome = kill_at_random(lab, kills=0, seed=0)
    assert outcome.problems() == []
    assert outcome.books.statuses == {"exact": len(outcome.books.intervals)}
    assert outcome.books.accounted == outcome.witness == outcome.sent
