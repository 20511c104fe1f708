"""The proof of one interval: what the kernel counted, what was accounted, what is missing.

Pure arithmetic. In an exact or lossy receipt ``kernel = accounted + lost`` always holds, in packets and in bytes; what
is lost is booked on the row *unattributed*, so that the rows of the interval add up to the kernel's own count.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol, Self, final

from netledger.schema import Table

COUNT_MAX = 2**64 - 1
"""Counters are unsigned and have 64 bits, here as in the kernel."""

WITHOUT_IPV6_HEADER = "bytes of IPv6 without the IP header"
"""In the meaning of a receipt: they must not be added to others without saying so."""

WITHOUT_PACKETS = "packets were not written"
"""In the meaning of a receipt: that they are 0 does not mean that there were none."""

WITHOUT_BYTES = "bytes were not written"
"""The same of bytes."""

_SECOND_NS = 1_000_000_000
_RFC3339 = re.compile(r"(?P<whole>\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(?P<rest>\d{1,9}))?Z")

# By how much the two clocks may differ over an interval before the receipt mentions it. Adjusting the clock by slewing
# it (500 ppm at most) stays below this for half an hour; a step does not.
_CLOCK_STEP_NS = _SECOND_NS


class Status(StrEnum):
    """How far an interval is proven."""

    EXACT = "exact"
    """The kernel's own count, met to the packet and byte."""
    LOSSY = "lossy"
    """The kernel's own count, missed by a known number that is booked on *unattributed*."""
    UNPROVEN = "unproven"
    """No independent count exists; loss is what the mechanism itself admits."""
    INTERRUPTED = "interrupted"
    """Nobody counted for part of it."""


@final
@dataclass(frozen=True, slots=True)
class Count:
    """Packets and bytes, checked: neither below zero nor above 64 bits.

    Raises:
        OverflowError: a number is out of range, at birth or by adding or subtracting.
    """

    packets: int
    bytes: int

    def __post_init__(self) -> None:
        # Without a loop: a report of a month makes tens of thousands of these.
        if not (0 <= self.packets <= COUNT_MAX and 0 <= self.bytes <= COUNT_MAX):
            number = self.bytes if 0 <= self.packets <= COUNT_MAX else self.packets
            raise OverflowError(f"{number} is no 64-bit counter")

    def __add__(self, other: Self) -> "Count":
        return Count(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Self) -> "Count":
        return Count(self.packets - other.packets, self.bytes - other.bytes)

    def covers(self, other: Self) -> bool:
        """Whether ``other`` can be subtracted."""
        return self.packets >= other.packets and self.bytes >= other.bytes


ZERO = Count(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a source says of one closed generation.

    Attributes:
        kernel: the kernel's own count, independent of ours; None where the mechanism has none.
        accounted: what is in the rows.
        other: the part of ``accounted`` that has no detail because ``rows_max`` was reached.
        lost_by_sequence_packets: packets that the kernel numbered and that never came.
        unreadable_packets: IP packets that came and could not be read, so that they are in no row.
        dropped_packets: packets that the kernel had no room for, as it says itself; None where it does not say.
        super_packets: of what came, packets that were merged or not yet split; None where that is not known.
        wire_packets: what came as packets of the wire: in place of each super-packet what it was, or became.
        wire_bytes: the same in bytes of IP, with a header for each of those packets.
        errors: how often things went wrong, by name.
        rows: rows of the generation.
        interrupted: None, or from when to when nobody counted, and why.
        source: the mechanism, such as ``nflog``.
        meaning: what one packet means here, such as ``merged super-packets``.
        why_lost: the source's own words on what is lost, or None.
        table: what kind of rows it has.
        proof: what counters of other code of the kernel said beside it, in one word; None: they were not asked.
    """

    kernel: Count | None
    accounted: Count
    other: Count = ZERO
    lost_by_sequence_packets: int = 0
    unreadable_packets: int = 0
    dropped_packets: int | None = None
    super_packets: int | None = None
    wire_packets: int | None = None
    wire_bytes: int | None = None
    errors: Mapping[str, int] = field(default_factory=dict)
    rows: int
    interrupted: str | None = None
    source: str
    meaning: str
    why_lost: str | None = None
    table: Table = Table.TRAFFIC
    proof: str | None = None

    @property
    def lost(self) -> Count:
        """What the kernel counted and is in no row.

        Without a kernel count: what the kernel admits, and what came and could not be read.

        When the kernel's count was reset by someone else it is taken number by number, never below zero.
        """
        if self.kernel is None:
            return Count(self.admitted_packets + self.unreadable_packets, 0)
        return Count(
            max(0, self.kernel.packets - self.accounted.packets), max(0, self.kernel.bytes - self.accounted.bytes)
        )

    @property
    def admitted_packets(self) -> int:
        """What the kernel says that it had and did not hand over."""
        return self.lost_by_sequence_packets + (self.dropped_packets or 0)

    @property
    def unattributed(self) -> Count:
        """What the row *unattributed* is to hold; zero means that there is none."""
        return ZERO if self.kernel is None else self.lost

    @property
    def was_reset(self) -> bool:
        """Whether the kernel's count is below what we got, so that it cannot be the count of the whole interval."""
        return self.kernel is not None and not self.kernel.covers(self.accounted)

    @property
    def status(self) -> Status:
        """How far the generation is proven."""
        if self.interrupted is not None or self.was_reset:
            return Status.INTERRUPTED
        if self.kernel is None:
            return Status.UNPROVEN
        return Status.EXACT if self.kernel == self.accounted else Status.LOSSY


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The receipt of one interval; ``(node, meter, seq)`` is its identity.

    Attributes:
        start_ns: start of the interval by the wall clock, UTC nanoseconds since 1970.
        end_ns: its end.
        monotonic_ns: its length by a clock that is never stepped.
        observed: what the source says.
        remarks: what others have to say, such as why the interval is longer than it should be.
        imported: where it comes from, when it was not counted here.
    """

    node: str
    meter: str
    seq: int
    start_ns: int
    end_ns: int
    monotonic_ns: int
    observed: Observed
    remarks: tuple[str, ...] = ()
    imported: Mapping[str, str | int] | None = None

    @property
    def status(self) -> Status:
        """How far the interval is proven."""
        return self.observed.status

    @property
    def lost(self) -> Count:
        """What the kernel counted and is in no row of an address."""
        return self.observed.lost

    @property
    def rows(self) -> int:
        """Rows of the interval, the one for *unattributed* included."""
        return self.observed.rows + (self.observed.unattributed != ZERO)

    @property
    def reason(self) -> str | None:
        """Why the interval is not simply exact, or None when there is nothing to say."""
        parts = [part for part in (self.observed.interrupted, self.observed.why_lost) if part]
        if self.observed.was_reset:
            parts.append("the kernel's counter was reset by someone else")
        clock_step_ns = (self.end_ns - self.start_ns) - self.monotonic_ns
        if abs(clock_step_ns) > _CLOCK_STEP_NS:
            way = "forward" if clock_step_ns > 0 else "back"
            parts.append(f"the clock was stepped {way} by {seconds(abs(clock_step_ns))} s")
        parts.extend(self.remarks)
        return "; ".join(parts) or None

    def to_json(self) -> dict[str, object]:
        """The receipt as JSON values: integers plain, times RFC 3339 in UTC, durations in seconds."""
        seen = self.observed
        return {
            "node": self.node,
            "meter": self.meter,
            "seq": self.seq,
            "interval_start": rfc3339(self.start_ns),
            "interval_end": rfc3339(self.end_ns),
            "status": str(self.status),
            "kernel_packets": None if seen.kernel is None else seen.kernel.packets,
            "kernel_bytes": None if seen.kernel is None else seen.kernel.bytes,
            "accounted_packets": seen.accounted.packets,
            "accounted_bytes": seen.accounted.bytes,
            "lost_packets": self.lost.packets,
            "lost_bytes": self.lost.bytes,
            "other_packets": seen.other.packets,
            "other_bytes": seen.other.bytes,
            "rows": self.rows,
            "reason": self.reason,
            "lost": {
                "sequence_gap_packets": seen.lost_by_sequence_packets,
                **({} if seen.dropped_packets is None else {"dropped_packets": seen.dropped_packets}),
                "unreadable_packets": seen.unreadable_packets,
                "unexplained_packets": max(0, self.lost.packets - seen.admitted_packets - seen.unreadable_packets),
            },
            "errors": dict(sorted(seen.errors.items())),
            "wall_seconds": seconds(self.end_ns - self.start_ns),
            "monotonic_seconds": seconds(self.monotonic_ns),
            "source": seen.source,
            "meaning": seen.meaning,
            **({} if seen.super_packets is None else {"super_packets": seen.super_packets}),
            **({} if seen.wire_packets is None else {"wire_packets": seen.wire_packets}),
            **({} if seen.wire_bytes is None else {"wire_bytes": seen.wire_bytes}),
            **({} if seen.proof is None else {"proof": seen.proof}),
            **({} if seen.table is Table.TRAFFIC else {"table": str(seen.table)}),
            **({} if self.imported is None else {"import": dict(self.imported)}),
        }

    def to_line(self) -> str:
        """The receipt as one line of JSON, with its line end."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"


class Counted(Protocol):
    """What a balance is made of: an interval, fresh from its source or read back."""

    @property
    def status(self) -> Status:
        """How far it is proven."""

    @property
    def kernel(self) -> Count | None:
        """The kernel's own count, or None."""

    @property
    def accounted(self) -> Count:
        """What is in the rows."""

    @property
    def lost(self) -> Count:
        """What the kernel counted and is in no row of an address."""


def _sum(counts: Sequence[Count]) -> Count:
    return Count(sum(one.packets for one in counts), sum(one.bytes for one in counts))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Receipts added up. An interval without a kernel count makes the kernel's sum unknown (None)."""

    statuses: Mapping[Status, int]
    kernel: Count | None
    accounted: Count
    lost: Count

    @classmethod
    def of(cls, observed: Iterable[Counted]) -> "Balance":
        """The sum over any number of intervals; of none, it is zero.

        Raises:
            OverflowError: a sum does not fit 64 bits.
        """
        statuses: Counter[Status] = Counter()
        kernels: list[Count | None] = []
        accounted, lost = [], []
        for one in observed:
            statuses[one.status] += 1
            kernels.append(one.kernel)
            accounted.append(one.accounted)
            lost.append(one.lost)
        known = [one for one in kernels if one is not None]
        return cls(
            statuses=statuses,
            kernel=_sum(known) if len(known) == len(kernels) else None,
            accounted=_sum(accounted),
            lost=_sum(lost),
        )

    def to_json(self) -> dict[str, int | None]:
        """The shape that reports and audits share."""
        return {
            "intervals": sum(self.statuses.values()),
            **{str(status): self.statuses.get(status, 0) for status in Status},
            "kernel_packets": None if self.kernel is None else self.kernel.packets,
            "kernel_bytes": None if self.kernel is None else self.kernel.bytes,
            "accounted_packets": self.accounted.packets,
            "accounted_bytes": self.accounted.bytes,
            "lost_packets": self.lost.packets,
            "lost_bytes": self.lost.bytes,
        }


def rfc3339(wall_ns: int) -> str:
    """A moment as text in UTC, with as many decimals as it needs: ``2026-11-20T10:05:00Z``."""
    whole, rest = divmod(wall_ns, _SECOND_NS)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else f"{text}Z"


def parse_rfc3339(text: str) -> int:
    """The moment that :func:`rfc3339` wrote, UTC nanoseconds since 1970.

    Raises:
        ValueError: it is of another form.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no UTC time")
    whole = datetime.strptime(match["whole"], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(whole.timestamp()) * _SECOND_NS + int((match["rest"] or "").ljust(9, "0"))


def seconds(duration_ns: int) -> int | float:
    """A duration in seconds: an integer when it is whole."""
    whole, rest = divmod(duration_ns, _SECOND_NS)
    return duration_ns / _SECOND_NS if rest else whole
