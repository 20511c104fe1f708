"""What stands of facts: of each source and target, what was not replaced by something it said later."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from netledger.attribution.facts import FOREVER_NS, Fact, Target
from netledger.attribution.painting import claims


def standing(facts: Iterable[Fact]) -> list[Fact]:
    """Claims of facts that come in the order in which they were learnt, each cut to what is left of it.

    One that was replaced in its middle is there twice. Sources are not weighed against each other.
    """
    groups: dict[tuple[Target, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.target, fact.source].append(fact)
    return [
        replace(fact, valid_from_ns=start_ns, valid_to_ns=None if end_ns == FOREVER_NS else end_ns)
        for group in groups.values()
        for start_ns, end_ns, fact in claims(group)
    ]
