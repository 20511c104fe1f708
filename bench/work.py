"""What is done several times, by processes of its own or by this one: how long it takes, and what it uses."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import BenchError
from table import spread

__all__ = ["OURS", "Work", "by_turns"]

OURS = Path(sys.executable).with_name("netledger")
# As an installed package has it: modules are compiled once, and not at each start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Work:
    """A command that is asked, or something that is done here, and how it did."""

    what: str
    rows: int
    argv: Sequence[str | Path] = ()
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)

    def once(self) -> None:
        """Asks the command.

        Raises:
            BenchError: there was no answer.
        """
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in self.argv], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        self._add(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
        # 3: a period that goes on behind the last interval, or begins within one, is not covered whole.
        if process.returncode not in {0, 3}:
            raise BenchError(f"{self.what}: exit {process.returncode}: {said[-300:]}")

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measures what is done meanwhile, in this process; its memory is the most that it ever had."""
        started, used = time.perf_counter(), time.process_time()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._add(time.perf_counter() - started, time.process_time() - used, peak)

    def row(self, *, with_memory: bool = False) -> list[str]:
        """A line of the table."""
        cells = [self.what, f"{self.rows:,}", spread(self.wall, 2), spread(self.cpu, 2)]
        return [*cells, spread(self.memory)] if with_memory else cells

    def _add(self, wall: float, cpu: float, kilobytes: int) -> None:
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.memory.append(kilobytes * 1024 / 1e6)


def by_turns(questions: Sequence[Work], rounds: int) -> None:
    """Asks them so many times, one after the other."""
    for _ in range(rounds):
        for question in questions:
            question.once()
