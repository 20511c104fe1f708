"""What the counters of the proof said where the books of a generation begin, as its facts have it. Pure."""

from dataclasses import replace
from typing import Final

from netledger.sources.conntrack_proof import Bracket
from netledger.sources.state import Facts

_LEAST: Final = "least"
_MOST: Final = "most"


def begun_at(facts: Facts, base: Bracket | None) -> Facts:
    """A generation that counts from now on; ``base`` is None where nobody knows what the counters said."""
    said = {} if base is None else {_LEAST: base.least, _MOST: base.most}
    return replace(facts, begun=True, base=said)


def base_of(facts: Facts) -> Bracket | None:
    """What the counters said where its books begin."""
    least, most = facts.base.get(_LEAST), facts.base.get(_MOST)
    return None if least is None or most is None else Bracket(least=least, most=most)


def base_behind(facts: Facts) -> Bracket | None:
    """The same where those of a closed one end: what is booked leads from the one to the other."""
    base = base_of(facts)
    if base is None or facts.closing is None:
        return None
    observed = facts.closing.observed
    return base.moved(observed.accounted + observed.unattributed)
