"""The learner of RADIUS accounting: takes requests in, has their facts kept, and only then answers."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, final

from netledger.attribution.learning import Recorder
from netledger.errors import LearnerError
from netledger.intervals import SECOND_NS, Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.names import refuse
from netledger.learners.radius import signs
from netledger.learners.radius.clients import Clients
from netledger.learners.radius.cutter import Cutter
from netledger.learners.radius.desk import Desk
from netledger.learners.radius.sessions import Sessions
from netledger.learners.radius.wire import Wire

# One transaction for as many requests as have come meanwhile: the disk is waited for once, not once for each.
_BATCH_MAX: Final = 2048
_LOOK_SECONDS: Final = 5.0
_SIGNS_NS: Final = 60 * SECOND_NS

_log = logging.getLogger(__name__)


@final
class _Office(NamedTuple):
    """What a run works with, from its beginning to its end."""

    desk: Desk
    sessions: Sessions
    record: Recorder
    cutter: Cutter


@final
class RadiusLearner:
    """Listens for accounting requests.

    Args:
        name: of the ``[attribution.NAME]``.
        address: where it listens.
        port: the same.
        secrets: networks of access servers and the files of their secrets; the network None is everybody else.
        stale_after_seconds: how long a session may be silent whose access server sends interim updates.
        signs_file: where the last signs of life are kept, or None.
        clock: where the time comes from.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str,
        port: int,
        secrets: Sequence[tuple[str | None, Path]],
        stale_after_seconds: int,
        signs_file: Path | None,
        clock: Clock,
    ) -> None:
        self._name = name
        self._address = address
        self._port = port
        self._clients = Clients(secrets)
        self._stale_after_ns = stale_after_seconds * SECOND_NS
        self._signs_file = signs_file
        self._clock = clock
        self._standing = Standing(clock)

    @property
    def port(self) -> int:
        """Where it listens; the one that was free, if any was asked for, as soon as it follows."""
        return self._port

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Takes requests until it is told to stop.

        Raises:
            LearnerError: a secret cannot be read, or the address is not there or in use.
            LedgerError: facts could not be kept. Their requests got no answer, and will come again.
        """
        self._standing.starts()
        self._clients.read()
        with Wire(self._address, self._port) as wire, Cutter(record.cut_moment) as cutter:
            self._port = wire.port
            sessions = Sessions(self._name, stale_after_ns=self._stale_after_ns)
            known = signs.read(self._signs_file) if self._signs_file else {}
            sessions.resume(record.open_claims(self._name), signs=known, now_ns=self._clock.now().wall_ns)
            self._standing.follows()
            fields = {"attribution": self._name, "port": wire.port, "sessions": len(sessions)}
            _log.info("radius_listening", extra={"fields": fields})
            try:
                self._serve(wire, _Office(Desk(self._clients, sessions), sessions, record, cutter), stop)
            finally:
                self._keep_signs(sessions)

    def _serve(self, wire: Wire, office: _Office, stop: Stop) -> None:
        looked_ns = written_ns = self._clock.now().monotonic_ns
        while not stop.wait(_LOOK_SECONDS, wire.fileno()):
            if letters := wire.receive(_BATCH_MAX):
                outcome = office.desk.take(letters, now_ns=self._clock.now().wall_ns)
                if outcome.facts:
                    office.cutter.ask()
                self._standing.learn(office.record, outcome.facts)
                wire.send(outcome.answers)
                for who, why in outcome.refused:
                    refuse(self._name, self._standing, who, why)
                for who in outcome.unbooked:
                    refuse(self._name, self._standing, who, "a session that is nobody's, or has no beginning")
            now = self._clock.now()
            if now.monotonic_ns - looked_ns >= int(_LOOK_SECONDS * SECOND_NS):
                looked_ns = now.monotonic_ns
                self._read_secrets_again()
                self._standing.learn(office.record, office.sessions.stale(now.wall_ns))
            if now.monotonic_ns - written_ns >= _SIGNS_NS:
                written_ns = now.monotonic_ns
                self._keep_signs(office.sessions)

    def _read_secrets_again(self) -> None:
        try:
            self._clients.read()
        except LearnerError as error:
            # Somebody may be writing it just now: who has the old one is not to go unheard for that.
            self._standing.waits(error)
        else:
            self._standing.follows()

    def _keep_signs(self, sessions: Sessions) -> None:
        if self._signs_file is None:
            return
        try:
            signs.write(self._signs_file, sessions.open())
        except LearnerError as error:
            # They only make the ends of lost sessions better: no reason to leave requests without an answer.
            _log.warning("radius_signs_not_written", extra={"fields": {"attribution": self._name, "error": error}})
