"""Real network namespaces, wired up, quiet, and gone afterwards.

    with Lab() as lab:                                   # left (10.77.1.2) -- gw -- right (10.77.2.2)
        lab.witness(lab.gw)                              # an independent count at netledger's hooks
        daemon = lab.spawn(lab.gw, ["netledger", "run"])
        lab.run(lab.left, ["ping", "-c", "3", "10.77.2.2"])
        assert lab.counter(lab.gw, "witness", "total") == Count(6, 6 * 84)

A lab says nothing by itself: neighbours are permanent entries, and multicast listener reports and router solicitations
are dropped where they are born. What is counted is what a test sends. UDP to the sink ports 9000-9999 is dropped behind
every accounting hook, so that no ICMP error answers it. ``senders.py`` makes the traffic.
"""

import ctypes
import fcntl
import itertools
import json
import os
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
NAMESPACES = Path("/run/netns")
COMMAND_SECONDS = 90.0
PATIENCE = 4
"""Deadlines are written as for a machine that does nothing else; one that runs all tests at once takes longer."""
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)

# As `sysctl` names them; interfaces that are made later take the defaults.
SETTINGS = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    **{f"ipv4/conf/{which}/rp_filter": 0 for which in ("all", "default")},
    **{f"ipv4/conf/{which}/send_redirects": 0 for which in ("all", "default")},
    **{f"ipv6/conf/{which}/accept_dad": 0 for which in ("all", "default")},
    **{f"ipv6/conf/{which}/addr_gen_mode": 1 for which in ("all", "default")},
}

QUIET = """
table inet quiet {
  chain born {
    type filter hook output priority -400;
    icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report, nd-router-solicit } drop
  }
  chain sink { type filter hook input priority 400; udp dport 9000-9999 drop; }
}"""

# The hooks of netledger's own rules, a little behind them (95 after 90), and the same traffic left out: loopback.
WITNESS = """
table inet witness {
  counter input {}
  counter forward {}
  counter output {}
  counter total {}
  chain at_input { type filter hook input priority 95; iif "lo" accept; counter name "input" counter name "total"; }
  chain at_forward { type filter hook forward priority 95; counter name "forward" counter name "total"; }
  chain at_output { type filter hook output priority 95; oif "lo" accept; counter name "output" counter name "total"; }
}"""

SILENCE = """
table inet silence {
  chain at_input { type filter hook input priority -450; iif != "lo" drop; }
  chain at_forward { type filter hook forward priority -450; drop; }
  chain at_output { type filter hook output priority -450; oif != "lo" drop; }
}"""


@dataclass(frozen=True, slots=True, order=True)
class Count:
    """Packets, and bytes of IP total length."""

    packets: int
    bytes: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.packets - other.packets, self.bytes - other.bytes)


def wait_for(condition: Callable[[], T], deadline_seconds: float, what: str) -> T:
    """The first true value of ``condition``, asked for every 10 ms.

    Raises:
        TimeoutError: it was not true within the deadline times :data:`PATIENCE`; ``what`` says what was waited for.
    """
    pause = threading.Event()
    end = time.monotonic() + deadline_seconds * PATIENCE
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline_seconds * PATIENCE:g} s")
        pause.wait(0.01)
    return value


def text_of(path: Path, errors: str | None = "replace") -> str:
    """What a file has, or nothing: somebody may take it away, or write it anew, while one looks."""
    try:
        return path.read_text(errors=errors)
    except FileNotFoundError:
        return ""


def open_files(pid: int) -> list[str]:
    """What a process has open; it may open and close files while one looks."""
    found = []
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            found.append(str(link.readlink()))
    return found


class Child:
    """A process of the lab. Its output goes to files, so that a full pipe never stops it."""

    def __init__(self, argv: Sequence[str], directory: Path) -> None:
        self.argv = list(argv)
        self.standard_output = directory / "stdout"
        self.standard_error = directory / "stderr"
        directory.mkdir()
        with self.standard_output.open("wb") as out, self.standard_error.open("wb") as err:
            self._process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def pid(self) -> int:
        """The process itself: ``ip netns exec``, ``nsenter`` and ``setpriv`` replace themselves by the program."""
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, deadline_seconds: float = COMMAND_SECONDS) -> int:
        """The exit status; negative is the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        return self._process.wait(deadline_seconds)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone. Harmless when it is gone already."""
        self._process.kill()
        self._process.wait(COMMAND_SECONDS)

    def output(self) -> str:
        return self.standard_output.read_text(errors="replace")

    def lines(self) -> list[str]:
        """The lines of its output that are whole: the last may be half written when one looks."""
        return [line for line in self.output().splitlines(keepends=True) if line.endswith("\n")]

    def errors(self) -> str:
        return self.standard_error.read_text(errors="replace")

    def status_of_threads(self) -> str:
        """``/proc/PID/status`` of each thread that it has."""
        told = []
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # one that ends while one looks
                told.append((task / "status").read_text())
        return "".join(told)


class Network:
    """Namespaces and the processes in them. As a context manager it removes both, whatever happens inside."""

    def __init__(self) -> None:
        self.directory = Path()
        self._exits = ExitStack()
        self._children = itertools.count()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self.directory = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="nlt")))
            self._exits = exits
            self._wire()
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exits.close()

    def _wire(self) -> None:
        """Makes the namespaces and links; a subclass says which."""

    def namespace(self, label: str) -> str:
        """A new namespace: lo up, forwarding, no duplicate address detection, nothing said unasked."""
        name = f"nlt{os.getpid()}_{next(_numbers)}_{label}"
        self.make(name)
        return name

    def make(self, name: str) -> None:
        """The same under a name that is given, such as that of one that a test has removed."""
        _command(["ip", "netns", "add", name])
        self._exits.callback(subprocess.run, ["ip", "netns", "del", name], check=False, capture_output=True)
        with self.inside(name):
            for setting, value in SETTINGS.items():
                Path("/proc/sys/net", setting).write_text(f"{value}\n")
            set_up("lo")
        self.nft(name, QUIET)

    def join(self, gateway: str, interface: str, side: str, network: int) -> None:
        """A veth pair: .1 is ``interface`` of ``gateway``, .2 ``uplink`` of ``side``; 10.77.N.0/24 and fd77:N::/64."""
        ends = ((gateway, interface, 1), (side, "uplink", 2))
        hardware = {end: f"02:77:00:00:{network:02x}:{end:02x}" for end in (1, 2)}
        peer = ["type", "veth", "peer", "name", "uplink", "address", hardware[2], "netns", side]
        _command(["ip", "-n", gateway, "link", "add", interface, "address", hardware[1], *peer])
        for space, device, end in ends:
            other = 3 - end
            known = f"lladdr {hardware[other]} dev {device} nud permanent"
            lines = (
                f"address add 10.77.{network}.{end}/24 dev {device}",
                f"address add fd77:{network}::{end}/64 dev {device} nodad",
                f"link set {device} up",
                f"neighbour replace 10.77.{network}.{other} {known}",
                f"neighbour replace fd77:{network}::{other} {known}",
            )
            _batch(space, *lines)

    def entering(self, namespace: str) -> list[str]:
        """How a command starts that is to run in a namespace. It has the /sys of that namespace, with nothing below."""
        return ["ip", "netns", "exec", namespace]

    def run(
        self, namespace: str, argv: Sequence[str], *, text: str | None = None, seconds: float = COMMAND_SECONDS
    ) -> str:
        """Runs a command to its end and gives what it printed.

        Raises:
            RuntimeError: it failed; with the words it said.
            subprocess.TimeoutExpired: it took longer than ``seconds``.
        """
        return _command([*self.entering(namespace), *argv], text=text, seconds=seconds)

    def spawn(self, namespace: str, argv: Sequence[str]) -> Child:
        """Starts a process that dies with the lab, and with this process too."""
        directory = self.directory / f"child{next(self._children)}"
        child = Child([*self.entering(namespace), "setpriv", "--pdeathsig", "KILL", *argv], directory)
        self._exits.callback(child.kill)
        return child

    def nft(self, namespace: str, text: str) -> str:
        """Hands a script to nft: one transaction."""
        with self.inside(namespace):
            return _command(["nft", "-f", "-"], text=text)

    def counters(self, namespace: str, table: str) -> dict[str, Count]:
        """All named counters of an inet table."""
        with self.inside(namespace):
            reply = json.loads(_command(["nft", "-j", "list", "counters", "table", "inet", table]))
        found = (item["counter"] for item in reply["nftables"] if "counter" in item)
        return {item["name"]: Count(item["packets"], item["bytes"]) for item in found if item["table"] == table}

    def counter(self, namespace: str, table: str, name: str) -> Count:
        """One named counter of an inet table."""
        return self.counters(namespace, table)[name]

    def witness(self, namespace: str) -> None:
        """Installs counters of our own at netledger's hooks: input, forward, output, and their total."""
        self.nft(namespace, WITNESS)

    def silence(self, namespace: str) -> None:
        """From here on nothing reaches netledger's hooks or the witness: both can be read at leisure."""
        self.nft(namespace, SILENCE)

    def speak(self, namespace: str) -> None:
        """Ends a silence."""
        self.nft(namespace, "delete table inet silence")

    @contextmanager
    def inside(self, namespace: str) -> Iterator[None]:
        """The calling thread in a namespace. Sockets and threads made inside stay there."""
        with Path("/proc/thread-self/ns/net").open() as home, (NAMESPACES / namespace).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


class Lab(Network):
    """A gateway between two sides.

    left 10.77.1.2, fd77:1::2 -- gw .1, ::1 on both -- right 10.77.2.2, fd77:2::2. Behind right lie 10.78.0.0/16 and
    fd78::/32, which swallow everything: for tests with many destinations. No reverse path filter: any source may send.
    """

    def _wire(self) -> None:
        self.left, self.gw, self.right = (self.namespace(label) for label in ("left", "gw", "right"))
        for number, side, interface in ((1, self.left, "left"), (2, self.right, "right")):
            self.join(self.gw, interface, side, number)
            _batch(side, f"route add default via 10.77.{number}.1", f"route add default via fd77:{number}::1")
        _batch(self.gw, "route add 10.78.0.0/16 via 10.77.2.2", "route add fd78::/32 via fd77:2::2")
        _batch(self.right, "route add blackhole 10.78.0.0/16", "route add blackhole fd78::/32")


class Pair(Network):
    """Two machines: a 10.77.1.1, fd77:1::1 (interface ``wire``) -- b 10.77.1.2, fd77:1::2 (interface ``uplink``)."""

    def _wire(self) -> None:
        self.a, self.b = self.namespace("a"), self.namespace("b")
        self.join(self.a, "wire", self.b, 1)


def remove_stale() -> None:
    """Removes the namespaces of labs whose process is gone without cleaning up (SIGKILL)."""
    for name in (entry.name for entry in NAMESPACES.glob("nlt*")):
        owner = re.match(r"nlt(\d+)_", name)
        if owner and not Path("/proc", owner[1]).exists():
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def set_up(interface: str) -> None:
    """Brings up an interface of the calling thread's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        fcntl.ioctl(line, SIOCSIFFLAGS, struct.pack("16sH22x", interface.encode(), IFF_UP))


def _batch(namespace: str, *lines: str) -> None:
    """Commands of ip, one after the other, in one process."""
    _command(["ip", "-n", namespace, "-batch", "-"], text="\n".join(lines))


def _command(argv: Sequence[str], *, text: str | None = None, seconds: float = COMMAND_SECONDS) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, input=text, timeout=seconds)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")
