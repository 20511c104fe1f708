"""The status, the words and the JSON of a receipt."""

import json
from dataclasses import replace

import pytest

from netledger.receipt import COUNT_MAX, Balance, Count, Observed, Receipt, Status, rfc3339, seconds

SECOND_NS = 1_000_000_000
START_NS = 1_763_632_800 * SECOND_NS  # 2025-11-20T10:00:00Z

EXACT = Observed(
    kernel=Count(10, 1000), accounted=Count(10, 1000), rows=2, source="nflog", meaning="merged super-packets"
)
RECEIPT = Receipt(
    node="gw1",
    meter="lan",
    seq=12,
    start_ns=START_NS,
    end_ns=START_NS + 300 * SECOND_NS,
    monotonic_ns=300 * SECOND_NS,
    observed=EXACT,
)


@pytest.mark.parametrize(
    ("changes", "status", "lost", "unattributed"),
    [
        ({}, Status.EXACT, Count(0, 0), Count(0, 0)),
        ({"accounted": Count(7, 900)}, Status.LOSSY, Count(3, 100), Count(3, 100)),
        ({"accounted": Count(10, 900)}, Status.LOSSY, Count(0, 100), Count(0, 100)),
        ({"kernel": None}, Status.UNPROVEN, Count(0, 0), Count(0, 0)),
        ({"kernel": None, "lost_by_sequence_packets": 4}, Status.UNPROVEN, Count(4, 0), Count(0, 0)),
        (
            {"kernel": None, "lost_by_sequence_packets": 4, "unreadable_packets": 3},
            Status.UNPROVEN,
            Count(7, 0),
            Count(0, 0),
        ),
        ({"accounted": Count(7, 900), "unreadable_packets": 3}, Status.LOSSY, Count(3, 100), Count(3, 100)),
        ({"accounted": Count(11, 900)}, Status.INTERRUPTED, Count(0, 100), Count(0, 100)),
        ({"accounted": Count(9, 1001)}, Status.INTERRUPTED, Count(1, 0), Count(1, 0)),
        ({"interrupted": "nobody counted"}, Status.INTERRUPTED, Count(0, 0), Count(0, 0)),
    ],
)
def test_the_status_follows_from_the_numbers(
    changes: dict[str, object], status: Status, lost: Count, unattributed: Count
) -> None:
    seen = replace(EXACT, **changes)  # type: ignore[arg-type]  # the table above has the right ones
    assert (seen.status, seen.lost, seen.unattributed) == (status, lost, unattributed)


def test_a_count_is_checked() -> None:
    assert Count(COUNT_MAX, 0) + Count(0, COUNT_MAX) == Count(COUNT_MAX, COUNT_MAX)
    with pytest.raises(OverflowError, match="no 64-bit counter"):
        Count(COUNT_MAX, 0) + Count(1, 0)
    with pytest.raises(OverflowError, match="no 64-bit counter"):
        Count(0, 1) - Count(0, 2)
    with pytest.raises(OverflowError, match="no 64-bit counter"):
        Count(-1, 0)


def test_a_receipt_is_one_line_of_json_with_plain_numbers() -> None:
    observed = replace(
        EXACT,
        accounted=Count(4, 900),
        lost_by_sequence_packets=2,
        unreadable_packets=1,
        errors={"overruns": 1, "a": 0},
    )
    line = replace(RECEIPT, observed=observed).to_line()
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "node": "gw1",
        "meter": "lan",
        "seq": 12,
        "interval_start": "2025-11-20T10:00:00Z",
        "interval_end": "2025-11-20T10:05:00Z",
        "status": "lossy",
        "kernel_packets": 10,
        "kernel_bytes": 1000,
        "accounted_packets": 4,
        "accounted_bytes": 900,
        "lost_packets": 6,
        "lost_bytes": 100,
        "other_packets": 0,
        "other_bytes": 0,
        "rows": 3,
        "reason": None,
        "lost": {"sequence_gap_packets": 2, "unreadable_packets": 1, "unexplained_packets": 3},
        "errors": {"a": 0, "overruns": 1},
        "wall_seconds": 300,
        "monotonic_seconds": 300,
        "source": "nflog",
        "meaning": "merged super-packets",
    }


def test_what_a_ring_dropped_is_lost_and_told_with_what_the_wire_had() -> None:
    observed = replace(
        EXACT, kernel=None, dropped_packets=5, unreadable_packets=1, super_packets=2, wire_packets=90, source="packet"
    )
    assert observed.lost == Count(6, 0)
    told = json.loads(replace(RECEIPT, observed=observed).to_line())
    assert told["status"] == "unproven"
    assert told["lost"] == {
        "sequence_gap_packets": 0,
        "dropped_packets": 5,
        "unreadable_packets": 1,
        "unexplained_packets": 0,
    }
    assert (told["lost_packets"], told["super_packets"], told["wire_packets"]) == (6, 2, 90)


def test_numbers_of_64_bits_stay_exact_in_json() -> None:
    observed = replace(EXACT, kernel=Count(COUNT_MAX, COUNT_MAX), accounted=Count(COUNT_MAX - 1, 1))
    told = json.loads(replace(RECEIPT, observed=observed).to_line())
    assert told["kernel_bytes"] == COUNT_MAX
    assert told["lost_bytes"] == COUNT_MAX - 1


def test_the_reason_gathers_what_everybody_says() -> None:
    observed = replace(EXACT, interrupted="nobody counted", why_lost="the socket was full", accounted=Count(11, 0))
    assert replace(RECEIPT, observed=observed, remarks=("it waited",)).reason == (
        "nobody counted; the socket was full; the kernel's counter was reset by someone else; it waited"
    )


@pytest.mark.parametrize(
    ("monotonic_seconds", "reason"),
    [
        (300, None),
        (299, None),
        (301, None),
        (240, "the clock was stepped forward by 60 s"),
        (3900, "the clock was stepped back by 3600 s"),
    ],
)
def test_a_step_of_the_clock_is_told(monotonic_seconds: int, reason: str | None) -> None:
    assert replace(RECEIPT, monotonic_ns=monotonic_seconds * SECOND_NS).reason == reason


def test_the_row_for_what_is_lost_is_one_of_the_rows() -> None:
    assert RECEIPT.rows == 2
    assert replace(RECEIPT, observed=replace(EXACT, accounted=Count(9, 1000))).rows == 3
    assert replace(RECEIPT, observed=replace(EXACT, kernel=None, lost_by_sequence_packets=1)).rows == 2


def test_a_balance_without_a_count_of_the_kernel_knows_no_sum() -> None:
    lossy = replace(EXACT, accounted=Count(9, 1000))
    assert Balance.of([EXACT, lossy]).to_json() == {
        "intervals": 2,
        "exact": 1,
        "lossy": 1,
        "unproven": 0,
        "interrupted": 0,
        "kernel_packets": 20,
        "kernel_bytes": 2000,
        "accounted_packets": 19,
        "accounted_bytes": 2000,
        "lost_packets": 1,
        "lost_bytes": 0,
    }
    assert Balance.of([EXACT, replace(EXACT, kernel=None)]).to_json()["kernel_packets"] is None
    assert Balance.of([]).to_json()["intervals"] == 0


@pytest.mark.parametrize(
    ("wall_ns", "text"),
    [
        (START_NS, "2025-11-20T10:00:00Z"),
        (START_NS + 1, "2025-11-20T10:00:00.000000001Z"),
        (START_NS + SECOND_NS // 4, "2025-11-20T10:00:00.25Z"),
    ],
)
def test_a_moment_has_as_many_decimals_as_it_needs(wall_ns: int, text: str) -> None:
    assert rfc3339(wall_ns) == text


def test_whole_seconds_are_integers() -> None:
    assert repr(seconds(3 * SECOND_NS)) == "3"
    assert seconds(SECOND_NS // 2) == 0.5
