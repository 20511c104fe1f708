"""What a source writes down about its generations, so that another process can finish them.

In the runtime directory of a meter lie, for each generation, ``gen-00000001.table`` (its rows, written by the native
core) and ``gen-00000001.json`` (its facts). The facts are written before the table is made and removed before it is
removed: a table without facts has been committed. What must survive a restart of the machine lies in the store, see
:mod:`netledger.sources.lasting`; it is written when a generation is committed, so that a full store holds up no cut.
"""

import contextlib
import fcntl
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from netledger.errors import InUseError, SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.lasting import Lasting, replace_file

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"gen-(\d{8,})\.(json|table)")
# A table may lie in several files; this is the name of the others.
_REST = re.compile(r"gen-(\d{8,})\.table\.\d+")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a generation ended: enough to give the same receipt again.

    Attributes:
        end: when.
        observed: what the source says of it.
        interface_names: names of interface indexes.
    """

    end: Moment
    observed: Observed
    interface_names: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a generation.

    Attributes:
        seq: its number.
        meter: name of the meter.
        node: name of the node.
        start: when it started.
        boot_id: of the kernel that counts for it.
        side: side of the rules that counts for it; empty for given groups.
        groups: NFLOG groups: of side a and b, or the given ones.
        base: counters of that side when it started; they are never reset.
        rules: snapshot of the rules as they must stay; empty until they are installed.
        fingerprint: of the wishes that the rules were made from.
        interrupted: what disturbed it so far.
        stopped: when the process stopped on purpose and left it open, or began to stop.
        stopping: whether the process was about to take its rules out.
        begun: whether the listener is known to have begun it; its table file is whole then.
        closing: how it ended; None while it is open.
        has_rows: whether it has a table file; one that was lost has none.
        said: what its receipt is to say besides, such as what was changed when it began.
        format: of the file; another number is refused.
    """

    seq: int
    meter: str
    node: str
    start: Moment
    boot_id: str
    side: str = ""
    groups: tuple[int, ...] = ()
    base: Mapping[str, Count] = field(default_factory=dict)
    rules: Mapping[str, JsonValue] = field(default_factory=dict)
    fingerprint: str = ""
    interrupted: str | None = None
    stopped: Moment | None = None
    stopping: bool = False
    begun: bool = False
    closing: Closing | None = None
    has_rows: bool = True
    said: str | None = None
    format: Literal[1] = 1

    def disturbed(self, what: str) -> "Facts":
        """The same with one more disturbance noted."""
        return replace(self, interrupted="; ".join(part for part in (self.interrupted, what) if part))


_FACTS = TypeAdapter(Facts)


class State:
    """The state files of one meter. Only :meth:`forget` may be called from another thread than the rest.

    Args:
        runtime: directory of the meter in the runtime directory; volatile.
        store: directory ``meters`` of the store; lasting.
        meter: name of the meter.
    """

    def __init__(self, runtime: Path, store: Path, meter: str) -> None:
        self._runtime = runtime
        self.lasting = Lasting(store, meter)
        self._meter = meter
        self._lock: int | None = None
        # As they are on disk, in case somebody removes the directory: numbers must not repeat, nor facts be lost.
        self._saved: dict[int, Facts] = {}
        self._has_ended = False
        self.last_sign_ns: int | None = None
        """When a process before this one last left a sign, UTC nanoseconds; None: there was none."""

    def open(self, known_seq: int = 0) -> None:
        """Makes the directory and keeps other processes out. Sweeps up what an interrupted write or release left.

        ``known_seq`` is the highest number that is known to be taken, in case the store's own has been lost.

        Raises:
            InUseError: another process counts for this meter.
            SourceError: the directory cannot be made, or the store's number cannot be read.
        """
        self.lasting.open(known_seq)
        try:
            self._runtime.mkdir(mode=0o750, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.last_sign_ns = (self._runtime / "lock").stat().st_mtime_ns
            self._lock = self._locked()
            if self.last_sign_ns is not None:  # it stays that of the one before, until this one really counts
                os.utime(self._lock, ns=(self.last_sign_ns, self.last_sign_ns))
        except OSError as error:
            subject = str(error.filename or self._runtime)
            raise SourceError(subject, "open", (error.strerror or str(error)).lower()) from error
        self._sweep()

    def close(self) -> None:
        """Lets other processes in. May be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def leave_sign(self) -> None:
        """Notes that this process is still there, as the time of the lock's file."""
        if self._lock is not None:
            os.utime(self._lock)

    def table(self, seq: int) -> Path:
        """The table file of a generation."""
        return self._runtime / f"gen-{seq:08d}.table"

    def load(self) -> tuple[list[Facts], dict[int, Path]]:
        """The facts of all generations that have not been released, oldest first; and the files that are damaged.

        Raises:
            OSError: a file cannot be read.
        """
        found: list[Facts] = []
        damaged: dict[int, Path] = {}
        for seq in sorted(self._numbers("json")):
            path = self._facts(seq)
            try:
                facts = _FACTS.validate_json(path.read_bytes())
            except (ValidationError, OverflowError):
                damaged[seq] = path
                continue
            self._saved[seq] = facts
            found.append(facts)
        return found, damaged

    def save(self, facts: Facts) -> None:
        """Writes the facts of a generation, replacing older ones at once.

        Should the directory have been removed, it is made again, with all that was in it but the tables: those are
        still mapped.
        """
        self._saved[facts.seq] = facts
        try:
            self._write(facts)
        except FileNotFoundError:
            log.error("runtime_removed meter=%s directory=%s", self._meter, self._runtime)  # noqa: TRY400  (no traceback)
            self._runtime.mkdir(mode=0o750, parents=True, exist_ok=True)
            before, self._lock = self._lock, self._locked()
            if before is not None:
                os.close(before)
            for each in list(self._saved.values()):
                self._write(each)

    def known(self, seq: int) -> Facts | None:
        """The facts of a generation that has not been released."""
        return self._saved.get(seq)

    def set_aside(self, path: Path) -> Path:
        """Gives a damaged file another name, for whoever wants to look at it, and says which."""
        aside = path.with_name(f"{path.stem}.damaged{path.suffix}")
        aside.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.link(path, aside)
        if path.suffix == ".table":
            path.unlink(missing_ok=True)
            for rest in path.parent.glob(f"{path.name}.*"):
                rest.replace(path.with_name(f"{aside.name}{rest.suffix}"))
        return aside

    def forget(self, seq: int) -> None:
        """Removes the facts of a committed generation, as soon as its number is in the store. Blocks for the disk.

        Raises:
            SourceError: the store cannot be written; the facts stay.
        """
        self.lasting.number(seq)
        if self._has_ended and set(self._saved) <= {seq}:
            # Before the facts: without both, the next start would believe that the facts were lost.
            self.lasting.remove_mark()
        self._facts(seq).unlink(missing_ok=True)
        self._saved.pop(seq, None)

    def end(self) -> None:
        """Notes that counting ends here: with the last generation that is committed the mark in the store goes."""
        self._has_ended = True

    def discard(self, seq: int) -> None:
        """Removes a generation that never counted anything."""
        self._facts(seq).unlink(missing_ok=True)
        self._saved.pop(seq, None)
        self.remove_table(seq)

    def next_seq(self) -> int:
        """The number of the next generation."""
        # In this order: another thread takes a number for ever before it forgets the facts that have it.
        saved = [*self._saved]
        return max(self.lasting.taken, *saved, *self._numbers("json"), 0) + 1

    def _facts(self, seq: int) -> Path:
        return self._runtime / f"gen-{seq:08d}.json"

    def _write(self, facts: Facts) -> None:
        replace_file(self._facts(facts.seq), _FACTS.dump_json(facts, indent=1).decode(), lasting=False)

    def _numbers(self, kind: str) -> set[int]:
        try:
            names = [_NAME.fullmatch(path.name) for path in self._runtime.iterdir()]
        except FileNotFoundError:
            return set()
        return {int(match[1]) for match in names if match and match[2] == kind}

    def _sweep(self) -> None:
        for path in self._runtime.glob("*.new"):
            path.unlink()
        known = self._numbers("json")
        for seq in (self._numbers("table") | self._numbers_of_rests()) - known:
            self.remove_table(seq)

    def remove_table(self, seq: int) -> None:
        """Removes the rows of a generation.

        What they lie in besides goes first: as long as the file of its own name is there, all can be found.
        """
        path = self.table(seq)
        for rest in path.parent.glob(f"{path.name}.*"):
            rest.unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _numbers_of_rests(self) -> set[int]:
        names = [_REST.fullmatch(path.name) for path in self._runtime.iterdir()]
        return {int(match[1]) for match in names if match}

    def _locked(self) -> int:
        lock = os.open(self._runtime / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode(errors="replace").strip() or "?"
            os.close(lock)
            cause = f"already counted by pid {pid}"
            raise InUseError(f"meter {self._meter}", "open", cause, "stop it first") from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        return lock


def boot_id() -> str:
    """Changes with each start of the machine."""
    return BOOT_ID.read_text().strip()
