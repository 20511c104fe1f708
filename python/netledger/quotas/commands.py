"""Runs the commands of quotas: each once for its fact, a few at a time, with its end in the ledger."""

import logging
import select
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from netledger.errors import OutdatedError
from netledger.intervals import SECOND_NS, Clock
from netledger.ledger.quota_facts import Told
from netledger.quotas.book import Book
from netledger.quotas.definition import Definition
from netledger.quotas.process import BegunError, Ended, Process, boot_id, sweep
from netledger.quotas.state import Job, State, What, integer, period_of
from netledger.receipt import rfc3339

AT_A_TIME: Final = 4
"""How many commands run at a time; others wait."""
GRACE_NS: Final = 5 * SECOND_NS
"""How long a command has between TERM and KILL."""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOOK_NS: Final = 100_000_000
_AGAIN_NS: Final = 5 * SECOND_NS

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    quota: str
    definition: Definition
    job: Job
    process: Process
    began_ns: int
    deadline_ns: int
    is_late: bool = False
    is_killed: bool = False
    end: tuple[str, Ended] | None = None


@final
class Commands:
    """Looks after the commands of a book. To be used from one thread; only :meth:`stop` waits for a process.

    Args:
        book: the quotas.
        directory: where the traces of running commands are, kept over a restart; should be in memory.
        clock: for how long a command may take.
        node: told to commands.
    """

    def __init__(self, book: Book, directory: Path, clock: Clock, *, node: str) -> None:
        self._book = book
        self._directory = directory
        self._clock = clock
        self._node = node
        self._running: dict[int, _Running] = {}
        self._not_before_ns = 0

    def sweep(self) -> None:
        """Removes what commands have left that nobody asks for any more. To be called once, at the start."""
        sweep(self._directory, {number for state in self._book.states.values() for number in state.jobs})

    def descriptors(self) -> list[int]:
        """For ``poll``: one can be read when its process has ended."""
        return [one.process.fileno() for one in self._running.values() if one.end is None]

    def wait_ns(self) -> int | None:
        """When to come again at the latest; None when nothing runs or waits."""
        if self._running:
            return _LOOK_NS
        return _AGAIN_NS if any(state.jobs for state in self._book.states.values()) else None

    def turn(self) -> None:
        """Begins what waits, ends what takes too long, and writes down what has ended.

        Raises:
            LedgerError: the ledger cannot be written: what has ended is told later, and nothing is begun meanwhile.
        """
        for number, one in list(self._running.items()):
            self._look_after(number, one)
        if self._clock.now().monotonic_ns < self._not_before_ns:
            return
        for state, job in list(self._waiting()):
            if len(self._running) >= AT_A_TIME:
                return
            try:
                self._take_up(state, job)
            except OutdatedError:
                continue  # it was removed; or it is taken up the next time

    def stop(self, deadline_ns: int) -> None:
        """Ends what runs still when the time is up: by TERM, and then by KILL.

        ``deadline_ns`` is by the monotonic clock.

        Raises:
            LedgerError: as :meth:`turn`.
        """
        for one in self._running.values():
            one.deadline_ns = min(one.deadline_ns, deadline_ns)
        while self._running:
            for number, one in list(self._running.items()):
                self._look_after(number, one)
            _wait(self.descriptors(), _LOOK_NS)

    def close(self) -> None:
        """Lets go of what runs, whatever it does."""
        for one in self._running.values():
            one.process.close()
        self._running.clear()

    def _waiting(self) -> Iterator[tuple[State, Job]]:
        for state in list(self._book.states.values()):
            # One after the other: what a reset undoes must not overtake what it undoes.
            if state.jobs and state.definition.name not in {one.quota for one in self._running.values()}:
                yield state, state.jobs[min(state.jobs)]

    def _take_up(self, state: State, job: Job) -> None:
        definition = state.definition
        process = Process(self._directory, job.fact.id)
        if job.started is None:
            if job.fact.kind == What.REACHED and period_of(job.fact.told) != state.period:
                self._write_end(
                    definition.name, job, "not run: the period in which it was reached is over", Ended(None, None)
                )
                return
            told: Told = {"of": job.fact.id, "boot_id": boot_id(), "command": list(definition.command)}
            state = self._book.write(definition.name, What.COMMAND_STARTED, told)
            job = state.jobs[job.fact.id]
        elif process.was_begun:
            self._go_on(definition, job, process)
            return
        elif job.started.told.get("boot_id") != boot_id():
            why = "unknown: the machine went down when it was about to be run; it is not run again"
            self._write_end(definition.name, job, why, Ended(None, None))
            return
        self._begin(definition, job, process)

    def _begin(self, definition: Definition, job: Job, process: Process) -> None:
        now_ns = self._clock.now().monotonic_ns
        try:
            process.begin(definition.command, self._environment(definition, job))
        except BegunError:
            self._go_on(definition, job, process)
            return
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            if process.was_begun:
                self._write_end(definition.name, job, f"failed: {cause}", Ended(None, None), process)
            else:
                # Nothing was begun: memory or processes are short, or the directory cannot be written.
                self._not_before_ns = now_ns + _AGAIN_NS
                fields = {"quota": definition.name, "error": cause, "again_seconds": _AGAIN_NS // SECOND_NS}
                _log.error("quota_command_waits", extra={"fields": fields})
            return
        self._book.at_step("begun")
        deadline_ns = now_ns + definition.command_seconds * SECOND_NS
        self._running[job.fact.id] = _Running(definition.name, definition, job, process, now_ns, deadline_ns)
        fields = {"quota": definition.name, "because": job.fact.kind, "program": definition.command[0]}
        _log.info("quota_command_begun", extra={"fields": fields})

    def _go_on(self, definition: Definition, job: Job, process: Process) -> None:
        """A daemon before this one began it."""
        if not process.find():
            why = "unknown: netledger was killed while it ran; it is not run again"
            self._write_end(definition.name, job, why, Ended(None, None), process)
            return
        now = self._clock.now()
        ran_ns = max(0, now.wall_ns - (job.started or job.fact).happened_ns)
        left_ns = max(0, definition.command_seconds * SECOND_NS - ran_ns)
        running = _Running(
            definition.name, definition, job, process, now.monotonic_ns - ran_ns, now.monotonic_ns + left_ns
        )
        self._running[job.fact.id] = running

    def _look_after(self, number: int, one: _Running) -> None:
        now_ns = self._clock.now().monotonic_ns
        if one.end is None and (ended := one.process.ended()) is not None:
            one.end = (_result(one, ended), ended)
        if one.end is not None:
            self._write_end(one.quota, one.job, *one.end, one.process, (now_ns - one.began_ns) / SECOND_NS)
            del self._running[number]
        elif not one.is_late and now_ns >= one.deadline_ns:
            one.is_late = True
            one.process.kill(signal.SIGTERM)
        elif one.is_late and not one.is_killed and now_ns >= one.deadline_ns + GRACE_NS:
            one.is_killed = True
            one.process.kill(signal.SIGKILL)

    def _write_end(
        self, quota: str, job: Job, result: str, ended: Ended, process: Process | None = None, seconds: float = 0.0
    ) -> None:
        output = "" if process is None else process.output()
        told: Told = {
            "of": job.fact.id,
            "result": result,
            "code": ended.code,
            "signal": None if ended.signal is None else signal.Signals(ended.signal).name,
            "seconds": round(seconds, 3),
            "output": output,
        }
        try:
            self._book.write_all(quota, [(What.COMMAND_ENDED, told)])
        except OutdatedError:
            # The other process has added something else; the end of this is as true as before.
            self._book.write_all(quota, [(What.COMMAND_ENDED, told)])
        if process is not None:
            process.forget()
        fields = {
            "quota": quota,
            "because": job.fact.kind,
            "result": result,
            "seconds": told["seconds"],
            "output": output,
        }
        if result == "done":
            _log.info("quota_command_done", extra={"fields": fields})
        else:
            _log.error("quota_command_failed", extra={"fields": fields})

    def _environment(self, definition: Definition, job: Job) -> dict[str, str]:
        told = job.fact.told
        used = integer(told, str(definition.unit))
        period = period_of(told)
        return {
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            "NETLEDGER_QUOTA": definition.name,
            "NETLEDGER_EVENT": job.fact.kind,
            "NETLEDGER_EVENT_ID": str(job.fact.id),
            "NETLEDGER_EVENT_AT": rfc3339(job.fact.happened_ns),
            "NETLEDGER_NODE": self._node,
            "NETLEDGER_UNIT": str(definition.unit),
            "NETLEDGER_USED": str(used),
            "NETLEDGER_LIMIT": str(definition.limit),
            "NETLEDGER_PERIOD_START": "" if period is None else rfc3339(period.start_ns),
            "NETLEDGER_PERIOD_END": "" if period is None else rfc3339(period.end_ns),
        }


def _result(one: _Running, ended: Ended) -> str:
    if one.is_late:
        return f"ended by force after {one.definition.command_seconds} s, or with netledger"
    if ended.code is None and ended.signal is None:
        return "unknown: a netledger that was killed had begun it; it has ended"
    return "done" if ended.code == 0 else "failed"


def _wait(descriptors: list[int], timeout_ns: int) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(timeout_ns // 1_000_000)
