"""What to do with the open generations that a dead process left. Pure: decides, touches nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from netledger.sources.kernel_rules import Disturbance, KernelRules
from netledger.sources.listing import Listing
from netledger.sources.state import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """Open generations of a dead process, sorted.

    Attributes:
        abandoned: their counters are gone; each with the reason.
        frozen: the rules had been switched away from it before the process died, or None.
        current: the rules count for it to this moment, or None.
        unused: prepared, and never switched to.
        disturbance: what somebody else did to the rules of ``frozen`` and ``current``.
    """

    abandoned: tuple[tuple[Facts, str], ...] = ()
    frozen: Facts | None = None
    current: Facts | None = None
    unused: Facts | None = None
    disturbance: Disturbance | None = None


def sort_out(dead: Sequence[Facts], found: Listing | None, kernel: KernelRules, boot: str) -> Inheritance:
    """Sorts ``dead`` (oldest first, none of them closed) by what the kernel says."""
    if not dead:
        return Inheritance()
    newest, present = dead[-1], found is not None and kernel.is_in(found)
    if newest.boot_id != boot:
        return _abandon(dead, "the machine was restarted")
    if not newest.rules and not present:
        # It died between noting the generation and installing the rules: nothing was ever counted for this one.
        return replace(sort_out(dead[:-1], found, kernel, boot), unused=newest)
    if found is None or not present:
        return _abandon(dead, "the rules were removed by someone else")
    disturbance = _disturbance(dead, found, kernel)
    if disturbance is not None and disturbance.counters_lost:
        return _abandon(dead, f"the rules were changed by someone else: {disturbance.what}")
    return replace(_pair(dead, found, kernel), disturbance=disturbance)


def _pair(dead: Sequence[Facts], found: Listing, kernel: KernelRules) -> Inheritance:
    """Sides alternate, and a generation is closed before its side is used again: more than two open ones cannot be."""
    newest, before = dead[-1], dead[-2] if len(dead) > 1 else None
    abandoned = tuple((facts, "its counters were used again") for facts in dead[:-2])
    if before is None or before.side == newest.side:
        return Inheritance(abandoned=abandoned, current=newest)
    unmoved = all(found.counters.get(name) == count for name, count in newest.base.items())
    if kernel.side(found) != newest.side and unmoved:
        return Inheritance(abandoned=abandoned, current=before, unused=newest)
    return Inheritance(abandoned=abandoned, frozen=before, current=newest)


def _disturbance(dead: Sequence[Facts], found: Listing, kernel: KernelRules) -> Disturbance | None:
    newest = dead[-1]
    if not newest.rules:  # it died between installing the rules and noting them
        return None
    known = {name: count for facts in dead for name, count in facts.base.items()}
    stopping = newest.stopping and kernel.side(found) is None
    return kernel.disturbance(found, expected=newest.rules, known=known, stopping=stopping)


def _abandon(dead: Sequence[Facts], why: str) -> Inheritance:
    return Inheritance(abandoned=tuple((facts, why) for facts in dead))
