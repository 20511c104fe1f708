"""WireGuard peers: what is allowed to a peer is its user's.

``wg`` is asked for the allowed addresses and nothing else, so no private key ever comes into this process. It knows the
kernel's WireGuard as well as implementations that run as programs.
"""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, final

from netledger.attribution.facts import Kind, Target
from netledger.attribution.learning import Recorder
from netledger.errors import FactError, LearnerError
from netledger.intervals import Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.claims import Claims, Holder
from netledger.learners.names import refuse, subject

_COMMAND: Final = ("wg", "show", "all", "allowed-ips")
_ANSWER_SECONDS: Final = 10.0
_FIELDS: Final = 3
_EVERYTHING: Final = frozenset(("0.0.0.0/0", "::/0"))


@final
class WireguardLearner:
    """Looks at the peers again and again.

    Args:
        name: of the ``[attribution.NAME]``.
        interfaces: only these; empty is all.
        names: who has which public key; who has none here is known by the key.
        every_seconds: how often to look.
        clock: where the time comes from.
        command: what is run; tests have their own.
    """

    def __init__(
        self,
        name: str,
        *,
        interfaces: Sequence[str],
        names: Mapping[str, str],
        every_seconds: int,
        clock: Clock,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._name = name
        self._interfaces = frozenset(interfaces)
        self._names = dict(names)
        self._every_seconds = every_seconds
        self._command = tuple(command)
        self._standing = Standing(clock)

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Follows the peers until it is told to stop.

        Raises:
            LearnerError: ``wg`` is not there, or refuses. What was learnt stays.
            LedgerError: the ledger refuses.
        """
        self._standing.starts()
        claims = Claims(self._name, record, self._standing)
        while True:
            claims.settle_all(self._read(self._ask()))
            self._standing.follows()
            if stop.wait(self._every_seconds):
                return

    def _ask(self) -> str:
        about = f"attribution {self._name}"
        try:
            done = subprocess.run(
                self._command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ANSWER_SECONDS, check=False
            )
        except FileNotFoundError as error:
            raise LearnerError(about, "wg", "not installed", "Debian has it in wireguard-tools") from error
        except OSError as error:
            raise LearnerError(about, "wg", (error.strerror or str(error)).lower()) from error
        except subprocess.TimeoutExpired as error:
            raise LearnerError(about, "wg", f"no answer within {_ANSWER_SECONDS:g} s") from error
        # It may fail for one interface and succeed for others: then those would seem to have lost their peers.
        if done.returncode or done.stderr:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            cause = said[-1] if said else f"exit code {done.returncode}"
            raise LearnerError(about, "wg", cause, "it needs CAP_NET_ADMIN")
        return done.stdout.decode(errors="backslashreplace")

    def _read(self, text: str) -> dict[Target, Holder]:
        told: dict[Target, Holder] = {}
        for line in text.splitlines():
            fields = line.split("\t")
            if len(fields) != _FIELDS:
                refuse(self._name, self._standing, line, "this is no line of wg")
            elif not self._interfaces or fields[0] in self._interfaces:
                self._add_peer(told, *fields)
        return told

    def _add_peer(self, told: dict[Target, Holder], interface: str, key: str, allowed: str) -> None:
        who = subject(self._names.get(key, key))
        if who is None:
            refuse(self._name, self._standing, key, "nobody can be called so")
            return
        holder = Holder(subject=who, detail={"interface": interface, "peer": key})
        for word in allowed.split():
            # Where the rest of the Internet lies is nobody's own address.
            if word in _EVERYTHING or word == "(none)":
                continue
            try:
                target = Target.address(word)
            except FactError as error:
                refuse(self._name, self._standing, word, error.cause)
                continue
            # An interface has an address once, but two interfaces may have the same: the first one listed has it.
            if target.kind is Kind.ADDRESS and told.setdefault(target, holder) is not holder:
                refuse(self._name, self._standing, word, "two peers have it")
