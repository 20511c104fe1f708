"""The composition root: builds the parts from the configuration, and lets them run until a signal ends it."""

import functools
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

from netledger.config import Config, ConfigError, Meter
from netledger.daemon import logs
from netledger.daemon.answers import Answers
from netledger.daemon.assigning import Requests
from netledger.daemon.attribution import Learners
from netledger.daemon.board import Board
from netledger.daemon.build import make_exports
from netledger.daemon.choice import Probe
from netledger.daemon.cuts import Cuts
from netledger.daemon.housekeeping import Housekeeping
from netledger.daemon.learners import make_learner
from netledger.daemon.left_claims import warn_of_left_claims
from netledger.daemon.meter import RunningMeter
from netledger.daemon.notify import ServiceManager
from netledger.daemon.opening import Opener, SourceFactory
from netledger.daemon.quotas import Quotas
from netledger.daemon.recorder import StoreRecorder
from netledger.daemon.runtime import RuntimeLock, is_in_memory
from netledger.daemon.status_server import StatusServer
from netledger.errors import NamespaceAbsentError, NetledgerError
from netledger.intervals import SECOND_NS, Clock
from netledger.ledger import Ledger
from netledger.ledger.prefixes import Lengths
from netledger.pipeline import CommitQueue, Exports, Pipeline
from netledger.pipeline.problems import Problems, Trouble
from netledger.receipt import Receipt
from netledger.signals import SignalPipe
from netledger.sources.file_systems import file_system
from netledger.sources.namespaces import inode_of

# The kernel does not wake a sleeper when the wall clock is stepped, so look at it from time to time.
_LOOK_AT_CLOCK_NS: Final = 10_000_000_000
# When the name of a namespace goes, what counts in it keeps it alive until that is seen.
_LOOK_AT_NAMESPACES_NS: Final = 1_000_000_000
# A meter that a new configuration asks for and that cannot start, for a group is in use, say.
_OPEN_AGAIN_NS: Final = 30_000_000_000

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_EXIT_DONE: Final = 0
_EXIT_FAILED: Final = 1

_log = logging.getLogger(__name__)


@final
class Daemon:
    """Counts for every meter of the configuration until it is told to stop.

    Args:
        config: what to do.
        clock: where the time comes from.
        make_source: the source of a meter.
        probe: whether a meter of the source bpf could be opened, for ``source = "auto"``.
        reload: reads the configuration again, for HUP.
        keep_rules: leave the kernel's rules in place at the end, so that a restart misses nothing.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        *,
        make_source: SourceFactory,
        probe: Probe,
        reload: Callable[[], Config],
        keep_rules: bool = False,
    ) -> None:
        self._config = config
        self._clock = clock
        self._reload = reload
        self._keep_rules = keep_rules
        self._wakeup = SignalPipe(_SIGNALS)
        self._manager = ServiceManager()
        ledger = Ledger(Path(config.store), clock=clock)
        self._problems = Problems(clock)
        self._exports = Exports(make_exports(config), clock=clock, problems=self._problems)
        self._pipeline = Pipeline(config.node, ledger, self._exports)
        self._queue = CommitQueue(self._pipeline, committed=self._committed, problems=self._problems)
        self._opener = Opener(clock, make_source=make_source, probe=probe, queue=self._queue, problems=self._problems)
        self._cuts = Cuts(clock, wake=self._wakeup.notify)
        recorder = StoreRecorder(Path(config.store), clock, cut_moment=self._cuts.moment)
        learner = functools.partial(make_learner, runtime=Path(config.runtime))
        self._learners = Learners(config, clock, record=recorder, problems=self._problems, make_learner=learner)
        self._board = Board(config, clock, self._queue, self._problems, learners=self._learners.look)
        store, planned_by = Path(config.store), _announcing(config)
        self._requests = Requests(Answers(self._board), store, clock, self._cuts, planned_by=planned_by)
        self._server = StatusServer(Path(config.runtime), self._requests)
        self._housekeeping = Housekeeping(config, clock, problems=self._problems)
        self._quotas = Quotas(config, clock, problems=self._problems)
        self._meters: dict[str, RunningMeter] = {}
        self._wanted = dict(config.meters)
        self._not_before_ns: dict[str, int] = {}
        self._absent: set[str] = set()
        self._has_started = False
        self._is_stopping = False

    def run(self) -> int:
        """Blocks until TERM or INT. To be called in the main thread, once.

        Returns the exit code: 0 when everything that was counted is committed.

        Raises:
            NetledgerError: it could not start. What was counted until then is committed, or kept for the next start.
        """
        try:
            return self._run_locked()
        except NetledgerError as error:
            # Said last of all, behind what the meters that did start had to say while they were closed.
            if not self._has_started:
                _log_error("start_failed", error)
            raise

    def _run_locked(self) -> int:
        lock = RuntimeLock(Path(self._config.runtime))
        lock.open()
        try:
            with self._wakeup:
                self._server.open()
                self._say_where()
                self._queue.open()
                try:
                    self._start()
                    while not self._is_stopping:
                        self._turn()
                finally:
                    kept = self._stop()
        finally:
            self._server.close()
            lock.close()
        return _EXIT_FAILED if kept else _EXIT_DONE

    def _start(self) -> None:
        # Whoever asks from now on waits until there is something to cut.
        self._want_cuts()
        for name in self._config.meters:
            try:
                self._open(name)
            except NamespaceAbsentError as error:
                self._wait_for_namespace(name, error)
        self._quotas.open()
        self._learners.open()
        warn_of_left_claims(Path(self._config.store), self._clock, self._config.attribution)
        self._has_started = True
        self._manager.ready(self._status())
        _log.info("started", extra={"fields": {"node": self._config.node, "meters": ",".join(self._meters)}})

    def _turn(self) -> None:
        """One wait, and what it was for."""
        self._settle()
        longest_ns = self._manager.sign_of_life_ns() or _LOOK_AT_CLOCK_NS
        waits = [meter.wait_ns() for meter in self._meters.values()]
        if any(meter.netns is not None for meter in self._wanted.values()):
            waits.append(_LOOK_AT_NAMESPACES_NS)
        if (cut_ns := self._cuts.wait_ns()) is not None:
            waits.append(cut_ns)
        timeout_ns = min([_LOOK_AT_CLOCK_NS, longest_ns, *waits])
        for number in self._wakeup.wait(timeout_ns / SECOND_NS):
            self._obey(signal.Signals(number))
        for meter in self._meters.values():
            meter.cut_if_due()
            self._live()
        self._cuts.turn(meter for meter in self._meters.values() if meter.config.cut_on_assignment)
        self._housekeeping.turn()
        self._live()

    def _live(self) -> None:
        """Called by the loop itself and by no timer, so that who watches it sees whether it turns."""
        if not self._queue.is_alive():
            cause = "it has ended, and nothing would be committed any more"
            raise NetledgerError("thread of commits", "", cause, "a new start commits what waits")
        logs.say_due()
        if not self._is_stopping:
            self._manager.alive(self._status())

    def _status(self) -> str:
        """One sentence for who asks the service manager."""
        parts = [f"Counting {', '.join(self._meters) or 'nothing'}"]
        if absent := [name for name in self._wanted if name not in self._meters]:
            parts.append(f"not yet {', '.join(absent)}")
        names = {*self._meters, *self._wanted}
        if waiting := sum(self._queue.waiting(name) for name in names):
            parts.append(f"{waiting} intervals wait for the store")
        return f"{'; '.join(parts)}."

    def _obey(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            self._reload_config()
        elif number == signal.SIGUSR1:
            for meter in self._meters.values():
                meter.cut()
        else:
            self._manager.stopping()
            _log.info("stopping", extra={"fields": {"signal": number.name}})
            self._is_stopping = True

    def _stop(self) -> int:
        """Closes all meters and commits what they give; returns how many intervals or meters are left undone."""
        self._housekeeping.stop()
        # The loop cuts nothing any more, and all that is open ends now.
        self._cuts.want(is_wanted=False)
        self._learners.close()
        failed = sum(not self._close(name, keep_rules=self._keep_rules) for name in list(self._meters))
        kept = self._queue.close()
        self._quotas.close()
        if kept:
            fields = {"intervals": kept, "hint": f"they are kept in {self._config.runtime} and committed at next start"}
            _log.error("not_committed", extra={"fields": fields})
        # What was counted meanwhile is of the time before: nothing is to stand behind the end.
        logs.say_all()
        if self._has_started:
            _log.info("stopped")
        return kept + failed

    def _open(self, name: str) -> None:
        wanted = self._wanted[name]
        self._pipeline.expect(name, Lengths(wanted.prefix_length.ipv4, wanted.prefix_length.ipv6))
        meter = self._opener.open(name, wanted, self._config)
        self._absent.discard(name)
        self._meters[name] = meter
        self._board.opened(meter)
        _log.info("counting", extra={"fields": {"meter": name, "interval_seconds": wanted.interval_seconds}})

    def _close(self, name: str, *, keep_rules: bool) -> bool:
        self._board.closed(name)
        try:
            self._meters.pop(name).close(keep_rules=keep_rules)
        except NetledgerError as error:
            _log_error("close_failed", error, meter=name)
            return False
        return True

    def _reload_config(self) -> None:
        self._manager.reloading()
        try:
            self._read_config()
        finally:
            self._manager.ready(self._status())

    def _read_config(self) -> None:
        try:
            config = self._reload()
        except ConfigError as error:
            for problem in error.problems:
                fields = {"problem": problem.at(error.file)} | ({"hint": problem.hint} if problem.hint else {})
                _log.error("reload_refused", extra={"fields": fields})
            hint = "netledger config check tells all; what was in effect before still is"
            self._problems.note(Trouble.RELOAD, error.problems[0].at(error.file), hint=hint)
            return
        self._problems.clear(Trouble.RELOAD)
        for key in ("node", "store", "runtime"):
            if getattr(config, key) != getattr(self._config, key):
                _log.warning("needs_restart", extra={"fields": {"key": key, "in_use": getattr(self._config, key)}})
        for name in self._wanted.keys() - config.meters.keys():
            for what in (Trouble.NOT_COUNTING, Trouble.SOURCE):
                self._problems.clear(what, meter=name)
        self._housekeeping.reload(config)
        self._wanted = dict(config.meters)
        if config.store == self._config.store:  # else the default directory would be that of the next store
            self._queue.change_exports(make_exports(config))
        # One that is to end may wait for a cut, which only this thread makes.
        self._cuts.want(is_wanted=False)
        self._learners.let_go(config)
        self._want_cuts()
        self._learners.take_up(config)
        self._requests.plan_by(_announcing(config))
        warn_of_left_claims(Path(self._config.store), self._clock, config.attribution)
        self._not_before_ns.clear()
        _log.info("reloaded", extra={"fields": {"meters": ",".join(self._wanted)}})

    def _want_cuts(self) -> None:
        self._cuts.want(is_wanted=any(meter.cut_on_assignment for meter in self._wanted.values()))

    def _settle(self) -> None:
        """Brings the running meters to what is wanted, as far as the queue allows.

        A source that is opened takes over what lies in its runtime directory. So a meter is closed only when nothing
        of it waits, and opened again only when its last interval is committed: the same interval would come twice.
        """
        for name, meter in list(self._meters.items()):
            broken = meter.what_broke()
            if broken is not None:
                _log_error("source_broke", broken, meter=name)
                self._problems.note_error(Trouble.SOURCE, broken, meter=name)
                # As if the process had died: the rules go on counting, and what is left is taken over.
                self._close(name, keep_rules=True)
            elif self._wanted.get(name) != meter.config and not self._queue.waiting(name):
                self._close(name, keep_rules=_share_rules(meter, self._wanted.get(name)))
                _log.info("closed", extra={"fields": {"meter": name}})
        for name in self._wanted:
            if self._may_open(name):
                try:
                    self._open(name)
                except NamespaceAbsentError as error:
                    self._wait_for_namespace(name, error)
                except NetledgerError as error:
                    _log_error("open_failed", error, meter=name, again_seconds=_OPEN_AGAIN_NS // SECOND_NS)
                    self._problems.note_error(Trouble.NOT_COUNTING, error, meter=name)
                    self._not_before_ns[name] = self._clock.now().monotonic_ns + _OPEN_AGAIN_NS

    def _wait_for_namespace(self, name: str, error: NamespaceAbsentError) -> None:
        """A namespace may be made after the program has started, or made again: nothing is wrong with the meter."""
        _log_error("open_failed", error, meter=name)
        self._problems.note_error(Trouble.NOT_COUNTING, error, meter=name)
        self._absent.add(name)

    def _may_open(self, name: str) -> bool:
        netns = self._wanted[name].netns
        if name in self._absent and netns is not None and inode_of(netns) is None:
            return False
        is_free = name not in self._meters and not self._queue.waiting(name)
        return is_free and self._clock.now().monotonic_ns >= self._not_before_ns.get(name, 0)

    def _committed(self, receipt: Receipt) -> None:
        """Called in the queue's thread."""
        count = receipt.observed.accounted
        fields: dict[str, object] = {
            "meter": receipt.meter,
            "seq": receipt.seq,
            "status": receipt.status,
            "rows": receipt.rows,
            "packets": count.packets,
            "bytes": count.bytes,
            "lost": receipt.lost.packets,
        }
        if receipt.reason is not None:
            fields["reason"] = receipt.reason
        _log.info("committed", extra={"fields": fields})
        self._board.committed(receipt)
        self._wakeup.notify()

    def _say_where(self) -> None:
        runtime = Path(self._config.runtime)
        if not is_in_memory(runtime):
            fields = {
                "directory": runtime,
                "file_system": file_system(runtime),
                "hint": "counting writes there all the time; a directory on tmpfs spares the disk",
            }
            _log.warning("runtime_not_in_memory", extra={"fields": fields})
        left = [path.name for path in runtime.iterdir() if path.is_dir() and path.name not in self._config.meters]
        for name in _with_generations(runtime, left):
            fields = {"meter": name, "directory": runtime / name, "hint": "configure the meter again to commit them"}
            _log.warning("generations_of_no_meter", extra={"fields": fields})


def _announcing(config: Config) -> list[str]:
    """The sources of attribution that tell of times to come."""
    return [name for name, one in config.attribution.items() if one.source == "static"]


def _share_rules(before: RunningMeter, after: Meter | None) -> bool:
    """Whether what stays in the kernel is found by the meter that comes next, so that it misses no packet."""
    mechanism, config = before.chosen.mechanism, before.config
    if after is None or mechanism not in after.mechanisms or config.netns != after.netns:
        return False
    match mechanism:
        case "conntrack":
            kept = ("prove", "zones")
            return all(getattr(config.conntrack, name) == getattr(after.conntrack, name) for name in kept)
        case "nflog":
            return not config.nflog.groups and not after.nflog.groups and config.nflog.table == after.nflog.table
        case "nfacct" | "bpf":
            return True  # what is left says of what it is, and the next one closes it as such
        case "packet":
            return False


def _with_generations(runtime: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if any((runtime / name).glob("gen-*.json"))]


def _log_error(event: str, error: NetledgerError, **fields: object) -> None:
    fields |= {"error": error}
    if error.hint is not None:
        fields |= {"hint": error.hint}
    _log.error(event, extra={"fields": fields})
