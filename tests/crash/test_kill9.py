"""kill -9 at random moments under 50,000 packets/s: afterwards every packet is in exactly one row."""

import os
import random

import pytest

from netledger.live import Client
from tests.crash.kill9 import kill_at_random
from tests.crash.trial import Trial, say
from tests.kernel.lab import Lab


@pytest.mark.parametrize(("kills", "interval"), [(20, "1s"), (6, "2s")])
def test_rows_add_up_to_the_witness_after_kills_at_random_moments(lab: Lab, kills: int, interval: str) -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    say(f"repeat it with NETLEDGER_SEED={seed}")
    outcome = kill_at_random(lab, kills=kills, seed=seed, interval=interval)
    say(outcome.figures())
    assert outcome.problems() == []
    # A program that accounted nothing and called it all lost would balance too.
    assert outcome.books.accounted.packets > outcome.witness.packets // 50
    assert outcome.books.statuses["exact"] > 0
    assert outcome.witness.packets > 50_000


def test_a_kill_loses_what_comes_before_the_next_start_and_nothing_that_was_received(lab: Lab) -> None:
    """Intervals of an hour: until the kill everything is in memory, and only the mapped file can save it."""
    kills, rate = 5, 50_000
    trial = Trial(lab, interval="1d", rate=rate)
    client, received = Client(trial.gateway.runtime), 0
    for _ in range(kills):
        trial.wait_for_packets(rate)  # a second
        (meter,) = client.status().meters
        received += meter.received_packets or 0
        trial.gateway.child.kill()
        trial.gateway.start_counting()
    outcome = trial.end()
    say(f"{received:,} packets received before the kills\n{outcome.figures()}")
    assert outcome.problems() == []
    assert outcome.books.statuses == {"lossy": kills, "exact": 1}
    assert received > kills * rate // 50
    assert outcome.books.accounted.packets >= received


def test_nothing_is_lost_while_nobody_is_killed(lab: Lab) -> None:
    outcome = kill_at_random(lab, kills=0, seed=0)
    assert outcome.problems() == []
    assert outcome.books.statuses == {"exact": len(outcome.books.intervals)}
    assert outcome.books.accounted == outcome.witness == outcome.sent
