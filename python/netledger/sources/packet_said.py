"""From the totals of a meter of packet sockets to what is said of a closed generation. Pure."""

from collections.abc import Mapping
from typing import Final

from netledger._core import Totals
from netledger.receipt import Count, Observed
from netledger.sources.base import Gathered
from netledger.sources.lost import NoRows
from netledger.sources.observing import unreadable

SOURCE: Final = "packet"
MEANING: Final = "packets as each interface has them, super-packets merged"


def observe(
    totals: Totals, generation: Gathered | NoRows, accounted: Count, *, ring_bytes: int, interrupted: str | None
) -> Observed:
    """What is said of a generation."""
    return Observed(
        kernel=None,
        accounted=accounted,
        other=Count(totals.other_packets, totals.other_bytes),
        unreadable_packets=unreadable(totals),
        dropped_packets=totals.dropped_packets,
        super_packets=totals.super_packets,
        wire_packets=totals.wire_packets,
        errors=_errors(totals),
        rows=generation.rows,
        interrupted=interrupted,
        source=SOURCE,
        meaning=MEANING,
        why_lost=_why_lost(totals, ring_bytes),
    )


def _errors(totals: Totals) -> Mapping[str, int]:
    every = {
        "overruns": totals.overruns,
        "ignored_packets": totals.ignored_packets,
        "fragments_unknown": totals.fragments_unknown,
        "length_lies": totals.length_lies,
        "length_unknown_packets": totals.length_unknown_packets,
        **{f"unreadable_{reason}": number for reason, number in totals.unreadable.items()},
    }
    return {name: number for name, number in every.items() if number}


def _why_lost(totals: Totals, ring_bytes: int) -> str | None:
    reasons = []
    if totals.dropped_packets:
        # Without having found the ring full, it was so already when the interval began, or it was not that.
        why = "was full" if totals.overruns else "was full before, or they were super-packets that it cannot describe"
        dropped = _packets(totals.dropped_packets)
        reasons.append(f"{dropped} dropped by the kernel: the ring of {ring_bytes} bytes {why}")
    if unread := unreadable(totals):
        reasons.append(f"{_packets(unread)} not readable")
    return "; ".join(reasons) or None


def _packets(number: int) -> str:
    return f"{number} packet" if number == 1 else f"{number} packets"
