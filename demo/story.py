"""What the demo does: a gateway between two networks, real traffic, the real daemon, one kill -9, and the sums.

    left 10.77.1.2 ──── gw: netledger run ──── right 10.77.2.2        IPv4 and IPv6, in namespaces made for it

It takes under a minute and leaves nothing behind: no namespace, no process, no directory.
"""

import argparse
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from demo import pages
from demo.asked import ask
from demo.evidence import Evidence, chosen, links
from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Child, Lab, remove_stale
from tests.kernel.senders import Udp

INTERVAL_SECONDS = 3
INTERVALS = 8
KILL_AFTER_INTERVALS = 3
DEAD_SECONDS = 1.0
PROGRAMS = ("ip", "nft", "ping", "gcc", "setpriv", "nsenter")
WITHOUT_BPF = "--without-bpf"
BPF_RIGHTS = "-bpf,-perfmon,-sys_admin"
METERS = {"lan": 'local = ["10.77.1.0/24", "fd77:1::/64"]\nkey = ["host"]\n'}

STREAMS = (
    Udp(source="10.77.1.2", destination="10.77.2.2", sources=12, ports=5, payload_bytes=200, count=0, rate=6000),
    Udp(source="fd77:1::2", destination="fd77:2::2", sources=12, ports=5, payload_bytes=900, count=0, rate=4000),
)
ANSWERS = (
    Udp(source="10.77.2.2", destination="10.77.1.2", payload_bytes=1200, count=0, rate=3000),
    Udp(source="fd77:2::2", destination="fd77:1::2", payload_bytes=1200, count=0, rate=3000),
)


def main(arguments: Sequence[str] = ()) -> int:
    """Runs the demo; 0 when the books balance, 1 when they do not, 2 when it cannot be run here.

    With ``--without-bpf`` the daemon has none of the capabilities that a program in the kernel takes.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    is_limited = bool(_options().parse_args(arguments).without_bpf)
    if os.geteuid() != 0:
        console.print("demo: it makes network namespaces and loads nft rules: run it as root")
        return 2
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        console.print(f"demo: not installed: {', '.join(absent)}")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    started = time.monotonic()
    remove_stale()
    try:
        with _runtime() as runtime, _place_for_pins(), BpfLab() as lab:
            evidence = _run(console, lab, runtime, is_limited=is_limited)
    except KeyboardInterrupt:
        console.print("demo: stopped; everything it made is removed")
        return 130
    except (OSError, RuntimeError, ExceptionGroup) as error:
        console.print(f"demo: {error}", markup=False)
        return 1
    pages.show(console, evidence)
    console.print(f"[dim]{time.monotonic() - started:.0f} s; nothing is left behind[/dim]")
    return 1 if evidence.problems() else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo/run",
        description="Counts real traffic through a gateway of its own, kills the daemon in the middle, proves the sums."
        " To be run as root; takes under a minute and leaves nothing behind.",
        epilog="Exit codes: 0 the books balance; 1 they do not; 2 it cannot be run here.",
        allow_abbrev=False,
    )
    wish = "the daemon has none of the capabilities that a program in the kernel takes: rules and NFLOG count"
    parser.add_argument(WITHOUT_BPF, action="store_true", help=wish)
    return parser


def _interrupt(_number: int, _frame: object) -> None:
    # A second ^C must not break into the cleaning up.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _runtime() -> Iterator[Path]:
    """A directory in memory, as /run is on a real machine; where there is none, an ordinary one."""
    memory = Path("/dev/shm")  # noqa: S108  (the directory in it is made by mkdtemp)
    with tempfile.TemporaryDirectory(prefix="netledger-demo-", dir=memory if memory.is_mount() else None) as directory:
        yield Path(directory)


@contextmanager
def _place_for_pins() -> Iterator[None]:
    """A BPF file system of the demo's own, so that nothing stays in the machine's; where there can be none, without."""
    with ExitStack() as exits:
        with suppress(OSError):
            exits.enter_context(own_bpffs())
        yield


class _Daemon(Gateway):
    """The daemon, as a user would run it; or without what a program in the kernel takes."""

    def __init__(self, lab: Lab, runtime: Path, *, is_limited: bool) -> None:
        super().__init__(lab, lab.gw, interval=f"{INTERVAL_SECONDS}s", runtime=runtime, meters=METERS)
        self._is_limited = is_limited

    def start(self, *settings: str) -> Child:
        words = [*settings]
        if self._is_limited:
            # Of root's capabilities a new program gets those of the bounding set.
            words += ["setpriv", f"--inh-caps={BPF_RIGHTS}", f"--bounding-set={BPF_RIGHTS}"]
        return super().start(*words)


def _run(console: Console, lab: Lab, runtime: Path, *, is_limited: bool) -> Evidence:
    gateway = _Daemon(lab, runtime, is_limited=is_limited)
    console.print(pages.opening(gateway))
    lab.witness(lab.gw)
    before = links(lab, lab.gw)
    killed_pid = _count(console, lab, gateway)
    # Nobody sends any more, so the kernel's numbers stand still and may be read one after the other.
    source = chosen(gateway.log())
    own = lab.counters(lab.gw, "netledger") if source.name == "nflog" else {}
    witness = lab.counters(lab.gw, "witness")
    wire = {name: after - before[name] for name, after in links(lab, lab.gw).items()}
    status = gateway.stop()
    books = gateway.books()
    return Evidence(
        source=source,
        books=books,
        answers=ask(gateway, books),
        own=own,
        witness=witness,
        wire=wire,
        killed_pid=killed_pid,
        exit_status=status,
        log=gateway.log(),
    )


def _count(console: Console, lab: Lab, gateway: Gateway) -> int:
    """Traffic all the time; after some intervals kill -9, a pause, and a new start. Gives the pid that was killed."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        teller = _Teller(progress, lab, gateway)
        first = gateway.start_counting()
        source = chosen(gateway.log())
        teller.say(f"netledger run is pid {first.pid}; the first interval is open")
        teller.say(f"[bold]source = auto: {source.name}[/bold], {source.why}")
        if source.better:
            teller.say(f"for bpf: {source.better}")
        streams = [senders.start_udp(lab, lab.left, plan) for plan in STREAMS]
        streams += [senders.start_udp(lab, lab.right, plan) for plan in ANSWERS]
        teller.say("UDP both ways, TCP and ICMP, each over IPv4 and IPv6")
        with _connections(lab):
            teller.wait_for_intervals(KILL_AFTER_INTERVALS)
            _pause(INTERVAL_SECONDS / 2)  # into the middle of an interval
            first.kill()
            teller.say(f"[bold red]kill -9 {first.pid}[/bold red]: nobody is there, the kernel goes on counting")
            _pause(DEAD_SECONDS)
            second = gateway.start()
            teller.say(f"netledger run is pid {second.pid}; it takes over what the dead process left")
            teller.wait_for_intervals(INTERVALS)
        for stream in streams:
            senders.stop_udp(stream)
        teller.say("the senders are at their end")
    return first.pid


class _Teller:
    """Says what happens, with the time since the start, and each interval when it is committed."""

    def __init__(self, progress: Progress, lab: Lab, gateway: Gateway) -> None:
        self._progress, self._lab, self._gateway = progress, lab, gateway
        self._task = progress.add_task("intervals", total=INTERVALS, said="")
        self._start = time.monotonic()
        self._told = 0

    def say(self, words: str) -> None:
        self._progress.console.print(f"[dim]{time.monotonic() - self._start:5.1f} s[/dim]  {words}", highlight=False)

    def wait_for_intervals(self, number: int) -> None:
        """Until so many intervals are committed.

        Raises:
            TimeoutError: the daemon ended, or it took far too long.
        """
        end = time.monotonic() + 2 * INTERVALS * INTERVAL_SECONDS
        while self._told < number:
            if time.monotonic() > end or not self._gateway.child.running:
                words = f"only {self._told} of {number} intervals were committed; netledger run said:"
                raise TimeoutError(f"{words}\n{self._gateway.log()}")
            _pause(0.2)
            self._refresh()

    def _refresh(self) -> None:
        intervals = self._gateway.books().intervals
        for interval in intervals[self._told :]:
            self.say(pages.line(interval))
        self._told = len(intervals)
        total = self._lab.counter(self._lab.gw, "witness", "total")
        said = f"{total.packets:,} packets, {total.bytes / 1e6:,.1f} MB through the gateway"
        self._progress.update(self._task, completed=min(self._told, INTERVALS), said=said)


@contextmanager
def _connections(lab: Lab) -> Iterator[None]:
    """TCP and ping in both families, again and again, until the block ends.

    Raises:
        ExceptionGroup: a connection failed.
    """
    stop, failed = threading.Event(), list[Exception]()

    def talk() -> None:
        try:
            while not stop.is_set():
                for address in ("10.77.2.2", "fd77:2::2"):
                    senders.ping(lab, lab.left, address, 20)
                    senders.tcp(lab, lab.left, lab.right, address, 2_000_000)
                    stop.wait(0.1)
        except (OSError, RuntimeError) as error:
            failed.append(error)

    thread = threading.Thread(target=talk, name="connections")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failed:
        raise ExceptionGroup("connections through the gateway", failed)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)
