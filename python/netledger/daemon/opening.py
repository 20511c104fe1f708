"""Opening a meter: which mechanism counts, what another one left, and where."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias, final

from netledger.config import Config, Meter
from netledger.config.meter import Mechanism
from netledger.daemon.choice import Chosen, Probe, choose
from netledger.daemon.meter import RunningMeter
from netledger.daemon.past import past_of
from netledger.errors import NamespaceAbsentError, NetledgerError, SourceError
from netledger.intervals import Clock
from netledger.pipeline import CommitQueue
from netledger.pipeline.problems import Problems
from netledger.schema import CONNECTION_COLUMNS
from netledger.sources import leavings
from netledger.sources.base import Closed, Past, Source
from netledger.sources.leavings import Counted
from netledger.sources.namespaces import inode_of, name_of, own_inode

SourceFactory: TypeAlias = Callable[[str, Meter, Config], Source]
"""Makes the source of a meter, by its name; its ``source`` is chosen. Inert until it is opened."""

_MECHANISMS: Final[dict[str, Mechanism]] = {
    "bpf": "bpf",
    "nflog": "nflog",
    "packet": "packet",
    "conntrack": "conntrack",
    "nfacct": "nfacct",
}

_UNKNOWN_COLUMNS: Final[dict[Mechanism, frozenset[str]]] = {
    "bpf": frozenset({"label", *CONNECTION_COLUMNS}),
    "nflog": frozenset(CONNECTION_COLUMNS),
    "packet": frozenset({"label", *CONNECTION_COLUMNS}),
    "conntrack": frozenset({"label", "interface"}),
    "nfacct": frozenset(),
}

_log = logging.getLogger(__name__)


@final
class Opener:
    """Opens meters; to be used from one thread.

    Args:
        clock: where the time comes from.
        make_source: the source of a meter.
        probe: whether a meter of the source bpf could be opened.
        queue: where intervals go.
        problems: what is wrong.
    """

    def __init__(
        self, clock: Clock, *, make_source: SourceFactory, probe: Probe, queue: CommitQueue, problems: Problems
    ) -> None:
        self._clock = clock
        self._make_source = make_source
        self._probe = probe
        self._queue = queue
        self._problems = problems

    def open(self, name: str, wanted: Meter, config: Config) -> RunningMeter:
        """A meter that counts. What another mechanism left open for it is finished first.

        Raises:
            NamespaceAbsentError: its namespace is not there; what was left in one of that name is finished.
            NetledgerError: it cannot be opened.
        """
        past = past_of(name, config)
        namespace = own_inode() if wanted.netns is None else inode_of(wanted.netns)
        chosen = choose(wanted, self._probe)
        chosen.say(name)
        self._finish_others(name, wanted, config, chosen, past, namespace)
        if namespace is not None:
            leavings.note(Path(config.runtime) / name, leavings.here(chosen.mechanism, namespace))
        source = self._make_source(name, wanted.counted_by(chosen.mechanism), config)
        meter = RunningMeter(
            name, wanted, source, queue=self._queue, clock=self._clock, chosen=chosen, problems=self._problems
        )
        meter.open(past)
        return meter

    def _finish_others(
        self, name: str, wanted: Meter, config: Config, chosen: Chosen, past: Past, namespace: int | None
    ) -> None:
        """Finishes what this meter cannot take over: of another mechanism, or in another namespace.

        What is closed by that lies in the runtime directory, and is taken over from there; but without a namespace
        nothing is opened that could, and it is committed at once.
        """
        directory = Path(config.runtime) / name
        left = leavings.noted(directory)
        if left is None or left.mechanism not in _MECHANISMS or not _is_strange(left, chosen, namespace):
            return
        # The program of the kernel may be there still without a generation that says so.
        if left.mechanism != "bpf" and not leavings.is_anything_open(directory):
            return
        closed = self._finished(name, _placed_as(left, wanted), config, left, past)
        if closed:
            fields = {"meter": name, "source": left.mechanism, "intervals": len(closed)}
            _log.info("finished", extra={"fields": fields})
        if namespace is None:
            for one in closed:
                self._queue.put(one)

    def _finished(self, name: str, wanted: Meter, config: Config, left: Counted, past: Past) -> list[Closed]:
        source = self._make_source(name, _fit_for(_MECHANISMS[left.mechanism], wanted), config)
        try:
            return leavings.finish(source, self._clock.now(), past)
        except NamespaceAbsentError:
            raise
        except NetledgerError as error:
            subject, operation = f"meter {name}", f"finish what the source {left.mechanism} left"
            raise SourceError(subject, operation, str(error), error.hint) from error


def _is_strange(left: Counted, chosen: Chosen, namespace: int | None) -> bool:
    """Whether what was left is nothing that the chosen mechanism finds and takes over by itself."""
    is_elsewhere = left.is_of_this_boot and left.namespace not in {leavings.UNKNOWN, namespace}
    return left.mechanism != chosen.mechanism or is_elsewhere


def _fit_for(mechanism: Mechanism, wanted: Meter) -> Meter:
    """The meter without what that mechanism cannot heed: what was counted is added up by now, and is only closed."""
    key = tuple(column for column in wanted.key if column not in _UNKNOWN_COLUMNS[mechanism])
    changed: dict[str, object] = {"key": key or ("host",)}
    if mechanism == "bpf":
        changed |= {"interfaces": (), "interfaces_excluded": (), "networks": (), "networks_excluded": ()}
    return wanted.counted_by(mechanism).model_copy(update=changed)


def _placed_as(left: Counted, wanted: Meter) -> Meter:
    """The meter in the namespace in which it was counted, as far as that can be found."""
    if not left.is_of_this_boot or left.namespace == leavings.UNKNOWN:
        return wanted
    if left.namespace == own_inode():
        return wanted.model_copy(update={"netns": None})
    return wanted.model_copy(update={"netns": name_of(left.namespace) or wanted.netns})
