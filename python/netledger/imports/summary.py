"""What an import has done, or would do, for people and for programs."""

from collections.abc import Iterator
from typing import Final

from netledger.imports.book import Placed, Plan, Wish
from netledger.receipt import WITHOUT_IPV6_HEADER, Count, rfc3339
from netledger.reports.harmless import harmless
from netledger.reports.remarks import counted

_LISTED_MAX: Final = 3


def lines(plan: Plan, wish: Wish, *, unfinished: int, is_dry_run: bool) -> Iterator[str]:
    """A line for each thing that is to be known."""
    zone, sums = wish.zone, _sums(plan)
    would = "would book  " if is_dry_run else "booked      "
    files = len({one.period.path for one in plan.new})
    span = _span(plan)
    when = "" if span is None else f", {zone.text(span[0])} to {zone.text(span[1])}"
    yield f"{would}{counted(len(plan.new), 'period')} of {counted(files, 'file')} for {wish.meter} on {wish.node}{when}"
    if plan.new:
        yield f"rows        {sum(one.rows for one in plan.new):,}"
        yield f"accounted   {sums.packets:,} packets, {sums.bytes:,} bytes; unproven: there is no count to compare with"
    if plan.known:
        yield f"known       {counted(plan.known, 'period')} that the ledger has already"
    doubled = [one for one in plan.new if one.is_ambiguous]
    for one in doubled[:_LISTED_MAX]:
        start = zone.text(one.span.start_ns)
        yield f"shown twice {harmless(one.period.path.name)}: by the order of the files its start is {start}"
    if len(doubled) > _LISTED_MAX:
        yield f"shown twice {counted(len(doubled) - _LISTED_MAX, 'more period')}; --json lists them"
    if plan.overlapping:
        yield f"twice       {counted(plan.overlapping, 'period')} overlap others: netledger audit names them"
    if any(WITHOUT_IPV6_HEADER in one.meaning for one in plan.new):
        yield f"ipv6        {WITHOUT_IPV6_HEADER} ({wish.kind.ipv6_header_bytes} a packet), and their receipts say so"
    if unfinished:
        yield f"left alone  {counted(unfinished, 'file')} *.tmp that the old program never finished"
    if plan.refused:
        yield f"refused     {counted(len(plan.refused), 'file')}; nothing of them is imported"


def to_json(plan: Plan, wish: Wish, *, files: int, unfinished: int, is_dry_run: bool) -> dict[str, object]:
    """The same as JSON values."""
    sums, span = _sums(plan), _span(plan)
    return {
        "kind": wish.kind.name,
        "node": wish.node,
        "meter": wish.meter,
        "timezone": wish.zone.name,
        "dry_run": is_dry_run,
        "files": files,
        "booked": len(plan.new),
        "known": plan.known,
        "overlapping": plan.overlapping,
        "unfinished": unfinished,
        "rows": sum(one.rows for one in plan.new),
        "packets": sums.packets,
        "bytes": sums.bytes,
        "period": None if span is None else {"start": rfc3339(span[0]), "end": rfc3339(span[1])},
        "ambiguous": [_placed(one) for one in plan.new if one.is_ambiguous],
        "refused": [{"place": one.subject, "why": one.cause, "hint": one.hint} for one in plan.refused],
    }


def _placed(one: Placed) -> dict[str, object]:
    return {
        "file": harmless(str(one.period.path)),
        "local_start": one.period.start_text,
        "start": rfc3339(one.span.start_ns),
        "end": rfc3339(one.span.end_ns),
    }


def _sums(plan: Plan) -> Count:
    return Count(sum(one.accounted.packets for one in plan.new), sum(one.accounted.bytes for one in plan.new))


def _span(plan: Plan) -> tuple[int, int] | None:
    if not plan.new:
        return None
    return min(one.span.start_ns for one in plan.new), max(one.span.end_ns for one in plan.new)
