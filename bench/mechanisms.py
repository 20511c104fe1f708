"""What can count packets in the kernel, or hand them over: the floors, netledger's program, an nft set, NFLOG."""

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from harness import BENCH, BIN, Bench, Program, scratch
from ours import Netledger

__all__ = [
    "BOTH",
    "FULL_KEY",
    "LOCAL",
    "MEMORY",
    "NFLOG",
    "NFT_SET",
    "Mechanism",
    "Running",
    "chosen",
    "floor",
    "netledger",
    "of_packets",
    "private_file_system",
]

MEMORY = "/dev/shm"  # noqa: S108 - outputs and rows in memory: no disk in the measurement
LOCAL = "10.0.0.0/8"
FULL_KEY = "host,peer,protocol,host_port,peer_port,interface"
BOTH = "both addresses"
NFLOG = "NFLOG, netledger's own rules"
NFT_SET = "nft set with counters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A way to count. ``argv`` is a program that attaches itself and says so in its first line."""

    name: str
    hook: str  # whose floor it is compared with
    argv: tuple[str | Path, ...] = ()
    needs_directory: bool = False
    postings: int = 1  # how often it counts each packet
    statement: str | None = None  # a rule that counts by itself
    objects: str = ""  # what the rule needs in its table
    reads: Netledger | None = None  # a daemon to which the packets are handed over

    def start(self, bench: Bench, stack: ExitStack) -> "Running":
        """Sets it up in ``bench``; it ends with ``stack``."""
        bench.rules(self.statement, self.objects)
        if not self.argv and self.reads is None:
            return Running(self, bench, None, Path())
        directory = stack.enter_context(scratch(MEMORY))
        argv: Sequence[str | Path] = [*self.argv, directory] if self.needs_directory else self.argv
        program = Program(bench, self.reads.command(directory) if self.reads else argv, directory=directory)
        stack.enter_context(program)
        if self.reads:
            program.wait_ready()
        else:
            program.wait_lines(1)
        return Running(self, bench, program, directory)


@dataclass(slots=True)
class Running:
    """One that counts."""

    mechanism: Mechanism
    bench: Bench
    program: Program | None
    directory: Path
    sent: int = 0

    def reader_ns(self) -> int:
        """CPU so far of the process that reads, once it has nothing left to read. What only waits costs nothing."""
        if self.program is None or self.mechanism.reads is None:
            return 0
        self.program.wait_idle(quiet_seconds=0.5, seconds_max=60)
        return self.program.usage().cpu_ns

    def uncounted(self) -> int | None:
        """Ends it. How many packets it does not have that were sent; None: it has none to say."""
        if self.program is None:
            return None
        output = self.program.stop(signal.SIGTERM)
        if self.mechanism.reads:
            return self.sent - self.mechanism.reads.outcome(self.directory, output).packets
        said = int(json.loads(output.splitlines()[-1])["packets"])
        return self.sent - said // self.mechanism.postings


def floor(hook: str, rows_max: int, *extras: str) -> Mechanism:
    """One hash for each CPU, one address."""
    options = ("-i", "bench0", "-a", hook, "-m", str(rows_max), *extras)
    return Mechanism(name=f"floor, {hook}", hook=hook, argv=(BIN / "bpf_floor", "count", *options))


def netledger(hook: str, rows_max: int, what: str, *options: str) -> Mechanism:
    """The program of this project, without its daemon."""
    argv: tuple[str | Path, ...] = (
        sys.executable,
        BENCH / "metering.py",
        "--attach",
        hook,
        "--rows-max",
        str(rows_max),
        *options,
    )
    return Mechanism(name=f"netledger, {hook}, {what}", hook=hook, argv=argv, needs_directory=True)


def private_file_system(argv: Sequence[str | Path]) -> list[str | Path]:
    """A command that finds an empty BPF file system where it expects one. It goes with its processes: no pin stays."""
    return ["sh", "-c", 'mount -t bpf none /sys/fs/bpf && exec "$@"', "sh", *argv]


def chosen(everything: Sequence[Mechanism], only: str) -> list[Mechanism]:
    """The floors, and what ``only`` names by a part of its name."""
    words = [word for word in only.split(",") if word]
    return [one for one in everything if not words or "floor" in one.name or any(word in one.name for word in words)]


def of_packets(addresses: int, object_path: str | None) -> list[Mechanism]:
    """All that is compared. The floors first."""
    rows_max = max(262_144, addresses * 5 // 4)
    other = ("--object", object_path) if object_path else ()
    hooks = ("tcx", "netfilter")
    found = [floor(hook, rows_max) for hook in hooks]
    for hook in hooks:
        found.append(replace(floor(hook, rows_max, "-x", "both"), name=f"floor, {hook}, {BOTH}", postings=2))
        found.append(netledger(hook, rows_max, "host", *other))
        found.append(netledger(hook, rows_max, "host, local networks", "--local", LOCAL, *other))
        full = ("--columns", FULL_KEY, *other)
        # Each packet makes two rows of the full key: one of its sender, one of its receiver.
        found.append(netledger(hook, 2 * rows_max, "full key", *full))
        found.append(netledger(hook, rows_max, "full key, local networks", "--local", LOCAL, *full))
    objects = f"set seen {{\ntype ipv4_addr\nsize {rows_max}\nflags dynamic\n}}"
    found.append(Mechanism(name=NFT_SET, hook="netfilter", statement="add @seen { ip saddr counter }", objects=objects))
    found.append(Mechanism(name=NFLOG, hook="netfilter", reads=Netledger(name=NFLOG, floor="", rule=None)))
    return found
