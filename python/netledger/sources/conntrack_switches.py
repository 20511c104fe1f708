"""The kernel's switches that conntrack counts by, of the network namespace of the calling thread.

They are not ours alone: what they were before is written down in the runtime directory before they are changed, and set
back when the last meter stops. A process that dies leaves the note to the next one. Meters know of each other by a
lock that each holds in shared mode.
"""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from netledger.errors import NotSupportedError, PermissionDeniedError, SourceError
from netledger.sources.lasting import replace_file
from netledger.sources.state import boot_id

FOLDER: Final = Path("/proc/sys/net/netfilter")
NAMESPACE: Final = Path("/proc/thread-self/ns/net")

NEEDED: Final = ("nf_conntrack_acct", "nf_conntrack_events")
"""Flows have counters; a flow that ends is told of. With 2, the kernel's own choice, older flows end untold."""

WELCOME: Final = ("nf_conntrack_timestamp",)
"""Flows say when they began, which tells two of them apart that follow one another in all else."""

_ON: Final = "1"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the switches said before anything was changed.

    Attributes:
        boot_id: of the kernel.
        namespace: network namespace, by its number.
        switches: what each that was changed had said.
        format: of the file.
    """

    boot_id: str
    namespace: int
    switches: Mapping[str, str]
    format: Literal[1] = 1


_BEFORE = TypeAdapter(Before)


class Switches:
    """The switches, as one meter uses them. Not safe for concurrent use.

    Args:
        runtime: runtime directory of the daemon, where the note lies.
        folder: where the switches are.
    """

    def __init__(self, runtime: Path, folder: Path = FOLDER) -> None:
        self._note = runtime / "conntrack-switches.json"
        self._lock_path = runtime / "conntrack-switches.lock"
        self._folder = folder
        self._lock: int | None = None

    def open(self) -> dict[str, str]:
        """Sets those that are not on; gives what they had said. May be called again at any time.

        Raises:
            PermissionDeniedError: they cannot be written.
            NotSupportedError: this kernel has none.
            SourceError: they, or the note, cannot be read or written.
        """
        try:
            if self._lock is None:
                self._note.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
                fcntl.flock(self._lock, fcntl.LOCK_SH)
            return self._set()
        except OSError as error:
            raise _failed(error) from error

    def close(self, *, restore: bool) -> None:
        """Ends the use of them. With ``restore`` the last user sets them back. May be called twice.

        Raises:
            PermissionDeniedError, SourceError: they cannot be written.
        """
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        try:
            if restore and _is_alone(lock):
                self._restore()
        except OSError as error:
            raise _failed(error) from error
        finally:
            os.close(lock)

    def _set(self) -> dict[str, str]:
        said = {name: self._read(name) for name in (*NEEDED, *WELCOME)}
        if missing := [name for name in NEEDED if said[name] is None]:
            cause = f"there is no {', '.join(missing)}"
            raise NotSupportedError("conntrack", "set the switches", cause, "load the module nf_conntrack")
        off = {name: value for name, value in said.items() if value is not None and value != _ON}
        if off:
            self._write_note({**off, **self._known()})
            for name in off:
                self._write(name, _ON)
            log.info("conntrack_switched on=%s were=%s", ",".join(off), ",".join(off.values()))
        return off

    def _restore(self) -> None:
        before = self._known()
        # One that somebody has changed since is theirs.
        ours = {name: value for name, value in before.items() if self._read(name) == _ON}
        for name, value in ours.items():
            self._write(name, value)
        self._note.unlink(missing_ok=True)
        if ours:
            log.info("conntrack_restored switches=%s are=%s", ",".join(ours), ",".join(ours.values()))

    def _known(self) -> Mapping[str, str]:
        """What is noted for this namespace. A note of another one, or of another boot, has lost its object."""
        try:
            before = _BEFORE.validate_json(self._note.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError as error:
            log.warning("conntrack_note_damaged file=%s error=%d", self._note, error.error_count())
            return {}
        is_here = (before.boot_id, before.namespace) == (boot_id(), _namespace())
        allowed = {*NEEDED, *WELCOME}
        return {name: value for name, value in before.switches.items() if is_here and name in allowed}

    def _write_note(self, switches: Mapping[str, str]) -> None:
        before = Before(boot_id=boot_id(), namespace=_namespace(), switches=switches)
        replace_file(self._note, _BEFORE.dump_json(before, indent=1).decode(), lasting=False)

    def _read(self, name: str) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / name).read_text().strip()
        return None

    def _write(self, name: str, value: str) -> None:
        (self._folder / name).write_text(f"{value}\n")


def words(changed: Mapping[str, str]) -> str:
    """``nf_conntrack_acct was 0 and is 1 now``, for a receipt."""
    return ", ".join(f"{name} was {value} and is {_ON} now" for name, value in changed.items())


def settings(names: Iterable[str] = (*NEEDED, *WELCOME)) -> str:
    """How an operator sets them."""
    return "sysctl -w " + " ".join(f"net.netfilter.{name}={_ON}" for name in names)


def _is_alone(lock: int) -> bool:
    """Whether no other meter holds the lock. Afterwards this one does not either, or alone."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _namespace() -> int:
    return NAMESPACE.stat().st_ino


def _failed(error: OSError) -> SourceError:
    cause = (error.strerror or str(error)).lower()
    subject = f"conntrack: {error.filename}" if error.filename else "conntrack"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PermissionDeniedError(subject, "set the switches", cause, f"once, as root: {settings()}")
    return SourceError(subject, "set the switches", cause)
