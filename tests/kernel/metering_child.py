"""A meter in a process of its own, which a test can stop, kill, or let die at a chosen step.

Here a managed one; the modules of the others end with the same line.

    python -m tests.kernel.metering_child CONFIG [STEP]

It opens the meter, then obeys lines on standard input: ``cut``, ``close``, ``keep`` (close and keep the rules). Each is
answered by one line of JSON: the intervals that were closed. ``stats`` is answered by the number of packets received.
With STEP, such as ``switched:2``, it kills itself with SIGKILL when that step has been done for the second time.
"""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from pydantic import TypeAdapter

from netledger.sources.base import Step
from netledger.sources.nflog_managed import ManagedNflogConfig
from tests.kernel.lab import Lab
from tests.kernel.metering import ANSWER, Bench, Interval, Metered, S

CONFIG = TypeAdapter(ManagedNflogConfig)


def dying(die_at: str) -> Step:
    """Kills this process at a step such as ``switched:2``."""
    name, _, number = die_at.partition(":")
    seen: Counter[str] = Counter()

    def at_step(step: str) -> None:
        seen[step] += 1
        if step == name and seen[step] == int(number or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


def obey(bench: Metered[S], die_at: str = "") -> None:
    """Opens it, and does as it is told until nobody tells anything more."""
    answer(bench.open(dying(die_at)))
    for line in sys.stdin:
        match line.strip():
            case "cut":
                answer([bench.cut()])
            case "close":
                answer(bench.close())
            case "keep":
                answer(bench.close(keep_rules=True))
            case "stats":
                sys.stdout.write(f"{bench.opened().stats().received_packets}\n")
                sys.stdout.flush()
            case command:
                raise ValueError(command)


def answer(intervals: Sequence[Interval]) -> None:
    sys.stdout.write(json.dumps(ANSWER.dump_python(list(intervals), mode="json")) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    obey(Bench(Lab(), config=CONFIG.validate_json(sys.argv[1])), *sys.argv[2:])
