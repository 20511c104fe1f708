"""Addresses that two logs give to two users at one time, as networks of several machines may have the same ones.

A report finds whose a row is by its address and time, not by its machine. So nothing tells the traffic of the two apart
there, and it must be neither's: whichever log was imported last would else decide about the bytes of both.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, final

from netledger.attribution.facts import Fact, Target
from netledger.attribution.painting import Piece, painted, within

_WHY: Final = {"contested": "two logs have another user at the same time"}


@final
class Contested:
    """What logs of before said, and what of a new one is at odds with it.

    Args:
        known: what was imported before, in the order in which it was learnt.
    """

    def __init__(self, known: Iterable[Fact]) -> None:
        told: dict[Target, list[Piece[str | None]]] = defaultdict(list)
        for fact in known:
            told[fact.target].append((fact.valid_from_ns, fact.end_ns, fact.subject))
        self._told = {target: painted(pieces) for target, pieces in told.items()}
        self.targets: set[Target] = set()
        """What was contested in the facts that were asked about."""

    def settled(self, facts: Sequence[Fact]) -> list[Fact]:
        """The facts, and behind them that nobody had what is contested: in whichever order logs come."""
        against = [one for fact in facts for one in self._against(fact)]
        self.targets |= {one.target for one in against}
        return [*facts, *against]

    def _against(self, fact: Fact) -> Iterable[Fact]:
        for start_ns, end_ns, subject in within(self._told.get(fact.target, []), fact.valid_from_ns, fact.end_ns):
            # Where nobody had it, it was contested before.
            if subject != fact.subject:
                yield Fact(
                    target=fact.target,
                    valid_from_ns=start_ns,
                    valid_to_ns=end_ns,
                    subject=None,
                    source=fact.source,
                    detail=_WHY,
                )
