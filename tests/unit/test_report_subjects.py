"""Whose traffic it was: rows joined to facts by time, in a real store."""

from pathlib import Path

import pytest

from netledger.errors import UsageError
from netledger.ledger.prefixes import Lengths
from netledger.ledger.reader import Reader
from netledger.receipt import parse_rfc3339
from netledger.reports.periods import Step
from netledger.reports.remarks import doubts, notes
from netledger.reports.zones import find
from tests.unit.assigned import by_subject, fact, learn
from tests.unit.booked import Booked, ask, book
from tests.unit.rows import Row, batch, row
from tests.unit.store import opened

UTC = find("UTC")
TEN = "2026-11-20T10:00:00Z"
ELEVEN = "2026-11-20T11:00:00Z"


def of(*hosts: tuple[str | None, int], **columns: str | int) -> list[Row]:
    """Hosts that sent so many bytes, and what is not local: the rows balance."""
    rows = [
        row("host", host=host, sent=(sent, 1), **columns)  # type: ignore[arg-type]  # names of columns, with their values
        for host, sent in hosts
    ]
    return [*rows, row("external", received=(sum(sent for _, sent in hosts), len(hosts)))]


def sent(store: Path, **options: object) -> dict[tuple[str, str | None], int]:
    found = by_subject(ask(store, by=["subject"], **options))  # type: ignore[arg-type]  # those of ask
    return {key: value[0] for key, value in found.items() if key[0] != "external"}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three hosts, for an hour each, at ten and at eleven."""
    return book(
        tmp_path / "store",
        [
            Booked(TEN, of(("10.0.0.1", 1), ("10.0.0.2", 10), ("10.0.1.3", 100)), seconds=3600),
            Booked(ELEVEN, of(("10.0.0.1", 1000), ("10.0.0.2", 10_000), ("10.0.1.3", 100_000)), seconds=3600),
        ],
    )


def test_each_row_is_whose_it_was_then(store: Path) -> None:
    learn(store, fact("10.0.0.1", "ann", TEN, ELEVEN), fact("10.0.0.1", "bob", ELEVEN), fact("10.0.0.2", "ann"))
    found = ask(store, by=["subject"])
    assert found.totals.names[:2] == ("subject", "reason")
    assert by_subject(found) == {
        ("external", None): (0, 111_111),
        ("ann", None): (10_011, 0),
        ("bob", None): (1000, 0),
        ("unknown", "no assignment"): (100_100, 0),
    }
    assert found.totals.total["sent_bytes"] == found.totals.total["received_bytes"] == 111_111
    assert found.totals.partly_bytes == 0


def test_nobody_is_known_where_nothing_was_said_and_a_line_says_how_to(store: Path) -> None:
    found = ask(store, by=["subject"])
    assert sent(store) == {("unknown", "no assignment"): 111_111}
    assert any("nothing was known of anybody" in one for one in notes(found, UTC))


def test_what_was_somebodys_at_another_time_is_a_gap(store: Path) -> None:
    learn(
        store, fact("10.0.0.1", "ann", ELEVEN), fact("10.0.0.2", "bob", "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")
    )
    assert sent(store) == {
        ("ann", None): 1000,
        ("unknown", "gap"): 1 + 10_010,
        ("unknown", "no assignment"): 100_100,
    }


def test_two_holders_of_one_interval_are_a_conflict_and_one_of_a_part_gets_it_all(store: Path) -> None:
    middle = "2026-11-20T10:30:00Z"
    learn(
        store,
        fact("10.0.0.1", "ann", TEN, middle),
        fact("10.0.0.1", "bob", middle, ELEVEN),
        fact("10.0.0.2", "ann", middle, ELEVEN),
    )
    found = ask(store, by=["subject"])
    assert sent(store) == {
        ("ann", None): 10,
        ("unknown", "conflict"): 1,
        ("unknown", "gap"): 11_000,
        ("unknown", "no assignment"): 100_100,
    }
    assert found.totals.partly_bytes == 10
    assert any(one.startswith("10 bytes sent and received rest on intervals") for one in notes(found, UTC))


def test_a_hand_over_within_a_second_of_a_border_is_no_conflict(store: Path) -> None:
    border = "2026-11-20T11:00:00.400000000Z"
    learn(store, fact("10.0.0.1", "ann", TEN, border), fact("10.0.0.1", "bob", border))
    found = ask(store, by=["subject"], where=["host=10.0.0.1"])
    assert by_subject(found) == {("ann", None): (1, 0), ("bob", None): (1000, 0)}
    assert found.totals.partly_bytes == 0


def test_the_most_specific_wins_and_networks_take_the_rest(store: Path) -> None:
    learn(store, fact("10.0.0.0/24", "office"), fact("10.0.0.0/8", "site"), fact("10.0.0.2", "ann"))
    assert sent(store) == {("office", None): 1001, ("ann", None): 10_010, ("site", None): 100_100}


def test_a_row_that_is_cut_to_a_prefix_belongs_to_who_has_all_of_it(tmp_path: Path) -> None:
    rows = of(("2001:db8:0:1::", 1), ("2001:db8:0:2::", 10), ("2001:db8:0:3::5", 100))
    store = book(tmp_path / "store", [Booked(TEN, rows)])
    learn(
        store,
        fact("2001:db8:0:1::/64", "ann"),
        fact("2001:db8:0:1::", "single"),
        fact("2001:db8:0:2::/80", "part"),
        fact("2001:db8:0:3::5", "host"),
        fact("2001:db8::/48", "site"),
    )
    assert sent(store) == {("ann", None): 1, ("site", None): 10, ("host", None): 100}


def test_both_stacks_of_a_device_are_its_owners(tmp_path: Path) -> None:
    mac = "02:00:00:00:00:07"
    store = book(tmp_path / "store", [Booked(TEN, of(("10.0.0.7", 1), ("2001:db8:0:7::", 10)))])
    learn(
        store,
        fact(mac, "ann"),
        fact("10.0.0.7", "laptop", mac=mac, source="lan"),
        fact("2001:db8:0:7::/64", "laptop", mac=mac, source="lan"),
    )
    assert sent(store) == {("ann", None): 11}


def test_rows_without_a_host_are_whose_their_interface_or_mark_was(tmp_path: Path) -> None:
    rows = [
        *of((None, 1), interface="ppp0"),
        *of((None, 10), interface="eth0", mark=42),
        *of((None, 100), interface="eth0"),
        *of(("10.0.0.1", 1000), interface="ppp0"),
        *of(("10.0.0.2", 10_000), interface="eth1", mark=42),
    ]
    store = book(tmp_path / "store", [Booked(TEN, rows)])
    learn(store, fact("ppp0", "ann"), fact("mark:42", "bob"), fact("10.0.0.0/24", "office"))
    assert sent(store) == {("ann", None): 1001, ("bob", None): 10_010, ("unknown", "no host column"): 100}


def test_subjects_go_with_other_columns_and_with_a_series(store: Path) -> None:
    learn(store, fact("10.0.0.1", "ann"), fact("10.0.0.2", "ann", ELEVEN))
    found = ask(store, by=["subject", "host"], where=["subject=ann"], sort="host")
    assert [one[:4] for one in found.totals.rows()] == [
        ("ann", None, bytes(10) + b"\xff\xff\n\0\0\1", 1001),
        ("ann", None, bytes(10) + b"\xff\xff\n\0\0\2", 10_000),
    ]
    series = ask(store, by=["subject"], per=Step.HOUR, where=["subject=ann"], period="2026-11-20")
    assert series.totals.columns["sent_bytes"] == [1, 11_000]


def test_a_condition_on_subjects_has_alternatives_and_can_exclude(store: Path) -> None:
    learn(store, fact("10.0.0.1", "o'neill, a"), fact("10.0.0.2", "bob"))
    assert sent(store, where=["subject=o'neill, a", "subject=bob"]) == {
        ("o'neill, a", None): 1001,
        ("bob", None): 10_010,
    }
    assert sent(store, where=["subject!=bob", "account=host"]) == {
        ("o'neill, a", None): 1001,
        ("unknown", "no assignment"): 100_100,
    }
    assert sent(store, where=["subject=unknown"]) == {("unknown", "no assignment"): 100_100}


def test_what_was_known_at_a_time_stays_what_it_was(store: Path) -> None:
    learn(store, fact("10.0.0.1", "ann"), at="2026-12-01T00:00:00Z")
    then = parse_rfc3339("2026-12-02T00:00:00Z")
    before = ask(store, by=["subject"], as_known_at_ns=then)
    learn(store, fact("10.0.0.1", "bob"), fact("10.0.0.2", "cho"), at="2026-12-03T00:00:00Z")
    after = ask(store, by=["subject"], as_known_at_ns=then)
    assert list(before.totals.rows()) == list(after.totals.rows())
    assert sent(store) == {("bob", None): 1001, ("cho", None): 10_010, ("unknown", "no assignment"): 100_100}
    assert "whose it was, as known at 2026-12-02 00:00 +00:00" in notes(after, UTC)
    assert all("known" not in one for one in doubts(after, UTC))


def test_to_ask_when_it_was_known_needs_a_question_about_subjects(store: Path) -> None:
    with pytest.raises(UsageError, match="there is no question about subjects"):
        ask(store, as_known_at_ns=1)


def test_what_meters_keep_of_an_address_is_known_of_each_time(tmp_path: Path) -> None:
    cut = of(("2001:db8:1::", 1), ("10.0.0.0", 10))
    store = book(tmp_path / "store", [Booked(TEN, cut, meter="cut", seconds=3600)])
    with opened(store) as ledger:
        for number, (start, lengths) in enumerate(
            [(ELEVEN, Lengths(24, 48)), ("2026-11-20T12:00:00Z", Lengths(32, 128))]
        ):
            one = Booked(start, cut, meter="cut", seconds=3600)
            ledger.commit(one.receipt(2 + number), batch(one.rows), lengths=lengths)
    learn(store, fact("2001:db8:1::/56", "ann"), fact("10.0.0.0", "bob"), fact("2001:db8:1::/48", "site"))
    learn(store, fact("10.0.0.0/24", "floor"), fact("2001:db8:1::", "cho"))

    def at(hour: int) -> dict[tuple[str, str | None], int]:
        return sent(store, period=f"2026-11-20T{hour}:00..2026-11-20T{hour + 1}:00")

    assert at(10) == {("ann", None): 1, ("bob", None): 10}
    assert at(11) == {("site", None): 1, ("floor", None): 10}
    assert at(12) == {("cho", None): 1, ("bob", None): 10}
    assert sent(store) == {
        ("ann", None): 1,
        ("site", None): 1,
        ("cho", None): 1,
        ("bob", None): 20,
        ("floor", None): 10,
    }


def test_a_meter_whose_addresses_are_cut_as_by_default_needs_no_note(store: Path) -> None:
    one = Booked("2026-11-20T12:00:00Z", of(("10.0.0.1", 1)))
    with opened(store) as ledger:
        ledger.commit(one.receipt(3), batch(one.rows), lengths=Lengths(32, 64))
    assert Reader(store).snapshot().prefix_lengths == ()


def test_intervals_that_begin_together_are_judged_by_where_they_end(tmp_path: Path) -> None:
    rows = of(("10.0.0.1", 1))
    store = book(
        tmp_path / "store",
        [Booked(TEN, rows, seconds=length, meter=f"of_{length}") for length in (60, 300, 3600)],
    )
    learn(store, fact("10.0.0.1", "ann", TEN, "2026-11-20T10:02:00Z"), fact("10.0.0.1", "bob", "2026-11-20T10:30:00Z"))
    found = ask(store, by=["meter", "subject"], where=["account=host"], sort="meter")
    assert [one[:3] for one in found.totals.rows()] == [
        ("of_300", "ann", None),
        ("of_3600", "unknown", "conflict"),
        ("of_60", "ann", None),
    ]
    assert found.totals.partly_bytes == 1
