"""A managed meter in a process of its own, which a test can stop, kill, or let die at a chosen step.

    python -m tests.kernel.metering_child CONFIG [STEP]

It opens the meter, then obeys lines on standard input: ``cut``, ``close``, ``keep`` (close and keep the rules). Each is
answered by one line of JSON: the intervals that were closed. ``stats`` is answered by the number of packets received.
With STEP, such as ``switched:2``, it kills itself with SIGKILL when that step has been done for the second time.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from netledger.sources.base import Step
from netledger.sources.nflog_managed import ManagedNflogConfig
from tests.kernel.lab import Lab
from tests.kernel.metering import Bench, Committed, Interval

ROOT = Path(__file__).resolve().parents[2]
ANSWER = TypeAdapter(list[Interval])
CONFIG = TypeAdapter(ManagedNflogConfig)
END_SECONDS = 90.0


class Child:
    """The test's end of a meter in another process. As a context manager it kills the process at the end."""

    def __init__(self, bench: Committed, module: str, config: str, die_at: str) -> None:
        self._bench = bench
        argv = [sys.executable, "-m", module, config, die_at]
        self.process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.first = self._intervals(self._line())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=END_SECONDS)

    def tell(self, command: str) -> list[Interval] | None:
        """Hands over a command; None when the process died of it."""
        return self._intervals(self._exchange(command))

    def received_packets(self) -> int:
        """How many packets have reached it."""
        return int(self._exchange("stats"))

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(END_SECONDS)

    def _exchange(self, command: str) -> bytes:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def _intervals(self, line: bytes) -> list[Interval] | None:
        if not line:
            return None
        intervals = ANSWER.validate_json(line)
        self._bench.intervals += intervals
        return intervals


class ChildMeter(Child):
    """A managed meter."""

    def __init__(self, bench: Bench, die_at: str = "") -> None:
        super().__init__(bench, "tests.kernel.metering_child", CONFIG.dump_json(bench.config).decode(), die_at)


def dying(die_at: str) -> Step:
    """Kills this process at a step such as ``switched:2``."""
    name, _, number = die_at.partition(":")
    seen: Counter[str] = Counter()

    def at_step(step: str) -> None:
        seen[step] += 1
        if step == name and seen[step] == int(number or 1):
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


def main(config: str, die_at: str) -> None:
    bench = Bench(Lab(), config=CONFIG.validate_json(config))
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
                assert bench.source is not None
                sys.stdout.write(f"{bench.source.stats().received_packets}\n")
                sys.stdout.flush()
            case command:
                raise ValueError(command)


def answer(intervals: Sequence[Interval]) -> None:
    sys.stdout.write(json.dumps(ANSWER.dump_python(list(intervals), mode="json")) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
