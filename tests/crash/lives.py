"""Processes that share one store and are killed: a writer, a compactor, a reader.

They come out of a fork server that has everything loaded, so that a life begins within milliseconds. What they tell
lies outside the store, in files whose pages outlive them.
"""

import ctypes
import itertools
import multiprocessing
import os
import signal
import struct
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Self

from netledger.durable import Step
from netledger.errors import DamageError, LedgerError
from netledger.intervals import Moment
from netledger.ledger import Known, Ledger
from netledger.ledger.maintain import GRACE_NS, maintain
from netledger.ledger.reader import Reader
from netledger.ledger.rows import STORED_COLUMNS
from tests.crash.seeded import LATER_NS, PER_DAY, expected_sums, number_of, seq, start_of, to_commit
from tests.kernel.lab import wait_for

HASTE = 600
"""How much faster the clock of the lives goes: the grace of removed files is one and a half seconds."""

PAUSE_SECONDS = 0.04
"""Between two commits of a writer: a compactor whose disk is busy has to keep up with it."""

_SUMS = (
    f"SELECT meter, seq, count(*), {', '.join(f'sum({name})::UBIGINT' for name in STORED_COLUMNS[-4:])} "  # noqa: S608  # our own words
    "FROM traffic WHERE interval_start >= ? GROUP BY meter, seq"
)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["duckdb", "pyarrow.compute", "pyarrow.parquet", "tests.crash.lives"])


@dataclass(frozen=True)
class Hasty:
    """A clock that goes faster, from a time at which all days of the trial are closed; the same in every process."""

    started_ns: int

    def now(self) -> Moment:
        passed_ns = (time.monotonic_ns() - self.started_ns) * HASTE
        return Moment(LATER_NS + passed_ns, passed_ns)


@dataclass(frozen=True)
class Told:
    """Where lives tell what they have done; a directory that is not in the store."""

    directory: Path

    def acknowledge(self, number: int) -> None:
        """To be called after the commit has returned, and not before."""
        with (self.directory / "acknowledged").open("r+b", buffering=0) as file:
            file.write(struct.pack("Q", number))

    def acknowledged(self) -> int:
        """The greatest number; those before it are acknowledged as well."""
        (number,) = struct.unpack("Q", (self.directory / "acknowledged").read_bytes())
        assert isinstance(number, int)
        return number

    def add(self, what: str, number: int = 1) -> None:
        with (self.directory / what).open("ab", buffering=0) as file:
            file.write(b"." * number)

    def count(self, what: str) -> int:
        path = self.directory / what
        return path.stat().st_size if path.exists() else 0

    def write(self, kind: str, words: str) -> None:
        (self.directory / f"{kind}-{os.getpid()}").write_text(words)

    def troubles(self) -> list[str]:
        """What must not happen."""
        return [path.read_text() for path in sorted(self.directory.glob("trouble-*"))]

    def refusals(self) -> list[str]:
        """What the store refused: its disk was full, or gone."""
        return [path.read_text() for path in sorted(self.directory.glob("refusal-*"))]

    def forget_refusals(self) -> None:
        for path in self.directory.glob("refusal-*"):
            path.unlink()


def dying_at(die_at: str) -> Step:
    """Kills this process when a step, such as ``named:2``, is done that often."""
    name, _, times = die_at.partition(":")
    seen: Counter[str] = Counter()

    def at_step(step: str) -> None:
        seen[step] += 1
        if step == name and seen[step] == int(times):
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


@dataclass(frozen=True)
class Life:
    """What a process is told at its birth."""

    store: Path
    seed: int
    told: Told
    clock: Hasty
    die_at: str = ""

    def ledger(self) -> Ledger:
        """Opened; it kills this process when the step ``die_at``, such as ``named:2``, is done that often."""
        die = dying_at(self.die_at)

        def at_step(step: str) -> None:
            if step == "replaced":
                self.told.add("compactions")
            die(step)

        ledger = Ledger(self.store, clock=self.clock, at_step=at_step)
        ledger.open()
        return ledger


def write(life: Life) -> None:
    """Commits interval after interval, first of all the newest that was acknowledged once more."""
    ledger, told, pause = life.ledger(), life.told, threading.Event()
    for number in itertools.count(max(1, told.acknowledged())):
        outcome = ledger.commit(*to_commit(life.seed, number))
        if number <= told.acknowledged():
            assert isinstance(outcome, Known), f"{number} was acknowledged, and is not known"
        elif isinstance(outcome, Known):
            told.add("committed, not acknowledged")
        told.acknowledge(number)
        pause.wait(PAUSE_SECONDS)


def compact(life: Life) -> None:
    """Keeps house for ever."""
    ledger = life.ledger()
    while True:
        maintain(ledger)


def read(life: Life) -> None:
    """Takes snapshots for ever; each must have every interval once, and all that were acknowledged before."""
    reader, turn = Reader(life.store), 0
    while True:
        acknowledged, began_ns, turn = life.told.acknowledged(), time.monotonic_ns(), turn + 1
        # All of it now and then; the last days the other times.
        place = max(1, seq(acknowledged) - 4 * PER_DAY) if turn % 4 else 1
        start_ns = start_of(place)
        try:
            snapshot = reader.snapshot(start_ns=start_ns)
            rows = reader.query(_SUMS, snapshot, [start_ns]).to_pylist()
        except LedgerError:
            # As in life: a question that takes longer than the grace may find its files removed.
            if (time.monotonic_ns() - began_ns) * HASTE < GRACE_NS:
                raise
            life.told.add("too slow")
            continue
        there = [number_of((one.meter, one.seq)) for one in snapshot.intervals]
        last = max([acknowledged, *there])
        assert sorted(there) == list(range(2 * place - 1, last + 1)), (
            f"{acknowledged} acknowledged, there: {sorted(there)}"
        )
        found = {number_of((one["meter"], one["seq"])): tuple(one.values())[2:] for one in rows}
        expected = {number: sums for number in there if (sums := expected_sums(life.seed, number))[0]}
        wrong = {number for number in found.keys() | expected.keys() if found.get(number) != expected.get(number)}
        assert len(found) == len(rows)
        assert not wrong, f"{acknowledged} acknowledged, other sums: {sorted(wrong)}"
        life.told.add("snapshots")


ROLES: dict[str, Callable[[Life], None]] = {"writer": write, "compactor": compact, "reader": read}


def _live(role: str, life: Life) -> None:
    """What the fork server runs."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it dies with the fork server, and that with the test
    try:
        ROLES[role](life)
    except LedgerError as error:
        # SQLite calls a database malformed as well when the disk beneath it is dead: what is true is seen afterwards,
        # and whoever cuts no power takes no refusals either.
        is_damage = isinstance(error, DamageError) and "malformed" not in str(error)
        life.told.write("trouble" if is_damage else "refusal", f"{role}: {error}")
    except Exception:  # noqa: BLE001  # the top of a process: the test is to know
        life.told.write("trouble", f"{role}: {traceback.format_exc()}")


class Lives:
    """One process of each role at most. As a context manager it kills all of them at the end."""

    def __init__(self, store: Path, told: Path, seed: int) -> None:
        self.told = Told(told)
        told.mkdir()
        (told / "acknowledged").write_bytes(bytes(8))
        self.kills: Counter[str] = Counter()
        self._life = Life(store, seed, self.told, Hasty(time.monotonic_ns()))
        self._running: dict[str, BaseProcess] = {}
        self._die_at: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.join()

    def start(self, role: str, die_at: str = "") -> None:
        life = Life(self._life.store, self._life.seed, self.told, self._life.clock, die_at)
        self._die_at[role] = die_at
        self._running[role] = PROCESSES.Process(target=_live, args=(role, life), name=role)
        self._running[role].start()

    def roles(self) -> list[str]:
        """Those that were started and not killed."""
        return list(self._running)

    def kill(self, role: str) -> int:
        """SIGKILL, and the exit status. A life that ended before by itself is no kill."""
        process = self._running.pop(role)
        process.kill()
        process.join()
        self.kills[role] += process.exitcode == -signal.SIGKILL
        assert process.exitcode is not None
        return process.exitcode

    def await_death(self, role: str, seconds: float = 30) -> None:
        """Waits until it has killed itself.

        Raises:
            AssertionError: it ended otherwise.
        """
        words = f"{role}: its death at {self._die_at[role]}; {self.told.troubles() + self.told.refusals()}"
        wait_for(lambda: not self._running[role].is_alive(), seconds, words)
        status = self._running.pop(role).exitcode
        assert status == -signal.SIGKILL, f"{role}: status {status}: {self.told.troubles()}"
        self.kills[role] += 1
