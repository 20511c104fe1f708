"""A report is the same to the byte, whatever housekeeping has made of the rows that it is about."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from netledger.ledger.maintain import maintain, roll_up
from netledger.receipt import ZERO, Count, parse_rfc3339
from netledger.reports.periods import Step
from netledger.reports.remarks import doubts, notes
from netledger.reports.zones import find
from tests.unit.booked import Booked, ask, book
from tests.unit.memory_source import TestClock
from tests.unit.released import report
from tests.unit.rows import Row, batch, row
from tests.unit.store import opened

DAYS = ("2026-11-20", "2026-11-21")
NOW = "2026-11-25T00:00:00Z"

QUESTIONS: list[tuple[bool, dict[str, object]]] = [
    (True, {}),
    (True, {"by": []}),
    (True, {"by": ["node", "meter"], "per": Step.DAY}),
    (True, {"by": ["meter", "host"], "top": 2}),
    (True, {"by": ["host", "account"], "sort": "received_packets", "direction": "received"}),
    (True, {"by": ["host"], "per": Step.HOUR, "top": 1}),
    (True, {"by": ["host"], "per": Step.DAY, "zone": "Europe/Berlin", "sort": "host"}),
    (True, {"where": ["host=10.0.0.2/31", "meter!=mirror"]}),
    (True, {"where": ["account=host", "node=gw1"], "by": ["account"]}),
    (True, {"period": "2026-11-20T05:00..2026-11-21T07:00", "by": ["meter"]}),
    (True, {"period": "2026-W47", "per": Step.WEEK}),
    (False, {"period": "2026-11-20T05:30..2026-11-21T07:00", "by": ["meter"]}),
    (False, {"period": "2026-11-20T05:00..2026-11-20T07:45"}),
    (False, {"by": ["host"], "per": Step.DAY, "zone": "Asia/Kolkata"}),
    (False, {"by": ["host"], "per": Step.HOUR, "zone": "Asia/Kolkata"}),
    (False, {"by": ["interval_start", "host"]}),
    (False, {"by": ["protocol", "peer"]}),
    (False, {"where": ["port=443"], "by": ["host"]}),
    (False, {"where": ["address=10.0.0.3"], "by": ["host"]}),
]


def lines(hour: int) -> list[Row]:
    found = [
        row("host", host=f"10.0.0.{one}", protocol=6, peer_port=443, sent=(5 * one + hour, one), received=(7, 2))
        for one in range(1, 6)
    ]
    found.append(row("host", host="2001:db8::1", sent=(2**40, 1)))
    sent = sum(int(str(one["sent_bytes"])) for one in found)
    found.append(row("external", sent=(35, 10), received=(sent, 16)))
    return found


def booked() -> list[Booked]:
    """Two days: of several intervals an hour, of one longer than an hour, of one without a count of the kernel."""
    found = []
    for day in DAYS:
        for number in range(36):
            start = f"{day}T{4 + number // 12:02d}:{number % 12 * 5:02d}:00Z"
            lost = Count(2, 99) if number == 7 else ZERO
            found.append(Booked(start, lines(number), lost=lost, why_lost="full" if number == 7 else None))
        found.append(Booked(f"{day}T04:00:00Z", lines(1), seconds=3 * 3600, meter="wan"))
        # A meter whose key is without the host.
        found.append(Booked(f"{day}T05:00:00Z", [row("host", sent=(9, 1), received=(9, 1))], meter="sums"))
        one_way = [row("host", host="10.0.0.2", sent=(300, 3))]
        found.append(Booked(f"{day}T05:00:00Z", one_way, node="gw2", meter="mirror", has_kernel=False))
    return found


def untouched(_store: Path) -> None:
    """As it was committed."""


def rolled_up(store: Path) -> None:
    with opened(store) as ledger:
        assert all([roll_up(ledger, day) for day in DAYS])  # noqa: C419  # each of them, also after one that was not


def rolled_up_by_the_hour(store: Path) -> None:
    for hour in (5, 6, 7):
        with opened(store, clock=TestClock(parse_rfc3339(f"{DAYS[1]}T{hour:02d}:30:00Z"))) as ledger:
            assert maintain(ledger).days_rolled_up


def compacted(store: Path) -> None:
    with opened(store, clock=TestClock(parse_rfc3339(NOW))) as ledger:
        assert maintain(ledger).days_compacted == DAYS


def late(before: Callable[[Path], None]) -> Callable[[Path], None]:
    def act(store: Path) -> None:
        before(store)
        with opened(store, clock=TestClock(parse_rfc3339(NOW))) as ledger:
            ledger.commit(LATE.receipt(200), batch(LATE.rows))

    return act


def late_and_rolled_up(store: Path) -> None:
    late(compacted)(store)
    compacted_again = opened(store, clock=TestClock(parse_rfc3339(NOW)))
    with compacted_again as ledger:
        assert roll_up(ledger, DAYS[0])


def late_and_compacted(store: Path) -> None:
    late(compacted)(store)
    with opened(store, clock=TestClock(parse_rfc3339(NOW))) as ledger:
        assert maintain(ledger).days_compacted == DAYS[:1]


LATE = Booked(f"{DAYS[0]}T05:40:00Z", lines(3), meter="late")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return book(tmp_path_factory.mktemp("raw") / "store", booked())


def told(store: Path) -> list[str]:
    return [report(store, **{"period": "2026-11-20..2026-11-22", **question}) for _, question in QUESTIONS]


@pytest.mark.parametrize("act", [rolled_up, rolled_up_by_the_hour, compacted])
def test_the_same_store_answers_the_same(tmp_path: Path, raw: Path, act: Callable[[Path], None]) -> None:
    store = copytree(raw, tmp_path / "store")
    act(store)
    assert told(store) == told(raw)


@pytest.mark.parametrize("act", [late(rolled_up), late(compacted), late_and_rolled_up, late_and_compacted])
def test_the_same_with_an_interval_that_came_late(tmp_path: Path, raw: Path, act: Callable[[Path], None]) -> None:
    store, other = copytree(raw, tmp_path / "store"), copytree(raw, tmp_path / "other")
    act(store)
    late(untouched)(other)
    assert told(store) == told(other)


@pytest.mark.parametrize(("is_of_hours", "question"), QUESTIONS)
def test_hourly_sums_are_used_where_they_can_be(
    tmp_path: Path, raw: Path, *, is_of_hours: bool, question: dict[str, object]
) -> None:
    """Without rows it shows on what an answer rests."""
    store = copytree(raw, tmp_path / "store")
    with opened(store, clock=TestClock(parse_rfc3339(NOW))) as ledger:
        maintain(ledger, keep_days=1)
    question = {"period": "2026-11-20..2026-11-22", **question}
    before, after = (ask(one, **question) for one in (raw, store))  # type: ignore[arg-type]  # options of different types
    removed = [text for text in doubts(after, find("UTC")) if "removed because of their age" in text]
    if is_of_hours:
        assert list(after.totals.rows()) == list(before.totals.rows())
        assert after.undetailed == before.undetailed
        assert doubts(after, find("UTC")) == doubts(before, find("UTC"))
        text = "the detail of 2 UTC days was removed because of its age: 2026-11-20 to 2026-11-21; these totals rest on"
        assert any(text in note for note in notes(after, find("UTC")))
        assert removed == []
    else:
        assert len(after.totals) == 0
        (text,) = removed
        assert text.startswith("rows of ")
        assert text.endswith("; their totals by node, meter, account and host are kept for whole hours of UTC")
