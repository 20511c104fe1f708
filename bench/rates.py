"""Programs at a fixed packet rate, in interleaved rounds; or the highest rate at which each loses nothing."""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import table
from harness import Bench, BenchError, Program, Traffic, scratch
from peers import Peer

__all__ = ["FIXED_HEAD", "HIGHEST_HEAD", "Load", "Reading", "Rounds", "highest"]

# The plain floor: everything is set against it, the daemon under the user's rules as well.
PLAIN_FLOOR = "floor"
DRAIN_SECONDS = 2.0
MEMORY = "/dev/shm"  # noqa: S108  outputs and rows in memory: no disk in the measurement

FIXED_HEAD = (
    "program", "addresses", "kpps", "CPU ns/packet", "x floor", "x floor, same rule", "kernel ns added",
    "loss %", "found", "RSS MB start", "peak", "receipts",
)  # fmt: skip
HIGHEST_HEAD = ("program", "addresses", "kpps without loss", "first loss at kpps", "CPU ns/packet", "CPU %")


@dataclass(frozen=True, slots=True)
class Load:
    """What is injected in one run."""

    addresses: int
    rate: int
    seconds: float

    @property
    def packets(self) -> int:
        """How many that are; each address comes at least once."""
        return max(int(self.rate * self.seconds), self.addresses)


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of one program."""

    program: str
    load: Load
    traffic: Traffic
    accounted: int
    found: int
    cpu_ns: float  # per accounted packet, from ready to idle
    cpu_percent: float
    resident_mb: float
    peak_mb: float
    remark: str

    @property
    def pps(self) -> float:
        return self.traffic.packets / self.traffic.seconds

    @property
    def loss_percent(self) -> float:
        return 100 * (self.traffic.packets - self.accounted) / self.traffic.packets


def measure(bench: Bench, peer: Peer, load: Load, log: Path | None) -> Reading:
    """Runs ``peer`` from start to clean stop under ``load``.

    Raises:
        BenchError: it did not start, did not become idle, or did not end.
    """
    bench.rules(peer.rule)
    with ExitStack() as stack:
        directory = stack.enter_context(scratch(MEMORY))
        program = stack.enter_context(Program(bench, peer.command(directory), directory=directory))
        program.wait_ready(peer.listens)
        before = program.usage()
        traffic = bench.send(packets=load.packets, addresses=load.addresses, rate=load.rate)
        if peer.becomes_idle:
            program.wait_idle(quiet_seconds=1.5, seconds_max=60)
        else:
            time.sleep(DRAIN_SECONDS)
        after = program.usage()
        said = peer.before_stop(directory)
        outcome = peer.outcome(directory, said + program.stop(peer.stop_signal))
    used = after.cpu_ns - before.cpu_ns
    reading = Reading(
        peer.name, load, traffic, outcome.packets, outcome.addresses, used / max(outcome.packets, 1),
        used / 1e7 / traffic.seconds, before.resident_kib / 1024, after.peak_kib / 1024, outcome.remark,
    )  # fmt: skip
    if log:
        with log.open("a") as file:
            file.write(json.dumps(asdict(reading)) + "\n")
    return reading


def progress(message: str) -> None:
    """One line for the person who waits."""
    print(message, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Rounds:
    """All programs one after the other, again and again: what else the machine does hits all of them alike."""

    bench: Bench
    peers: Sequence[Peer]
    log: Path | None = None
    readings: dict[tuple[int, str], list[Reading]] = field(default_factory=dict)
    ratios: dict[tuple[int, str, bool], list[float]] = field(default_factory=dict)
    kernel_ns: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def run(self, loads: Sequence[Load], *, rounds: int) -> None:
        """Fills the readings. Blocks for about ``seconds + 5`` for each program, load and round."""
        for number in range(rounds):
            for load in loads:
                progress(f"round {number + 1} of {rounds}, {load.addresses} addresses")
                self._round(load)

    def _round(self, load: Load) -> None:
        self.bench.rules(None)
        bare = self.bench.send(packets=load.packets, addresses=load.addresses, rate=load.rate)
        seen: dict[str, Reading] = {}
        for peer in self.peers:
            absent = peer.missing()
            if absent:
                self.failures[peer.name] = f"skipped: {absent}"
                continue
            try:
                reading = measure(self.bench, peer, load, self.log)
            except BenchError as error:
                if peer.name == PLAIN_FLOOR:
                    raise  # without it there are no ratios
                self.failures[peer.name] = f"failed: {error}"
                progress(f"{peer.name}: {error}")
                continue
            seen[peer.name] = reading
            key = (load.addresses, peer.name)
            self.readings.setdefault(key, []).append(reading)
            self.kernel_ns.setdefault(key, []).append(reading.traffic.packet_ns - bare.packet_ns)
            for same_rule, floor in ((False, PLAIN_FLOOR), (True, peer.floor)):
                if floor in seen:
                    ratio = reading.cpu_ns / seen[floor].cpu_ns
                    self.ratios.setdefault((*key, same_rule), []).append(ratio)

    def rows(self) -> list[list[str]]:
        """The table: medians with their least and greatest; loss is the worst of the rounds."""
        rows = []
        for (addresses, name), readings in sorted(self.readings.items(), key=lambda item: item[0][0]):
            losses = [reading.loss_percent for reading in readings]
            rows.append(
                [
                    name,
                    f"{addresses:,}",
                    f"{statistics.median(reading.pps for reading in readings) / 1000:.0f}",
                    table.spread([reading.cpu_ns for reading in readings]),
                    table.spread(self.ratios.get((addresses, name, False), []), 2),
                    table.spread(self.ratios.get((addresses, name, True), []), 2),
                    table.spread(self.kernel_ns[addresses, name]),
                    "0" if not any(losses) else f"{max(losses, key=abs):.3f}",
                    table.spread([reading.found for reading in readings]),
                    f"{statistics.median(reading.resident_mb for reading in readings):.1f}",
                    f"{max(reading.peak_mb for reading in readings):.1f}",
                    readings[-1].remark,
                ]
            )
        return rows


def _reached(reading: Reading) -> bool:
    """Whether the generator was as fast as it was told to be."""
    return reading.pps >= 0.93 * reading.load.rate


def _best_of(bench: Bench, peer: Peer, load: Load, log: Path | None) -> Reading:
    """Up to three runs: a loss, or a slow generator, may be the fault of something else on the machine."""
    readings: list[Reading] = []
    for _ in range(3):
        reading = measure(bench, peer, load, log)
        readings.append(reading)
        if reading.loss_percent == 0 and _reached(reading):
            break
    return min(readings, key=lambda reading: (reading.loss_percent != 0, -reading.pps))


def highest(bench: Bench, peer: Peer, start: Load, log: Path | None) -> list[str]:
    """The highest rate at which ``peer`` loses nothing, as a row of the table.

    Raises:
        BenchError: it does not run.
    """
    rate, low, good, bad = start.rate, 0, None, None
    while True:
        reading = _best_of(bench, peer, Load(start.addresses, rate, start.seconds), log)
        if reading.loss_percent == 0:
            good = max(good or reading, reading, key=lambda one: one.pps)
            low = rate
            if not _reached(reading):  # the generator is at its own end
                break
        else:
            bad = rate
        if bad and (bad < 1.1 * low or bad < 1000):
            break
        rate = int((low * bad) ** 0.5) if low and bad else rate // 2 if bad else rate * 2
    if good is None:
        return [peer.name, f"{start.addresses:,}", "none", f"{rate / 1000:.0f}", "-", "-"]
    return [
        peer.name,
        f"{start.addresses:,}",
        f"{good.pps / 1000:.0f}" if bad else f"≥ {good.pps / 1000:.0f}",
        f"{bad / 1000:.0f}" if bad else "generator's end",
        f"{good.cpu_ns:.0f}",
        f"{good.cpu_percent:.0f}",
    ]
