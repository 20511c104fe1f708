"""What is told of a time whose generations are gone."""

import pytest

from netledger.receipt import ZERO, Status
from netledger.sources.base import NO_PAST, Past
from netledger.sources.lasting import Mark
from netledger.sources.lost import NoRows, absence, nothing_observed

SECOND_NS = 1_000_000_000
MARK = Mark(10 * SECOND_NS, "this")


@pytest.mark.parametrize(
    ("mark", "past", "remains", "start_seconds", "why"),
    [
        (MARK, NO_PAST, None, 10, "the runtime directory was removed"),
        (Mark(10 * SECOND_NS, "other"), NO_PAST, None, 10, "the machine was restarted"),
        (MARK, Past(3, 20 * SECOND_NS), None, 20, "the runtime directory was removed"),
        (MARK, Past(3, 5 * SECOND_NS), None, 10, "the runtime directory was removed"),
        (None, Past(3, 20 * SECOND_NS), "counters found: x", 20, "removed; counters found: x"),
        (MARK, Past(3, 99 * SECOND_NS), None, 60, "the runtime directory was removed"),
    ],
)
def test_it_lasts_from_the_last_known_end_to_now(
    mark: Mark | None, past: Past, remains: str | None, start_seconds: int, why: str
) -> None:
    found = absence(mark, past, end_ns=60 * SECOND_NS, boot="this", remains=remains)
    assert found is not None
    start_ns, text = found
    assert start_ns == start_seconds * SECOND_NS
    assert text.startswith(
        f"between 1970-01-01T00:{start_seconds // 60:02}:{start_seconds % 60:02}Z and 1970-01-01T00:01:00Z nobody"
    )
    assert text.endswith(why)


@pytest.mark.parametrize(
    ("past", "remains"), [(NO_PAST, None), (Past(3, 5), None), (NO_PAST, "counters found: x"), (Past(3), "x")]
)
def test_a_clean_stop_or_a_first_start_leaves_nothing_to_tell(past: Past, remains: str | None) -> None:
    assert absence(None, past, end_ns=60 * SECOND_NS, boot="this", remains=remains) is None


def test_no_rows_are_rows_of_the_native_core() -> None:
    rows = NoRows("gone")
    assert len(rows.batch({})) == rows.rows == rows.totals.received_packets == 0
    observed = nothing_observed("gone", source="nflog")
    assert observed.status == Status.INTERRUPTED
    assert observed.unattributed == ZERO
