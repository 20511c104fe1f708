"""nacctd and ours beside it: two processes with the same table, which see the same packets."""

import json
import os
import shutil
import signal
import sys
from collections import Counter
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Final

from tests.compat.nacctd.space import Wires
from tests.kernel.lab import Child, text_of, wait_for

PACKAGE: Final = Path("/usr/share/doc/net-acct")
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
# The pid file and utmp have fixed places below /run: each process has a /run of its own, which outlives it. "small" is
# a disk of few kilobytes, seen by nobody else.
_ALONE: Final = """
mkdir -p "$0/run/netledger" "$0/small"
mount -t tmpfs -o size=32k none "$0/small"
mount --bind "$0/run" /run
exec "$@"
"""


class Program(Enum):
    """Which of the two."""

    REAL = "real"
    OURS = "ours"


@cache
def real_program() -> str:
    """Debian's program. That of the same name which netledger brings stands beside Python, and is not meant.

    Raises:
        FileNotFoundError: it is not installed.
    """
    beside = Path(sys.executable).parent
    places = [place for place in os.environ["PATH"].split(":") if place and Path(place) != beside]
    found = shutil.which("nacctd", path=":".join(places))
    if found is None:
        raise FileNotFoundError("nacctd")
    return found


class Nacctd:
    """One of them, with its own directory. Its table has ``{here}`` where the directory is meant."""

    def __init__(self, program: Program, wires: Wires, table: str, *, name: str = "") -> None:
        self.program = program
        self.wires = wires
        self.here = wires.directory / f"{program.value}{name}"
        self.here.mkdir(exist_ok=True)
        self.table = self.here / "naccttab"
        self.log = self.here / "net-acct.log"
        self.dump = self.here / "dump"
        self.children: list[Child] = []
        self.write(table)

    def write(self, table: str) -> None:
        """Replaces the table."""
        files = f"file {self.log}\ndumpfile {self.dump}\ndebugfile {self.here}/debug\n"
        self.table.write_text(files + table.replace("{here}", str(self.here)))

    @property
    def child(self) -> Child:
        return self.children[-1]

    def words(self) -> list[str]:
        """What starts it."""
        ours = [sys.executable, "-m", "netledger", "compat", "nacctd"]
        program = [real_program()] if self.program is Program.REAL else ours
        alone = ["unshare", "-m", "--propagation", "private", "sh", "-c", _ALONE, str(self.here)]
        return [*alone, *program, "-D", "-c", str(self.table)]

    def start(self) -> None:
        """Starts it and waits until it listens."""
        before = len(self.wires.listeners())
        self._note.unlink(missing_ok=True)
        self.children.append(self.wires.spawn(self.wires.gw, self.words()))

        def listens() -> bool:
            if not self.child.running:
                message = f"{self.program.value} ended with {self.child.wait()}: {self.child.errors()}"
                raise RuntimeError(message)
            return len(self.wires.listeners()) > before and (self.program is Program.REAL or self._note.exists())

        wait_for(listens, START_SECONDS, f"{self.program.value} listens")
        if self.program is Program.OURS and "dynamicip" in self.table.read_text():
            self.wires.lookers.append(self.holder)

    def holder(self, address: str) -> str | None:
        """Who has an address, as ours has noticed."""
        noted = {int(since_ns): holders for since_ns, holders in json.loads(self._note.read_text()).items()}
        newest = max(noted)
        # It is noted before the counters are cut. After the cut the generation before is closed, or gone already.
        texts = [text_of(path) for path in sorted(self._note.parent.glob("gen-*.json"))]
        if not texts or "" in texts:  # one is being taken away
            return "nobody yet"
        *before, begun = map(json.loads, texts)
        if begun["start"]["monotonic_ns"] < newest or any(one["closing"] is None for one in before):
            return "nobody yet"
        found = noted[newest].get(address)
        return None if found is None else str(found)

    @property
    def _note(self) -> Path:
        """Where ours keeps in mind who has what, from when it accounts."""
        return self.here / "run" / "netledger" / "nacctd" / "holders.json"

    @property
    def small(self) -> Path:
        """Its small disk, while it lives."""
        return Path(f"/proc/{self.child.pid}/root{self.here}/small")

    def noted(self) -> Counter[str]:
        """The rows of the dump: what has no line yet."""
        text = text_of(self.dump, "surrogateescape")
        return Counter(line.partition("\t")[2] for line in text.splitlines())

    def stop(self) -> int:
        """Ends it, waits until everything is written, and gives its exit status."""
        self.wires.settled()
        # Its signal handler interrupts anything, and forgets a packet that was just being added.
        wait_for(self._waits, STOP_SECONDS, f"{self.program.value} waits for packets")
        self.child.signal(signal.SIGTERM)
        status = self.child.wait()
        # The real one leaves its last lines to a child that it does not wait for.
        wait_for(lambda: not self._left(), STOP_SECONDS, f"{self.program.value} has written all")
        return status

    def lines(self) -> list[str]:
        """The log, line by line."""
        return text_of(self.log, "surrogateescape").splitlines()

    def rows(self) -> Counter[str]:
        """The lines without their times, in no order."""
        return Counter(line.partition("\t")[2] for line in self.lines())

    def _waits(self) -> bool:
        state = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return self.program is Program.OURS or state == "S"

    def _left(self) -> list[int]:
        mark = os.fsencode(self.table)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if mark in words:
                    found.append(int(entry.name))
        return found
