"""What a source writes down about its generations, so that another process can finish them.

In the runtime directory of a meter lie, for each generation, ``gen-00000001.table`` (its rows, written by the native
core) and ``gen-00000001.json`` (its facts). The facts are written before the table is made and removed before it is
removed: a table without facts has been committed. In the store lies the number of the newest closed generation, because
the runtime directory does not survive a restart of the machine, and numbers must not repeat.
"""

import fcntl
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import JsonValue, TypeAdapter, ValidationError

from netledger.errors import SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"gen-(\d{8,})\.(json|table)")


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
    format: Literal[1] = 1

    def disturbed(self, what: str) -> "Facts":
        """The same with one more disturbance noted."""
        return replace(self, interrupted="; ".join(part for part in (self.interrupted, what) if part))


_FACTS = TypeAdapter(Facts)


class State:
    """The state files of one meter.

    Args:
        runtime: directory of the meter in the runtime directory; volatile.
        store: directory ``meters`` of the store; lasting.
        meter: name of the meter.
    """

    def __init__(self, runtime: Path, store: Path, meter: str) -> None:
        self._runtime = runtime
        self._newest = store / f"{meter}.seq"
        self._meter = meter
        self._lock: int | None = None

    def open(self) -> None:
        """Makes the directories and keeps other processes out. Sweeps up what an interrupted write or release left.

        Raises:
            SourceError: another process counts for this meter, or a directory cannot be made.
        """
        try:
            self._runtime.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._newest.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            lock = os.open(self._runtime / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            subject = str(error.filename or self._runtime)
            raise SourceError(subject, "open", (error.strerror or str(error)).lower()) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(lock, 32).decode(errors="replace").strip() or "?"
            os.close(lock)
            cause = f"already counted by pid {pid}"
            raise SourceError(f"meter {self._meter}", "open", cause, "stop it first") from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock = lock
        self._sweep()

    def close(self) -> None:
        """Lets other processes in. May be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def table(self, seq: int) -> Path:
        """The table file of a generation."""
        return self._runtime / f"gen-{seq:08d}.table"

    def load(self) -> list[Facts]:
        """The facts of all generations that have not been released, oldest first.

        Raises:
            SourceError: a file is damaged, or of another version.
        """
        return [self._read(self._facts(seq)) for seq in sorted(self._numbers("json"))]

    def save(self, facts: Facts) -> None:
        """Writes the facts of a generation, replacing older ones at once."""
        self._replace(self._facts(facts.seq), _FACTS.dump_json(facts, indent=1).decode(), lasting=False)

    def freeze(self, facts: Facts) -> None:
        """Writes the facts of a closed generation; from now on its number is taken for ever."""
        self.save(facts)
        if facts.seq > self._newest_closed():
            self._replace(self._newest, f"{facts.seq}\n", lasting=True)

    def skip_to(self, seq: int) -> None:
        """Takes a number, and all below it, for used: the next generation gets a greater one.

        To be called before the source is opened; the store may know more than the file of the newest number.

        Raises:
            SourceError: that file cannot be written, or holds no number.
        """
        try:
            if seq > self._newest_closed():
                self._newest.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._replace(self._newest, f"{seq}\n", lasting=True)
        except OSError as error:
            raise SourceError(str(self._newest), "write", (error.strerror or str(error)).lower()) from error

    def forget(self, seq: int) -> None:
        """Removes the facts of a generation."""
        self._facts(seq).unlink(missing_ok=True)

    def discard(self, seq: int) -> None:
        """Removes a generation that never counted anything."""
        self.forget(seq)
        self.table(seq).unlink(missing_ok=True)

    def next_seq(self) -> int:
        """The number of the next generation."""
        return max(self._newest_closed(), *self._numbers("json"), 0) + 1

    def _newest_closed(self) -> int:
        try:
            text = self._newest.read_text()
        except FileNotFoundError:
            return 0
        if not text.strip().isdecimal():
            raise SourceError(str(self._newest), "read", "holds no number", "write the newest known seq into it")
        return int(text)

    def _facts(self, seq: int) -> Path:
        return self._runtime / f"gen-{seq:08d}.json"

    def _numbers(self, kind: str) -> set[int]:
        names = (_NAME.fullmatch(path.name) for path in self._runtime.iterdir())
        return {int(match[1]) for match in names if match and match[2] == kind}

    def _sweep(self) -> None:
        for path in self._runtime.glob("*.new"):
            path.unlink()
        for seq in self._numbers("table") - self._numbers("json"):
            self.table(seq).unlink()

    def _read(self, path: Path) -> Facts:
        try:
            return _FACTS.validate_json(path.read_bytes())
        except (ValidationError, OverflowError) as error:
            hint = "another version of netledger wrote it, or it is damaged; move it away to lose this interval"
            raise SourceError(str(path), "read", f"not understood: {' '.join(str(error).split())}", hint) from error

    def _replace(self, path: Path, text: str, *, lasting: bool) -> None:
        new = path.with_name(path.name + ".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if lasting:
                file.flush()
                os.fsync(descriptor)
        new.rename(path)
        if lasting:
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def boot_id() -> str:
    """Changes with each start of the machine."""
    return BOOT_ID.read_text().strip()
