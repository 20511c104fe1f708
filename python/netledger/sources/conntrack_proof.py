"""Whether the flows and the independent counters agree. Pure.

The counters go on while the flows are read. So they are read before and after, and what they said at the moment of the
flows lies between. Counts are compared from the start of the meter on, not interval by interval: what one interval
could not tell, the next quiet one does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from netledger.receipt import ZERO, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket:
    """What a counter said at one moment, as far as that is known; packets and bytes each for themselves.

    Attributes:
        least: it was not below this.
        most: nor above this.
    """

    least: Count
    most: Count

    @property
    def is_exact(self) -> bool:
        """Whether nothing passed between the two readings."""
        return self.least == self.most

    def moved(self, count: Count) -> "Bracket":
        """The same, later by ``count``."""
        return Bracket(least=self.least + count, most=self.most + count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the counters say of one interval.

    Attributes:
        kernel: what passed in it; None where that cannot be told to the packet.
        base: what the counters say where the books of the next interval begin; None where nobody knows.
        why: why ``kernel`` is not known, or not simply met, in words.
        excess: what is in the rows and the counters did not see; zero in sane times.
        is_bounded: whether the counters, as far as they are known, agree with the rows.
    """

    kernel: Count | None
    base: Bracket | None
    why: str | None = None
    excess: Count = ZERO
    is_bounded: bool = False


def judge(accounted: Count, *, base: Bracket | None, now: Bracket | None) -> Verdict:
    """Compares the rows of an interval with the counters.

    ``base`` is what the counters said where its books begin, ``now`` what they said at its end; None: not known.
    """
    if now is None or base is None:
        return Verdict(kernel=None, base=now, why=None if now is None else "the counters were not read at its start")
    if not now.most.covers(base.least):
        return Verdict(kernel=None, base=now, why="the counters were reset by someone else", excess=accounted)
    least, most = _less(now.least, base.most), _less(now.most, base.least)
    excess = _less(accounted, most)
    if excess != ZERO:
        why = f"the rows have {_words(excess)} more than the counters saw"
        return Verdict(kernel=None, base=now, why=why, excess=excess)
    if least == most:
        return Verdict(kernel=most, base=now)
    between = f"the counters saw between {_words(least)} and {_words(most)}, for packets passed while they were read"
    if accounted.covers(least):
        return Verdict(kernel=None, base=_following(accounted, base, now), why=between, is_bounded=True)
    kernel = Count(max(least.packets, accounted.packets), max(least.bytes, accounted.bytes))
    return Verdict(kernel=kernel, base=base.moved(kernel), why=f"at least: {between}")


def bypassed(flowtables: Sequence[str], *, now: Bracket | None) -> Verdict:
    """The counters prove nothing: packets have passed by them, and by conntrack or not, as the flowtable was made."""
    names = ", ".join(flowtables)
    return Verdict(kernel=None, base=now, why=f"packets may have passed by conntrack, in flowtable {names}")


def _following(accounted: Count, base: Bracket, now: Bracket) -> Bracket:
    """Where the next interval begins when the books may be complete.

    A quiet end tells it whatever the base was; else the books do, as far as the end does not know it better.
    """
    if now.is_exact:
        return now
    moved = base.moved(accounted)
    least = Count(max(moved.least.packets, now.least.packets), max(moved.least.bytes, now.least.bytes))
    most = Count(min(moved.most.packets, now.most.packets), min(moved.most.bytes, now.most.bytes))
    return Bracket(least=least, most=most)


def _less(count: Count, other: Count) -> Count:
    """Number by number, never below zero."""
    return Count(max(0, count.packets - other.packets), max(0, count.bytes - other.bytes))


def _words(count: Count) -> str:
    return f"{count.packets:,} packets ({count.bytes:,} bytes)"
