"""From totals to what is said of a generation."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from netledger._core import Totals
from netledger.receipt import Count, Observed, Status
from netledger.sources.nflog_groups import Account, GivenGroup, accounted_by
from netledger.sources.observing import between, observe, sent


@dataclass
class Numbers:
    """Totals with chosen numbers; the native class has none of its own making."""

    received_packets: int = 10
    received_bytes: int = 1000
    posted_sent_packets: int = 10
    posted_sent_bytes: int = 1000
    posted_received_packets: int = 10
    posted_received_bytes: int = 1000
    other_packets: int = 0
    other_bytes: int = 0
    sequence_gap_packets: int = 0
    overruns: int = 0
    truncated_datagrams: int = 0
    malformed_messages: int = 0
    length_unknown_packets: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


@dataclass
class Rows:
    rows: int
    totals: Totals


def observed(numbers: Numbers, kernel: Count | None, *, silence: str | None = None) -> Observed:
    totals = cast("Totals", numbers)
    return observe(Rows(3, totals), sent(totals), kernel=kernel, interrupted=None, silence=silence)


def test_what_the_kernel_counted_and_the_rows_hold_is_exact() -> None:
    seen = observed(Numbers(), Count(10, 1000))
    assert (seen.status, seen.why_lost, seen.errors, seen.rows) == (Status.EXACT, None, {}, 3)


def test_each_reason_for_loss_is_told_with_its_number() -> None:
    numbers = Numbers(sequence_gap_packets=4, overruns=2, unreadable={"short": 1, "version": 2}, truncated_datagrams=1)
    seen = observed(numbers, Count(20, 2000))
    assert seen.status is Status.LOSSY
    assert seen.why_lost == (
        "4 packets missing in the sequence (2 overruns of the receive buffer); 3 packets not readable; "
        "3 packets unexplained: the kernel could not allocate, or had no listener"
    )
    assert seen.errors == {"overruns": 2, "truncated_datagrams": 1, "unreadable_short": 1, "unreadable_version": 2}
    assert (seen.lost_by_sequence_packets, seen.unreadable_packets) == (4, 3)


def test_one_is_no_plural() -> None:
    seen = observed(Numbers(sequence_gap_packets=1, overruns=1, unreadable={"short": 1}), Count(13, 1300))
    assert seen.why_lost == (
        "1 packet missing in the sequence (1 overrun of the receive buffer); 1 packet not readable; "
        "1 packet unexplained: the kernel could not allocate, or had no listener"
    )


def test_what_came_and_could_not_be_read_is_lost_without_a_kernel_count_too() -> None:
    numbers = Numbers(sequence_gap_packets=4, overruns=1, unreadable={"empty": 2, "short": 1, "not_ip": 7})
    seen = observed(numbers, None)
    assert (seen.status, seen.lost) == (Status.UNPROVEN, Count(4 + 3, 0))
    assert seen.errors["unreadable_not_ip"] == 7


def test_silence_is_the_reason_for_what_is_not_explained() -> None:
    seen = observed(Numbers(sequence_gap_packets=1), Count(15, 1500), silence="nobody listened: it ended")
    assert seen.why_lost is not None
    assert seen.why_lost.endswith("; 4 packets while nobody listened: it ended")


def test_nothing_lost_means_nothing_to_explain_even_after_a_crash() -> None:
    assert observed(Numbers(), Count(10, 1000), silence="nobody listened").why_lost is None


def test_bytes_that_no_header_tells_are_explained() -> None:
    seen = observed(Numbers(length_unknown_packets=1, posted_sent_bytes=900), Count(10, 1000))
    assert seen.status is Status.LOSSY
    assert seen.why_lost == "1 super-packet without a length in the header"


@pytest.mark.parametrize(
    ("accounts", "packets"),
    [(["source"], 1), (["source", "source"], 1), (["destination"], 2), (["both"], 1), (["source", "destination"], 7)],
)
def test_given_groups_account_each_packet_once(accounts: list[Account], packets: int) -> None:
    numbers = Numbers(posted_sent_packets=1, posted_received_packets=2, received_packets=9, unreadable={"short": 2})
    groups = tuple(GivenGroup(number=number, account=account) for number, account in enumerate(accounts))
    assert accounted_by(groups)(cast("Totals", numbers)).packets == packets


def test_times_are_said_in_utc() -> None:
    assert between(0, 1_500_000_000) == "between 1970-01-01T00:00:00Z and 1970-01-01T00:00:01.5Z"
