"""kill -9 of the daemon of a bpf meter, and seconds without one: afterwards every packet is in exactly one row."""

import os
import random

import pytest

from tests.crash.kill9_bpf import PACKETS_PER_SECOND, kill_at_random
from tests.crash.trial import say
from tests.kernel.bpf_box import BpfLab, own_bpffs

pytestmark = [pytest.mark.kernel, pytest.mark.bpf]
KILLS = 5


def test_kills_lose_nothing_that_passed_while_nobody_was_there() -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    say(f"repeat it with NETLEDGER_SEED={seed}")
    with own_bpffs(), BpfLab() as lab:
        survived = kill_at_random(lab, kills=KILLS, seed=seed, dead_seconds_max=2.0)
    say(survived.figures())
    assert survived.problems() == []
    # It was worth it: much passed while nobody was there, and it is in the rows.
    assert survived.dead_packets > PACKETS_PER_SECOND // 2
    assert survived.outcome.books.sent.packets > survived.dead_packets
