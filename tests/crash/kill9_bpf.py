"""Kills the daemon of a bpf meter again and again and leaves it dead for seconds, under load that never stops.

The kernel goes on counting. So nothing may be missing afterwards, nothing may be there twice, and every interval is
exact. Also a program: ``python -m tests.crash.kill9_bpf [KILLS [SEED]]`` prints the figures.
"""

import random
import sys
import threading
import time
from dataclasses import dataclass

from tests.crash.trial import Outcome, Trial, say
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins

PACKETS_PER_SECOND = 50_000
METER = {"lan": 'source = "bpf"\nlocal = ["10.77.1.0/24", "fd77:1::/64"]\nkey = ["host"]\n'}


@dataclass(frozen=True, slots=True)
class Survived:
    """What came out of it; how long nobody was there, and what passed meanwhile."""

    outcome: Outcome
    kills: int
    dead_seconds: float
    dead_packets: int
    left_behind: tuple[str, ...]

    def problems(self) -> list[str]:
        """Why the books do not balance; empty when they do."""
        found = self.outcome.problems()
        books = self.outcome.books
        found += [f"{one.name}: {one.status}: {one.reason}" for one in books.intervals if one.status != "exact"]
        if books.accounted != self.outcome.witness:
            found.append(f"accounted {books.accounted}, the witness {self.outcome.witness}")
        return found + [f"left behind: {pin}" for pin in self.left_behind]

    def figures(self) -> str:
        """One paragraph for people."""
        return (
            f"{self.kills} kills, {self.dead_seconds:.1f} s without a daemon, in which {self.dead_packets:,} packets "
            f"passed\n{self.outcome.figures()}"
        )


def kill_at_random(lab: BpfLab, *, kills: int, seed: int, dead_seconds_max: float = 4.0) -> Survived:
    """``kills`` lives with up to ``dead_seconds_max`` between them.

    Every other life ends at any moment of its first two seconds, so that some never finish to start. The others count
    first, and end within 80 ms behind a boundary of intervals: in the cut, or in the commit that follows it.
    """
    chance = random.Random(seed)  # noqa: S311  (moments, not secrets)
    pause = threading.Event()
    trial = Trial(lab, interval="1s", rate=PACKETS_PER_SECOND, meters=METER)
    dead_seconds, dead_packets = 0.0, 0
    for number in range(kills):
        if number % 2:
            trial.gateway.wait_until_counting()
            pause.wait(1 - time.time() % 1 + chance.uniform(0.0, 0.08))
        else:
            pause.wait(chance.uniform(0.0, 2.0))
        trial.gateway.child.kill()
        began, passed = time.monotonic(), trial.witnessed().packets
        pause.wait(chance.uniform(0.2, dead_seconds_max))
        dead_seconds += time.monotonic() - began
        dead_packets += trial.witnessed().packets - passed
        trial.gateway.start()
    trial.wait_for_next_interval()
    return Survived(trial.end(), kills, dead_seconds, dead_packets, tuple(pins()))


def main() -> int:
    """Prints the figures; 0 when the books balance."""
    numbers = [int(word) for word in sys.argv[1:]]
    kills = numbers[0] if numbers else 20
    seed = numbers[1] if len(numbers) > 1 else random.SystemRandom().randrange(1_000_000)
    say(f"{kills} times kill -9 under {PACKETS_PER_SECOND:,} packets/s, seed {seed}")
    with own_bpffs(), BpfLab() as lab:
        survived = kill_at_random(lab, kills=kills, seed=seed)
    say(survived.figures())
    problems = survived.problems()
    say("\n".join(problems) if problems else "the books balance")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
