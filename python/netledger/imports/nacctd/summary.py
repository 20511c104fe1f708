"""What an import of logs has done, or would do, for people and for programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from netledger.imports.nacctd.book import Booked
from netledger.imports.nacctd.plan import LogPlan
from netledger.imports.nacctd.wish import NAME, LogWish
from netledger.receipt import Count, rfc3339
from netledger.reports.remarks import counted, duration
from netledger.reports.zones import Zone

_SECOND_NS: Final = 1_000_000_000


@final
@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be told.

    Attributes:
        wish: what was asked for.
        plan: what was new.
        done: what was booked of it; None in a dry run.
        zone: of the times that people are told.
    """

    wish: LogWish
    plan: LogPlan
    done: Booked | None
    zone: Zone

    @property
    def _lines(self) -> int:
        return sum(one.lines for one in self.plan.files)

    @property
    def _known_lines(self) -> int:
        return sum(one.known_lines for one in self.plan.files)

    @property
    def _accounted(self) -> Count:
        found = [one.accounted for one in self.plan.files]
        return Count(sum(one.packets for one in found), sum(one.bytes for one in found))

    @property
    def _span(self) -> tuple[int, int] | None:
        """From the first time to the second behind the last one, UTC nanoseconds."""
        spans = [one.span for one in self.plan.files if one.span]
        if not spans:
            return None
        return min(first for first, _ in spans) * _SECOND_NS, (max(last for _, last in spans) + 1) * _SECOND_NS

    def lines(self) -> Iterator[str]:
        """A line for each thing that is to be known."""
        files = sum(bool(one.wanted) for one in self.plan.files)
        would = "would book  " if self.done is None else "booked      "
        span = self._span
        when = "" if span is None else f", written {self.zone.text(span[0])} to {self.zone.text(span[1])}"
        yield (
            f"{would}{counted(self._lines, 'line')} of {counted(files, 'file')} for {self.wish.meter} on "
            f"{self.wish.node}{when}"
        )
        yield from self._of_fields()
        if self.done is not None and self.done.intervals:
            length = duration(self.plan.period_seconds * _SECOND_NS)
            yield f"intervals   {self.done.intervals:,} of {length} at most, with {counted(self.done.rows, 'row')}"
        if span is not None:
            sums = self._accounted
            amount = f"{sums.packets:,} packets, {sums.bytes:,} bytes"
            yield f"accounted   {amount}; unproven: there is no count to compare with"
        yield from self._of_users()
        if self._known_lines:
            yield f"known       {counted(self._known_lines, 'line')} that the ledger has already"
        for one in self.plan.files:
            if one.log.unfinished_line is not None:
                yield f"left alone  {one.log.name}:{one.log.unfinished_line}: the last line has no end yet"
        if self.plan.refused:
            yield f"refused     {counted(len(self.plan.refused), 'file')}; nothing of them is imported"

    def _of_fields(self) -> Iterator[str]:
        for fields in dict.fromkeys(one.fields for one in self.plan.files):
            found = [one for one in self.plan.files if one.fields == fields]
            how = "" if found[0].are_given else ", found out from the lines"
            several = "" if len(found) == len(self.plan.files) else f" in {counted(len(found), 'file')}"
            yield f"fields      {fields}{several}{how}"
            if "count" not in fields.names:
                yield "packets     were not written: they are booked as 0"
            if "bytes" not in fields.names:
                yield "bytes       were not written: they are booked as 0"

    def _of_users(self) -> Iterator[str]:
        if self.done is None or not self.done.users:
            return
        users, addresses = len(self.done.users), len(self.done.addresses)
        where = f"{addresses:,} {'address' if addresses == 1 else 'addresses'}"
        how = "" if self.wish.networks.inside else ", found out from the lines (--users-in says whose they are)"
        new = counted(self.done.facts, "new assignment")
        yield f"users       {counted(users, 'user')} of {where}, {new}{how}"
        if contested := sorted(self.done.contested):
            more = "" if len(contested) == 1 else f" and {len(contested) - 1:,} more"
            yield f"contested   {contested[0]}{more}: another log has another user at the same time. By subject that is"
            yield "            nobody's traffic; by label each user has what stands in the log"

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        sums, span, done = self._accounted, self._span, self.done
        return {
            "kind": NAME,
            "node": self.wish.node,
            "meter": self.wish.meter,
            "dry_run": done is None,
            "files": len(self.plan.files) + len(self.plan.refused),
            "booked": sum(len(one.wanted) for one in self.plan.files) if done is None else done.intervals,
            "known": sum(one.known for one in self.plan.files),
            "lines": self._lines,
            "known_lines": self._known_lines,
            "period_seconds": self.plan.period_seconds,
            "fields": [{"file": one.log.name, "fields": str(one.fields)} for one in self.plan.files],
            "rows": 0 if done is None else done.rows,
            "packets": sums.packets,
            "bytes": sums.bytes,
            "period": None if span is None else {"start": rfc3339(span[0]), "end": rfc3339(span[1])},
            "users": 0 if done is None else len(done.users),
            "assignments": 0 if done is None else done.facts,
            "contested": [] if done is None else sorted(done.contested),
            "unfinished": [one.log.name for one in self.plan.files if one.log.unfinished_line is not None],
            "refused": [{"place": one.subject, "why": one.cause, "hint": one.hint} for one in self.plan.refused],
        }
