"""Local times of old files, against the moments at which they were written."""

from pathlib import Path

import pytest

from netledger.errors import OldFileError
from netledger.imports.clock import Candidates, candidates, decide
from netledger.imports.go_nflog_acctd import periods
from netledger.receipt import parse_rfc3339
from netledger.reports.periods import Period
from netledger.reports.zones import find
from tests.unit.old_files import content, write, write_spans

MINUTE_NS = 60_000_000_000


def at(text: str) -> int:
    return parse_rfc3339(f"{text}Z")


def steps(start: str, end: str, minutes: int) -> list[Period]:
    """The periods of a program that runs from start to end, UTC."""
    borders = range(at(start), at(end) + 1, minutes * MINUTE_NS)
    return [Period(border, border + minutes * MINUTE_NS) for border in borders[:-1]]


def read(folder: Path, zone: str, interval_ns: int | None = None) -> list[Candidates]:
    return [
        candidates(period, find(zone), interval_ns) for path in sorted(folder.iterdir()) for period in periods(path)
    ]


def decided(folder: Path, zone: str, taken: tuple[Period, ...] = ()) -> dict[int, Period]:
    """When each file was written, by the bytes in its one row."""
    found = read(folder, zone)
    spans = decide(found, taken, interval_ns=None)
    return {one.period.rows[0].sent_bytes: span for one, span in zip(found, spans, strict=True)}


AUTUMN = [
    # zone, from, to (UTC), minutes
    ("Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25T03:00:00", 5),
    ("Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25T03:00:00", 30),
    ("Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25T03:00:00", 60),
    ("Europe/Berlin", "2026-10-24T18:00:00", "2026-10-25T12:00:00", 180),
    ("Europe/Berlin", "2026-10-20T00:00:00", "2026-10-30T00:00:00", 1440),
    ("America/New_York", "2026-11-01T03:00:00", "2026-11-01T09:00:00", 15),
    ("America/New_York", "2026-11-01T03:00:00", "2026-11-01T09:00:00", 60),
    ("Australia/Lord_Howe", "2026-04-04T12:00:00", "2026-04-04T18:00:00", 10),
    ("Australia/Lord_Howe", "2026-04-04T12:00:00", "2026-04-04T18:00:00", 30),
    ("Asia/Kolkata", "2026-10-24T22:00:00", "2026-10-25T03:00:00", 60),
    ("UTC", "2026-10-24T22:00:00", "2026-10-25T03:00:00", 60),
]
SPRING = [
    ("Europe/Berlin", "2026-03-28T22:00:00", "2026-03-29T03:00:00", 5),
    ("Europe/Berlin", "2026-03-28T22:00:00", "2026-03-29T03:00:00", 60),
    ("Africa/Cairo", "2026-04-23T20:00:00", "2026-04-24T00:00:00", 60),
    ("Australia/Lord_Howe", "2026-10-03T12:00:00", "2026-10-03T18:00:00", 30),
]


@pytest.mark.parametrize(("zone", "start", "end", "minutes"), [*AUTUMN, *SPRING])
def test_every_period_is_booked_when_it_was(tmp_path: Path, zone: str, start: str, end: str, minutes: int) -> None:
    spans = steps(start, end, minutes)
    write_spans(tmp_path, find(zone), spans)
    assert decided(tmp_path, zone) == dict(enumerate(spans, start=1))


@pytest.mark.parametrize(("zone", "start", "end", "minutes"), AUTUMN)
def test_the_old_program_writes_no_second_file_and_the_others_stay_right(
    tmp_path: Path, zone: str, start: str, end: str, minutes: int
) -> None:
    spans = steps(start, end, minutes)
    write_spans(tmp_path, find(zone), spans, keeps_all=False)
    truth = dict(enumerate(spans, start=1))
    found = decided(tmp_path, zone)
    assert found == {number: truth[number] for number in found}


def test_a_start_within_the_second_hour_is_known_by_what_follows(tmp_path: Path) -> None:
    first = Period(at("2026-10-25T01:32:10"), at("2026-10-25T01:35:00"))
    spans = [first, *steps("2026-10-25T01:35:00", "2026-10-25T02:30:00", 5)]
    write_spans(tmp_path, find("Europe/Berlin"), spans)
    assert decided(tmp_path, "Europe/Berlin") == dict(enumerate(spans, start=1))


def test_what_the_ledger_has_already_is_not_overlapped(tmp_path: Path) -> None:
    write(tmp_path, "2026-10-25 02:10:00", "2026-10-25 02:15:00")
    first = Period(at("2026-10-25T00:10:00"), at("2026-10-25T00:15:00"))
    second = Period(at("2026-10-25T01:10:00"), at("2026-10-25T01:15:00"))
    assert list(decided(tmp_path, "Europe/Berlin").values()) == [first]
    assert list(decided(tmp_path, "Europe/Berlin", (first,)).values()) == [second]


def test_an_hour_that_the_clock_skipped_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "2026-03-29 02:10:00", "2026-03-29 03:15:00")
    with pytest.raises(OldFileError) as caught:
        read(tmp_path, "Europe/Berlin")
    assert str(caught.value) == f"{path}:2: the clock of Europe/Berlin was set forward over 2026-03-29 02:10:00"
    assert caught.value.hint == "name the zone of the machine that wrote it: --timezone"


def test_a_period_that_ends_before_it_begins_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "2026-03-30 02:10:00", "2026-03-30 02:05:00")
    with pytest.raises(OldFileError, match="ends at 2026-03-30 02:05:00, before it begins"):
        read(tmp_path, "Europe/Berlin")


def test_the_end_is_the_next_multiple_where_the_name_does_not_tell(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_bytes(content("2026-11-20 14:34:04") + content("2026-11-20 14:35:00"))
    with pytest.raises(OldFileError, match="nothing tells when the period ends"):
        read(tmp_path, "UTC")
    found = [one.spans for one in read(tmp_path, "UTC", 5 * MINUTE_NS)]
    assert found == [
        (Period(at("2026-11-20T14:34:04"), at("2026-11-20T14:35:00")),),
        (Period(at("2026-11-20T14:35:00"), at("2026-11-20T14:40:00")),),
    ]


def test_a_period_within_one_second_is_the_shortest_and_the_next_one_begins_behind_it(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-20 14:34:04", "2026-11-20 14:34:04")
    write(tmp_path, "2026-11-20 14:34:04", "2026-11-20 14:35:00")
    start_ns = at("2026-11-20T14:34:04")
    found = read(tmp_path, "UTC")
    assert decide(found, (), interval_ns=None) == [
        Period(start_ns, start_ns + 1), Period(start_ns + 1, at("2026-11-20T14:35:00")),
    ]  # fmt: skip
