"""A gateway under load whose daemon dies again and again; and the sums at the end."""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kernel import senders
from tests.kernel.books import Books, total
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Child, Count, Lab, wait_for
from tests.kernel.senders import ROOT, Udp

SAID: list[str] = []
DOUBTFUL = 3
SHIM = Path(__file__).with_name("step.c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out of a trial.

    ``sent`` is what the senders say, ``witness`` what the kernel counted, ``own`` what the rules of the meter did.
    """

    sent: Count
    witness: Count
    own: Count | None
    books: Books
    reported: Count
    exit_status: int
    seconds: float

    def problems(self) -> list[str]:
        """Why the books do not balance; empty when they do."""
        found = self.books.problems()
        sums = {"rows sent": self.books.sent, "rows received": self.books.received, "netledger report": self.reported}
        if self.own is not None:
            sums["own counters"] = self.own
        found += [
            f"{name}: {count}, the witness {self.witness}" for name, count in sums.items() if count != self.witness
        ]
        strange = {status: number for status, number in self.books.statuses.items() if status not in ("exact", "lossy")}
        if strange:
            found.append(f"only exact and lossy intervals are expected: {strange}")
        if self.exit_status != 0:
            found.append(f"exit status {self.exit_status}")
        return found

    def figures(self) -> str:
        """One paragraph for people."""
        books = self.books
        share = 100 * books.accounted.packets / max(1, self.witness.packets)
        statuses = ", ".join(f"{number} {status}" for status, number in sorted(books.statuses.items()))
        return (
            f"{self.seconds:.1f} s, {self.sent.packets:,} packets sent\n"
            f"witness    {self.witness.packets:>12,} packets {self.witness.bytes:>15,} bytes\n"
            f"rows       {books.sent.packets:>12,} packets {books.sent.bytes:>15,} bytes sent\n"
            f"           {books.received.packets:>12,} packets {books.received.bytes:>15,} bytes received\n"
            f"reported   {self.reported.packets:>12,} packets {self.reported.bytes:>15,} bytes by netledger report\n"
            f"accounted  {books.accounted.packets:>12,} packets {books.accounted.bytes:>15,} bytes ({share:.1f} %)\n"
            f"lost       {books.lost.packets:>12,} packets {books.lost.bytes:>15,} bytes, on the row unattributed\n"
            f"{len(books.intervals)} intervals: {statuses}"
        )


class Trial:
    """Load, a daemon to be killed, and a witness."""

    def __init__(self, lab: Lab, *, interval: str, rate: int, meters: Mapping[str, str] | None = None) -> None:
        self.lab = lab
        self.gateway = Gateway(lab, lab.gw, interval=interval, meters=meters)
        self._started = time.monotonic()
        lab.witness(lab.gw)
        self.gateway.start_counting()
        v4 = Udp(
            source="10.77.1.2", destination="10.77.2.2", sources=200, ports=7, count=0, rate=rate // 2, seconds=300
        )
        v6 = Udp(
            source="fd77:1::2", destination="fd77:2::2", sources=200, ports=7, count=0, rate=rate // 2, seconds=300
        )
        self.senders: list[Child] = [senders.start_udp(lab, lab.left, plan) for plan in (v4, v6)]

    def end(self) -> Outcome:
        """Stops the senders, then the daemon, and gives the sums."""
        sent = total(senders.stop_udp(sender).count for sender in self.senders)
        # Nobody sends any more: the counters stand still, and may be read before the stop that removes them.
        own = self.own_counters()
        status = self.gateway.stop()
        return Outcome(
            sent=sent,
            witness=self.witnessed(),
            own=own,
            books=self.gateway.books(),
            reported=reported(self.gateway.store),
            exit_status=status,
            seconds=time.monotonic() - self._started,
        )

    def own_counters(self) -> Count | None:
        """What the rules of the meter have counted; None when it has none."""
        if "table inet netledger" not in self.lab.run(self.lab.gw, ["nft", "list", "tables"]):
            return None
        return total(self.lab.counters(self.lab.gw, "netledger").values())

    def witnessed(self) -> Count:
        """What the witness has counted until now."""
        return self.lab.counter(self.lab.gw, "witness", "total")

    def wait_for_packets(self, number: int) -> None:
        """Until the witness has counted so many more."""
        goal = self.witnessed().packets + number
        wait_for(lambda: self.witnessed().packets >= goal, 30, f"{number} more packets")

    def wait_for_next_interval(self) -> None:
        """Until the daemon that runs now has closed an interval that it opened itself."""
        pid = self.gateway.child.pid
        committed = len(self.gateway.books().intervals)
        self.gateway.wait_for_intervals(committed + 2, seconds=30)
        assert self.gateway.child.pid == pid


def reported(store: Path) -> Count:
    """What ``netledger report`` says that hosts and everybody else sent.

    Raises:
        AssertionError: it failed, or sent and received are not the same.
    """
    words = ["report", "--store", str(store), "--config", os.devnull, "--period", "2020..2100", "--json", "--by", ""]
    argv = [sys.executable, "-m", "netledger", *words]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    # Doubtful is what it must be: lossy intervals, and a period that is not covered whole.
    assert done.returncode == DOUBTFUL, f"status {done.returncode}: {done.stderr}"
    total_of = json.loads(done.stdout)["total"]
    sent, received = (Count(total_of[f"{side}_packets"], total_of[f"{side}_bytes"]) for side in ("sent", "received"))
    assert sent == received
    return sent


def shim(source: Path = SHIM) -> Path:
    """A library to be preloaded, by default the one that kills at a given step; compiled once per version."""
    code = source.read_bytes()
    library = ROOT / ".build" / f"{source.stem}-{hashlib.sha256(code).hexdigest()[:12]}.so"
    if not library.exists():
        library.parent.mkdir(exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(fresh), str(source)], check=True)
        fresh.rename(library)
    return library


def say(words: str) -> None:
    """A line for whoever reads the test's output; those of a run come again at its end."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
    SAID.append(words)
