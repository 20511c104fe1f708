"""Kills the daemon at random moments under load, and adds up.

Also a program: ``python -m tests.crash.kill9 [KILLS [SEED]]`` prints the figures.
"""

import random
import sys
import threading
import time

from tests.crash.trial import Outcome, Trial, say
from tests.kernel.lab import Lab

PACKETS_PER_SECOND = 50_000


def kill_at_random(lab: Lab, *, kills: int, seed: int, interval: str = "1s", rate: int = PACKETS_PER_SECOND) -> Outcome:
    """``kills`` lives; between them up to half a second without one.

    Every other life ends at any moment of its first three seconds, so that some never finish to start. The others count
    first, and end within 80 ms behind a boundary of intervals: in the cut, or in the commit that follows it.
    """
    chance = random.Random(seed)  # noqa: S311  (moments, not secrets)
    pause = threading.Event()
    trial = Trial(lab, interval=interval, rate=rate)
    for number in range(kills):
        if number % 2:
            trial.gateway.wait_until_counting()
            pause.wait(chance.uniform(0.0, 1.0))
            pause.wait(1 - time.time() % 1 + chance.uniform(0.0, 0.08))
        else:
            pause.wait(chance.uniform(0.0, 3.0))
        trial.gateway.child.kill()
        pause.wait(chance.uniform(0.0, 0.5))
        trial.gateway.start()
    trial.wait_for_next_interval()
    return trial.end()


def main() -> int:
    """Prints the figures; 0 when the books balance."""
    numbers = [int(word) for word in sys.argv[1:]]
    kills = numbers[0] if numbers else 20
    seed = numbers[1] if len(numbers) > 1 else random.SystemRandom().randrange(1_000_000)
    say(f"{kills} times kill -9 under {PACKETS_PER_SECOND:,} packets/s, seed {seed}")
    with Lab() as lab:
        outcome = kill_at_random(lab, kills=kills, seed=seed)
    say(outcome.figures())
    problems = outcome.problems()
    say("\n".join(problems) if problems else "the books balance")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
