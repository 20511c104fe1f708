"""Facts of whose an address was, for people and programs."""

from netledger.attribution.facts import Fact
from netledger.live.assigned import AssignedFact
from netledger.receipt import rfc3339


def told(fact: Fact) -> AssignedFact:
    """A fact for programs."""
    return AssignedFact(
        id=fact.id,
        target=str(fact.target),
        subject=fact.subject,
        mac=fact.mac,
        valid_from=rfc3339(fact.valid_from_ns),
        valid_to=None if fact.valid_to_ns is None else rfc3339(fact.valid_to_ns),
        source=fact.source,
        learnt_at=rfc3339(fact.learnt_ns) if fact.learnt_ns else None,
        detail=dict(fact.detail),
    )
