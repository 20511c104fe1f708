"""Sums by subject count only where they are what is known, and never change a total."""

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from netledger.errors import DamageError, LedgerError
from netledger.intervals import DAY_NS, HOUR_NS
from netledger.ledger.maintain import GRACE_NS, maintain
from netledger.ledger.reader import Reader
from netledger.ledger.rollup import HOUR_CLOSED_AFTER_NS
from netledger.ledger.store import sha256_of
from netledger.ledger.subject_rollup import SubjectSums, subject_schema
from netledger.ledger.verify import verify
from netledger.receipt import parse_rfc3339
from netledger.reports.periods import Step
from netledger.reports.remarks import doubts
from netledger.reports.zones import find
from tests.unit.assigned import by_subject, fact, learn
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.rows import Row, batch, row
from tests.unit.store import opened

DAY = "2026-11-20"
START_NS = parse_rfc3339("2026-11-20T00:00:00Z")
UTC = find("UTC")


def traffic(hour: int) -> list[Row]:
    hosts = [row("host", host=f"10.0.0.{number}", sent=(10**number + hour, 1)) for number in range(1, 5)]
    return [*hosts, row("external", received=(sum(10**number + hour for number in range(1, 5)), 4))]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Four hosts in the first six hours of a day; two of them are somebody's."""
    made = book(
        tmp_path / "store",
        [
            Booked(f"2026-11-20T{hour:02d}:{minute:02d}:00Z", traffic(hour), seconds=120)
            for hour in range(6)
            for minute in (0, 2, 58)
        ],
    )
    learn(made, fact("10.0.0.1", "ann"), fact("10.0.0.2", "bob", "2026-11-20T01:03:00Z", "2026-11-20T03:00:00Z"))
    return made


def kept(store: Path, *, now_ns: int = START_NS + 10 * DAY_NS, **options: int) -> tuple[str, ...]:
    """After housekeeping; which days were added up by subject."""
    with opened(store, clock=TestClock(now_ns)) as ledger:
        return maintain(ledger, **options).days_by_subject  # type: ignore[arg-type]  # options that are numbers


def rollups(store: Path) -> list[Path]:
    return [one.path for one in Reader(store).snapshot().subject_rollups]


def asked(store: Path, **options: object) -> dict[tuple[str, str | None], tuple[int, int]]:
    return by_subject(ask(store, by=["subject"], **options))  # type: ignore[arg-type]  # those of ask


def spoiled(store: Path) -> Path:
    """The same, but nothing can be read from its rows any more: who reads them fails."""
    for file in Reader(store).snapshot().files:
        file.write_bytes(b"no rows")
    return store


def test_a_row_is_what_a_subject_did_in_five_minutes_and_what_is_nobodys_has_its_host(store: Path) -> None:
    before = asked(store)
    assert kept(store) == (DAY,)
    (path,) = rollups(store)
    assert path.parent == store / "data" / "rollup_5min_subject" / f"day={DAY}"
    assert parquet.read_schema(path).equals(subject_schema())
    lines = parquet.read_table(path).to_pylist()
    anns = [one for one in lines if one["subject"] == "ann"]
    assert [(one["interval_start"] - START_NS, one["sent_bytes"], one["row_count"]) for one in anns[:3]] == [
        (0, 20, 2),
        (55 * 60 * 10**9, 10, 1),
        (HOUR_NS, 22, 2),
    ]
    nobodys = {
        (one["host"][-1], one["reason"], one["interval_end"] - one["interval_start"])
        for one in lines
        if one["subject"] is None
    }
    assert nobodys == {(2, None, HOUR_NS), (3, None, HOUR_NS), (4, None, HOUR_NS)}
    assert [one["interval_start"] for one in lines if one["is_partly"]] == [START_NS + HOUR_NS]
    assert verify(Reader(store)) == []
    assert asked(store) == before
    assert asked(spoiled(store)) == before


def test_without_any_assignment_nothing_is_added_up_by_subject(tmp_path: Path) -> None:
    store = book(tmp_path / "store", [Booked("2026-11-20T00:00:00Z", traffic(0))])
    assert kept(store) == ()
    assert rollups(store) == []


def test_hours_are_added_up_as_they_close_and_a_closed_day_is_one_file(store: Path) -> None:
    closed = HOUR_CLOSED_AFTER_NS
    before = asked(store)
    assert kept(store, now_ns=START_NS + 2 * HOUR_NS + closed) == (DAY,)
    assert kept(store, now_ns=START_NS + 2 * HOUR_NS + closed) == ()
    assert asked(store) == before
    assert kept(store, now_ns=START_NS + 7 * HOUR_NS + closed) == (DAY,)
    assert len(rollups(store)) == 2
    assert asked(store) == before
    kept(store, now_ns=START_NS + 2 * DAY_NS)
    assert len(rollups(store)) == 1
    assert verify(Reader(store)) == []
    assert asked(spoiled(store)) == before


def test_what_is_learnt_later_of_a_day_counts_at_once_and_its_sums_are_made_again(store: Path) -> None:
    kept(store)
    old = rollups(store)
    learn(store, fact("10.0.0.3", "cho", "2026-11-20T02:00:00Z", "2026-11-20T04:00:00Z"), at="2028-01-01T00:00:00Z")
    now = asked(store)
    assert now["cho", None] == (6 * 1000 + 3 * 2 + 3 * 3, 0)
    assert now["unknown", "gap"][0] == sum(one[0] for one in now.values()) - now["ann", None][0] - now["bob", None][
        0
    ] - (now["cho", None][0] + now["unknown", "no assignment"][0])
    assert kept(store) == (DAY,)
    assert set(rollups(store)).isdisjoint(old)
    assert verify(Reader(store)) == []
    assert asked(spoiled(store)) == now


def test_what_is_learnt_of_another_time_changes_no_sums_but_makes_a_gap_of_what_was_nobodys(store: Path) -> None:
    kept(store)
    old = rollups(store)
    before = asked(store)
    learn(store, fact("10.0.0.4", "dan", "2026-12-01T00:00:00Z"), at="2028-01-01T00:00:00Z")
    moved = sum(3 * (10**4 + hour) for hour in range(6))
    expected = before | {
        ("unknown", "gap"): (before["unknown", "gap"][0] + moved, 0),
        ("unknown", "no assignment"): (before["unknown", "no assignment"][0] - moved, 0),
    }
    assert asked(store) == expected
    assert kept(store) == ()
    assert rollups(store) == old
    assert verify(Reader(store)) == []
    assert asked(spoiled(store)) == expected


def test_sums_answer_what_was_known_before_if_nothing_has_changed_there_since(store: Path) -> None:
    then = parse_rfc3339("2027-06-01T00:00:00Z")
    before = asked(store, as_known_at_ns=then)
    learn(store, fact("10.0.0.3", "cho"), at="2028-01-01T00:00:00Z")
    kept(store)
    assert asked(store, as_known_at_ns=then) == before
    assert asked(store, as_known_at_ns=parse_rfc3339("2020-01-01T00:00:00Z")) == {
        ("external", None): before["external", None],
        ("unknown", "no assignment"): (before["external", None][1], 0),
    }
    now = asked(store)
    assert now["cho", None] == (sum(3 * (1000 + hour) for hour in range(6)), 0)


def test_what_comes_late_counts_beside_the_sums(store: Path) -> None:
    kept(store)
    before = asked(store)
    with opened(store, clock=TestClock(START_NS + 20 * DAY_NS)) as ledger:
        late = Booked("2026-11-20T05:30:00Z", traffic(0))
        ledger.commit(late.receipt(99), batch(late.rows))
    after = asked(store)
    assert after["ann", None][0] == before["ann", None][0] + 10
    assert after["external", None][1] == before["external", None][1] + 11_110
    assert kept(store, now_ns=START_NS + 21 * DAY_NS) == (DAY,)
    assert asked(spoiled(store)) == after


def test_rows_go_when_they_are_added_up_and_what_is_learnt_since_is_a_doubt(store: Path) -> None:
    before = asked(store)
    now_ns = START_NS + 60 * DAY_NS
    kept(store, now_ns=now_ns, keep_days=30)
    assert Reader(store).snapshot().files == ()
    assert asked(store) == before
    assert verify(Reader(store)) == []
    learn(store, fact("10.0.0.3", "cho"), at="2028-01-01T00:00:00Z")
    assert kept(store, now_ns=now_ns + GRACE_NS, keep_days=30) == ()
    found = ask(store, by=["subject"])
    assert ("cho", None) not in by_subject(found)
    assert any("is as it was known when they were removed" in one for one in doubts(found, UTC))
    assert verify(Reader(store)) == []


def test_rows_stay_while_something_new_is_known_of_them(store: Path) -> None:
    with opened(store, clock=TestClock(START_NS + 10 * DAY_NS)) as ledger:
        maintain(ledger)
        learn(store, fact("10.0.0.3", "cho"), at="2028-01-01T00:00:00Z")
        # The first thing that housekeeping does is to make room.
    damaged = rollups(store)[0]
    kept(store, now_ns=START_NS + 60 * DAY_NS, keep_days=30)
    assert damaged not in rollups(store)
    assert ("cho", None) in asked(store)
    assert Reader(store).snapshot().files == ()


def test_sums_go_with_the_hourly_ones(store: Path) -> None:
    kept(store, now_ns=START_NS + 60 * DAY_NS, keep_days=30, keep_rollup_days=40)
    assert rollups(store) == []
    found = ask(store, by=["subject"])
    assert len(found.totals) == 0
    assert found.days_dropped == [DAY]


def test_a_changed_sum_is_found(store: Path) -> None:
    kept(store)
    (path,) = rollups(store)
    table = parquet.read_table(path)
    names = table.column("subject").to_pylist()
    moved = ["bob" if name == "ann" else name for name in names]
    changed = table.set_column(table.schema.get_field_index("subject"), "subject", pa.array(moved).dictionary_encode())
    parquet.write_table(changed, path)
    told(store, path)
    problems = [str(one) for one in verify(Reader(store))]
    assert problems[0] == (
        "rollup_5min_subject gw1 lan 2026-11-20T00:00:00Z: the sums of ann are not those of the rows"
    )


def told(store: Path, path: Path) -> None:
    """Writes into the ledger that the file is as it is now, as who tampers would."""
    with sqlite3.connect(store / "ledger.sqlite") as connection:
        connection.execute(
            "UPDATE files SET sha256 = ?, octets = ? WHERE path = ?",
            (sha256_of(path), path.stat().st_size, str(path.relative_to(store))),
        )


def test_a_file_of_rows_that_was_changed_becomes_no_sum(store: Path) -> None:
    kept(store, now_ns=START_NS + 7 * HOUR_NS)
    old = rollups(store)
    learn(store, fact("10.0.0.3", "cho"), at="2028-01-01T00:00:00Z")
    Reader(store).snapshot().files[0].write_bytes(b"no rows")
    with pytest.raises(DamageError):
        kept(store, now_ns=START_NS + 8 * HOUR_NS)
    assert rollups(store) == old


def moved_to(store: Path, path: Path, octets: int) -> None:
    """So many more bytes for the first subject of a file."""
    table = parquet.read_table(path)
    sent = table.column("sent_bytes").to_pylist()
    changed = pa.array([sent[0] + octets, *sent[1:]], pa.uint64())
    parquet.write_table(table.set_column(table.schema.get_field_index("sent_bytes"), "sent_bytes", changed), path)
    told(store, path)


def test_of_removed_rows_a_changed_sum_is_found_by_the_hourly_ones(store: Path) -> None:
    kept(store, now_ns=START_NS + 60 * DAY_NS, keep_days=30)
    moved_to(store, rollups(store)[0], 7)
    assert [str(one) for one in verify(Reader(store))] == [
        "rollup_5min_subject gw1 lan 2026-11-20T00:00:00Z: the sums of the account host are not those of the hour"
    ]


def test_sums_that_are_to_be_made_again_are_compared_with_the_rows_by_the_hour(store: Path) -> None:
    closed = HOUR_CLOSED_AFTER_NS
    kept(store, now_ns=START_NS + 2 * HOUR_NS + closed)
    learn(store, fact("10.0.0.3", "cho", "2026-11-20T00:00:00Z", "2026-11-20T00:10:00Z"), at="2028-01-01T00:00:00Z")
    with opened(store, clock=TestClock(START_NS + 3 * HOUR_NS)) as ledger:
        # As a housekeeping that is killed before it comes to what is to be made again.
        sums = SubjectSums(ledger)
        sums.facts_upto -= 1
        assert sums.add_up(DAY, before_ns=START_NS + 3 * HOUR_NS)
        ledger.connection.execute(
            "UPDATE subject_rollups SET facts_upto = facts_upto + 1 "
            "WHERE file = (SELECT max(file) FROM subject_rollups)"
        )
    assert verify(Reader(store)) == []
    moved_to(store, rollups(store)[0], 7)
    assert [str(one) for one in verify(Reader(store))] == [
        "rollup_5min_subject gw1 lan 2026-11-20T00:00:00Z: the sums of the account host are not those of the hour"
    ]


def test_a_series_rests_on_sums_too(store: Path) -> None:
    before = ask(store, by=["subject"], per=Step.HOUR, period="2026-11-20")
    kept(store)
    after = ask(spoiled(store), by=["subject"], per=Step.HOUR, period="2026-11-20")
    assert list(after.totals.rows()) == list(before.totals.rows())
    assert len(before.totals) > 6 * 3


def test_what_sums_cannot_answer_comes_from_the_rows(store: Path) -> None:
    kept(store)
    hosts = ask(store, by=["subject", "host"], where=["subject=bob"])
    assert [one[0] for one in hosts.totals.rows()] == ["bob"]
    cut = asked(store, period="2026-11-20T00:01..2026-11-20T02:00")
    assert cut["ann", None][0] == 10 * 5 + 3


@pytest.mark.parametrize("step", ["written", "synced", "renamed", "named", "rolled_up"])
def test_a_step_that_fails_changes_nothing_and_is_repeated(store: Path, step: str) -> None:
    before = asked(store)

    def at_step(name: str) -> None:
        if name == step:
            raise OSError(28, "no space left on device")

    clock = TestClock(START_NS + 10 * DAY_NS)
    with opened(store, clock=clock, at_step=at_step) as ledger, pytest.raises(LedgerError, match="no space left"):
        SubjectSums(ledger).add_up(DAY)
    assert rollups(store) == []
    assert asked(store) == before
    assert kept(store) == (DAY,)
    assert len(list((store / "data" / "rollup_5min_subject").rglob("*"))) == 2
    assert verify(Reader(store)) == []


def test_two_that_add_up_one_day_do_it_once(store: Path) -> None:
    done: list[bool] = []

    def at_step(name: str) -> None:
        if name == "named" and not done:
            with opened(store) as other:
                done.append(SubjectSums(other).add_up(DAY))

    with opened(store, at_step=at_step) as ledger:
        done.append(SubjectSums(ledger).add_up(DAY))
    assert done == [True, False]
    assert len(rollups(store)) == 1
    assert verify(Reader(store)) == []
