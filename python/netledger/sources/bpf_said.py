"""From what the program in the kernel counted to what is said of a closed generation. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from netledger._core import Totals
from netledger.receipt import ZERO, Count, Observed
from netledger.sources.base import Gathered
from netledger.sources.conntrack_proof import Verdict
from netledger.sources.lost import NoRows
from netledger.sources.observing import MEANING, sent, unreadable
from netledger.sources.packet_said import MEANING as MEANING_OF_INTERFACES
from netledger.sources.state import Facts

SOURCE: Final = "bpf"

EQUAL: Final = "equal"
"""The independent counters said the same, to packet and byte."""
BOUNDED: Final = "bounded"
"""Packets passed while the counters were read: what was counted lies between their readings."""
MISSED: Final = "missed"
"""The counters saw something else, or nobody knows what they saw."""

_REPLACED: Final = (
    "at its end the program was replaced by another: up to one packet per processor may be missing or counted twice"
)


def counted(totals: Totals) -> Count:
    """All that the program was to count, as it says itself."""
    return Count(totals.received_packets, totals.received_bytes)


def observe(
    facts: Facts,
    generation: Gathered | NoRows,
    *,
    attach: str,
    verdict: Verdict | None = None,
    is_replaced: bool = False,
) -> Observed:
    """What is said of a generation.

    Without ``verdict`` no counters beside the program's own were asked. ``is_replaced``: it ended as another program
    took over: a packet that was just between the two may have met neither, or both.
    """
    totals = generation.totals
    total, interrupted = counted(totals), [facts.interrupted]
    kernel, proof, why = total, None, None
    if verdict is not None:
        proof, why = _proof(verdict, total), verdict.why
        if verdict.excess != ZERO:
            interrupted.append(why)
            why = None
        elif verdict.kernel is not None:
            kernel = verdict.kernel
    if is_replaced and proof != EQUAL:
        interrupted.append(_REPLACED)
    is_at_interfaces = attach == "tcx"
    return Observed(
        kernel=kernel,
        accounted=sent(totals),
        other=Count(totals.other_packets, totals.other_bytes),
        unreadable_packets=unreadable(totals),
        super_packets=totals.super_packets if is_at_interfaces else None,
        wire_packets=totals.wire_packets if is_at_interfaces else None,
        wire_bytes=totals.wire_bytes if is_at_interfaces else None,
        errors=_errors(totals),
        rows=generation.rows,
        interrupted=_joined(interrupted),
        source=SOURCE,
        meaning=MEANING_OF_INTERFACES if is_at_interfaces else MEANING,
        why_lost=_joined([facts.said, _why_lost(totals, kernel - total if kernel.covers(total) else ZERO), why]),
        proof=proof,
    )


def told(totals: Mapping[int, Totals]) -> str | None:
    """What generations say that nobody can explain any more, by their numbers."""
    words = [f"generation {number} {_count(counted(each))}" for number, each in sorted(totals.items())]
    return f"counts found: {', '.join(words)}" if words else None


def _proof(verdict: Verdict, total: Count) -> str:
    if verdict.kernel is not None and verdict.kernel == total:
        return EQUAL
    return BOUNDED if verdict.is_bounded else MISSED


def _errors(totals: Totals) -> Mapping[str, int]:
    every = {
        "length_lies": totals.length_lies,
        "length_unknown_packets": totals.length_unknown_packets,
        **{f"unreadable_{reason}": number for reason, number in totals.unreadable.items()},
    }
    return {name: number for name, number in every.items() if number}


def _why_lost(totals: Totals, unseen: Count) -> str | None:
    reasons = []
    if unread := unreadable(totals):
        reasons.append(f"{unread:,} {'packet' if unread == 1 else 'packets'} not readable")
    if unseen != ZERO:
        reasons.append(f"the counters of nftables saw {_count(unseen)} more than the program")
    return _joined(reasons)


def _count(count: Count) -> str:
    return f"{count.packets:,} packets, {count.bytes:,} bytes"


def _joined(parts: Iterable[str | None]) -> str | None:
    return "; ".join(part for part in parts if part) or None
