"""Quotas while the daemon runs: one thread that listens to the kernel, looks at the objects and runs the commands.

It has nothing to do with the meters: neither waits for the other. Where there are no quotas it sleeps until somebody
writes to the ledger, and looks at it once a second at most.
"""

import logging
import os
import select
import threading
from pathlib import Path
from typing import Final, final

from netledger import nfacct
from netledger.config import Config
from netledger.daemon.ledger_watch import LedgerWatch
from netledger.durable import Step, no_step
from netledger.errors import NetledgerError
from netledger.intervals import SECOND_NS, Clock
from netledger.pipeline.problems import Problems, Trouble
from netledger.quotas.book import Book
from netledger.quotas.commands import Commands
from netledger.quotas.definition import Kind
from netledger.quotas.keeper import Keeper
from netledger.quotas.objects import LATE_HINT, Objects
from netledger.quotas.state import What
from netledger.receipt import Count
from netledger.sources.made import Register
from netledger.sources.nft_changes import NftChanges

COMMANDS_DIRECTORY: Final = "quota.commands"
"""Below the runtime directory; with a dot in it, so that no meter can have this name."""
TRACES_DIRECTORY: Final = "quota.resets"
"""The same, for counts that are being taken."""
STOP_NS: Final = 5 * SECOND_NS
"""How long commands may go on when the daemon is told to stop, before they are told, too."""

_NEW_NS: Final = SECOND_NS
# As long at most without a look, where the kernel tells that somebody writes: so often the book reads in any case.
_UNTOLD_NS: Final = 10 * SECOND_NS
_LOOK_NS: Final = SECOND_NS
_CHANGES_NS: Final = 200_000_000
_AGAIN_NS: Final = 5 * SECOND_NS
_LOST_NS: Final = 60 * SECOND_NS
_JOIN_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


@final
class Quotas:
    """Keeps the quotas of this machine from :meth:`open` to :meth:`close`.

    Args:
        config: whose store and runtime directory.
        clock: where the time comes from.
        problems: where it is noted that one cannot be kept.
        at_step: see :class:`Book`.
    """

    def __init__(self, config: Config, clock: Clock, *, problems: Problems, at_step: Step = no_step) -> None:
        self._clock = clock
        self._problems = problems
        self._book = Book(Path(config.store), config.node, clock, at_step=at_step)
        traces = Path(config.runtime) / TRACES_DIRECTORY
        register = Register(Path(config.runtime))
        self._keeper = Keeper(self._book, Objects(register=register), clock, listen=self._hear_events, traces=traces)
        directory = Path(config.runtime) / COMMANDS_DIRECTORY
        self._commands = Commands(self._book, directory, clock, node=config.node)
        self._ears: _Ears | None = None
        self._written = LedgerWatch(Path(config.store))
        self._due_ns = dict.fromkeys(Kind, 0)
        self._looked_ns = 0
        self._read_ns = 0
        self._hears_of_ledger = False
        self._by = "start"
        self._lost = 0
        self._lost_told_ns = -_LOST_NS
        self._stop = threading.Event()
        self._reader, self._writer = -1, -1
        self._thread = threading.Thread(target=self._run, name="quotas", daemon=True)

    def open(self) -> None:
        """Starts the thread, which has the network namespace of the one that calls this."""
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread.start()

    def close(self) -> None:
        """Ends it: what is used is written down, and commands that run are ended. Blocks for some seconds at most."""
        if not self._thread.is_alive():
            return
        self._stop.set()
        os.write(self._writer, b"\0")
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        is_swept = False
        while not self._stop.is_set():
            try:
                # The watch is there before the look, so that nothing falls between the two.
                self._hears_of_ledger = self._written.is_open()
                self._read_ns = self._now_ns()
                self._book.refresh()
                if not is_swept:
                    self._commands.sweep()
                    is_swept = True
                self._turn()
            except NetledgerError as error:
                self._tell(error)
                self._rest()
            except Exception:  # noqa: BLE001  # the top of a thread: a fault of one turn must not end all quotas
                _log.exception("quotas_broke")
                self._rest()
            else:
                self._tell(None)
        try:
            self._end()
        except NetledgerError as error:
            self._tell(error)
        except Exception:  # noqa: BLE001  # as above
            _log.exception("quotas_broke")
        finally:
            self._written.close()

    def _turn(self) -> None:
        """Does what is due, and waits for what comes next."""
        if self._book.states and self._ears is None:
            # Before the first look, so that nothing falls between the two.
            self._ears = _Ears()
            self._by, self._due_ns = "start", dict.fromkeys(Kind, 0)
        elif not self._book.states:
            self._close_ears()
        if self._ears is not None:
            self._hear()
            self._look()
        self._commands.turn()
        self._wait()

    def _hear(self) -> None:
        """What the kernel has said. Nothing here waits."""
        self._hear_events()
        if self._ears is not None and self._ears.changes.take():
            # At once, but not again and again while somebody changes rules without end.
            self._due_ns[Kind.NFT] = min(self._due_ns[Kind.NFT], self._looked_ns + _CHANGES_NS)
            self._by = "event" if self._by == "look" else self._by

    def _hear_events(self) -> None:
        while self._ears is not None and (event := self._ears.events.wait(0)) is not None:
            if isinstance(event, nfacct.Lost):
                self._lost += event.events
                self._due_ns[Kind.NFACCT] = 0
            else:
                self._keeper.event(event.text, Count(event.packets, event.bytes))
        if self._lost and self._now_ns() - self._lost_told_ns >= _LOST_NS:
            _log.warning("quota_events_lost", extra={"fields": {"events": self._lost}})
            self._book.write_of_all(What.EVENTS_LOST, {"events": self._lost})
            self._lost, self._lost_told_ns = 0, self._now_ns()

    def _look(self) -> None:
        now_ns = self._now_ns()
        end_ns = self._keeper.next_end_ns()
        is_over = end_ns is not None and self._clock.now().wall_ns >= end_ns
        kinds = [kind for kind in Kind if is_over or now_ns >= self._due_ns[kind]]
        kinds = [kind for kind in kinds if any(one.definition.kind is kind for one in self._book.states.values())]
        if kinds:
            self._keeper.look(self._by, kinds)
            self._by, self._looked_ns = "look", self._now_ns()
            for kind in kinds:
                self._due_ns[kind] = self._now_ns() + _LOOK_NS

    def _wait(self) -> None:
        descriptors = [self._reader, *self._commands.descriptors()]
        timeout_ns = _NEW_NS
        if self._ears is not None:
            descriptors += [self._ears.events.fileno(), self._ears.changes.fileno()]
            there = {one.definition.kind for one in self._book.states.values()}
            timeout_ns = min([timeout_ns, *(self._due_ns[kind] - self._now_ns() for kind in there)])
            if (end_ns := self._keeper.next_end_ns()) is not None:
                timeout_ns = min(timeout_ns, end_ns - self._clock.now().wall_ns)
        elif self._hears_of_ledger:
            descriptors += self._written.descriptors()
            timeout_ns = _UNTOLD_NS
        if (commands_ns := self._commands.wait_ns()) is not None:
            timeout_ns = min(timeout_ns, commands_ns)
        self._poll(descriptors, timeout_ns)
        if self._ears is None and self._hears_of_ledger:
            self._rest_after(is_written=self._written.take())

    def _rest_after(self, *, is_written: bool) -> None:
        if is_written:
            # Who writes without end, and not of quotas, must not have it look without end.
            descriptors = [self._reader, *self._commands.descriptors()]
            self._poll(descriptors, self._read_ns + _NEW_NS - self._now_ns())
        elif self._now_ns() - self._read_ns >= _UNTOLD_NS:
            self._written.close()  # and is opened anew: the path may lead to another directory by now

    @staticmethod
    def _poll(descriptors: list[int], timeout_ns: int) -> None:
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(max(0, -(-timeout_ns // 1_000_000)))

    def _end(self) -> None:
        try:
            if self._ears is not None:
                self._hear()
                self._keeper.look("look")
            self._commands.stop(self._now_ns() + STOP_NS)
            self._keeper.close()
        finally:
            self._commands.close()
            self._close_ears()

    def _rest(self) -> None:
        # Whatever failed may have been the kernel's word itself: it is asked for anew, and then all is looked at.
        self._close_ears()
        self._stop.wait(_AGAIN_NS / SECOND_NS)

    def _close_ears(self) -> None:
        if self._ears is not None:
            self._ears.close()
            self._ears = None

    def _tell(self, error: NetledgerError | None) -> None:
        if error is not None:
            fields: dict[str, object] = {"error": error, "again_seconds": _AGAIN_NS // SECOND_NS}
            _log.error("quotas_failed", extra={"fields": fields | ({"hint": error.hint} if error.hint else {})})
        failures = [f"quota {name}: {why}" for name, why in self._keeper.failures.items()]
        if error is not None and self._book.states:
            failures.insert(0, str(error))
        self._problems.set(Trouble.QUOTA, "; ".join(failures) or None, hint="the log says more")
        late = [f"quota {name}: {why}" for name, why in self._keeper.late.items()]
        self._problems.set(Trouble.QUOTA_LATE, "; ".join(late) or None, hint=LATE_HINT)

    def _now_ns(self) -> int:
        return self._clock.now().monotonic_ns


@final
class _Ears:
    """What the kernel says by itself."""

    def __init__(self) -> None:
        self.events = nfacct.events()
        self.changes = NftChanges()
        try:
            self.changes.open()
        except NetledgerError:
            self.events.close()
            raise

    def close(self) -> None:
        self.events.close()
        self.changes.close()
