"""Named counters at one moment, as a table for people and as JSON."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final, final

from netledger.errors import UsageError
from netledger.live.counters import CounterRow, LiveCounters
from netledger.receipt import parse_rfc3339
from netledger.reports.aligned import Column, lines
from netledger.reports.patterns import pattern
from netledger.reports.remarks import counted
from netledger.reports.units import Unit, shown_bytes

SORTS: Final = ("bytes", "packets", "name", "rate", "kernel")
"""What counters can be ordered by: ``kernel`` is as the kernel lists them, ``rate`` is bytes a second."""

_NS_PER_SECOND: Final = 1_000_000_000
_Rates = dict[tuple[str, str], tuple[int, int]]


@final
class Rates:
    """Packets and bytes a second, between two looks."""

    def __init__(self) -> None:
        self.known: _Rates = {}
        self._before: _Rates = {}
        self._before_ns: int | None = None

    def look(self, found: LiveCounters) -> None:
        """Takes another look. What is below what it was has been set back: it counts from zero."""
        now_ns = parse_rfc3339(found.head.now)
        passed_ns = None if self._before_ns is None else max(1, now_ns - self._before_ns)
        now = {(row.kind, row.name): (row.packets, row.bytes) for row in found.rows}
        self.known = {} if passed_ns is None else {key: self._rate(key, one, passed_ns) for key, one in now.items()}
        self._before, self._before_ns = now, now_ns

    def _rate(self, key: tuple[str, str], now: tuple[int, int], passed_ns: int) -> tuple[int, int]:
        before = self._before.get(key, (0, 0))
        if now[0] < before[0] or now[1] < before[1]:
            before = (0, 0)
        packets, octets = ((one - was) * _NS_PER_SECOND // passed_ns for one, was in zip(now, before, strict=True))
        return packets, octets


def chosen(
    found: LiveCounters, patterns: Sequence[str], *, sort: str, limit: int | None, rates: Rates | None = None
) -> list[CounterRow]:
    """The counters whose name fits one of the patterns, or all without any, in their order.

    Raises:
        UsageError: that order needs two looks.
    """
    if sort == "rate" and rates is None:
        raise UsageError("--sort rate", "", "only with --watch", "one look knows no rates")
    wanted = [pattern(one) for one in patterns]
    rows = [row for row in found.rows if not wanted or any(one.fullmatch(row.name) for one in wanted)]
    if sort == "name":
        rows.sort(key=lambda row: (row.name, row.kind))
    elif sort != "kernel":
        known = {} if rates is None else rates.known
        rows.sort(key=lambda row: (-_greatness(row, sort, known), row.name, row.kind))
    return rows[:limit]


def table(rows: Sequence[CounterRow], all_rows: int, unit: Unit, *, rates: Rates | None = None) -> Iterator[str]:
    """A line for each counter below their titles, and what is left out."""
    columns = [
        Column("name", [row.name for row in rows], "", is_right=False),
        Column("kind", [row.kind for row in rows], "", is_right=False),
        Column("packets", [f"{row.packets:,}" for row in rows], "", is_right=True),
        Column("bytes", [shown_bytes(row.bytes, unit) for row in rows], "", is_right=True),
        Column("rules", [f"{row.rules:,}" for row in rows], "", is_right=True),
    ]
    if rates is not None:
        known = [rates.known.get((row.kind, row.name)) for row in rows]
        columns.insert(
            3, Column("packets/s", ["" if one is None else f"{one[0]:,}" for one in known], "", is_right=True)
        )
        speeds = ["" if one is None else shown_bytes(one[1], unit) for one in known]
        columns.insert(5, Column("bytes/s", speeds, "", is_right=True))
    if any(row.quota is not None for row in rows):
        columns.append(Column("quota", [_quota(row, unit) for row in rows], "", is_right=True))
    yield from lines(columns)
    if not rows:
        yield "no counters" if not all_rows else "no counter has such a name"
    elif len(rows) < all_rows:
        yield ""
        yield f"shown: {len(rows):,} of {counted(all_rows, 'counter')}"


def to_json(now: str, rows: Sequence[CounterRow], rates: Rates | None = None) -> str:
    """One object: when it was, and the counters."""
    told = []
    for row in rows:
        one: dict[str, object] = asdict(row)
        rate = None if rates is None else rates.known.get((row.kind, row.name))
        if rates is not None:
            one["packets_per_second"], one["bytes_per_second"] = rate or (None, None)
        told.append(one)
    return json.dumps({"now": now, "counters": told}, ensure_ascii=False)


def _greatness(row: CounterRow, sort: str, known: _Rates) -> int:
    if sort == "rate":
        return known.get((row.kind, row.name), (0, 0))[1]
    return row.bytes if sort == "bytes" else row.packets


def _quota(row: CounterRow, unit: Unit) -> str:
    if row.quota is None:
        return ""
    limit = shown_bytes(row.quota, unit) if row.quota_unit == "bytes" else counted(row.quota, "packet")
    return f"{limit}, reached" if row.over_quota else limit
