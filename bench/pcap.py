#!/usr/bin/env python3
"""Reading a capture: `netledger read` against tshark, tcpdump and capinfos on the same file of 64-byte packets."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import BIN, BenchError, build, run, scratch
from table import Report, spread

HEAD = ("program", "packets", "CPU ns/packet", "x netledger", "wall s", "peak MB", "counted the same")
ETHERNET_BYTES = 14
OURS = "netledger read"


@dataclass(frozen=True, slots=True)
class Counted:
    """What a program says was in the file; None where it does not say."""

    packets: int | None
    ip_bytes: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One program on one file."""

    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    counted: Counted


def read_netledger(output: str) -> Counted:
    """Of the balance in its JSON."""
    balance = json.loads(output)["balance"]
    return Counted(balance["accounted_packets"], balance["accounted_bytes"])


def read_tshark(output: str) -> Counted:
    """Sum of the conversations; its bytes are rounded to kB and more, so they are no evidence."""
    columns = r"<->\s+\S+\s+\d+\s+\d+ \S+\s+\d+\s+\d+ \S+\s+(\d+)\s"
    return Counted(sum(int(found) for found in re.findall(columns, output)), None)


def read_capinfos(output: str) -> Counted:
    """Frames; their IP bytes are what is left without Ethernet."""
    packets, octets = (int(re.sub(r"\D", "", line.rpartition(":")[2])) for line in output.splitlines()[1:3])
    return Counted(packets, octets - packets * ETHERNET_BYTES)


def read_nothing(output: str) -> Counted:
    """It only copies."""
    del output
    return Counted(None, None)


PROGRAMS: dict[str, tuple[list[str], Callable[[str], Counted]]] = {
    OURS: ([str(Path(sys.executable).with_name("netledger")), "read", "--json", "FILE"], read_netledger),
    "capinfos": (["capinfos", "-c", "-d", "-M", "FILE"], read_capinfos),
    "tcpdump to /dev/null": (["tcpdump", "-r", "FILE", "-w", "/dev/null"], read_nothing),
    "tshark conv,ip": (["tshark", "-n", "-q", "-z", "conv,ip", "-r", "FILE"], read_tshark),
}


def once(name: str, capture: Path) -> Run:
    """Runs a program on ``capture``.

    Raises:
        BenchError: it failed.
    """
    argv, understand = PROGRAMS[name]
    output, errors = capture.with_suffix(".out"), capture.with_suffix(".err")
    started = time.monotonic()
    with output.open("w") as out, errors.open("w") as err:
        process = subprocess.Popen([part if part != "FILE" else str(capture) for part in argv], stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchError(f"{name}: exit {process.returncode}: {errors.read_text()[-300:]}")
    counted = understand(output.read_text())
    return Run(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, counted)


def one_round(runs: dict[str, list[Run]], capture: Path) -> list[str]:
    """Runs every program once; one that fails takes no further part, and the reason is returned."""
    failures = []
    for name in list(runs):
        try:
            runs[name].append(once(name, capture))
        except BenchError as error:
            failures.append(f"failed: {error}")
            del runs[name]
    return failures


def verdict(counted: Counted, packets: int, ip_bytes: int) -> str:
    """Whether it found what is in the file."""
    parts = []
    for what, found, expected in (("packets", counted.packets, packets), ("bytes", counted.ip_bytes, ip_bytes)):
        if found is not None:
            parts.append(what if found == expected else f"{what} WRONG: {found - expected:+d}")
    return ", ".join(parts) or "says nothing"


def rows_of(packets: int, ip_bytes: int, runs: dict[str, list[Run]]) -> list[list[str]]:
    """Lines of the table for one file."""
    rows = []
    for name, done in runs.items():
        ratios = [run.cpu_seconds / ours.cpu_seconds for run, ours in zip(done, runs.get(OURS, []), strict=False)]
        rows.append(
            [
                name,
                f"{packets:,}",
                spread([run.cpu_seconds * 1e9 / packets for run in done]),
                spread(ratios, 2),
                spread([run.wall_seconds for run in done], 2),
                spread([run.peak_mb for run in done]),
                verdict(done[-1].counted, packets, ip_bytes),
            ]
        )
    return rows


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="interleaved rounds (3)")
    parser.add_argument("--packets", default="1000000,10000000", metavar="N,N", help="sizes (1000000,10000000)")
    parser.add_argument("--addresses", default="1000", metavar="N", help="distinct sources in the file (1000)")
    parser.add_argument("--directory", default="/dev/shm", help="where the file lies while it is read (/dev/shm)")  # noqa: S108 - no disk in the measurement
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    wanted = parser.parse_args()
    present = [name for name, (argv, _) in PROGRAMS.items() if shutil.which(argv[0])]
    notes = [f"{wanted.rounds} rounds, median (least-greatest), {wanted.addresses} sources."]
    notes += [f"{name}: skipped: {PROGRAMS[name][0][0]} is not installed" for name in PROGRAMS if name not in present]
    rows: list[list[str]] = []
    try:
        build()
        for packets in (int(size) for size in wanted.packets.split(",")):
            runs: dict[str, list[Run]] = {name: [] for name in present}
            with scratch(wanted.directory) as directory:
                capture = directory / "packets.pcap"
                ip_bytes = int(run(BIN / "capture", capture, str(packets), wanted.addresses))
                for _ in range(wanted.rounds):
                    notes += one_round(runs, capture)
            rows += rows_of(packets, ip_bytes, runs)
        Report(name="pcap", head=HEAD, rows=rows, notes=notes).show(write_docs=wanted.write_docs)
    except BenchError as error:
        print(f"pcap: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
