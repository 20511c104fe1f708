"""A file that people write: what is whose, with times where they matter."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar, final

from netledger.attribution.facts import FOREVER_NS, Fact, Target
from netledger.attribution.learning import Recorder
from netledger.errors import LearnerError
from netledger.intervals import Clock
from netledger.learners.base import LearnerStatus, Standing, Stop
from netledger.learners.files import Following
from netledger.learners.static_file import Assigned, read

_T = TypeVar("_T")

_CALM_SECONDS: Final = 0.05


@final
class StaticLearner:
    """Follows one file: what is written into it later is learnt then.

    Args:
        name: of the ``[attribution.NAME]``.
        path: the file; TOML when its name ends so, else CSV.
        clock: where the time comes from.
    """

    def __init__(self, name: str, path: Path, clock: Clock) -> None:
        self._name = name
        self._path = path
        self._clock = clock
        self._standing = Standing(clock)

    def status(self) -> LearnerStatus:
        """How it is."""
        return self._standing.status()

    def run(self, record: Recorder, stop: Stop) -> None:
        """Follows it until it is told to stop. A file that is not there, or has a mistake, changes nothing.

        Raises:
            LearnerError: it cannot be watched.
            LedgerError: what was learnt cannot be kept.
        """
        self._standing.starts()
        said: frozenset[Assigned] | None = None
        for _ in Following(self._path, calm_seconds=_CALM_SECONDS).looks(stop):
            try:
                wanted = read(self._path, now_ns=self._clock.now().wall_ns)
            except LearnerError as error:
                self._standing.waits(error)
                continue
            if frozenset(wanted) != said:
                self._settle(wanted, said or (), record)
                said = frozenset(wanted)
            self._standing.follows()

    def _settle(self, wanted: Sequence[Assigned], said: Collection[Assigned], record: Recorder) -> None:
        present = record.open_claims(self._name)
        now_ns = self._clock.now().wall_ns
        facts = changes(self._name, wanted, present, said, at_ns=now_ns)
        if any(fact.valid_from_ns == now_ns for fact in facts):
            # Only where something begins or ends now the books have to be closed for it.
            facts = changes(self._name, wanted, present, said, at_ns=record.cut_moment())
        self._standing.learn(record, facts)


def changes(
    source: str, wanted: Sequence[Assigned], present: Sequence[Fact], said: Collection[Assigned], *, at_ns: int
) -> list[Fact]:
    """The facts that lead from what a source claims to the lines of its file, to be learnt in this order.

    What was said of the past stays: a line that is taken out ends now, and does so for what has no end before.

    Args:
        source: its name.
        wanted: the lines.
        present: what it claims of now and later.
        said: lines that have been told already.
        at_ns: the moment for what begins or ends now.
    """
    claims = _by_target((claim.target, claim) for claim in present)
    lines = _by_target((line.target, line) for line in wanted)
    new = [_begun(source, line, at_ns) for line in wanted if _is_new(line, claims.get(line.target, ()), said, at_ns)]
    begun = _by_target((fact.target, fact) for fact in new)
    stale = [one for one in present if not _is_said(one, lines.get(one.target, ()), at_ns)]
    ended = [_ended(source, one, at_ns) for one in stale if one.end_ns > at_ns]
    # Where somebody else follows at once he alone says it.
    ends = [one for one in ended if not any(_covers(fact, one) for fact in begun.get(one.target, ()))]
    return [*ends, *new]


def _is_new(line: Assigned, claims: Iterable[Fact], said: Collection[Assigned], at_ns: int) -> bool:
    if line.from_ns is not None:
        return line not in said
    if line.to_ns is not None and line.to_ns <= at_ns:
        return False
    mine = (line.subject, line.to_ns)
    return not any((claim.subject, claim.valid_to_ns) == mine and claim.valid_from_ns <= at_ns for claim in claims)


def _begun(source: str, line: Assigned, at_ns: int) -> Fact:
    from_ns = at_ns if line.from_ns is None else line.from_ns
    return Fact(target=line.target, valid_from_ns=from_ns, valid_to_ns=line.to_ns, subject=line.subject, source=source)


def _is_said(claim: Fact, lines: Iterable[Assigned], at_ns: int) -> bool:
    """Whether a line says what is claimed, of now and later."""
    start_ns = max(claim.valid_from_ns, at_ns)
    return any(
        line.subject == claim.subject
        and (line.from_ns is None or line.from_ns <= start_ns)
        and (FOREVER_NS if line.to_ns is None else line.to_ns) >= claim.end_ns
        for line in lines
    )


def _ended(source: str, claim: Fact, at_ns: int) -> Fact:
    from_ns = max(claim.valid_from_ns, at_ns)
    return Fact(target=claim.target, valid_from_ns=from_ns, valid_to_ns=claim.valid_to_ns, subject=None, source=source)


def _covers(fact: Fact, other: Fact) -> bool:
    return fact.valid_from_ns <= other.valid_from_ns and fact.end_ns >= other.end_ns


def _by_target(pairs: Iterable[tuple[Target, _T]]) -> Mapping[Target, Sequence[_T]]:
    found: dict[Target, list[_T]] = {}
    for target, one in pairs:
        found.setdefault(target, []).append(one)
    return found
