"""``netledger audit``: what is lossy, missing, counted twice or not counted at all, and with which exit code."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from netledger.ledger.reader import Reader
from netledger.receipt import Count, parse_rfc3339, rfc3339
from netledger.reports.books import Books, GapKind, books
from netledger.reports.periods import Period
from netledger.reports.where import understand
from tests.unit.booked import Booked, book
from tests.unit.rows import batch, row
from tests.unit.store import opened
from tests.unit.test_cli_main import netledger

TALK = [row("host", host="10.0.0.1", sent=(100, 1)), row("external", received=(100, 1))]
LATER = "2026-11-21T00:00:00Z"


def at(clock: str, **more: object) -> Booked:
    """Five minutes of the 20th."""
    return Booked(f"2026-11-20T{clock}:00Z", TALK, **more)  # type: ignore[arg-type]  # as Booked has them


def kept(store: Path, lines: Sequence[tuple[int, Booked]]) -> Path:
    """A store with these numbers, in this order."""
    with opened(store) as ledger:
        for seq, one in lines:
            ledger.commit(one.receipt(seq), batch(one.rows))
    return store


def asked(store: Path, period: str | None = None, where: Sequence[str] = (), now: str = LATER) -> Books:
    span = None
    if period is not None:
        start, end = period.split("..")
        span = Period(parse_rfc3339(f"2026-11-20T{start}:00Z"), parse_rfc3339(f"2026-11-20T{end}:00Z"))
    return books(Reader(store), span, understand(where), now_ns=parse_rfc3339(now))


def gaps(found: Books) -> list[tuple[str, str, str, GapKind]]:
    """With the hour and the minute of start and end."""
    return [
        (one.meter, rfc3339(gap.span.start_ns)[11:16], rfc3339(gap.span.end_ns)[11:16], gap.kind)
        for one in found.meters
        for gap in one.gaps
    ]


def audit(store: Path, *options: str) -> tuple[int, str]:
    done = netledger("audit", "--store", store, "--timezone", "UTC", *options)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_books_without_a_fault_are_told_meter_by_meter(tmp_path: Path) -> None:
    book(tmp_path / "s", [at("10:00"), at("10:05"), at("10:00", meter="wan"), at("10:00", node="gw2")])
    status, text = audit(tmp_path / "s")
    assert (status, text.splitlines()) == (
        0,
        [
            "lan on gw1: 2 intervals, all exact; kernel 2 packets, 200 bytes = accounted",
            "  covered     100 % of 2026-11-20 10:00 +00:00 to 2026-11-20 10:10 +00:00 (10 min); numbers 1 to 2",
            "lan on gw2: 1 interval, exact; kernel 1 packet, 100 bytes = accounted",
            "  covered     100 % of 2026-11-20 10:00 +00:00 to 2026-11-20 10:05 +00:00 (5 min); number 1",
            "wan on gw1: 1 interval, exact; kernel 1 packet, 100 bytes = accounted",
            "  covered     100 % of 2026-11-20 10:00 +00:00 to 2026-11-20 10:05 +00:00 (5 min); number 1",
            "intervals   4: 4 exact",
            f"kernel      {4:>20} packets {400:>26} bytes",
            f"accounted   {4:>20} packets {400:>26} bytes",
            f"lost        {0:>20} packets {0:>26} bytes",
        ],
    )


def test_what_is_lost_is_told_with_its_reason(tmp_path: Path) -> None:
    book(tmp_path / "s", [at("10:00"), at("10:05", lost=Count(3, 400), why_lost="the buffer was full")])
    status, text = audit(tmp_path / "s")
    assert status == 3
    assert (
        "  lossy       gw1 lan 2, 2026-11-20 10:05 +00:00 to 2026-11-20 10:10 +00:00 (5 min), "
        "lost 3 packets, 400 bytes: the buffer was full\n"
    ) in text
    assert audit(tmp_path / "s", "--period", "2026-11-20T10:00..2026-11-20T10:05")[0] == 0


def test_an_interruption_is_told_and_an_unproven_interval_is_no_fault(tmp_path: Path) -> None:
    book(tmp_path / "s", [at("10:00", has_kernel=False), at("10:05", meter="wan", interrupted="a power cut")])
    status, text = audit(tmp_path / "s")
    assert status == 3
    assert "lan on gw1: 1 interval, unproven; no count of the kernel" in text
    assert "  interrupted gw1 wan 1, 2026-11-20 10:05 +00:00 to" in text
    assert text.count("lost 0 packets, 0 bytes: a power cut\n") == 1
    assert audit(tmp_path / "s", "--where", "meter=lan")[0] == 0


def test_a_clean_stop_is_told_and_no_alarm_unless_asked_for(tmp_path: Path) -> None:
    store = book(tmp_path / "s", [at("10:00"), at("10:20"), at("10:25")])
    assert gaps(asked(store)) == [("lan", "10:05", "10:20", GapKind.STOPPED)]
    status, text = audit(store)
    assert status == 0
    assert (
        "  gap         2026-11-20 10:05 +00:00 to 2026-11-20 10:20 +00:00 (15 min): "
        "the meter was stopped, and started again\n"
    ) in text
    assert "  covered     50 % of 2026-11-20 10:00 +00:00 to 2026-11-20 10:30 +00:00 (30 min); numbers 1 to 3\n" in text
    assert audit(store, "--complete")[0] == 3


def test_a_missing_number_is_an_alarm(tmp_path: Path) -> None:
    store = kept(tmp_path / "s", [(1, at("10:00")), (4, at("10:15"))])
    assert gaps(asked(store)) == [("lan", "10:05", "10:15", GapKind.MISSING)]
    status, text = audit(store)
    assert status == 3
    assert "  missing     numbers 2 to 3, 2 intervals that the ledger should have\n" in text
    # Of a period in which nothing is missing it is none.
    assert asked(store, "10:15..10:20").is_sound(is_gap_allowed=False)
    assert not asked(store, "10:05..10:10").is_sound(is_gap_allowed=True)


def test_numbers_that_are_missing_without_a_time_are_an_alarm_too(tmp_path: Path) -> None:
    store = kept(tmp_path / "s", [(1, at("10:00")), (3, at("10:05"))])
    found = asked(store)
    assert gaps(found) == []
    assert [(hole.first, hole.last) for hole in found.meters[0].holes] == [(2, 2)]
    assert audit(store)[0] == 3


def test_numbers_that_do_not_rise_with_time_are_all_there(tmp_path: Path) -> None:
    # As after an import of an older month.
    store = kept(tmp_path / "s", [(1, at("10:10")), (2, at("10:15")), (3, at("10:00")), (4, at("10:05"))])
    assert asked(store).is_sound(is_gap_allowed=False)
    assert asked(store, "10:00..10:10").is_sound(is_gap_allowed=False)


def test_a_time_that_two_intervals_have_counted_is_an_alarm(tmp_path: Path) -> None:
    store = kept(tmp_path / "s", [(1, at("10:00", seconds=600)), (2, at("10:05")), (3, at("10:10"))])
    status, text = audit(store)
    assert status == 3
    assert (
        "  twice       2026-11-20 10:05 +00:00 to 2026-11-20 10:10 +00:00 (5 min): counted in two intervals\n" in text
    )
    assert asked(store, "10:10..10:15").is_sound(is_gap_allowed=False)


@pytest.mark.parametrize(
    ("period", "expected", "is_sound"),
    [
        ("09:55..10:05", [("lan", "09:55", "10:00", GapKind.NOT_BEGUN)], True),
        ("10:05..10:15", [("lan", "10:10", "10:15", GapKind.STOPPED)], True),
        ("10:15..10:20", [("lan", "10:15", "10:20", GapKind.STOPPED)], False),
        ("10:18..10:30", [("lan", "10:18", "10:20", GapKind.STOPPED), ("lan", "10:25", "10:30", GapKind.SILENT)], True),
        ("11:00..12:00", [("lan", "11:00", "12:00", GapKind.SILENT)], False),
        ("08:00..09:00", [], False),
    ],
)
def test_the_borders_of_a_period_are_looked_at(
    tmp_path: Path, period: str, expected: list[tuple[str, str, str, GapKind]], is_sound: bool
) -> None:
    store = book(tmp_path / "s", [at("10:00"), at("10:05"), at("10:20")])
    found = asked(store, period)
    assert gaps(found) == expected
    assert found.is_sound(is_gap_allowed=True) is is_sound
    assert found.is_sound(is_gap_allowed=False) is False


def test_the_interval_that_is_being_counted_is_no_gap(tmp_path: Path) -> None:
    store = book(tmp_path / "s", [at("10:00"), at("10:05")])
    assert asked(store, "10:00..11:00", now="2026-11-20T10:15:59Z").is_sound(is_gap_allowed=False)
    late = asked(store, "10:00..11:00", now="2026-11-20T10:16:01Z")
    assert gaps(late) == [("lan", "10:10", "10:16", GapKind.SILENT)]


def test_an_interval_that_reaches_into_the_period_covers_it(tmp_path: Path) -> None:
    store = book(tmp_path / "s", [at("10:00", seconds=3600), at("11:00", seconds=3600)])
    assert gaps(asked(store, "10:30..11:30")) == []
    assert len(asked(store, "10:30..11:30").intervals) == 1


def test_a_period_without_an_interval_is_incomplete(tmp_path: Path) -> None:
    store = book(tmp_path / "s", [at("10:00")])
    status, text = audit(store, "--period", "2026-11-19")
    assert status == 3
    assert text.splitlines()[:2] == [
        "period      2026-11-19 00:00 +00:00 to 2026-11-20 00:00 +00:00 (1 d), UTC",
        "empty       the ledger holds no interval of this period",
    ]


def test_an_empty_store_is_no_fault(tmp_path: Path) -> None:
    assert audit(book(tmp_path / "s", []))[0] == 0


def test_json_has_coverage_beside_balance_and_intervals(tmp_path: Path) -> None:
    store = kept(tmp_path / "s", [(1, at("10:00")), (3, at("10:10")), (4, at("10:12"))])
    status, text = audit(store, "--json", "--period", "2026-11-20T10:00..2026-11-20T10:20")
    told = json.loads(text)
    assert status == 3
    assert told["period"] == {"start": "2026-11-20T10:00:00Z", "end": "2026-11-20T10:20:00Z"}
    assert [one["seq"] for one in told["intervals"]] == [1, 3, 4]
    (lan,) = told["coverage"]
    assert {name: lan[name] for name in ("node", "meter", "intervals", "exact", "kernel_bytes", "lost_packets")} == {
        "node": "gw1", "meter": "lan", "intervals": 3, "exact": 3, "kernel_bytes": 300, "lost_packets": 0,
    }  # fmt: skip
    assert (lan["start"], lan["end"]) == ("2026-11-20T10:00:00Z", "2026-11-20T10:20:00Z")
    assert (lan["seconds"], lan["covered_seconds"]) == (1200, 720)
    assert lan["gaps"] == [
        {"start": "2026-11-20T10:05:00Z", "end": "2026-11-20T10:10:00Z", "seconds": 300, "kind": "missing"},
        {"start": "2026-11-20T10:17:00Z", "end": "2026-11-20T10:20:00Z", "seconds": 180, "kind": "silent"},
    ]
    assert lan["overlaps"] == [{"start": "2026-11-20T10:12:00Z", "end": "2026-11-20T10:15:00Z", "seconds": 180}]
    assert lan["missing"] == [{"first": 2, "last": 2}]


def test_only_meters_and_nodes_can_be_chosen(tmp_path: Path) -> None:
    done = netledger("audit", "--store", book(tmp_path / "s", []), "--where", "host=10.0.0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "netledger: --where host=10.0.0.1: an audit is of whole intervals\nhint: only meter and node can be chosen\n"
    )
