"""An end to all that a source claims, when there is nobody left to say it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from netledger.attribution.facts import Fact
from netledger.attribution.standing import standing


def endings(facts: Iterable[Fact], *, from_ns: int, detail: Mapping[str, str]) -> list[Fact]:
    """Facts that say nobody's from a moment on, for each claim that goes on then or begins later.

    ``facts`` are those of one source, in the order in which they were learnt.
    """
    return [
        replace(
            claim,
            valid_from_ns=max(from_ns, claim.valid_from_ns),
            subject=None,
            mac=None,
            learnt_ns=0,
            detail=detail,
            id=0,
        )
        for claim in standing(facts)
        if claim.end_ns > from_ns
    ]
