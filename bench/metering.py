#!/usr/bin/env python3
"""A meter that counts in the kernel, without a daemon around it, to be watched from outside.

SIGUSR1 cuts. SIGUSR2 cuts too, and before the rows are discarded they are read several times, by the meter and by the
floor in turn. SIGTERM ends it. Each prints one line of JSON. It has to run in a mount namespace of its own, where it
mounts a BPF file system in its directory: nothing is left behind, however it ends.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness import BIN, run
from kernel_memory import map_bytes

from netledger._core import BpfMeter, Generation, KeySpec

READ_TIMES = 3
Result = TypeVar("Result")


class Steps:
    """What the steps of something took, in ms: CPU of this process, and time on the clock."""

    def __init__(self) -> None:
        self.cpu_ms: dict[str, float] = {}
        self.wall_ms: dict[str, float] = {}

    def take(self, name: str, work: Callable[[], Result]) -> Result:
        """Does one step."""
        cpu, wall = time.process_time_ns(), time.monotonic_ns()
        result = work()
        self.cpu_ms[name] = (time.process_time_ns() - cpu) / 1e6
        self.wall_ms[name] = (time.monotonic_ns() - wall) / 1e6
        return result


class Counting:
    """The meter, and which generation is open."""

    def __init__(self, directory: Path, meter: BpfMeter, home: Path) -> None:
        self._directory = directory
        self._home = home
        self._meter = meter
        self._seq = 1
        self._packets = 0

    def _read(self) -> Generation:
        return self._meter.read(self._seq, str(self._directory / f"rows-{self._seq}.table"))

    def cut(self, *, compares: bool) -> dict[str, object]:
        """Closes what is open and opens the next, and says what each step took."""
        steps, meter, seq = Steps(), self._meter, self._seq
        steps.take("switch", lambda: meter.switch(seq + 1))
        steps.take("settle", meter.settle)
        generation = steps.take("read", self._read)
        facts: dict[str, object] = {"rows": generation.rows}
        self._packets += generation.totals.received_packets
        steps.take("batch", lambda: generation.batch({}))
        generation.release()
        if compares:
            facts |= self._beside_floor()
        steps.take("discard", lambda: meter.discard(seq))
        steps.take("prepare", lambda: meter.prepare(seq + 2))
        self._seq += 1
        return facts | {"cpu_ms": steps.cpu_ms, "wall_ms": steps.wall_ms}

    def _beside_floor(self) -> dict[str, object]:
        """CPU in ms of copying the rows and nothing more, and of reading them as the meter does, in turn."""
        pin = next(self._home.rglob(f"rows-{self._seq}"))
        floor, own = [], []
        for _ in range(READ_TIMES):
            floor.append(json.loads(run(BIN / "bpf_floor", "read", "-p", pin))["cpu_ns"] / 1e6)
            steps = Steps()
            steps.take("read", self._read).release()
            own.append(steps.cpu_ms["read"])
        return {"floor_ms": floor, "read_ms": own}

    def end(self) -> dict[str, object]:
        """Stops counting, and says what was counted from the beginning to the end."""
        memory = map_bytes("self")
        self._meter.switch(0)
        self._meter.settle()
        generation = self._read()
        facts = {"packets": self._packets + generation.totals.received_packets, "rows": generation.rows}
        generation.release()
        self._meter.remove()
        return {**facts, "memory": memory}


def begun(wanted: argparse.Namespace) -> Counting:
    """Loads the program and lets it count."""
    home = wanted.directory / "bpf"
    home.mkdir()
    subprocess.run(["mount", "-t", "bpf", "none", str(home)], check=True)
    key = KeySpec(columns=wanted.columns.split(","), local=[wanted.local] if wanted.local else [])
    where = str(home / "meter")
    meter = BpfMeter(
        directory=where, key=key, rows_max=wanted.rows_max, attach=wanted.attach, object_path=wanted.object
    )
    meter.load()
    for seq in (1, 2):
        meter.prepare(seq)
    if wanted.attach == "tcx":
        index = int(Path(f"/sys/class/net/{wanted.interface}/ifindex").read_text())
        meter.attach_interface(index, wanted.interface)
    else:
        meter.attach()
    meter.switch(1)
    return Counting(wanted.directory, meter, home)


def main() -> int:
    """Counts until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--attach", choices=["netfilter", "tcx"], default="netfilter", help="where (netfilter)")
    parser.add_argument("--interface", default="bench0", help="of tcx (bench0)")
    parser.add_argument("--columns", default="host", help="the key, separated by commas (host)")
    parser.add_argument("--local", help="the network that hosts are in; none: every address is a host")
    parser.add_argument("--rows-max", type=int, default=1_000_000, metavar="N", help="(1000000)")
    parser.add_argument("--object", help="another object file than the one that is built in")
    wanted = parser.parse_args()
    waited_for = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited_for)
    counting = begun(wanted)
    print(json.dumps({"ready": True}), flush=True)
    while (number := signal.sigwait(waited_for)) != signal.SIGTERM:
        print(json.dumps(counting.cut(compares=number == signal.SIGUSR2)), flush=True)
    print(json.dumps(counting.end()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
