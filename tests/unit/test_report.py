"""Totals out of a real store: what is added up, in which order, and what is said about it."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netledger.errors import LedgerError, UsageError
from netledger.receipt import Count, Status, parse_rfc3339, rfc3339
from netledger.reports.periods import Step
from netledger.reports.remarks import balance_line, doubts, notes
from netledger.reports.totals import Answer, Value
from netledger.reports.zones import find
from tests.unit.booked import Booked, ask, book
from tests.unit.rows import Row, row

UTC = find("UTC")


def talk(host: str, *, sent: tuple[int, int], received: tuple[int, int]) -> list[Row]:
    """A host and what is not local: their rows balance."""
    return [
        row("host", host=host, sent=sent, received=received),
        row("external", sent=received, received=sent),
    ]


def rows(found: Answer) -> list[tuple[Value, ...]]:
    return list(found.totals.rows())


def host(text: str) -> bytes:
    parsed = ipaddress.ip_address(text)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """Two hosts in two intervals of an hour, a third one in the second."""
    one = talk("10.0.0.1", sent=(100, 1), received=(900, 3)) + talk("10.0.0.2", sent=(10, 1), received=(20, 1))
    other = talk("10.0.0.1", sent=(1, 1), received=(2, 1)) + talk("10.0.0.3", sent=(5000, 5), received=(0, 0))
    return book(
        tmp_path / "store",
        [
            Booked("2026-11-20T10:00:00Z", one, seconds=3600),
            Booked("2026-11-20T11:00:00Z", other, seconds=3600),
        ],
    )


def test_totals_are_added_up_over_intervals_greatest_first(day: Path) -> None:
    found = ask(day)
    assert found.totals.names == (
        "account", "host", "sent_bytes", "sent_packets", "received_bytes", "received_packets",
    )  # fmt: skip
    assert rows(found) == [
        ("external", None, 922, 5, 5111, 8),
        ("host", host("10.0.0.3"), 5000, 5, 0, 0),
        ("host", host("10.0.0.1"), 101, 2, 902, 4),
        ("host", host("10.0.0.2"), 10, 1, 20, 1),
    ]
    assert found.totals.total == {
        "sent_bytes": 6033, "sent_packets": 13, "received_bytes": 6033, "received_packets": 13,
    }  # fmt: skip
    assert doubts(found, UTC) == [
        "not covered by lan on gw1: 2020-01-01 00:00 +00:00 to 2026-11-20 10:00 +00:00 (2515 d 10 h)",
        "not covered by lan on gw1: 2026-11-20 12:00 +00:00 to 2030-01-01 00:00 +00:00 (1137 d 12 h)",
    ]


def test_an_interval_belongs_to_the_period_in_which_it_begins(day: Path) -> None:
    first = ask(day, period="2026-11-20T10:00..2026-11-20T11:00")
    second = ask(day, period="2026-11-20T11:00..2026-11-20T12:00")
    assert [one.start_ns for one in first.intervals] == [parse_rfc3339("2026-11-20T10:00:00Z")]
    assert first.totals.total["sent_bytes"] == 1032 - 2 + 0
    assert first.totals.total["sent_bytes"] + second.totals.total["sent_bytes"] == 6033
    assert doubts(first, UTC) == doubts(second, UTC) == []
    assert notes(first, UTC) == notes(second, UTC) == []


def test_an_interval_across_a_border_is_counted_once_and_mentioned_on_both_sides(day: Path) -> None:
    before = ask(day, period="2026-11-20T10:00..2026-11-20T11:30")
    after = ask(day, period="2026-11-20T11:30..2026-11-20T12:00")
    assert before.totals.total["sent_bytes"] == 6033
    assert (rows(after), after.totals.total["sent_bytes"]) == ([], 0)
    sentence = "1 interval across a border: counted where they begin, and whole"
    assert notes(before, UTC) == [sentence]
    assert sentence in notes(after, UTC)


def test_a_series_has_a_piece_for_each_step_with_its_own_first_ones(day: Path) -> None:
    found = ask(day, period="2026-11-20", per=Step.HOUR, by=["account", "host"], top=1)
    assert found.totals.names[:4] == ("interval_start", "interval_end", "account", "host")
    assert [(rfc3339(int(str(one[0]))), rfc3339(int(str(one[1]))), *one[2:5]) for one in rows(found)] == [
        ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "external", None, 920),
        ("2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z", "external", None, 2),
    ]
    assert found.totals.left_out == 4
    assert found.totals.total["sent_bytes"] == 6033


def test_a_series_by_day_follows_the_zone_through_the_double_hour(tmp_path: Path) -> None:
    starts = [f"2026-10-{day:02d}T{hour:02d}:00:00Z" for day in (24, 25, 26) for hour in range(24)]
    store = book(
        tmp_path / "store",
        [Booked(start, talk("10.0.0.1", sent=(1, 1), received=(0, 0)), seconds=3600) for start in starts],
    )
    found = ask(
        store, period="2026-10-24..2026-10-27", zone="Europe/Berlin", per=Step.DAY, by=[], where=["account=host"]
    )
    # The first two hours of the 24th in Berlin are not in the store, and the last hour there is its 27th.
    assert found.totals.columns["sent_packets"] == [22, 25, 24]
    hours = ask(store, period="2026-10-25", zone="Europe/Berlin", per=Step.HOUR, by=["account"], where=["account=host"])
    assert len(rows(hours)) == 25
    assert set(hours.totals.columns["sent_packets"]) == {1}


def test_each_interval_can_be_told_apart(day: Path) -> None:
    found = ask(day, by=["interval_start", "account"], sort="interval_start", where=["account=host"])
    assert found.totals.names[:3] == ("interval_start", "interval_end", "account")
    assert [one[3] for one in rows(found)] == [110, 5001]


def test_the_order_is_by_what_is_asked_for_and_then_by_the_keys(day: Path) -> None:
    only = ["account=host"]
    by_packets = ask(day, where=only, sort="packets")
    assert [one[1] for one in rows(by_packets)] == [host("10.0.0.1"), host("10.0.0.3"), host("10.0.0.2")]
    by_host = ask(day, where=only, sort="host")
    assert [one[1] for one in rows(by_host)] == [host("10.0.0.1"), host("10.0.0.2"), host("10.0.0.3")]
    by_received = ask(day, where=only, sort="received_bytes", top=2)
    assert [one[1] for one in rows(by_received)] == [host("10.0.0.1"), host("10.0.0.2")]
    assert by_received.totals.left_out == 1


def test_one_direction_has_its_counters_only_and_no_rows_without_any(day: Path) -> None:
    found = ask(day, where=["account=host"], direction="received")
    assert found.totals.names == ("account", "host", "received_bytes", "received_packets")
    assert [one[1] for one in rows(found)] == [host("10.0.0.1"), host("10.0.0.2")]
    assert found.totals.total == {"received_bytes": 922, "received_packets": 5}


def test_one_total_of_all_needs_no_columns(day: Path) -> None:
    assert rows(ask(day, by=[])) == [(6033, 13, 6033, 13)]


def test_a_period_without_intervals_has_no_rows_and_says_so(day: Path) -> None:
    found = ask(day, period="2026-11-19")
    assert rows(found) == []
    assert doubts(found, UTC) == ["the ledger holds no interval of this period"]
    assert balance_line(found.balance) == "balance: no intervals"
    unknown = ask(day, where=["meter=wan"])
    assert doubts(unknown, UTC) == ["the ledger holds no interval of this period by such a meter"]


def test_what_is_not_proven_is_said_with_its_reason(tmp_path: Path) -> None:
    lines = talk("10.0.0.1", sent=(100, 1), received=(0, 0))
    store = book(
        tmp_path / "store",
        [
            Booked("2026-11-20T10:00:00Z", lines),
            Booked("2026-11-20T10:05:00Z", lines, lost=Count(2, 80), why_lost="the buffer was full"),
            Booked("2026-11-20T10:10:00Z", lines, interrupted="power cut"),
            Booked("2026-11-20T10:15:00Z", lines, has_kernel=False),
        ],
    )
    found = ask(store, period="2026-11-20T10:00..2026-11-20T10:20")
    assert doubts(found, UTC) == [
        "lossy: lan on gw1, 2026-11-20 10:05 +00:00 to 2026-11-20 10:10 +00:00 (5 min), lost 2 packets, 80 bytes: "
        "the buffer was full",
        "interrupted: lan on gw1, 2026-11-20 10:10 +00:00 to 2026-11-20 10:15 +00:00 (5 min): power cut",
    ]
    assert balance_line(found.balance) == (
        "balance: 4 intervals, 1 exact, 1 lossy, 1 unproven, 1 interrupted; no count of the kernel for all of them; "
        "accounted 4 packets, 400 bytes + lost 2 packets, 80 bytes"
    )
    assert ("unattributed", None, 80, 2, 80, 2) in rows(found)
    whole = ask(store, period="2026-11-20T10:00..2026-11-20T10:15")
    assert balance_line(whole.balance) == (
        "balance: 3 intervals, 1 exact, 1 lossy, 1 interrupted; kernel 5 packets, 380 bytes = "
        "accounted 3 packets, 300 bytes + lost 2 packets, 80 bytes"
    )


def test_many_unproven_intervals_are_counted_and_not_all_listed(tmp_path: Path) -> None:
    lines = talk("10.0.0.1", sent=(100, 1), received=(0, 0))
    store = book(
        tmp_path / "store",
        [Booked(f"2026-11-20T10:{minute:02d}:00Z", lines, interrupted="power cut") for minute in range(0, 30, 5)],
    )
    sentences = doubts(ask(store, period="2026-11-20T10:00..2026-11-20T10:30"), UTC)
    assert len(sentences) == 4
    assert sentences[-1] == "interrupted: 3 more intervals (netledger audit lists them)"


def test_a_gap_is_named_and_so_is_what_was_counted_twice(tmp_path: Path) -> None:
    lines = talk("10.0.0.1", sent=(100, 1), received=(0, 0))
    store = book(
        tmp_path / "store",
        [
            Booked("2026-11-20T10:00:00Z", lines),
            Booked("2026-11-20T10:10:00Z", lines, seconds=360),
            Booked("2026-11-20T10:15:00Z", lines),
        ],
    )
    assert doubts(ask(store, period="2026-11-20T10:00..2026-11-20T10:20"), UTC) == [
        "not covered by lan on gw1: 2026-11-20 10:05 +00:00 to 2026-11-20 10:10 +00:00 (5 min)",
        "counted twice by lan on gw1: 2026-11-20 10:15 +00:00 to 2026-11-20 10:16 +00:00 (1 min)",
    ]


def test_the_interval_that_is_still_open_is_no_gap_but_a_dead_meter_is_one(day: Path) -> None:
    soon = ask(day, period="2026-11-20T10:00..2026-11-21", now="2026-11-20T13:00:30Z")
    assert doubts(soon, UTC) == []
    assert notes(soon, UTC) == ["the period goes on; counted up to 2026-11-20 12:00 +00:00"]
    late = ask(day, period="2026-11-20T10:00..2026-11-21", now="2026-11-20T13:01:01Z")
    assert doubts(late, UTC) == [
        "not covered by lan on gw1: 2026-11-20 12:00 +00:00 to 2026-11-20 13:01:01 +00:00 (1 h 1 min)"
    ]


def test_an_interval_from_before_covers_the_beginning_of_a_period(day: Path) -> None:
    found = ask(day, period="2026-11-20T10:30..2026-11-20T12:00")
    assert doubts(found, UTC) == []
    assert len(found.intervals) == 1


def test_meters_that_may_count_the_same_packets_are_mentioned_when_added_up(tmp_path: Path) -> None:
    lines = talk("10.0.0.1", sent=(100, 1), received=(0, 0))
    store = book(
        tmp_path / "store",
        [Booked("2026-11-20T10:00:00Z", lines), Booked("2026-11-20T10:00:00Z", lines, meter="wan")],
    )
    span = "2026-11-20T10:00..2026-11-20T10:05"
    assert notes(ask(store, period=span), UTC) == [
        "rows of 2 meters are added up, which may count the same packets: lan, wan (--by meter,… tells them apart)"
    ]
    assert notes(ask(store, period=span, by=["meter"]), UTC) == []
    chosen = ask(store, period=span, where=["meter=wan"])
    assert notes(chosen, UTC) == []
    assert chosen.balance.statuses == {Status.EXACT: 1}
    assert chosen.totals.total["sent_bytes"] == 100


def test_what_a_condition_cannot_tell_is_said(tmp_path: Path) -> None:
    store = book(
        tmp_path / "store",
        [
            Booked(
                "2026-11-20T10:00:00Z",
                [
                    *talk("10.0.0.1", sent=(100, 1), received=(0, 0)),
                    row("host", host="10.0.0.2", sent=(50, 1), protocol=17),
                    row("external", received=(50, 1)),
                    row("other", sent=(7, 1), received=(7, 1)),
                ],
                lost=Count(1, 40),
                other=Count(1, 7),
            )
        ],
    )
    found = ask(store, period="2026-11-20T10:00..2026-11-20T10:05", where=["proto=udp"])
    assert [one[1] for one in rows(found)] == [host("10.0.0.2")]
    assert notes(found, UTC) == [
        "1 row without protocol, which their meters do not tell apart, are left out",
        "1 packet, 7 bytes are booked on other, without detail: they may belong to what was asked for",
        "1 packet, 40 bytes were lost: they may belong to what was asked for",
    ]


def test_rows_that_do_not_add_up_to_their_receipts_are_an_error(day: Path) -> None:
    (first,) = (day / "data" / "traffic").glob("*/*-00000001-*.parquet")
    (second,) = (day / "data" / "traffic").glob("*/*-00000002-*.parquet")
    first.write_bytes(second.read_bytes())
    with pytest.raises(LedgerError, match="in the rows against"):
        ask(day)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": ["hosts"]}, "--by hosts: no such column"),
        ({"by": ["sent_bytes"]}, "--by sent_bytes: no such column"),
        ({"sort": "peer"}, "--sort peer: not among the columns"),
        ({"sort": "sent_bytes", "direction": "received"}, "--sort sent_bytes: not among the columns"),
        ({"direction": "up"}, "--direction up: no such direction"),
        ({"by": ["interval_start"], "per": Step.DAY}, "--per day: cannot go with --by interval_start"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(day: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ask(day, **changes)  # type: ignore[arg-type]  # a table of options of different types


def test_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger"):
        ask(tmp_path / "nothing")


_HOSTS = ("10.0.0.1", "10.0.0.2", "2001:db8::1")
_TALK = st.tuples(
    st.sampled_from(_HOSTS), st.integers(0, 2**40), st.integers(0, 2**20), st.integers(0, 2**40), st.integers(0, 2**20)
)
_INTERVALS = st.lists(st.lists(_TALK, max_size=4, unique_by=lambda one: one[0]), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None)
@given(_INTERVALS, st.sampled_from([None, *Step]), st.sampled_from([["host"], ["account"], ["account", "host"], []]))
def test_totals_are_the_sums_of_the_rows_whatever_they_are_told_apart_by(
    drawn: list[list[tuple[str, int, int, int, int]]], per: Step | None, by: Sequence[str]
) -> None:
    intervals = [
        Booked(
            f"2026-11-{20 + number % 3:02d}T1{number}:00:00Z",
            [line for name, *one in talks for line in talk(name, sent=(one[0], one[1]), received=(one[2], one[3]))],
        )
        for number, talks in enumerate(drawn)
    ]
    with TemporaryDirectory() as folder:
        found = ask(book(Path(folder) / "store", intervals), per=per, by=by)
    expected: Counter[tuple[Value, ...]] = Counter()
    for one in intervals:
        for line in one.rows:
            key = tuple(line[name] for name in by)
            step = _step_of(one.start, per)
            for counter in ("sent_bytes", "sent_packets", "received_bytes", "received_packets"):
                expected[*step, *key, counter] += int(str(line[counter]))
    got: Counter[tuple[Value, ...]] = Counter()
    width = len(found.totals.names) - 4
    for one_row in rows(found):
        key = tuple(rfc3339(int(str(cell))) if n == 0 and per else cell for n, cell in enumerate(one_row[:width]))
        key = (key[0], *key[2:]) if per else key
        for name, cell in zip(found.totals.names[width:], one_row[width:], strict=True):
            got[*key, name] += int(str(cell))
    assert +got == +expected
    assert found.totals.total["sent_bytes"] == found.totals.total["received_bytes"] == found.balance.accounted.bytes


def _step_of(start: str, per: Step | None) -> tuple[str, ...]:
    """What the piece of ALWAYS that holds a moment in November 2026 begins with."""
    if per is None:
        return ()
    first = {
        Step.HOUR: f"{start[:13]}:00:00Z",
        Step.DAY: f"{start[:10]}T00:00:00Z",
        Step.WEEK: "2026-11-16T00:00:00Z",
        Step.MONTH: "2026-11-01T00:00:00Z",
        Step.YEAR: "2026-01-01T00:00:00Z",
    }
    return (first[per],)
