#!/usr/bin/env python3
"""RADIUS accounting: requests a second that are booked and answered, how long an answer takes, and what it costs."""

import argparse
import hashlib
import json
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import ADDRESS, Bench, BenchError, Cpus, Program, run, scratch
from table import Report, spread

SECRET = b"bench-secret"
PORT = 1813
SOCKETS = 32
IDS = 256
AGAIN_SECONDS = 5.0
RUN_SECONDS_MAX = 300.0
START, STOP, INTERIM = 1, 2, 3
OPEN = 3000
WINDOW = 4096
HEAD = (
    "asked, cuts at hand-overs",
    "answered/s",
    "sent again",
    "median ms",
    "99 % ms",
    "longest ms",
    "CPU us/request",
    "MiB",
)
CONFIG = """node = "bench"
interval = "1h"
cut_on_assignment = {cut}
store = "{directory}/store"
runtime = "{runtime}"
[attribution.isp]
source = "radius"
listen = "0.0.0.0:{port}"
secret_file = "{directory}/secret"
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One load, once."""

    rate: float
    again: int
    latencies_ms: tuple[float, float, float]
    cpu_us: float
    peak_mib: float


def name(session: int) -> str:
    """Whose session it is."""
    return f"user{session}@example.net"


def request(number: int, status: int, session: int, delay: int = 0) -> bytes:
    """An accounting request as an access server sends it, with what else stands in one."""
    address = struct.pack("!I", (10 << 24) + session)
    pairs = [
        (40, struct.pack("!I", status)),
        (44, f"{session:08X}".encode()),
        (1, name(session).encode()),
        (8, address),
        (4, bytes((192, 0, 2, 1))),
        (32, b"bras1"),
        (5, struct.pack("!I", session)),
        (61, struct.pack("!I", 5)),
        (6, struct.pack("!I", 2)),
        (7, struct.pack("!I", 1)),
        (31, b"00-11-22-33-44-55"),
        (30, b"service"),
        (45, struct.pack("!I", 1)),
        (41, struct.pack("!I", delay)),
    ]
    if status != START:
        counted = (42, 43, 46, 47, 48, 52, 53)
        pairs += [(kind, struct.pack("!I", 1000 + session)) for kind in counted]
    body = b"".join(struct.pack("!BB", kind, len(value) + 2) + value for kind, value in pairs)
    head = struct.pack("!BBH", 4, number, 20 + len(body))
    return head + hashlib.md5(head + bytes(16) + body + SECRET, usedforsecurity=False).digest() + body


def sessions(requests: int, open_at_once: int) -> list[tuple[int, int]]:
    """Status and session of each request: begun, told of once, ended, so many open at a time."""
    told: list[tuple[int, int]] = []
    for number in range(requests // 3 + open_at_once):
        ends = (number, number - open_at_once // 2, number - open_at_once)
        told += [(status, one) for status, one in zip((START, INTERIM, STOP), ends, strict=True) if one >= 0]
        if len(told) >= requests:
            break
    return told[:requests]


class Sender:
    """Sends requests and waits for their answers, from as many ports as it takes to have enough unanswered.

    Args:
        requests: how many.
        rate: how many a second; 0 is as fast as answers come.
        window: how many may be unanswered.
    """

    def __init__(self, *, requests: int, rate: int, window: int) -> None:
        self._packets = [
            (place % SOCKETS, place // SOCKETS % IDS, request(place // SOCKETS % IDS, status, session))
            for place, (status, session) in enumerate(sessions(requests, OPEN))
        ]
        self._rate, self._window = rate, window
        self._lines = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
        self._poll = select.epoll()
        for one in self._lines:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            one.settimeout(0)
            one.connect((ADDRESS, PORT))
            self._poll.register(one.fileno(), select.EPOLLIN)
        self._places = {one.fileno(): place for place, one in enumerate(self._lines)}
        self._waiting: dict[tuple[int, int], tuple[float, bytes]] = {}
        self._late: deque[tuple[float, tuple[int, int]]] = deque()
        self._next = 0
        self.again = 0
        self.latencies: list[float] = []

    def run(self) -> float:
        """Sends all; gives how many seconds it took until the last answer.

        Raises:
            BenchError: some got no answer.
        """
        began = time.perf_counter()
        while len(self.latencies) < len(self._packets):
            now = time.perf_counter()
            self._send(int((now - began) * self._rate) + 1 if self._rate else len(self._packets))
            self._send_again(now)
            self._receive()
            if now - began > RUN_SECONDS_MAX:
                raise BenchError(f"{len(self._packets) - len(self.latencies)} requests got no answer")
        return time.perf_counter() - began

    def _send(self, due: int) -> None:
        while self._next < min(due, len(self._packets)) and len(self._waiting) < self._window:
            line, number, data = self._packets[self._next]
            if (line, number) in self._waiting:
                return
            self._lines[line].send(data)
            sent = time.perf_counter()
            self._waiting[line, number] = (sent, data)
            self._late.append((sent + AGAIN_SECONDS, (line, number)))
            self._next += 1

    def _send_again(self, now: float) -> None:
        while self._late and self._late[0][0] < now:
            key = self._late.popleft()[1]
            if key in self._waiting and now - self._waiting[key][0] >= AGAIN_SECONDS:
                self._lines[key[0]].send(self._waiting[key][1])
                self.again += 1

    def _receive(self) -> None:
        for descriptor, _ in self._poll.poll(0.001):
            line = self._places[descriptor]
            while True:
                try:
                    answer = self._lines[line].recv(4096)
                except BlockingIOError:
                    break
                found = self._waiting.pop((line, answer[1]), None)
                if found is not None:
                    self.latencies.append(time.perf_counter() - found[0])


def send(rate: int, requests: int, window: int) -> int:
    """Sends requests, and prints what came of it as one line of JSON."""
    sender = Sender(requests=requests, rate=rate, window=window)
    seconds = sender.run()
    found = sorted(sender.latencies)
    picked = [found[int(len(found) * part)] * 1000 for part in (0.5, 0.99)] + [found[-1] * 1000]
    print(json.dumps({"seconds": seconds, "again": sender.again, "latencies_ms": picked}))
    return 0


def check(directory: Path, requests: int) -> None:
    """Whether every session is in the ledger as it was told.

    Raises:
        BenchError: one of them is not.
    """
    from netledger.attribution.facts import Fact, Target  # noqa: PLC0415 - not before the build is looked at
    from netledger.attribution.painting import claims  # noqa: PLC0415 - the same
    from netledger.intervals import SystemClock  # noqa: PLC0415 - the same
    from netledger.ledger.assignments import Assignments  # noqa: PLC0415 - the same

    wanted = sessions(requests, OPEN)
    begun, ended = ({one for status, one in wanted if status == kind} for kind in (START, STOP))
    told: dict[Target, list[Fact]] = {}
    for fact in Assignments(directory / "store", SystemClock()).facts(source="isp"):
        told.setdefault(fact.target, []).append(fact)
    held = [one for facts in told.values() for one in claims(facts)]
    over = {fact.subject for _, end_ns, fact in held if end_ns < 1 << 62}
    lasting = {fact.subject for _, end_ns, fact in held if end_ns >= 1 << 62}
    if over != {name(one) for one in ended} or lasting != {name(one) for one in begun - ended}:
        raise BenchError(f"of {len(begun)} sessions {len(over)} ended and {len(lasting)} go on")


def once(bench: Bench, rate: int, requests: int, window: int, *, cut: bool) -> Run:
    """One load on a fresh daemon and store.

    Raises:
        BenchError: requests got no answer, or sessions are not as they were told.
    """
    with scratch(tempfile.gettempdir()) as directory, scratch("/dev/shm") as runtime:  # noqa: S108 - as /run is
        (directory / "secret").write_bytes(SECRET)
        (directory / "secret").chmod(0o600)
        text = CONFIG.format(directory=directory, runtime=runtime, port=PORT, cut=str(cut).lower())
        (directory / "c.toml").write_text(text)
        command: list[str | Path] = [sys.executable, "-m", "netledger", "run", "--config", directory / "c.toml"]
        with Program(bench, command, directory=directory) as program:
            program.wait_ready()
            before = program.usage().cpu_ns
            load = [sys.executable, __file__, "--send", str(rate), str(requests), str(window)]
            found = json.loads(run("ip", "netns", "exec", f"{bench.namespace}f", *load, timeout_seconds=400))
            usage = program.usage()
            program.stop(signal.SIGTERM)
        check(directory, requests)
    low, high, longest = found["latencies_ms"]
    return Run(
        requests / found["seconds"],
        found["again"],
        (low, high, longest),
        (usage.cpu_ns - before) / 1000 / requests,
        usage.peak_kib / 1024,
    )


def row(name: str, runs: Sequence[Run]) -> list[str]:
    """A line of the table."""
    return [
        name,
        spread([one.rate for one in runs]),
        spread([one.again for one in runs]),
        *(spread([one.latencies_ms[place] for one in runs], 1) for place in range(3)),
        spread([one.cpu_us for one in runs]),
        spread([one.peak_mib for one in runs]),
    ]


def main() -> int:
    """Measures and prints one table; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="rounds (3)")
    parser.add_argument("--seconds", type=int, default=20, metavar="N", help="how long a load goes on (20)")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--send", type=int, nargs=3, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.send:
        return send(*wanted.send)
    cases = {
        f"{rate or 'as fast as it goes'}, {'yes' if cut else 'no'}": (rate, cut)
        for rate in (1000, 3000, 0)
        for cut in (False, True)
    }
    runs: dict[str, list[Run]] = {title: [] for title in cases}
    try:
        with Bench(cpus=Cpus(program="1,2")) as bench:
            run("ip", "-n", f"{bench.namespace}f", "address", "add", "192.168.77.2/24", "dev", "bench1")
            for _ in range(wanted.rounds):
                for title, (rate, cut) in cases.items():
                    requests = (rate or 3000) * wanted.seconds
                    runs[title].append(once(bench, rate, requests, WINDOW, cut=cut))
    except BenchError as error:
        print(f"radius: {error}", file=sys.stderr)
        return 1
    notes = [
        f"{wanted.rounds} rounds of {wanted.seconds} s, median (least-greatest). Two CPUs for the daemon, which "
        "counts the traffic of all this, too. A third each are Start, Interim-Update and Stop, with 20 attributes. "
        f"{OPEN:,} sessions are open, {WINDOW:,} requests at most are unanswered. All sessions are in the ledger "
        "afterwards as they were told. The store is on the disk of the machine."
    ]
    Report(name="radius", head=HEAD, rows=[row(*one) for one in runs.items()], notes=notes).show(
        write_docs=wanted.write_docs
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
