"""Stretches of time in the words people use for them: ``today``, ``last-month``, ``2026-11``, ``START..END``.

A period is half-open: it contains its start and not its end, so that periods which follow each other share nothing.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, final

from netledger.errors import UsageError
from netledger.reports.zones import FIRST_YEAR, LAST_YEAR, Zone

_DAYS_PER_WEEK: Final = 7
_MONTHS_PER_YEAR: Final = 12
_BILLING_DAY_MAX: Final = 31

_YEAR: Final = re.compile(r"(?P<year>\d{4})")
_MONTH: Final = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})")
_WEEK: Final = re.compile(r"(?P<year>\d{4})-W(?P<week>\d{2})")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
# Python's clocks end at microseconds, the ledger's do not.
_BELOW_MICROSECOND: Final = re.compile(r"[.,]\d{6}(?P<digits>\d{1,3})")
_FORMS: Final = (
    "write it as today, yesterday, this-week, last-month, 2026, 2026-11, 2026-W47, 2026-11-20 or START..END, "
    "as in 2026-11-20T08:00..2026-11-20T17:00"
)


class Step(StrEnum):
    """What a series is cut into."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@final
@dataclass(frozen=True, slots=True, order=True)
class Period:
    """[start, end), UTC nanoseconds since 1970."""

    start_ns: int
    end_ns: int

    def contains(self, moment_ns: int) -> bool:
        """Whether a moment is part of it."""
        return self.start_ns <= moment_ns < self.end_ns


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """How people count days and months.

    Attributes:
        zone: whose days.
        billing_day: on which day a month begins, 1 to 31; in a shorter month on its last day.
    """

    zone: Zone
    billing_day: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.billing_day <= _BILLING_DAY_MAX:
            raise UsageError(f"--billing-day {self.billing_day}", "", "not a day of a month", "1 to 31")

    def period(self, text: str, *, now_ns: int) -> Period:
        """What ``text`` means now.

        Raises:
            UsageError: it means nothing, or a time that never was.
        """
        subject = f"--period {text}"
        try:
            start, separator, end = text.partition("..")
            if separator:
                found = Period(self._edge(start, now_ns), self._edge(end or "now", now_ns))
            else:
                found = self._named(text, now_ns)
        except _MeaninglessError as error:
            raise UsageError(subject, "", str(error), _FORMS) from error
        except (ValueError, OverflowError) as error:
            hint = "write its distance from UTC behind it, as in 2026-10-25T02:30+02:00"
            raise UsageError(subject, "", str(error), hint) from error
        if found.end_ns <= found.start_ns:
            raise UsageError(subject, "", "ends before it begins" if separator else "was skipped by the clock there")
        return found

    def moment(self, option: str, text: str, *, now_ns: int) -> int:
        """The moment that ``text`` means: a time of the clock, ``now``, or the beginning of a period that it names.

        ``option`` is what messages call it.

        Raises:
            UsageError: it means nothing, or a time that never was.
        """
        subject = f"{option} {text}"
        try:
            return self._edge(text, now_ns)
        except _MeaninglessError as error:
            hint = "write it as 2026-11-20T08:00, 2026-11-20T08:00:00.5Z, 2026-11-20, yesterday or now"
            raise UsageError(subject, "", str(error), hint) from error
        except (ValueError, OverflowError) as error:
            hint = "write its distance from UTC behind it, as in 2026-10-25T02:30+02:00"
            raise UsageError(subject, "", str(error), hint) from error

    def known_at(self, option: str, text: str, *, now_ns: int) -> int:
        """The moment whose knowledge is asked for: as :meth:`moment`, but none to come.

        Raises:
            UsageError: it means nothing, or is yet to come: what will be known then may be something else.
        """
        moment_ns = self.moment(option, text, now_ns=now_ns)
        if moment_ns > now_ns:
            hint = "leave it out to go by what is known now"
            raise UsageError(f"{option} {text}", "", "this is yet to come, and nobody knows what will be known", hint)
        return moment_ns

    def split(self, period: Period, step: Step) -> list[Period]:
        """The hours, days … of a period in their order; the first and the last one may be parts of theirs."""
        pieces, start_ns = [], period.start_ns
        while start_ns < period.end_ns:
            end_ns = min(self._step_end(start_ns, step), period.end_ns)
            pieces.append(Period(start_ns, end_ns))
            start_ns = end_ns
        return pieces

    def _step_end(self, moment_ns: int, step: Step) -> int:
        if step is Step.HOUR:
            return self.zone.next_hour(moment_ns)
        return self._around(step, self._day_of(moment_ns), 0).end_ns

    def _named(self, text: str, now_ns: int) -> Period:
        if text in _WORDS:
            step, distance = _WORDS[text]
            if step is Step.HOUR:
                return self._hour(now_ns, distance)
            return self._around(step, self._day_of(now_ns), distance)
        if found := _YEAR.fullmatch(text):
            return self._around(Step.YEAR, _date(int(found["year"]), 1, 1), 0)
        if found := _MONTH.fullmatch(text):
            return self._month(_date(int(found["year"]), int(found["month"]), 1), 0)
        if found := _WEEK.fullmatch(text):
            return self._around(Step.WEEK, _iso_week(int(found["year"]), int(found["week"])), 0)
        if _DAY.fullmatch(text):
            return self._around(Step.DAY, _iso_date(text), 0)
        raise _MeaninglessError("not a period")

    def _edge(self, text: str, now_ns: int) -> int:
        """A moment: the start of what is named, or a time of the clock."""
        if text == "now":
            return now_ns
        try:
            return self._named(text, now_ns).start_ns
        except _MeaninglessError:
            pass
        try:
            clock = datetime.fromisoformat(text)
        except ValueError as error:
            raise _MeaninglessError(f"{text or 'nothing'} is no time") from error
        _date(clock.year, clock.month, clock.day)
        below = _BELOW_MICROSECOND.search(text)
        return self.zone.moment(clock) + (int(below["digits"].ljust(3, "0")) if below else 0)

    def _day_of(self, moment_ns: int) -> date:
        """The day that holds a moment. Where midnight comes twice the date alone does not tell."""
        day = self.zone.shown(moment_ns).date()
        if self.zone.day_start(day + timedelta(days=1)) <= moment_ns:
            return day + timedelta(days=1)
        return day

    def _hour(self, now_ns: int, distance: int) -> Period:
        hours = self.split(Period(now_ns - 2 * 3_600_000_000_000, now_ns + 1), Step.HOUR)
        start_ns = hours[-1].start_ns
        return Period(start_ns, self.zone.next_hour(now_ns)) if distance == 0 else Period(hours[-2].start_ns, start_ns)

    def _around(self, step: Step, day: date, distance: int) -> Period:
        """The day, week … that ``day`` belongs to, or the one so many before or after it."""
        match step:
            case Step.DAY | Step.HOUR:
                first = day + timedelta(days=distance)
                last = first + timedelta(days=1)
            case Step.WEEK:
                first = day - timedelta(days=day.weekday()) + timedelta(days=distance * _DAYS_PER_WEEK)
                last = first + timedelta(days=_DAYS_PER_WEEK)
            case Step.MONTH:
                return self._month(self._month_of(day), distance)
            case Step.YEAR:
                first, last = date(day.year + distance, 1, 1), date(day.year + distance + 1, 1, 1)
        return Period(self.zone.day_start(first), self.zone.day_start(last))

    def _month_of(self, day: date) -> date:
        """The first of the month whose billing month holds ``day``."""
        first = day.replace(day=1)
        return first if day >= self._billing_date(first) else _months_later(first, -1)

    def _month(self, first: date, distance: int) -> Period:
        one = _months_later(first, distance)
        start, end = self._billing_date(one), self._billing_date(_months_later(one, 1))
        return Period(self.zone.day_start(start), self.zone.day_start(end))

    def _billing_date(self, first: date) -> date:
        return first.replace(day=min(self.billing_day, calendar.monthrange(first.year, first.month)[1]))


class _MeaninglessError(Exception):
    """A text that is no period, in any form."""


_WORDS: Final = {
    "today": (Step.DAY, 0),
    "yesterday": (Step.DAY, -1),
    **{f"this-{step}": (step, 0) for step in Step if step is not Step.DAY},
    **{f"last-{step}": (step, -1) for step in Step if step is not Step.DAY},
}


def _months_later(first: date, count: int) -> date:
    year, month = divmod(first.year * _MONTHS_PER_YEAR + first.month - 1 + count, _MONTHS_PER_YEAR)
    return date(year, month + 1, 1)


def _date(year: int, month: int, day: int) -> date:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise _MeaninglessError(f"the year is not between {FIRST_YEAR} and {LAST_YEAR}")
    try:
        return date(year, month, day)
    except ValueError as error:
        raise _MeaninglessError("there is no such day or month") from error


def _iso_date(text: str) -> date:
    return _date(*(int(part) for part in text.split("-")))


def _iso_week(year: int, week: int) -> date:
    _date(year, 1, 1)
    try:
        return date.fromisocalendar(year, week, 1)
    except ValueError as error:
        raise _MeaninglessError("that year has no such week") from error
