"""What a receipt says of flows, in words and in status."""

from dataclasses import dataclass, replace

from netledger.intervals import Moment
from netledger.receipt import ZERO, Count
from netledger.sources.conntrack_proof import Verdict, bypassed
from netledger.sources.conntrack_said import baseline, observe, silence
from netledger.sources.lost import NoRows
from netledger.sources.state import Facts

FACTS = Facts(seq=1, meter="flows", node="gw1", start=Moment(1_000_000_000, 0), boot_id="b")
GAP = "nobody listened between 2026-11-21T08:00:00Z and 2026-11-21T08:01:00Z: the process had ended"
ROWS = NoRows("none are needed here")
SEVEN = Count(7, 700)


@dataclass(frozen=True)
class Seen:
    overruns: int = 0
    vanished: int = 0
    resets: int = 0
    uncounted: int = 0
    refused: int = 0
    duplicates: int = 0
    malformed: int = 0


@dataclass(frozen=True)
class Before:
    baseline_flows: int
    baseline_packets: int = 12_345
    baseline_bytes: int = 1_234_500


def test_books_that_meet_the_kernels_count_need_no_words() -> None:
    observed = observe(FACTS, ROWS, verdict=Verdict(kernel=ZERO, base=None), cut=Seen(), gap=None)
    assert (str(observed.status), observed.why_lost, dict(observed.errors)) == ("exact", None, {})


def test_what_is_missing_is_put_down_to_what_was_seen() -> None:
    cut = Seen(vanished=2, uncounted=1, resets=3, refused=4, overruns=5, duplicates=6, malformed=7)
    observed = observe(FACTS, ROWS, verdict=Verdict(kernel=SEVEN, base=None), cut=cut, gap=None)
    assert (str(observed.status), observed.lost) == ("lossy", SEVEN)
    assert observed.why_lost == (
        "7 packets (700 bytes) are in no flow: 2 flows went without an event, 1 flow is without counters, for they are "
        "older than nf_conntrack_acct, 3 flows were reset by someone else, 4 flows found no room in the table of flows"
    )
    assert observed.errors == {
        "overruns": 5, "flows_vanished": 2, "flow_counters_reset": 3, "flows_uncounted": 1, "flows_refused": 4,
        "ends_told_again": 6, "malformed_messages": 7,
    }  # fmt: skip


def test_what_nothing_explains_is_called_unexplained() -> None:
    observed = observe(FACTS, ROWS, verdict=Verdict(kernel=SEVEN, base=None), cut=Seen(), gap=None)
    assert (observed.why_lost or "").endswith("unexplained: conntrack lets some packets of a flow pass uncounted")


def test_more_in_the_rows_than_passed_interrupts() -> None:
    verdict = Verdict(kernel=None, base=None, why="the rows have more", excess=SEVEN)
    observed = observe(FACTS, ROWS, verdict=verdict, cut=Seen(), gap=None)
    assert (str(observed.status), observed.interrupted, observed.why_lost) == (
        "interrupted",
        "the rows have more",
        None,
    )


def test_a_gap_interrupts_only_where_the_counters_cannot_tell_what_it_cost() -> None:
    for verdict, status in (
        (Verdict(kernel=ZERO, base=None), "exact"),
        (Verdict(kernel=SEVEN, base=None), "lossy"),
        (Verdict(kernel=None, base=None, why="between", is_bounded=True), "unproven"),
        (Verdict(kernel=None, base=None), "interrupted"),
        (bypassed(["inet fw fast"], now=None), "interrupted"),
    ):
        observed = observe(FACTS, ROWS, verdict=verdict, cut=Seen(), gap=GAP)
        assert str(observed.status) == status
        assert (GAP in f"{observed.interrupted} {observed.why_lost}") == (status != "exact")


def test_what_was_there_before_is_told_once() -> None:
    assert baseline(Before(0)) is None
    assert baseline(Before(1)) == (
        "1 flow is older than the meter, and what they had moved is not booked: 12,345 packets (1,234,500 bytes)"
    )


def test_silence_lasts_from_the_last_sign_or_the_stop() -> None:
    second = 1_000_000_000
    assert silence(FACTS, 3 * second, 5 * second) == (
        "nobody listened between 1970-01-01T00:00:03Z and 1970-01-01T00:00:05Z: the process had ended"
    )
    assert silence(FACTS, None, 5 * second).startswith("nobody listened between 1970-01-01T00:00:01Z")
    stopped = replace(FACTS, stopped=Moment(2 * second, 0))
    assert silence(stopped, 3 * second, 5 * second) == (
        "nobody listened between 1970-01-01T00:00:02Z and 1970-01-01T00:00:05Z: the meter was stopped"
    )
