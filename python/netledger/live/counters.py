"""Named counters of the kernel, as who may read them tells those who may not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

COUNTERS_MAX: Final = 200_000
"""So many are told at most; an answer has to fit into memory on both sides."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CounterRow:
    """One counter.

    Attributes:
        kind: ``nfacct`` or ``nft``.
        name: the object's; of nft its family, table and name.
        packets: what it has counted since it was made or set back.
        bytes: their IP total lengths.
        rules: how many rules use it.
        quota: its limit, or None.
        quota_unit: ``packets`` or ``bytes``, or None.
        over_quota: whether the limit was reached; None without one.
    """

    kind: str
    name: str
    packets: int
    bytes: int
    rules: int
    quota: int | None = None
    quota_unit: str | None = None
    over_quota: bool | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CountersHead:
    """What stands in front of the counters in an answer.

    Attributes:
        now: when they were read, RFC 3339 in UTC.
        counters: how many there are.
        counters_told: how many of them follow.
    """

    now: str
    counters: int
    counters_told: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCounters:
    """The counters at one moment; those of nfacct in the order in which they were made."""

    head: CountersHead
    rows: Sequence[CounterRow]
