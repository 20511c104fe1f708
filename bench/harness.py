"""Where all is measured: two network namespaces, the generator, and programs whose CPU and memory are watched."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = [
    "BENCH",
    "BIN",
    "LOG_GROUPS",
    "Bench",
    "BenchError",
    "Cpus",
    "Program",
    "Traffic",
    "Usage",
    "build",
    "run",
    "scratch",
]

BENCH = Path(__file__).resolve().parent
BIN = BENCH / "bin"
SOURCES = BENCH / "src"
ADDRESS = "192.168.77.1"
LOG_GROUPS = "netfilter/nfnetlink_log"
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")

# Packets that nobody stopped end here, behind every rule that counts: the machine must not answer them.
SINK = "chain sink {\ntype filter hook input priority 200\npolicy drop\n}"


class BenchError(Exception):
    """Something that was to be measured could not be."""


def run(*argv: str | Path, stdin: str | None = None, check: bool = True, timeout_seconds: float = 120) -> str:
    """The standard output of a program."""
    done = subprocess.run(
        [str(part) for part in argv], input=stdin, text=True, capture_output=True, timeout=timeout_seconds, check=False
    )
    if check and done.returncode:
        raise BenchError(
            f"{' '.join(str(part) for part in argv)}: exit {done.returncode}: {done.stderr.strip()[-400:]}"
        )
    return done.stdout


def _build_steps() -> Iterator[tuple[Path, list[Path], list[str]]]:
    include = Path("/usr/include") / run("gcc", "-print-multiarch").strip()
    c_flags = ["gcc", "-O2", "-g", "-march=native", "-Wall", "-Wextra", f"-I{SOURCES}", f"-I{BIN}"]
    for name in ("generator", "bpf_floor"):
        program, shared = SOURCES / f"{name}.bpf.c", SOURCES / f"{name}.h"
        code, skeleton = BIN / f"{name}.bpf.o", BIN / f"{name}.skel.h"
        clang = ["clang", "-O2", "-g", "-Wall", "-target", "bpf", "-mcpu=v3", f"-I{include}", f"-I{SOURCES}"]
        yield code, [program, shared], [*clang, "-c", str(program), "-o", str(code)]
        yield skeleton, [code], ["bpftool", "gen", "skeleton", str(code), "name", f"{name}_bpf"]
        source, target = SOURCES / f"{name}.c", BIN / name
        yield target, [source, shared, skeleton], [*c_flags, str(source), "-o", str(target), "-lbpf", "-lelf", "-lz"]
    for name, extra in (
        ("nflog_floor", []),
        ("packet_floor", []),
        ("mapping", ["-lpthread"]),
        ("capture", []),
        ("conntrack_floor", []),
        ("counters_floor", []),
    ):
        source, target = SOURCES / f"{name}.c", BIN / name
        yield target, [source], [*c_flags, str(source), "-o", str(target), *extra]


def build() -> None:
    """Compiles what is older than its source.

    Raises:
        BenchError: a compiler, libbpf or bpftool is missing, or the code does not compile.
    """
    BIN.mkdir(exist_ok=True)
    try:
        for target, needs, command in _build_steps():
            if target.exists() and all(target.stat().st_mtime >= need.stat().st_mtime for need in needs):
                continue
            output = run(*command)
            if command[0] == "bpftool":
                target.write_text(output)
    except FileNotFoundError as missing:
        raise BenchError(
            f"{missing.filename}: not found\nhint: apt-get install gcc clang libbpf-dev libelf-dev zlib1g-dev bpftool"
        ) from missing


@contextmanager
def scratch(parent: str) -> Iterator[Path]:
    """An empty directory below ``parent``, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="netledger-bench-", dir=parent))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Cpus:
    """Traffic is made on one CPU and accounted on another: the kernel's cost of a packet, and the program's."""

    generator: int = 0
    program: str = "1"  # or several: 1,2


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the generator injected."""

    packets: int
    seconds: float
    packet_ns: float  # the kernel's time for one, 10th percentile over windows of 4096
    undisturbed_ns: float  # the 2nd
    late_batches: int
    ip_bytes: int


class Bench:
    """Two namespaces joined by a veth pair. Traffic stays in them and ends in a drop rule."""

    def __init__(self, *, cpus: Cpus, name: str = "") -> None:
        self.cpus = cpus
        self.namespace = f"nlbench{os.getpid()}{name}"
        self._far = f"{self.namespace}f"

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise BenchError("network namespaces need root")
        # Being told to end must not leave namespaces and processes behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            for namespace in (self.namespace, self._far):
                run("ip", "netns", "add", namespace)
                # Interfaces that come up with IPv6 report the groups they join: packets that nobody sent.
                silent = ("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
                run("ip", "netns", "exec", namespace, "sysctl", "-qw", *silent)
            pair = ("type", "veth", "peer", "name", "bench1", "netns", self._far)
            run("ip", "link", "add", "bench0", "netns", self.namespace, *pair)
            # Sources are anywhere in 10.0.0.0/8, and no route leads back there.
            self.inside("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.bench0.rp_filter=0")
            for namespace, interface in ((self.namespace, "bench0"), (self._far, "bench1"), (self.namespace, "lo")):
                run("ip", "-n", namespace, "link", "set", interface, "up")
            run("ip", "-n", self.namespace, "address", "add", f"{ADDRESS}/24", "dev", "bench0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in (self.namespace, self._far):
            run("ip", "netns", "delete", namespace, check=False)

    def inside(self, *argv: str | Path, stdin: str | None = None) -> str:
        """Runs a program in the namespace."""
        return run("ip", "netns", "exec", self.namespace, *argv, stdin=stdin)

    def rules(self, log: str | None, objects: str = "", priority: int = 90) -> None:
        """Replaces all rules: packets are logged by ``log`` (a statement, or nothing) and then dropped.

        ``objects`` is what the statement needs in the table.
        """
        chain = f"chain observed {{\ntype filter hook input priority {priority}\n{log}\n}}" if log else ""
        self.inside("nft", "-f", "-", stdin=f"flush ruleset\ntable inet bench {{\n{objects}\n{SINK}\n{chain}\n}}\n")

    def send(self, *, packets: int, addresses: int, rate: int, ports: int = 1) -> Traffic:
        """Injects exactly ``packets`` and waits for the last; ``rate`` 0 is as fast as the kernel takes them."""
        what = {"-i": "bench0", "-t": ADDRESS, "-n": packets, "-k": addresses, "-p": ports, "-r": rate}
        options = [str(part) for option in (what | {"-c": self.cpus.generator, "-s": 100}).items() for part in option]
        answer = json.loads(self.inside("nice", "-n", "-10", BIN / "generator", *options))
        return Traffic(**answer)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time and memory of a process tree."""

    cpu_ns: int
    resident_kib: int
    peak_kib: int


def _tree(pid: int) -> list[int]:
    pids = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                pids += _tree(int(child))
        except OSError:
            continue  # ended meanwhile
    return pids


def _cpu_ns(pid: int) -> int:
    """Time on a CPU of all threads, by the scheduler, and of ended children that were waited for, by ticks."""
    running = sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return running + (int(fields[13]) + int(fields[14])) * TICK_NS


def _kib(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


class Program:
    """A program under test: in the namespace, on its CPU, not to be disturbed by what else runs on the machine."""

    def __init__(self, bench: Bench, argv: Sequence[str | Path], *, directory: Path) -> None:
        self._output, self._errors = directory / "stdout", directory / "stderr"
        # Each of these replaces itself by the next one, so the process that is started is the program.
        prefix = ["nice", "-n", "-10", "ip", "netns", "exec", bench.namespace, "taskset", "-c", bench.cpus.program]
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [*prefix, *(str(part) for part in argv)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                cwd=directory,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        children = _tree(self._process.pid)[1:] if self._process.poll() is None else []
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue

    @property
    def pid(self) -> int:
        """Of the program itself."""
        return self._process.pid

    def usage(self) -> Usage:
        """What it has used so far."""
        cpu_ns = resident = peak = 0
        for pid in _tree(self._process.pid):
            try:
                cpu_ns += _cpu_ns(pid)
                resident += _kib(pid, "VmRSS")
                peak += _kib(pid, "VmHWM")
            except OSError:
                continue  # ended meanwhile; its parent has its time once it was waited for
        return Usage(cpu_ns, resident, peak)

    def parts_kib(self) -> list[int]:
        """Resident memory of each of its processes now, its own first."""
        return [_kib(pid, "VmRSS") for pid in _tree(self._process.pid) if Path(f"/proc/{pid}/status").exists()]

    def notify(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def wait_bound(self, listens: str = LOG_GROUPS, *, seconds_max: float = 20) -> None:
        """Waits until it listens: until the kernel's list ``listens`` has an entry in its namespace."""
        bound = Path(f"/proc/{self._process.pid}/net") / listens

        def is_bound() -> bool:
            lines = bound.read_text().splitlines() if bound.exists() else []
            return any(not line.startswith("sk ") for line in lines)  # some lists have a head

        self._wait(is_bound, f"listen ({listens})", seconds_max)

    def wait_ready(self, listens: str = LOG_GROUPS, *, seconds_max: float = 20) -> None:
        """Waits until it listens and is idle."""
        self.wait_bound(listens, seconds_max=seconds_max)
        self.wait_idle(quiet_seconds=0.5, seconds_max=seconds_max)

    def wait_lines(self, lines: int, *, seconds_max: float = 60) -> None:
        """Waits until it has printed so many lines."""
        self._wait(lambda: self._output.read_text().count("\n") >= lines, f"print {lines} lines", seconds_max)

    def wait_idle(self, *, quiet_seconds: float, seconds_max: float) -> None:
        """Waits until it has used next to nothing for ``quiet_seconds``: what was queued has been worked off."""
        since, before = time.monotonic(), self.usage().cpu_ns

        def is_quiet() -> bool:
            nonlocal since, before
            now = self.usage().cpu_ns
            if now - before > 3_000_000:
                since = time.monotonic()
            before = now
            return time.monotonic() - since >= quiet_seconds

        self._wait(is_quiet, "become idle", seconds_max)

    def _wait(self, condition: Callable[[], bool], what: str, seconds_max: float) -> None:
        deadline = time.monotonic() + seconds_max
        while not condition():
            if self._process.poll() is not None:
                raise BenchError(f"exit {self._process.returncode} before it could {what}: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchError(f"did not {what} in {seconds_max:.0f} s: {self.last_words()}")
            time.sleep(0.1)

    def stop(self, number: signal.Signals, *, seconds_max: float = 90) -> str:
        """Asks it to end, waits for it and the children it has, and returns what it printed."""
        children = _tree(self._process.pid)[1:]
        self._process.send_signal(number)
        try:
            self._process.wait(seconds_max)
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"did not end in {seconds_max:.0f} s") from late
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self._output.read_text(errors="replace")

    def last_words(self) -> str:
        """The last line that it wrote to standard error."""
        return (self._errors.read_text(errors="replace").strip().splitlines() or ["(it said nothing)"])[-1]
