"""Periods in words: days of 23 and 25 hours, billing days in short months, half-open edges."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.errors import UsageError
from netledger.receipt import parse_rfc3339, rfc3339
from netledger.reports.periods import Calendar, Period, Step
from netledger.reports.zones import Zone, find, nanoseconds

HOUR_NS = 3_600_000_000_000
NOW = "2026-11-21T02:30:05.5Z"
ZONES = (
    "Africa/Cairo",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "Pacific/Chatham",
    "UTC",
)


def period(text: str, *, zone: str = "UTC", billing_day: int = 1, now: str = NOW) -> tuple[str, str]:
    calendar = Calendar(zone=find(zone), billing_day=billing_day)
    found = calendar.period(text, now_ns=parse_rfc3339(now))
    return rfc3339(found.start_ns), rfc3339(found.end_ns)


def hours(text: str, zone: str) -> list[float]:
    calendar = Calendar(zone=find(zone))
    found = calendar.split(calendar.period(text, now_ns=0), Step.HOUR)
    return [(one.end_ns - one.start_ns) / HOUR_NS for one in found]


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("today", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("yesterday", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("this-hour", "2026-11-21T02:00:00Z", "2026-11-21T03:00:00Z"),
        ("last-hour", "2026-11-21T01:00:00Z", "2026-11-21T02:00:00Z"),
        ("this-week", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("last-week", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"),
        ("this-month", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
        ("last-month", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("this-year", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("last-year", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2024", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
        ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
        ("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("2026-W01", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"),
        ("2026-11-20", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("2026-11-01..2026-11-20", "2026-11-01T00:00:00Z", "2026-11-20T00:00:00Z"),
        ("2026-10..2026-11", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("2026-11-20T08:15..2026-11-20T17:00", "2026-11-20T08:15:00Z", "2026-11-20T17:00:00Z"),
        ("2026-11-20T08:15+02:00..now", "2026-11-20T06:15:00Z", NOW),
        ("2026-11-20T06:15:00.5Z..now", "2026-11-20T06:15:00.5Z", NOW),
        ("2026-11-20T06:15:00.123456789Z..now", "2026-11-20T06:15:00.123456789Z", NOW),
        ("2026-11-20T08:15:00.1234567+02:00..now", "2026-11-20T06:15:00.1234567Z", NOW),
        ("yesterday..", "2026-11-20T00:00:00Z", NOW),
    ],
)
def test_a_word_means_its_period(text: str, start: str, end: str) -> None:
    assert period(text) == (start, end)


def test_today_is_the_day_of_the_zone_and_not_of_utc() -> None:
    assert period("today", zone="America/New_York") == ("2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z")
    assert period("today", zone="Asia/Kathmandu") == ("2026-11-20T18:15:00Z", "2026-11-21T18:15:00Z")


def test_a_day_goes_on_while_the_clock_shows_the_date_before_once_more() -> None:
    found = period("today", zone="America/St_Johns", now="2006-10-29T02:40:00Z")
    assert found == period("2006-10-29", zone="America/St_Johns")
    assert period("yesterday", zone="America/St_Johns", now="2006-10-29T02:40:00Z")[1] == found[0]


class _Skipping(tzinfo):
    """Set forward from 23:30 to 00:30 on the evening of 1 June 2026, which is at 23:30 UTC."""

    def utcoffset(self, clock: datetime | None) -> timedelta:
        assert clock is not None
        shown = clock.replace(tzinfo=None)
        is_before = shown < datetime(2026, 6, 1, 23, 30)  # noqa: DTZ001  # what the clock shows
        is_skipped = not is_before and shown < datetime(2026, 6, 2, 0, 30)  # noqa: DTZ001  # the same
        return timedelta(hours=0 if is_before or (is_skipped and clock.fold == 0) else 1)

    def dst(self, _clock: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, _clock: datetime | None) -> str:
        return "Skipping"

    def fromutc(self, clock: datetime) -> datetime:
        is_before = clock.replace(tzinfo=None) < datetime(2026, 6, 1, 23, 30)  # noqa: DTZ001  # the same
        return clock if is_before else clock + timedelta(hours=1)


def test_a_day_whose_midnight_is_skipped_in_the_middle_begins_when_the_clock_is_set() -> None:
    zone = Zone("Skipping", _Skipping())
    assert rfc3339(zone.day_start(date(2026, 6, 2))) == "2026-06-01T23:30:00Z"
    assert rfc3339(zone.day_start(date(2026, 6, 1))) == "2026-06-01T00:00:00Z"


def test_midnight_belongs_to_the_day_that_begins() -> None:
    assert period("today", now="2026-11-21T00:00:00Z")[0] == "2026-11-21T00:00:00Z"
    assert period("today", now="2026-11-20T23:59:59.999999999Z")[0] == "2026-11-20T00:00:00Z"


def test_a_period_holds_its_start_and_not_its_end() -> None:
    one = Period(10, 20)
    assert [moment for moment in (9, 10, 19, 20) if one.contains(moment)] == [10, 19]


@pytest.mark.parametrize(
    ("zone", "day", "start", "length_hours"),
    [
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25),
        ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z", 24),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23),
        ("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25),
        ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30:00Z", 23.5),
        ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00:00Z", 24.5),
        # Midnight is skipped: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23),
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00Z", 23),
        # The hour before midnight comes twice.
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00:00Z", 25),
        # Midnight itself comes twice.
        ("America/Havana", "2026-11-01", "2026-11-01T04:00:00Z", 25),
        # The clock is set back over midnight: 00:01 becomes 23:01 of the day before.
        ("America/St_Johns", "2006-10-28", "2006-10-28T02:30:00Z", 24),
        ("America/St_Johns", "2006-10-29", "2006-10-29T02:30:00Z", 25),
    ],
)
def test_a_day_is_as_long_as_the_clock_makes_it(zone: str, day: str, start: str, length_hours: float) -> None:
    found = period(day, zone=zone)
    assert found[0] == start
    assert (parse_rfc3339(found[1]) - parse_rfc3339(found[0])) / HOUR_NS == length_hours


def test_a_month_with_a_change_of_the_clock_is_an_hour_longer_or_shorter() -> None:
    lengths = {}
    for month in ("2026-03", "2026-10"):
        start, end = (parse_rfc3339(edge) for edge in period(month, zone="Europe/Berlin"))
        lengths[month] = (end - start) / HOUR_NS
    assert lengths == {"2026-03": 31 * 24 - 1, "2026-10": 31 * 24 + 1}


@pytest.mark.parametrize(
    ("zone", "day", "count", "odd"),
    [
        ("Europe/Berlin", "2026-03-29", 23, []),
        ("Europe/Berlin", "2026-10-25", 25, []),
        ("Asia/Kathmandu", "2026-10-25", 24, []),
        ("Australia/Lord_Howe", "2026-10-04", 24, [0.5]),
        ("Australia/Lord_Howe", "2026-04-05", 25, [0.5]),
        # In the middle of an hour: from 00:00 to 00:01, and once more from 23:01 on.
        ("America/St_Johns", "2006-10-29", 26, [1 / 60, 59 / 60]),
    ],
)
def test_the_hours_of_a_day_are_those_of_the_clock(zone: str, day: str, count: int, odd: list[float]) -> None:
    lengths = hours(day, zone)
    assert len(lengths) == count
    assert [length for length in lengths if length != 1] == odd


def test_the_hour_that_comes_twice_is_two_hours_that_are_told_apart() -> None:
    calendar = Calendar(zone=find("Europe/Berlin"))
    pieces = calendar.split(calendar.period("2026-10-25", now_ns=0), Step.HOUR)
    assert [calendar.zone.text(piece.start_ns) for piece in pieces[1:5]] == [
        "2026-10-25 01:00 +02:00",
        "2026-10-25 02:00 +02:00",
        "2026-10-25 02:00 +01:00",
        "2026-10-25 03:00 +01:00",
    ]


@pytest.mark.parametrize(
    ("billing_day", "month", "start", "end"),
    [
        (15, "2026-11", "2026-11-15T00:00:00Z", "2026-12-15T00:00:00Z"),
        (28, "2026-02", "2026-02-28T00:00:00Z", "2026-03-28T00:00:00Z"),
        (29, "2026-02", "2026-02-28T00:00:00Z", "2026-03-29T00:00:00Z"),
        (29, "2024-02", "2024-02-29T00:00:00Z", "2024-03-29T00:00:00Z"),
        (30, "2026-01", "2026-01-30T00:00:00Z", "2026-02-28T00:00:00Z"),
        (30, "2024-02", "2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"),
        (31, "2026-01", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"),
        (31, "2026-02", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        (31, "2026-04", "2026-04-30T00:00:00Z", "2026-05-31T00:00:00Z"),
        (31, "2026-12", "2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"),
    ],
)
def test_a_billing_month_begins_on_its_day_or_on_the_last_one(
    billing_day: int, month: str, start: str, end: str
) -> None:
    assert period(month, billing_day=billing_day) == (start, end)


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-02-27T23:59:59Z", "2026-01-31T00:00:00Z"),
        ("2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z"),
        ("2026-03-30T23:59:59Z", "2026-02-28T00:00:00Z"),
        ("2026-03-31T00:00:00Z", "2026-03-31T00:00:00Z"),
        ("2027-01-01T00:00:00Z", "2026-12-31T00:00:00Z"),
    ],
)
def test_this_month_with_a_billing_day_is_the_one_that_holds_now(now: str, start: str) -> None:
    assert period("this-month", billing_day=31, now=now)[0] == start
    # What ends where this one begins.
    assert period("last-month", billing_day=31, now=now)[1] == start


def test_a_series_of_months_begins_them_on_the_billing_day() -> None:
    calendar = Calendar(zone=find("UTC"), billing_day=31)
    pieces = calendar.split(calendar.period("2026-01-10..2026-05-01", now_ns=0), Step.MONTH)
    assert [rfc3339(piece.start_ns)[:10] for piece in pieces] == [
        "2026-01-10",
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
    ]
    assert rfc3339(pieces[-1].end_ns) == "2026-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("someday", "not a period"),
        ("", "not a period"),
        ("2026-13", "there is no such day or month"),
        ("2026-02-29", "there is no such day or month"),
        ("2026-W54", "that year has no such week"),
        ("1969", "the year is not between 1970 and 2261"),
        ("9999-01-01T00:00..now", "the year is not between 1970 and 2261"),
        ("..2026-11-20", "nothing is no time"),
        ("2026-11-20..2026-11-20", "ends before it begins"),
        ("2026-11-20..2026-11-19", "ends before it begins"),
        ("2026-10-25T02:30..2026-11-01", "the clock of Europe/Berlin shows it twice"),
        ("2026-03-29T02:30..2026-11-01", "the clock of Europe/Berlin is set forward over it"),
    ],
)
def test_what_means_nothing_is_refused(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        period(text, zone="Europe/Berlin")
    assert (caught.value.subject, caught.value.cause) == (f"--period {text}", cause)


def test_a_day_that_the_calendar_left_out_is_refused_and_its_month_has_one_less() -> None:
    with pytest.raises(UsageError, match="was skipped by the clock there"):
        period("2011-12-30", zone="Pacific/Apia")
    calendar = Calendar(zone=find("Pacific/Apia"))
    assert len(calendar.split(calendar.period("2011-12", now_ns=0), Step.DAY)) == 30


def test_a_time_that_comes_twice_can_be_told_with_its_distance_from_utc() -> None:
    assert period("2026-10-25T02:30+02:00..2026-10-25T02:30+01:00", zone="Europe/Berlin") == (
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
    )


@pytest.mark.parametrize("day", [0, 32, -1])
def test_a_billing_day_that_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(UsageError, match="not a day of a month"):
        Calendar(zone=find("UTC"), billing_day=day)


@given(
    zone=st.sampled_from(ZONES),
    step=st.sampled_from(Step),
    start=st.datetimes(datetime(1999, 1, 1), datetime(2037, 1, 1)),  # noqa: DTZ001  # Hypothesis adds no zone here
    length_days=st.integers(1, 60),
    billing_day=st.integers(1, 31),
)
def test_a_series_has_neither_gap_nor_overlap(
    zone: str, step: Step, start: datetime, length_days: int, billing_day: int
) -> None:
    calendar = Calendar(zone=find(zone), billing_day=billing_day)
    start_ns = nanoseconds(start.replace(tzinfo=UTC))
    whole = Period(start_ns, start_ns + length_days * 24 * HOUR_NS)
    pieces = calendar.split(whole, step)
    edges = [edge for piece in pieces for edge in (piece.start_ns, piece.end_ns)]
    assert edges[0] == whole.start_ns
    assert edges[-1] == whole.end_ns
    assert edges[1:-1:2] == edges[2::2]
    assert all(piece.start_ns < piece.end_ns for piece in pieces)


@given(zone=st.sampled_from(ZONES), day=st.dates(date(1999, 1, 1), date(2037, 1, 1)))
def test_a_day_begins_when_its_date_is_first_shown(zone: str, day: date) -> None:
    found = find(zone)
    start_ns = found.day_start(day)
    assert found.shown(start_ns).date() >= day
    assert found.shown(start_ns - 1).date() < day
    assert found.day_start(day + timedelta(days=1)) >= start_ns


def test_the_zone_is_the_one_named_or_that_of_the_environment_or_of_the_machine(tmp_path: Path) -> None:
    berlin = next(file for folder in zoneinfo.TZPATH if (file := Path(folder) / "Europe" / "Berlin").exists())
    machine = tmp_path / "localtime"
    machine.symlink_to(berlin)
    assert find("Asia/Tokyo", {"TZ": "Europe/Paris"}, machine).name == "Asia/Tokyo"
    assert find(None, {"TZ": "Europe/Paris"}, machine).name == "Europe/Paris"
    assert find(None, {"TZ": f":{berlin}"}, tmp_path / "gone").name == "Europe/Berlin"
    assert find(None, {}, machine).name == "Europe/Berlin"
    assert find(None, {}, machine).text(0) == "1970-01-01 01:00 +01:00"
    assert find(None, {}, tmp_path / "gone") == Zone("UTC", UTC)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "CET-1CEST,M3.5.0"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no such time zone"):
        find(name)


def test_a_file_that_is_no_zone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "localtime").write_text("not a zone")
    with pytest.raises(UsageError, match="not a time zone"):
        find(None, {}, tmp_path / "localtime")
