"""Reads what netledger exported, with the standard library only: the program under test does not check itself."""

import csv
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.kernel.lab import Count

ZERO = Count(0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of an interval, with the columns these checks need."""

    account: str
    host: str
    sent: Count
    received: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One committed interval: the receipt as it stands in its file, and the rows."""

    name: str
    receipt: dict[str, object]
    rows: tuple[Row, ...]

    @property
    def identity(self) -> tuple[str, str, int]:
        return str(self.receipt["node"]), str(self.receipt["meter"]), self.seq

    @property
    def seq(self) -> int:
        return self._number("seq")

    @property
    def status(self) -> str:
        return str(self.receipt["status"])

    @property
    def reason(self) -> str:
        return str(self.receipt["reason"] or "")

    @property
    def start(self) -> str:
        return str(self.receipt["interval_start"])

    @property
    def end(self) -> str:
        return str(self.receipt["interval_end"])

    @property
    def has_kernel_count(self) -> bool:
        return self.receipt["kernel_packets"] is not None

    @property
    def kernel(self) -> Count:
        return self._count("kernel")

    @property
    def accounted(self) -> Count:
        return self._count("accounted")

    @property
    def lost(self) -> Count:
        return self._count("lost")

    @property
    def sent(self) -> Count:
        return total(row.sent for row in self.rows)

    @property
    def received(self) -> Count:
        return total(row.received for row in self.rows)

    def problems(self) -> list[str]:
        """Where this interval breaks the promise: sum of the rows = kernel = accounted + lost, on both sides."""
        found = []
        if self.has_kernel_count and self.status in ("exact", "lossy"):
            if self.kernel != self.accounted + self.lost:
                found.append(f"{self.name}: {self.kernel} is not {self.accounted} + {self.lost}")
            found += [
                f"{self.name}: rows {side} {rows}, kernel {self.kernel}"
                for side, rows in (("sent", self.sent), ("received", self.received))
                if rows != self.kernel
            ]
        if self.status == "exact" and self.lost != ZERO:
            found.append(f"{self.name}: exact, and yet {self.lost} lost")
        if self.status in ("lossy", "interrupted") and not self.reason:
            found.append(f"{self.name}: {self.status} without a reason")
        if len(self.rows) != self._number("rows"):
            found.append(f"{self.name}: {len(self.rows)} rows, the receipt says {self.receipt['rows']}")
        return found

    def _count(self, name: str) -> Count:
        return Count(self._number(f"{name}_packets"), self._number(f"{name}_bytes"))

    def _number(self, name: str) -> int:
        value = self.receipt[name]
        if not isinstance(value, int):
            raise TypeError(f"{self.name}: {name} is {value!r}")
        return value


@dataclass(frozen=True, slots=True)
class Books:
    """All intervals of a meter, in their order."""

    intervals: tuple[Interval, ...]
    strays: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, store: Path, meter: str = "lan") -> "Books":
        """What is committed now. ``strays`` are files that belong to no complete interval."""
        directory = store / "exports" / meter
        receipts = sorted(directory.glob("*.receipt.json"))
        intervals = [_interval(path) for path in receipts]
        known = {f"{one.name}{ending}" for one in intervals for ending in (".csv", ".receipt.json")}
        strays = sorted(path.name for path in directory.glob("*") if path.name not in known)
        return cls(tuple(sorted(intervals, key=lambda one: one.seq)), tuple(strays))

    @property
    def sent(self) -> Count:
        return total(one.sent for one in self.intervals)

    @property
    def received(self) -> Count:
        return total(one.received for one in self.intervals)

    @property
    def kernel(self) -> Count:
        return total(one.kernel for one in self.intervals)

    @property
    def accounted(self) -> Count:
        return total(one.accounted for one in self.intervals)

    @property
    def lost(self) -> Count:
        return total(one.lost for one in self.intervals)

    @property
    def statuses(self) -> Counter[str]:
        return Counter(one.status for one in self.intervals)

    def by_host(self) -> dict[tuple[str, str], Row]:
        """All intervals added up, per (account, host)."""
        rows: dict[tuple[str, str], Row] = {}
        for row in (row for one in self.intervals for row in one.rows):
            key = (row.account, row.host)
            old = rows.get(key, Row(account=row.account, host=row.host, sent=ZERO, received=ZERO))
            sent, received = old.sent + row.sent, old.received + row.received
            rows[key] = Row(account=row.account, host=row.host, sent=sent, received=received)
        return rows

    def problems(self, *, gaps_max: int = 0) -> list[str]:
        """Every broken promise: of an interval; identities given twice; gaps, overlaps; files without an interval.

        A clean stop ends an interval and the next start begins one: ``gaps_max`` says how often that may be.
        """
        found = [problem for one in self.intervals for problem in one.problems()]
        counted = Counter(one.identity for one in self.intervals)
        found += [f"identity {identity} {times} times" for identity, times in counted.items() if times > 1]
        gaps = [
            f"{before.name} ends {before.end}, {after.name} starts {after.start}"
            for before, after in zip(self.intervals, self.intervals[1:], strict=False)
            if before.end != after.start
        ]
        found += gaps if len(gaps) > gaps_max else []
        return found + [f"stray file {name}" for name in self.strays]


def total(counts: Iterable[Count]) -> Count:
    """Counts added up."""
    return sum(counts, start=ZERO)


def _interval(path: Path) -> Interval:
    name = path.name.removesuffix(".receipt.json")
    receipt = json.loads(path.read_text())
    with path.with_name(f"{name}.csv").open(newline="") as lines:
        rows = tuple(_row(line) for line in csv.DictReader(lines))
    return Interval(name=name, receipt=receipt, rows=rows)


def _row(line: dict[str, str]) -> Row:
    return Row(
        account=line["account"],
        host=line["host"],
        sent=Count(int(line["sent_packets"]), int(line["sent_bytes"])),
        received=Count(int(line["received_packets"]), int(line["received_bytes"])),
    )
