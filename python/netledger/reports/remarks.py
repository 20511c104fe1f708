"""What must be said about totals: whether they are proven, whether they are whole, and if not, why."""

from collections.abc import Iterator, Sequence
from typing import Final

from netledger.receipt import WITHOUT_BYTES, WITHOUT_IPV6_HEADER, WITHOUT_PACKETS, ZERO, Balance, Count, Status
from netledger.reports.periods import Period
from netledger.reports.totals import Answer
from netledger.reports.zones import Zone

_LISTED_MAX: Final = 3
_NS_PER_SECOND: Final = 1_000_000_000
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def balance_line(balance: Balance) -> str:
    """The balance in one line: ``balance: 288 intervals, all exact; kernel 9 packets, 900 bytes = accounted``."""
    count = sum(balance.statuses.values())
    statuses = [f"{number:,} {status}" for status in Status if (number := balance.statuses.get(status, 0))]
    if not count:
        return "balance: no intervals"
    head = f"balance: {counted(count, 'interval')}, "
    head += f"all {next(iter(balance.statuses))}" if len(statuses) == 1 and count > 1 else ", ".join(statuses)
    if count == 1:
        head = f"balance: 1 interval, {next(iter(balance.statuses))}"
    parts = f"accounted {_count(balance.accounted)}"
    if balance.lost != ZERO:
        parts += f" + lost {_count(balance.lost)}"
    if balance.kernel is None:
        return f"{head}; no count of the kernel for all of them; {parts}"
    if balance.kernel == balance.accounted and balance.lost == ZERO:
        return f"{head}; kernel {_count(balance.kernel)} = accounted"
    sign = "=" if balance.kernel == balance.accounted + balance.lost else "against"
    return f"{head}; kernel {_count(balance.kernel)} {sign} {parts}"


def doubts(answer: Answer, zone: Zone) -> list[str]:
    """Why the numbers are not all proven or complete, a sentence each; empty when they are."""
    sentences = [*_unproven(answer, zone), *_uncovered(answer, zone), *_removed(answer)]
    if not answer.intervals:
        chosen = " by such a meter" if answer.question.where.interval_sql != "TRUE" else ""
        sentences.insert(0, f"the ledger holds no interval of this period{chosen}")
    return sentences


def notes(answer: Answer, zone: Zone) -> list[str]:
    """What helps to understand the numbers, without making them less true."""
    sentences = []
    question = answer.question
    if answer.coverage and question.period.end_ns > answer.now_ns:
        reached = max(one.end_ns for one in answer.coverage)
        sentences.append(f"the period goes on; counted up to {zone.text(reached)}")
    meters = sorted({one.meter for one in answer.intervals})
    if len(meters) > 1 and "meter" not in question.by:
        sentences.append(
            f"rows of {len(meters)} meters are added up, which may count the same packets: {', '.join(meters)} "
            "(--by meter,… tells them apart)"
        )
    without = sorted({one.meter for one in answer.intervals if WITHOUT_IPV6_HEADER in one.receipt})
    if without:
        sentences.append(f"{WITHOUT_IPV6_HEADER}, as an imported program has counted them: {', '.join(without)}")
    for missing in (WITHOUT_PACKETS, WITHOUT_BYTES):
        without = sorted({one.meter for one in answer.intervals if missing in one.receipt})
        if without:
            sentences.append(f"{missing} by an imported program, and are added up as 0: {', '.join(without)}")
    if answer.crossing:
        sentences.append(f"{counted(answer.crossing, 'interval')} across a border: counted where they begin, and whole")
    if answer.days_of_hours:
        days = answer.days_of_hours
        sums = "sums by subject" if question.is_of_subjects else "hourly sums"
        sentences.append(
            f"the detail of {counted(len(days), 'UTC day')} was removed because of its age: {_days(days)}; "
            f"these totals rest on {sums}, which were proven when they were made"
        )
    sentences.extend(_of_subjects(answer, zone))
    if question.where.is_of_rows:
        sentences.extend(_hidden(answer))
    return sentences


def _of_subjects(answer: Answer, zone: Zone) -> Iterator[str]:
    """What a report by subject rests on."""
    known_at_ns = answer.question.as_known_at_ns
    at = "" if known_at_ns is None else f" at {zone.text(known_at_ns)}"
    if answer.has_facts is False:
        yield f"nothing was known of anybody{at}: it is said by netledger assign, or by [attribution.NAME]"
    elif known_at_ns is not None:
        yield f"whose it was, as known{at}"
    if answer.totals.partly_bytes:
        yield (
            f"{counted(answer.totals.partly_bytes, 'byte')} sent and received rest on intervals of which their "
            "subject held the address for a part only, and nobody for the rest"
        )


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(length_ns: int) -> str:
    """A length of time in its two largest units."""
    seconds, parts = -(-length_ns // _NS_PER_SECOND), []
    for name, size in _UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {name}")
    return " ".join(parts[:2]) or "0 s"


def _unproven(answer: Answer, zone: Zone) -> Iterator[str]:
    """Intervals that are lossy or interrupted: how many, and the first of them with their reasons."""
    for status in (Status.LOSSY, Status.INTERRUPTED):
        found = [one for one in answer.intervals if one.status is status]
        for one in found[:_LISTED_MAX]:
            lost = f", lost {_count(one.lost)}" if one.lost != ZERO else ""
            reason = f": {one.reason}" if one.reason else ""
            yield f"{status}: {one.meter} on {one.node}, {_span(Period(one.start_ns, one.end_ns), zone)}{lost}{reason}"
        if len(found) > _LISTED_MAX:
            yield f"{status}: {counted(len(found) - _LISTED_MAX, 'more interval')} (netledger audit lists them)"


def _uncovered(answer: Answer, zone: Zone) -> Iterator[str]:
    for one in answer.coverage:
        for word, spans in (("not covered", one.gaps), ("counted twice", one.overlaps)):
            yield from _listed(f"{word} by {one.meter} on {one.node}", spans, zone)


def _listed(head: str, spans: Sequence[Period], zone: Zone) -> Iterator[str]:
    for span in spans[:_LISTED_MAX]:
        yield f"{head}: {_span(span, zone)}"
    if len(spans) > _LISTED_MAX:
        more = spans[_LISTED_MAX:]
        together = sum(span.end_ns - span.start_ns for span in more)
        yield f"{head}: {counted(len(more), 'more time')}, {duration(together)} together"


def _removed(answer: Answer) -> Iterator[str]:
    days = answer.days_dropped
    if days:
        text = f"rows of {counted(len(days), 'UTC day')} were removed because of their age: {_days(days)}"
        if answer.days_with_hours:
            text += (
                f"; their totals by node, meter, account and host are kept for whole hours of UTC"
                f"{'' if len(answer.days_with_hours) == len(days) else ' from ' + answer.days_with_hours[0]}"
            )
        yield text
    if answer.days_outdated:
        yield (
            f"whose the rows of {counted(len(answer.days_outdated), 'UTC day')} were is as it was known when they were "
            f"removed: {_days(answer.days_outdated)}; what was learnt since would change it"
        )


def _days(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _hidden(answer: Answer) -> Iterator[str]:
    """Traffic that may be among what was asked for, and cannot be told."""
    for column, rows in answer.undetailed.items():
        yield f"{counted(rows, 'row')} without {column}, which their meters do not tell apart, are left out"
    other = sum((one.other for one in answer.intervals), ZERO)
    if other != ZERO:
        yield f"{_count(other)} are booked on other, without detail: they may belong to what was asked for"
    if answer.balance.lost != ZERO:
        yield f"{_count(answer.balance.lost)} were lost: they may belong to what was asked for"


def _span(span: Period, zone: Zone) -> str:
    return f"{zone.text(span.start_ns)} to {zone.text(span.end_ns)} ({duration(span.end_ns - span.start_ns)})"


def _count(count: Count) -> str:
    return f"{counted(count.packets, 'packet')}, {counted(count.bytes, 'byte')}"
