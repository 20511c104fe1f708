"""A command of a quota as a process: begun at most once, found again by the next daemon, bounded in time and output.

That it was begun is told by the file of its output. The kernel makes that file in the new process, right before the
program is loaded, and refuses if it is there already (O_EXCL): so whoever begins it a second time fails, and a process
that is killed between beginning it and writing that down leaves the trace all the same.
"""

import contextlib
import errno
import os
import select
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.durable import DIRECTORY_MODE, FILE_MODE

OUTPUT_BYTES_MAX: Final = 1 << 16
"""What a command may print before it is thrown away; the beginning is kept."""
TOLD_BYTES: Final = 4096
"""How much of it goes into the ledger and the log."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class BegunError(Exception):
    """It was begun before."""


@final
@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        code: its exit code, or None.
        signal: what killed it, or None.
    """

    code: int | None
    signal: int | None


@final
class Process:
    """One command, by its number. Not to be shared between threads.

    Args:
        directory: where its traces are; made when it is not there.
        number: its identity: begun once for each number, as long as the directory keeps it.
    """

    def __init__(self, directory: Path, number: int) -> None:
        self._directory = directory
        self._output = directory / f"{number}.output"
        self._pid_file = directory / f"{number}.pid"
        self._pid = 0
        self._descriptor = -1
        self._is_child = False
        self._kept = b""
        self._is_cut = False

    @property
    def was_begun(self) -> bool:
        """Whether it was, by this process or another."""
        return self._output.exists()

    def begin(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts it in a process group of its own, without a shell, with nothing to read. Does not wait.

        Raises:
            BegunError: it was begun before.
            OSError: the kernel refuses. :attr:`was_begun` says whether it may be tried again.
        """
        self._directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        if self.was_begun:
            raise BegunError
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        try:
            self._pid = os.posix_spawn(
                command[0],
                list(command),
                dict(environment),
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.fspath(self._output), flags, FILE_MODE),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setpgroup=0,
                setsigmask=[],
                # What Python ignores, a program would go on to ignore.
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
        except OSError as error:
            if error.errno == errno.EEXIST:
                raise BegunError from error
            raise
        self._is_child = True
        self._descriptor = os.pidfd_open(self._pid)
        # Not durable: a power cut ends the process as well.
        with contextlib.suppress(OSError):
            self._pid_file.write_text(f"{self._pid} {_started(self._pid)}\n", encoding="ascii")

    def find(self) -> bool:
        """Looks for the process that another daemon began, and says whether it runs still."""
        try:
            pid, started = self._pid_file.read_text(encoding="ascii").split()
            descriptor = os.pidfd_open(int(pid))
        except (OSError, ValueError):
            return False
        # Looked at behind the descriptor: a number is used again only when its process is gone for good.
        if _started(int(pid)) != started:
            os.close(descriptor)
            return False
        self._pid, self._descriptor = int(pid), descriptor
        return True

    def fileno(self) -> int:
        """For ``poll``: it can be read when the process has ended."""
        return self._descriptor

    def ended(self) -> Ended | None:
        """How it ended; None while it runs. Of a process that another daemon began nobody knows how."""
        self._bound_output()
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if not poll.poll(0):
            return None
        if not self._is_child:
            return Ended(None, None)
        _, status = os.waitpid(self._pid, 0)
        self._is_child = False
        code = os.waitstatus_to_exitcode(status)
        return Ended(None, -code) if code < 0 else Ended(code, None)

    def kill(self, number: signal.Signals) -> None:
        """Sends a signal to its whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def output(self) -> str:
        """The beginning of what it printed, for people."""
        with contextlib.suppress(OSError), self._output.open("rb") as file:
            self._kept = self._kept or file.read(TOLD_BYTES + 1)
        text = self._kept[:TOLD_BYTES].decode(errors="replace").strip()
        return f"{text} (cut)" if self._is_cut or len(self._kept) > TOLD_BYTES else text

    def close(self) -> None:
        """Lets go of it, whatever it does. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def forget(self) -> None:
        """Removes its traces, when its end stands in the ledger."""
        self.close()
        for path in (self._pid_file, self._output):
            with contextlib.suppress(OSError):
                path.unlink()

    def _bound_output(self) -> None:
        """Throws away what it printed when that becomes too much: the directory may be memory."""
        with contextlib.suppress(OSError):
            if self._output.stat().st_size > OUTPUT_BYTES_MAX:
                with self._output.open("rb") as file:
                    self._kept = self._kept or file.read(TOLD_BYTES + 1)
                self._is_cut = True
                # It appends, so it goes on at the new end.
                os.truncate(self._output, 0)


def sweep(directory: Path, needed: Collection[int]) -> None:
    """Removes the traces of commands whose end is written, and that a process had no time to remove."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        for path in directory.iterdir():
            number = path.stem
            if number.isascii() and number.isdigit() and int(number) not in needed:
                path.unlink(missing_ok=True)


def boot_id() -> str:
    """Tells this run of the machine from all others."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _started(pid: int) -> str:
    """When a process was started, in the kernel's ticks: with the number, its identity. Empty when it is gone."""
    try:
        # Its name, in brackets, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
