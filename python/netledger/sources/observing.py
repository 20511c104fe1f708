"""From the totals of a closed generation to what is said of it. Pure."""

from collections.abc import Mapping
from typing import Protocol

from netledger import _core as native
from netledger._core import Totals
from netledger.receipt import Count, Observed, rfc3339
from netledger.sources.base import LiveRows

_NOT_IP = "not_ip"  # ARP and the like, which rules of a bridge log too: no part of an account of IP
MEANING = "merged super-packets"  # netfilter sees packets before segmentation and after merging (GSO, GRO)


class Counted(Protocol):
    """The part of a closed generation that its receipt is made of."""

    @property
    def rows(self) -> int:
        """How many rows it has."""

    @property
    def totals(self) -> Totals:
        """Its sums."""


def sent(totals: Totals) -> Count:
    """What the rows hold as sent: every packet once, where both postings are made."""
    return Count(totals.posted_sent_packets, totals.posted_sent_bytes)


def received(totals: Totals) -> Count:
    """What the rows hold as received: every packet once, where only this posting is made."""
    return Count(totals.posted_received_packets, totals.posted_received_bytes)


def readable(totals: Totals) -> Count:
    """What arrived and could be read, however often it was posted."""
    return Count(totals.received_packets - sum(totals.unreadable.values()), totals.received_bytes)


def unreadable(totals: Totals) -> int:
    """IP packets that arrived and are in no row, as they could not be read."""
    return sum(number for reason, number in totals.unreadable.items() if reason != _NOT_IP)


def live_rows(found: native.LiveRows) -> LiveRows:
    """What the native core shows of an open generation, in the words of this package."""
    return LiveRows(
        rows=found.rows,
        sent=Count(found.sent_packets, found.sent_bytes),
        received=Count(found.received_packets, found.received_bytes),
        batch=found.batch,
    )


def observe(
    generation: Counted, accounted: Count, *, kernel: Count | None, interrupted: str | None, silence: str | None
) -> Observed:
    """What is said of a generation.

    ``silence`` says since when nobody listened, if so: what is missing without another explanation is put down to it.
    """
    totals = generation.totals
    return Observed(
        kernel=kernel,
        accounted=accounted,
        other=Count(totals.other_packets, totals.other_bytes),
        lost_by_sequence_packets=totals.sequence_gap_packets,
        unreadable_packets=unreadable(totals),
        errors=_errors(totals),
        rows=generation.rows,
        interrupted=interrupted,
        source="nflog",
        meaning=MEANING,
        why_lost=_why_lost(totals, accounted, kernel, silence),
    )


def between(start_ns: int, end_ns: int) -> str:
    """``between T and T``, UTC."""
    return f"between {rfc3339(start_ns)} and {rfc3339(end_ns)}"


def _errors(totals: Totals) -> Mapping[str, int]:
    every = {
        "overruns": totals.overruns,
        "truncated_datagrams": totals.truncated_datagrams,
        "malformed_messages": totals.malformed_messages,
        "length_unknown_packets": totals.length_unknown_packets,
        **{f"unreadable_{reason}": number for reason, number in totals.unreadable.items()},
    }
    return {name: number for name, number in every.items() if number}


def _why_lost(totals: Totals, accounted: Count, kernel: Count | None, silence: str | None) -> str | None:
    gap, unread = totals.sequence_gap_packets, unreadable(totals)
    reasons = []
    if gap:
        overruns = _counted(totals.overruns, "overrun")
        reasons.append(f"{_counted(gap, 'packet')} missing in the sequence ({overruns} of the receive buffer)")
    if unread:
        reasons.append(f"{_counted(unread, 'packet')} not readable")
    if kernel is not None and kernel.packets > accounted.packets:
        rest = kernel.packets - accounted.packets - gap - unread
        if rest > 0:
            unexplained = "unexplained: the kernel could not allocate, or had no listener"
            reasons.append(f"{_counted(rest, 'packet')} {f'while {silence}' if silence else unexplained}")
    if totals.length_unknown_packets:
        told = _counted(totals.length_unknown_packets, "super-packet")
        reasons.append(f"{told} without a length in the header")
    return "; ".join(reasons) or None


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
