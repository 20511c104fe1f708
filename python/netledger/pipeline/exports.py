"""All exports: which interval is due for whom, and their threads."""

import logging
import time
from collections.abc import Sequence
from typing import final

from netledger.durable import Step, no_step
from netledger.errors import LedgerError
from netledger.exports.formats import Export
from netledger.intervals import Clock
from netledger.ledger import Ledger
from netledger.pipeline.exporter import CLOSE_SECONDS, Exporter, ExportState
from netledger.pipeline.problems import Problems

_log = logging.getLogger(__name__)


@final
class Exports:
    """Belongs to the thread that commits; only :meth:`states` and :meth:`is_due` may be called from another.

    Args:
        wanted: the exports of the configuration.
        clock: where the time comes from.
        problems: where it is noted which one fails.
        at_step: told each step of writing.
    """

    def __init__(
        self, wanted: Sequence[Export], *, clock: Clock, problems: Problems | None = None, at_step: Step = no_step
    ) -> None:
        self._wanted = {one.name: one for one in wanted}
        self._clock = clock
        self._problems = problems or Problems(clock)
        self._at_step = at_step
        self._running: dict[str, Exporter] = {}
        # Those that were told to end, by name: who has the name next waits for them.
        self._ending: dict[str, Exporter] = {}
        self._is_open = False
        self._has_strangers = True

    def names_for(self, meter: str) -> list[str]:
        """The exports to which intervals of a meter belong."""
        return [name for name, one in self._wanted.items() if one.wants(meter)]

    def open(self, ledger: Ledger) -> None:
        """Starts to write what is due, as soon as the ledger is open. May be called again."""
        self._is_open = True
        self._run_wanted(ledger)

    def change(self, wanted: Sequence[Export], ledger: Ledger) -> None:
        """Takes another list: new ones begin with the next commit, those that are gone forget what is due.

        One that was changed goes on where it is, in its new way.
        """
        self._wanted = {one.name: one for one in wanted}
        self._has_strangers = True
        if self._is_open:
            self._run_wanted(ledger)

    def committed(self, meter: str, ledger: Ledger) -> None:
        """Tells the exports that an interval of a meter is due."""
        for name in self.names_for(meter):
            if name in self._running:
                self._running[name].notice(meter)
        self._forget_strangers(ledger)

    def is_due(self, meter: str) -> bool:
        """Whether a meter has intervals that some export has not written. Safe to call from any thread."""
        return any(one.is_due(meter) for one in list(self._running.values()))

    def states(self) -> list[ExportState]:
        """How each one fares. Safe to call from any thread."""
        return [one.state() for one in list(self._running.values())]

    def close(self) -> None:
        """Has all of them try once more, and waits for that; blocks for the disk, but not for ever."""
        for one in self._running.values():
            one.finish()
        deadline = time.monotonic() + CLOSE_SECONDS
        for name, one in self._running.items():
            has_ended = one.join(max(0.0, deadline - time.monotonic()))
            left = one.state().due
            if left or not has_ended:
                fields = {"export": name, "due": left, "hint": "they are in the ledger, and written by the next start"}
                _log.warning("exports_left", extra={"fields": fields})
        self._running.clear()
        self._is_open = False

    def _run_wanted(self, ledger: Ledger) -> None:
        for name, one in list(self._running.items()):
            if self._wanted.get(name) != one.export:
                one.end()
                self._ending[name] = self._running.pop(name)
        self._forget_strangers(ledger)
        for name, wanted in self._wanted.items():
            if name not in self._running:
                self._running[name] = Exporter(
                    wanted,
                    store=ledger.store,
                    clock=self._clock,
                    problems=self._problems,
                    after=self._ending.pop(name, None),
                    at_step=self._at_step,
                )
                self._running[name].start()

    def _forget_strangers(self, ledger: Ledger) -> None:
        if not self._has_strangers or not ledger.is_open:
            return
        try:
            dropped = ledger.drop_due(self._is_wanted)
        except LedgerError:
            # A full disk, say, which the commits speak of. It is tried again behind the next one that succeeds.
            return
        self._has_strangers = False
        for (export, meter), intervals in dropped.items():
            fields = {
                "meter": meter,
                "export": export,
                "intervals": intervals,
                "hint": "they stay in the ledger; netledger report and netledger files have them",
            }
            _log.warning("exports_dropped", extra={"fields": fields})

    def _is_wanted(self, export: str, meter: str) -> bool:
        return export in self._wanted and self._wanted[export].wants(meter)
