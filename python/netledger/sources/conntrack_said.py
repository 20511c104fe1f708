"""What a receipt says of flows. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from netledger.receipt import ZERO, Count, Observed
from netledger.sources.base import Gathered
from netledger.sources.conntrack_proof import Verdict
from netledger.sources.lost import NoRows
from netledger.sources.observing import MEANING, between, sent
from netledger.sources.state import Facts

SOURCE: Final = "conntrack"


class Cut(Protocol):
    """The part of a cut that its receipt is made of."""

    @property
    def overruns(self) -> int:
        """How often the receive buffer was full."""

    @property
    def vanished(self) -> int:
        """Flows that went without an event: what they moved after they were last seen is missing."""

    @property
    def resets(self) -> int:
        """Flows whose counters went down."""

    @property
    def uncounted(self) -> int:
        """Flows without counters."""

    @property
    def refused(self) -> int:
        """Flows that found no room in the table."""

    @property
    def duplicates(self) -> int:
        """Ends that were told again; they count once."""

    @property
    def malformed(self) -> int:
        """Messages that could not be read."""


class Baseline(Protocol):
    """The part of a start that its receipt tells of."""

    @property
    def baseline_flows(self) -> int:
        """Flows that were there before the meter."""

    @property
    def baseline_packets(self) -> int:
        """What they had moved."""

    @property
    def baseline_bytes(self) -> int:
        """The same."""


def baseline(opened: Baseline) -> str | None:
    """What was there before the meter, in words."""
    if not opened.baseline_flows:
        return None
    flows = _counted(opened.baseline_flows, "flow is", "flows are")
    return f"{flows} older than the meter, and what they had moved is not booked: {_packets(opened)}"


def observe(facts: Facts, generation: Gathered, *, verdict: Verdict, cut: Cut | None, gap: str | None) -> Observed:
    """What is said of a generation.

    ``gap`` says since when nobody listened, if so. Without the kernel's own count nobody can tell what it has cost.
    """
    totals = generation.totals
    accounted = sent(totals)
    interrupted = [facts.interrupted]
    if verdict.excess != ZERO:
        interrupted.append(verdict.why)
        verdict = replace(verdict, why=None)
    if gap is not None and verdict.kernel is None and not verdict.is_bounded:
        interrupted.append(f"{gap}, and what ended then is missing")
    return Observed(
        kernel=verdict.kernel,
        accounted=accounted,
        other=Count(totals.other_packets, totals.other_bytes),
        errors={} if cut is None else _errors(cut),
        rows=generation.rows,
        interrupted=_joined(interrupted),
        source=SOURCE,
        meaning=MEANING,
        why_lost=_joined([facts.said, verdict.why, _lost(accounted, verdict, cut, gap)]),
    )


def without_rows(facts: Facts, generation: Gathered | NoRows, kernel: Count | None) -> Observed:
    """What is said of a generation that nobody counts for any more."""
    return Observed(
        kernel=kernel,
        accounted=sent(generation.totals),
        rows=generation.rows,
        interrupted=facts.interrupted,
        source=SOURCE,
        meaning=MEANING,
    )


def silence(facts: Facts, last_sign_ns: int | None, now_ns: int) -> str:
    """Since when nobody listened, for a generation that a dead process left open."""
    if facts.stopped is not None:
        return f"nobody listened {between(facts.stopped.wall_ns, now_ns)}: the meter was stopped"
    since_ns = min(max(last_sign_ns or 0, facts.start.wall_ns), now_ns)
    return f"nobody listened {between(since_ns, now_ns)}: the process had ended"


def _lost(accounted: Count, verdict: Verdict, cut: Cut | None, gap: str | None) -> str | None:
    kernel = verdict.kernel
    reasons = [] if cut is None else _trouble(cut)
    if gap is not None and kernel is None and verdict.is_bounded:
        reasons.append(gap)
    if kernel is None or kernel == accounted:
        return ", ".join(reasons) or None
    if gap is not None:
        reasons.append(gap)
    missing = Count(kernel.packets - accounted.packets, kernel.bytes - accounted.bytes)
    told = f"{missing.packets:,} packets ({missing.bytes:,} bytes) are in no flow"
    unexplained = "unexplained: conntrack lets some packets of a flow pass uncounted"
    return f"{told}: {', '.join(reasons) or unexplained}"


def _trouble(cut: Cut) -> list[str]:
    told = {
        "without an event": _counted(cut.vanished, "flow went", "flows went"),
        "without counters, for they are older than nf_conntrack_acct": _counted(cut.uncounted, "flow is", "flows are"),
        "by someone else": _counted(cut.resets, "flow was reset", "flows were reset"),
        "in the table of flows": _counted(cut.refused, "flow found no room", "flows found no room"),
    }
    numbers = (cut.vanished, cut.uncounted, cut.resets, cut.refused)
    return [f"{subject} {rest}" for number, (rest, subject) in zip(numbers, told.items(), strict=True) if number]


def _errors(cut: Cut) -> Mapping[str, int]:
    every = {
        "overruns": cut.overruns,
        "flows_vanished": cut.vanished,
        "flow_counters_reset": cut.resets,
        "flows_uncounted": cut.uncounted,
        "flows_refused": cut.refused,
        "ends_told_again": cut.duplicates,
        "malformed_messages": cut.malformed,
    }
    return {name: number for name, number in every.items() if number}


def _packets(opened: Baseline) -> str:
    return f"{opened.baseline_packets:,} packets ({opened.baseline_bytes:,} bytes)"


def _joined(parts: Iterable[str | None]) -> str | None:
    return "; ".join(part for part in parts if part) or None


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
