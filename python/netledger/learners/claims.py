"""What one source claims now, and the facts that lead from there to what it tells next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from netledger.attribution.facts import Fact, Target
from netledger.attribution.learning import Recorder
from netledger.learners.base import Standing, moment


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has an address, as a source tells.

    Attributes:
        subject: whose it is; None with ``mac`` when only the device is known.
        mac: the device that has it, or None.
        detail: what else is known. When only this changes nothing new is learnt, for times do not change.
        since_ns: when it began, as the source tells; None where it tells no time.
    """

    subject: str | None
    mac: str | None = None
    detail: Mapping[str, str] = field(default_factory=dict, hash=False)
    since_ns: int | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Nobody:
    """An address is free.

    Attributes:
        since_ns: since when, as the source tells; None where it tells no time.
    """

    since_ns: int | None = None


@final
class Claims:
    """What a source claims at this moment, one holder for each target. To be used from one thread.

    For sources that tell how things are: a lease, a file, a peer. A claim lasts until further notice; when the source
    tells another holder, or that there is none, a fact says so. Telling the same again leads to no fact.

    Args:
        source: the name of the ``[attribution.NAME]``.
        record: who keeps facts.
        standing: where they are counted.
    """

    def __init__(self, source: str, record: Recorder, standing: Standing) -> None:
        self._source = source
        self._record = record
        self._standing = standing
        # The latest of a target is the one that lasts; what was given an end has no need of another.
        self._present = {fact.target: fact for fact in record.open_claims(source) if fact.valid_to_ns is None}

    def __contains__(self, target: Target) -> bool:
        return target in self._present

    def targets(self) -> list[Target]:
        """What somebody has now."""
        return list(self._present)

    def settle(self, told: Mapping[Target, Holder | Nobody]) -> int:
        """Learns what the source tells of some targets; gives how many facts that took.

        Raises:
            LedgerError: nothing of it is kept, and nothing is changed here: it can be told again.
        """
        changed = {target: now for target, now in told.items() if self._is_news(target, now)}
        if not changed:
            return 0
        cut_ns = self._record.cut_moment()
        facts = [self._fact(target, now, cut_ns) for target, now in changed.items()]
        self._standing.learn(self._record, facts)
        for fact in facts:
            if fact.is_claim:
                self._present[fact.target] = fact
            else:
                self._present.pop(fact.target, None)
        return len(facts)

    def settle_all(self, told: Mapping[Target, Holder]) -> int:
        """The same, when that is all there is: whatever else the source has claimed is over.

        Raises:
            LedgerError: as :meth:`settle`.
        """
        gone = {target: Nobody() for target in self._present if target not in told}
        return self.settle({**gone, **told})

    def _is_news(self, target: Target, now: Holder | Nobody) -> bool:
        before = self._present.get(target)
        if isinstance(now, Nobody):
            return before is not None
        return before is None or (before.subject, before.mac) != (now.subject, now.mac)

    def _fact(self, target: Target, now: Holder | Nobody, cut_ns: int) -> Fact:
        from_ns = moment(now.since_ns, cut_ns)
        if (before := self._present.get(target)) is not None:
            # What was already said of the time before is not taken back by a clock that runs behind.
            from_ns = max(from_ns, before.valid_from_ns)
        if isinstance(now, Nobody):
            return Fact(target=target, valid_from_ns=from_ns, subject=None, source=self._source)
        return Fact(
            target=target,
            valid_from_ns=from_ns,
            subject=now.subject,
            mac=now.mac,
            source=self._source,
            detail=now.detail,
        )
