"""Programs that read the flows of conntrack, and flows for them to read."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import BENCH, BIN, Bench, BenchError, run

__all__ = ["FLOOR_EVENTS", "READERS", "Reader", "fill", "flush", "room_for", "tracked"]

BUFFER_BYTES = 256 << 20
ULOGD_BYTES = 32 << 20, 128 << 20  # at its start and when it grows; a larger number it takes for 0
LIMIT = Path("/proc/sys/net/netfilter/nf_conntrack_max")
ADDRESSES_MAX = 100_000

# Packets must be taken, or their flow is never confirmed, and nobody may answer: a socket whose buffer is full.
SINK = """
import socket, sys
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
sink.bind(("192.168.77.1", 9))
print("ready", flush=True)
sys.stdin.read()
"""
RULES = "table inet bench {\nchain seen {\ntype filter hook input priority 0\nct state new,established counter\n}\n}\n"


@contextmanager
def room_for(flows: int) -> Iterator[None]:
    """Lets the kernel follow so many flows, and takes that back. The limit is one for the whole machine."""
    before = LIMIT.read_text()
    LIMIT.write_text(str(max(int(before), 2 * flows)))
    try:
        yield
    finally:
        LIMIT.write_text(before)


@contextmanager
def tracked(bench: Bench, *, timeout_seconds: int) -> Iterator[None]:
    """Conntrack at work in the namespace; a flow ends after ``timeout_seconds`` without packets."""
    switches = {"acct": 1, "timestamp": 1, "events": 1, "udp_timeout": timeout_seconds}
    switches["udp_timeout_stream"] = timeout_seconds
    bench.inside("sysctl", "-qw", *(f"net.netfilter.nf_conntrack_{name}={value}" for name, value in switches.items()))
    bench.inside("nft", "-f", "-", stdin=f"flush ruleset\n{RULES}")
    command = ["ip", "netns", "exec", bench.namespace, sys.executable, "-c", SINK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sink:
        try:
            if sink.stdout is None or sink.stdout.readline() != "ready\n":
                raise BenchError("the sink does not start")
            yield
        finally:
            sink.communicate()
            flush(bench)


def fill(bench: Bench, flows: int, *, rate: int) -> None:
    """Makes flows of one packet each.

    Raises:
        BenchError: there are not as many as were asked for; only where they live longer than that takes.
    """
    addresses = min(flows, ADDRESSES_MAX)
    bench.send(packets=flows, addresses=addresses, ports=max(flows // addresses, 1), rate=rate)


def flush(bench: Bench) -> None:
    """Ends all flows of the namespace at once."""
    bench.inside("conntrack", "-F")


@dataclass(frozen=True, slots=True)
class Reader:
    """A program that is told of the end of flows."""

    name: str
    program: str
    """What has to be installed."""
    command: Callable[[Path], list[str | Path]]
    ended: Callable[[Path, str], int]
    """How many it had at its end: by its directory, and what it printed."""
    says_ready: bool = False

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return None if shutil.which(self.program) else f"{self.name}: {self.program} is not installed"


def _json(field: str) -> Callable[[Path, str], int]:
    return lambda _, output: int(json.loads(output.splitlines()[-1])[field])


def _lines(directory: Path, _: str) -> int:
    with (directory / "ended").open() as lines:
        return sum(1 for _ in lines)


def _printed(_: Path, output: str) -> int:
    return output.count("\n")


def _ulogd(stack: str) -> Callable[[Path], list[str | Path]]:
    def command(directory: Path) -> list[str | Path]:
        plugins = next(Path("/usr/lib").glob("*/ulogd"), Path("/usr/lib/ulogd"))
        names = ("inpflow_NFCT", "filter_IP2STR", "filter_PRINTFLOW", "output_LOGEMU", "output_NACCT")
        loaded = "".join(f'plugin="{plugins}/ulogd_{name}.so"\n' for name in names)
        output = f'file="{directory}/ended"\nsync=0\n'
        (directory / "ulogd.conf").write_text(
            f'[global]\nlogfile="{directory}/log"\nloglevel=5\n{loaded}stack={stack}\n'
            f"[ct1]\nhash_enable=0\nevent_mask=4\nnetlink_socket_buffer_size={ULOGD_BYTES[0]}\n"
            f"netlink_socket_buffer_maxsize={ULOGD_BYTES[1]}\n[emu1]\n{output}[nacct1]\n{output}"
        )
        (directory / "ended").touch()
        return ["ulogd", "-c", directory / "ulogd.conf"]

    return command


def _floor(*options: str) -> Callable[[Path], list[str | Path]]:
    return lambda _: [BIN / "conntrack_floor", "events", *options]


def _netledger(directory: Path) -> list[str | Path]:
    return [sys.executable, BENCH / "flows.py", directory, "--buffer-bytes", str(BUFFER_BYTES)]


def _conntrack(_: Path) -> list[str | Path]:
    return ["conntrack", "-E", "-e", "DESTROY", "-b", str(BUFFER_BYTES)]


FLOOR_EVENTS = "floor, gathering"
READERS = [
    Reader(FLOOR_EVENTS, "gcc", _floor("-e", "5"), _json("flows"), says_ready=True),
    Reader("floor, not gathering", "gcc", _floor(), _json("flows"), says_ready=True),
    Reader("netledger", "gcc", _netledger, _json("events"), says_ready=True),
    Reader("ulogd2 NACCT", "ulogd", _ulogd("ct1:NFCT,ip2str1:IP2STR,nacct1:NACCT"), _lines),
    Reader("ulogd2 LOGEMU", "ulogd", _ulogd("ct1:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,emu1:LOGEMU"), _lines),
    Reader("conntrack -E", "conntrack", _conntrack, _printed),
]


def count(bench: Bench) -> int:
    """Flows of the namespace now."""
    found = re.search(r"\d+", run("ip", "netns", "exec", bench.namespace, "conntrack", "-C"))
    return int(found[0]) if found else 0
