#!/usr/bin/env python3
"""A quota of 1 MB hit under load: at which byte the event and the cut come, by the kernel's rule and by a command."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness import ADDRESS, Bench, BenchError, Cpus, Program, build, run, scratch
from table import Report, spread

LIMIT = 1_000_000
HEAD = (
    "cut by, load",
    "packets/s",
    "bytes that passed",
    "beyond 1 MB",
    "the event says",
    "event to ledger, ms",
    "event to end of command, ms",
)
CONFIG = 'node = "bench"\ninterval = "1h"\nstore = "{0}/store"\nruntime = "{0}/run"\n'
# An independent count of what came and of what is let through, and a place where a command can cut.
AROUND = """
table inet around {
  counter came {}
  counter passed {}
  chain before { type filter hook input priority -10; ip protocol udp counter name "came"; }
  chain behind { type filter hook input priority 50; ip protocol udp counter name "passed"; }
  chain commanded { type filter hook input priority 40; }
  chain sink { type filter hook input priority 200; ip protocol udp drop; }
}"""
QUOTA = ["quota", "add", "guest", "1MB"]
CUT = ["--", "/usr/sbin/nft", "add", "rule", "inet", "around", "commanded", "drop"]
NFACCT_RULE = ["iptables", "-w", "-A", "INPUT", "-p", "udp", "-m", "nfacct", "--nfacct-name", "guest"]
LISTENER = """
import time
from netledger import nfacct
with nfacct.events() as events:
    print("ready", flush=True)
    events.wait(60)
    print(time.time_ns(), flush=True)
"""
# One process for each CPU: packets of 1000 bytes of IP, as fast as it goes, for two seconds.
SENDER = """
import os, socket, sys, time
os.sched_setaffinity(0, {int(sys.argv[1]) % os.cpu_count()})
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 2
while time.monotonic() < end:
    for _ in range(100):
        sender.sendto(bytes(972), (sys.argv[2], 9000))
"""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Run:
    """One quota, hit once."""

    rate: float
    passed: int
    told: int
    ledger_ms: float | None
    command_ms: float | None


@contextmanager
def daemon(bench: Bench, directory: Path) -> Iterator[None]:
    """``netledger run``, which counts the same packets as well."""
    command: list[str | Path] = [sys.executable, "-m", "netledger", "run", "--config", directory / "c.toml"]
    with Program(bench, command, directory=directory) as program:
        program.wait_bound()
        wait(lambda: "quota_taken_up" in (directory / "stderr").read_text(), "take up the quota")
        yield
        program.stop(signal.SIGTERM)


def wait(condition: Callable[[], _T], what: str, seconds: float = 30) -> _T:
    """The first true value.

    Raises:
        BenchError: there was none in time.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise BenchError(f"netledger did not {what} in {seconds:.0f} s")
        time.sleep(0.02)
    return value


def netledger(bench: Bench, directory: Path, *words: str) -> str:
    """Its output; ``--config`` stands in front of the program that a quota runs."""
    at = words.index("--") if "--" in words else len(words)
    config = ["--config", str(directory / "c.toml")]
    return bench.inside(sys.executable, "-m", "netledger", *words[:at], *config, *words[at:])


def prepare(bench: Bench, directory: Path, way: str) -> None:
    """Rules, and the quota."""
    bench.inside("nft", "flush", "ruleset")
    bench.inside("nft", "-f", "-", stdin=AROUND)
    (directory / "c.toml").write_text(CONFIG.format(directory))
    if way == "nft":
        netledger(bench, directory, *QUOTA, "--kind", "nft", "--table", "inet around")
        bench.inside(
            "nft", "add", "rule", "inet", "around", "before", "ip", "protocol", "udp", "quota", "name", "guest", "drop"
        )
        return
    netledger(bench, directory, *QUOTA, *(CUT if way == "command" else []))
    bench.inside(*NFACCT_RULE, *(["-j", "DROP"] if way == "nfacct" else []))


def traffic(bench: Bench, load: str) -> float:
    """Some ten times what the quota allows; packets a second."""
    if load == "generator":
        done = bench.send(packets=400_000, addresses=1000, rate=0)
        return done.packets / done.seconds
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        far = ["ip", "netns", "exec", f"{bench.namespace}f", sys.executable, "-c", SENDER]
        for future in [pool.submit(run, *far, str(number), ADDRESS) for number in range(4)]:
            future.result()
    return counters(bench)["came"][0] / (time.monotonic() - began)


def counters(bench: Bench) -> dict[str, tuple[int, int]]:
    """Packets and bytes of the independent counters."""
    found = json.loads(bench.inside("nft", "-j", "list", "counters", "table", "inet", "around"))["nftables"]
    return {
        one["counter"]["name"]: (one["counter"]["packets"], one["counter"]["bytes"])
        for one in found
        if "counter" in one
    }


def facts(bench: Bench, directory: Path) -> dict[str, dict[str, object]]:
    """The events of the ledger by their kind."""
    lines = netledger(bench, directory, "quota", "events", "--json").splitlines()
    return {one["event"]: one for one in map(json.loads, lines)}


def once(bench: Bench, way: str, load: str) -> Run:
    """Hits a fresh quota.

    Raises:
        BenchError: the event did not come.
    """
    bench.inside("iptables", "-w", "-F", "INPUT")
    bench.inside("nfacct", "flush")
    with scratch("/dev/shm") as directory:  # noqa: S108 - what is being counted belongs into memory
        prepare(bench, directory, way)
        (directory / "listener").mkdir()
        hears: list[str | Path] = [sys.executable, "-c", LISTENER]
        with daemon(bench, directory), Program(bench, hears, directory=directory / "listener") as listener:
            listener.wait_lines(1)
            rate = traffic(bench, load)
            last = "command_ended" if way == "command" else "reached"
            wait(lambda: last in facts(bench, directory), "write down the event")
            passed = counters(bench)["passed"][1]
            found = facts(bench, directory)
            heard_ns = None
            if way != "nft":
                listener.wait_lines(2)
                heard_ns = int((directory / "listener" / "stdout").read_text().split()[1])
        told = found["reached"]["told"]
        assert isinstance(told, dict)
        ended = found.get("command_ended")
        return Run(
            rate,
            passed,
            told["bytes"],
            since(found["reached"], heard_ns),
            None if ended is None else since(ended, heard_ns),
        )


def since(fact: dict[str, object], heard_ns: int | None) -> float | None:
    """From the kernel's word, as another program heard it, to the fact, in milliseconds."""
    from netledger.receipt import parse_rfc3339  # noqa: PLC0415 - not before the build is looked at

    return None if heard_ns is None else (parse_rfc3339(str(fact["at"])) - heard_ns) / 1e6


def row(name: str, runs: list[Run]) -> list[str]:
    """A line of the table."""
    return [
        name,
        spread([one.rate for one in runs]),
        spread([one.passed for one in runs]),
        spread([one.passed - LIMIT for one in runs]),
        spread([one.told for one in runs]),
        spread([one.ledger_ms for one in runs if one.ledger_ms is not None], 1),
        spread([one.command_ms for one in runs if one.command_ms is not None], 1),
    ]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    loads = {"generator": "one CPU, 50 bytes", "four": "four senders, 1000 bytes"}
    ways = {"nfacct": "nfacct rule", "nft": "nft rule", "command": "command only"}
    cases = {f"{ways[way]}, {loads[load]}": (way, load) for way in ways for load in loads}
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    try:
        build()
        with Bench(cpus=Cpus(program="1")) as bench:
            run("ip", "-n", f"{bench.namespace}f", "address", "add", "192.168.77.2/24", "dev", "bench1")
            for _ in range(wanted.rounds):
                for name, (way, load) in cases.items():
                    runs[name].append(once(bench, way, load))
    except BenchError as error:
        print(f"quota: {error}", file=sys.stderr)
        return 1
    notes = [f"{wanted.rounds} rounds, median (least-greatest). Passed: by an nft counter behind the quota."]
    Report(name="quota", head=HEAD, rows=[row(*one) for one in runs.items()], notes=notes).show(
        write_docs=wanted.write_docs
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
