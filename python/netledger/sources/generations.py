"""The generations of one NFLOG meter: listened for, and written down. Both NFLOG sources use it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netledger._core import Generation, Meter, NflogGroup, Totals
from netledger.errors import GroupBusyError, SourceError
from netledger.intervals import Moment
from netledger.receipt import Count, Observed
from netledger.sources.base import Closed, Gathered, Glance, LiveRows
from netledger.sources.bookkeeping import Bookkeeping, MeterConfig
from netledger.sources.bound import explain_busy
from netledger.sources.lost import NoRows
from netledger.sources.observing import live_rows, observe
from netledger.sources.state import Facts

SOURCE = "nflog"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningConfig(MeterConfig):
    """What every meter that listens to NFLOG needs to know.

    Attributes:
        timeout_centiseconds: how long the kernel may hold packets back to send more at once.
        gather_milliseconds: how long the listener lets messages gather before it looks again.
    """

    timeout_centiseconds: int = 10
    gather_milliseconds: int = 0


@dataclass(slots=True)
class Left:
    """A generation that a cut has left behind, and whose receipt is not written yet.

    Attributes:
        facts: what is known of it.
        end: when it ended.
        generation: its rows; None until they are drained.
    """

    facts: Facts
    end: Moment
    generation: Generation | NoRows | None = None


class Generations(Bookkeeping):
    """State files and listener of one meter. Inert until :meth:`open`; not safe for concurrent use.

    Args:
        config: what to count.
        accounted: what of the totals is in the rows, each packet once.
    """

    def __init__(self, config: ListeningConfig, accounted: Callable[[Totals], Count]) -> None:
        super().__init__(config, SOURCE, self._observed)
        self._listening = config
        self._accounted = accounted
        self._meter: Meter | None = None

    def start_listening(self, *, trace: int = 0) -> None:
        """Starts the native thread; it belongs to the network namespace of the calling thread.

        ``trace`` says how much it notes, see :class:`netledger.sources.nflog_groups.GivenGroupsConfig`.
        """
        self._meter = Meter(
            key=self._listening.key.native(),
            rows_max=self._listening.rows_max,
            receive_buffer_bytes=self._listening.buffer_bytes,
            timeout_centiseconds=self._listening.timeout_centiseconds,
            gather_milliseconds=self._listening.gather_milliseconds,
            trace=trace,
        )

    @property
    def listener(self) -> Meter:
        """The native meter.

        Raises:
            SourceError: the source is not open.
        """
        if self._meter is None:
            raise SourceError(f"meter {self._config.meter}", "listen", "not open")
        return self._meter

    def close(self) -> None:
        """Lets go of everything in this process; files stay. May be called twice."""
        if self._meter is not None:
            self._meter.close()
        self._meter = None
        super().close()

    def begin(self, facts: Facts, groups: Sequence[NflogGroup]) -> None:
        """Listens for a generation. When that fails, the generation has never been.

        Raises:
            GroupBusyError, PermissionDeniedError, SourceError, TableError.
        """
        try:
            self.listener.begin(str(self.state.table(facts.seq)), groups)
        except GroupBusyError as error:
            self.state.discard(facts.seq)
            raise explain_busy(error, facts.groups) from error
        except BaseException:
            self.state.discard(facts.seq)
            raise

    def end(self, facts: Facts, end: Moment, generation: Gathered | NoRows, *, kernel: Count | None) -> Closed:
        """Freezes a generation with what can be said of it, see :meth:`freeze`."""
        return self.freeze(facts, end, generation, self._observed(facts, generation, kernel))

    def glance(self) -> Glance:
        """How far the open ones are. Any thread may call it."""
        found = self.listener.glance()
        now, ever = found.totals, found.since_start
        return Glance(
            rows=found.rows,
            other=Count(now.other_packets, now.other_bytes),
            lost_packets=now.sequence_gap_packets,
            overruns=now.overruns,
            received=Count(ever.received_packets, ever.received_bytes),
            lost_packets_since_open=ever.sequence_gap_packets,
            overruns_since_open=ever.overruns,
        )

    def live(self, *, top: int | None, sort: str) -> LiveRows:
        """The rows of the open ones, added up. Any thread may call it."""
        return live_rows(self.listener.live(self.names.copy(), top=top, sort=sort))

    def _observed(self, facts: Facts, generation: Gathered | NoRows, kernel: Count | None) -> Observed:
        return observe(
            generation,
            self._accounted(generation.totals),
            kernel=kernel,
            interrupted=facts.interrupted,
            silence=self.silence(facts, generation) if generation.recovered else None,
        )
