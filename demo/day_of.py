"""An operator's day, typed by this script: each line after a # is run, and what stands below is what it said.

It works with the real paths, /etc/netledger, /var/lib/netledger and /run/netledger, in a mount namespace of its own in
which they are laid over the machine's: nothing of it is left afterwards. The store is a file system of 8 MiB, so that
it can be filled.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab
from tests.kernel.lab import Child, Count, Lab, remove_stale
from tests.kernel.senders import Udp

STORE_MIB = 8
INSIDE = "--inside"
WAIT_SECONDS = 60.0
LAID_OVER = ("/etc", "/run", "/usr/local", "/var/lib")
STREAMS = (
    Udp(source="10.77.1.2", destination="10.77.2.2", sources=5, ports=3, payload_bytes=1200, count=0, rate=1500),
    Udp(source="fd77:1::2", destination="fd77:2::2", payload_bytes=600, count=0, rate=500),
)
CONFIGURATION = """\
node = "gw1"
interval = "5s"

[meters.lan]
local = ["10.77.1.0/24", "fd77:1::/64"]
"""


def main(arguments: Sequence[str]) -> int:
    """Runs the day in a mount namespace of its own; 0 when the books are exact at its end."""
    directory = _options().parse_args(arguments).inside
    if os.geteuid() != 0:
        print("day: it makes namespaces and loads nft rules: run it as root", file=sys.stderr)
        return 2
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="netledger-day-") as made:
            alone = ["unshare", "--mount", "--propagation", "private"]
            return subprocess.run([*alone, sys.executable, sys.argv[0], INSIDE, made], check=False).returncode
    _lay_over(directory)
    remove_stale()
    with BpfLab() as lab:
        return _day(lab)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo/day",
        description="An operator's day as a transcript: install, run, report, a full disk, audit. To be run as root, "
        "with the real paths in a mount namespace of its own; leaves nothing behind.",
        epilog="Exit codes: 0 the books are exact at its end; 1 they are not; 2 it cannot be run here.",
        allow_abbrev=False,
    )
    # By itself alone: what it lays over /etc and /run must be in a mount namespace that was made for it.
    parser.add_argument(INSIDE, type=Path, help=argparse.SUPPRESS)
    return parser


def _lay_over(directory: Path) -> None:
    """Lets what is written below the usual places go to memory, in this mount namespace alone."""
    _mount("-t", "tmpfs", "tmpfs", str(directory))
    for place in LAID_OVER:
        layer = directory / place.strip("/").replace("/", "-")
        upper, work = layer / "upper", layer / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        _mount("-t", "overlay", "overlay", "-o", f"lowerdir={place},upperdir={upper},workdir={work}", place)
    with suppress(subprocess.CalledProcessError):  # a kernel that has none counts by NFLOG
        _mount("-t", "bpf", "bpf", "/sys/fs/bpf")
    store = Path("/var/lib/netledger")
    store.mkdir(mode=0o750, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={STORE_MIB}m,mode=0750", "tmpfs", str(store))
    program = Path("/usr/local/bin/netledger")
    program.parent.mkdir(parents=True, exist_ok=True)
    program.unlink(missing_ok=True)
    program.symlink_to(Path(sys.executable).with_name("netledger"))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def _day(lab: Lab) -> int:
    lab.witness(lab.gw)
    terminal = _Terminal(lab)
    terminal.type("netledger service install")
    terminal.type(f"cat > /etc/netledger/netledger.toml <<'END'\n{CONFIGURATION}END")
    terminal.type("netledger config check")
    daemon = terminal.start("netledger run 2>> /var/lib/netledger.log")
    terminal.until("it counts", lambda: "event=counting" in terminal.log())
    streams = [senders.start_udp(lab, lab.left, plan) for plan in STREAMS]
    terminal.until("two intervals are committed", lambda: terminal.log().count("event=committed") > 1)
    terminal.type("netledger status")
    terminal.type("netledger report --period today")
    terminal.type("cat /dev/zero > /var/lib/netledger/somebodys-file")
    terminal.until("the store cannot be written", lambda: terminal.ask("netledger status") == 3)
    terminal.until("an interval waits", lambda: "event=commit_failed" in terminal.log())
    terminal.type("netledger status")
    terminal.type("rm /var/lib/netledger/somebodys-file")
    terminal.until("all is well again", lambda: terminal.ask("netledger status") == 0)
    terminal.type("netledger status")
    for stream in streams:
        senders.stop_udp(stream)
    terminal.say("kill %1")
    daemon.signal(signal.SIGTERM)
    status = daemon.wait()
    audit = terminal.type("netledger audit --verify")
    terminal.type("netledger report --period today --by meter,account")
    return _verdict(lab.counter(lab.gw, "witness", "total"), terminal, status, audit)


def _verdict(truth: Count, terminal: "_Terminal", status: int, audit: int) -> int:
    """Whether the ledger says what rules that netledger does not know have counted."""
    ledger = terminal.output("netledger report --period today --by '' --direction sent --csv").splitlines()[-1]
    told = Count(*(int(word) for word in reversed(ledger.split(","))))
    print(f"counted by other rules: {truth.packets:,} packets, {truth.bytes:,} bytes")
    print(f"in the ledger:          {told.packets:,} packets, {told.bytes:,} bytes")
    is_well = status == 0 and audit == 0 and told == truth and truth.packets > 0
    print("the books are exact" if is_well else f"the books are NOT exact (run ended with {status})\n{terminal.log()}")
    return 0 if is_well else 1


class _Terminal:
    """Types commands on the gateway, and shows what they print."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}

    def say(self, words: str) -> None:
        print(f"# {words}", flush=True)

    def type(self, words: str) -> int:
        """Shows a command, its output, and its exit code where that is not 0."""
        self.say(words)
        done = self._run(words)
        print(done.stdout, end="")
        if done.returncode != 0:
            print(f"(exit code {done.returncode})")
        print(flush=True)
        return done.returncode

    def ask(self, words: str) -> int:
        """Runs a command without a word; its exit code."""
        return self._run(words).returncode

    def output(self, words: str) -> str:
        return self._run(f"{words} 2>/dev/null").stdout

    def start(self, words: str) -> Child:
        self.say(f"{words} &")
        return self._lab.spawn(self._lab.gw, ["sh", "-c", f"exec {words}"])

    def log(self) -> str:
        path = Path("/var/lib/netledger.log")
        return path.read_text() if path.exists() else ""

    def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Waits.

        Raises:
            TimeoutError: it takes far too long.
        """
        end = time.monotonic() + WAIT_SECONDS
        while not is_so():
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {WAIT_SECONDS:.0f} s\n{self.log()}")
            time.sleep(0.3)

    def _run(self, words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._lab.entering(self._lab.gw), "sh", "-c", words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=WAIT_SECONDS,
            env=self._environment,
        )
