"""From what the program counted, and what others did to it, to what is said of a generation."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from netledger.intervals import Moment
from netledger.receipt import Count, Observed, Status
from netledger.sources.bpf_disturbed import mark, words
from netledger.sources.bpf_links import missed
from netledger.sources.bpf_proof import bracket, commands
from netledger.sources.bpf_said import observe, told
from netledger.sources.conntrack_proof import Verdict, judge
from netledger.sources.nft import Json
from netledger.sources.packet_links import Link
from netledger.sources.ruleset import Ruleset
from netledger.sources.state import Facts

FACTS = Facts(seq=3, meter="lan", node="gw1", start=Moment(0, 0), boot_id="this")
SECOND_NS = 1_000_000_000
DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
  ppp0:  100       3    0    0    0     0          0         0   200       4    0    0    0     0       0          0
  ppp1:    0       0    0    0    0     0          0         0     0       0    0    0    0     0       0          0
eth0:1:    9       9    0    0    0     0          0         0     9       9    0    0    0     0       0          0
"""


@dataclass
class Numbers:
    """Totals with chosen numbers; the native class has none of its own making."""

    received_packets: int = 10
    received_bytes: int = 1000
    posted_sent_packets: int = 10
    posted_sent_bytes: int = 1000
    other_packets: int = 2
    other_bytes: int = 80
    super_packets: int = 3
    wire_packets: int = 40
    wire_bytes: int = 2000
    length_lies: int = 0
    length_unknown_packets: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)


@dataclass
class Rows:
    """What a closed generation is asked for here."""

    totals: Numbers = field(default_factory=Numbers)
    rows: int = 4


def said(
    numbers: Numbers | None = None,
    *,
    facts: Facts = FACTS,
    attach: str = "netfilter",
    verdict: Verdict | None = None,
    is_replaced: bool = False,
) -> Observed:
    rows = Rows(numbers or Numbers())
    return observe(facts, rows, attach=attach, verdict=verdict, is_replaced=is_replaced)  # type: ignore[arg-type]  # a part of it


def test_what_the_program_counted_and_rows_hold_is_exact() -> None:
    seen = said()
    assert (seen.status, seen.kernel, seen.other, seen.rows) == (Status.EXACT, Count(10, 1000), Count(2, 80), 4)
    assert (seen.super_packets, seen.wire_packets, seen.wire_bytes) == (None, None, None)
    assert (seen.proof, seen.why_lost) == (None, None)
    assert (seen.source, seen.meaning) == ("bpf", "merged super-packets")


def test_at_interfaces_the_wire_is_known_too() -> None:
    seen = said(attach="tcx")
    assert (seen.super_packets, seen.wire_packets, seen.wire_bytes) == (3, 40, 2000)
    assert seen.meaning == "packets as each interface has them, super-packets merged"


def test_what_could_not_be_read_is_lost_to_packet_and_byte() -> None:
    seen = said(Numbers(received_packets=12, received_bytes=1100, unreadable={"short": 2}))
    assert (seen.status, seen.lost, seen.unreadable_packets) == (Status.LOSSY, Count(2, 100), 2)
    assert (seen.why_lost, dict(seen.errors)) == ("2 packets not readable", {"unreadable_short": 2})


def proven(before: int, after: int) -> Verdict:
    """By counters that said so many packets of 100 bytes before and after the moment of the cut."""
    now = bracket(Count(before, before * 100), Count(after, after * 100))
    return judge(Count(10, 1000), base=bracket(Count(0, 0), Count(0, 0)), now=now)


@pytest.mark.parametrize(
    ("verdict", "status", "proof", "lost", "why"),
    [
        (proven(10, 10), Status.EXACT, "equal", 0, None),
        (proven(9, 12), Status.EXACT, "bounded", 0, "the counters saw between 9 packets"),
        (proven(11, 11), Status.LOSSY, "missed", 1, "the counters of nftables saw 1 packets, 100 bytes more"),
        (proven(9, 9), Status.INTERRUPTED, "missed", 0, "the rows have 1 packets (100 bytes) more than"),
        (judge(Count(10, 1000), base=None, now=None), Status.EXACT, "missed", 0, None),
    ],
)
def test_the_counters_beside_it_have_the_last_word(
    verdict: Verdict, status: Status, proof: str, lost: int, why: str | None
) -> None:
    seen = said(verdict=verdict)
    assert (seen.status, seen.proof, seen.lost.packets) == (status, proof, lost)
    text = "; ".join(part for part in (seen.interrupted, seen.why_lost) if part)
    assert why in text if why else not text


def test_a_program_that_was_replaced_may_have_missed_one_unless_it_is_proven() -> None:
    assert said(is_replaced=True).status is Status.INTERRUPTED
    assert "one packet per processor" in (said(is_replaced=True).interrupted or "")
    assert said(is_replaced=True, verdict=proven(10, 10)).status is Status.EXACT


def test_what_stopped_counting_interrupts_and_what_did_not_is_only_told() -> None:
    facts = mark(
        FACTS,
        [("link-input-ipv4 was detached", True), ("control was unpinned", False)],
        since_ns=SECOND_NS,
        until_ns=2 * SECOND_NS,
    )
    assert facts.interrupted == (
        "between 1970-01-01T00:00:01Z and 1970-01-01T00:00:02Z packets may have passed uncounted: "
        "link-input-ipv4 was detached"
    )
    assert (
        facts.said == "control was unpinned before 1970-01-01T00:00:02Z, and put in order; nothing was missed by that"
    )
    seen = said(facts=facts)
    assert (seen.status, seen.interrupted, seen.why_lost) == (Status.INTERRUPTED, facts.interrupted, facts.said)
    assert words([("a", True), ("b", False)]) == "a, b"


def test_somebody_who_does_it_all_day_does_not_fill_the_store() -> None:
    facts = FACTS
    for second in range(10_000):
        facts = mark(facts, [("a link", True)], since_ns=second * SECOND_NS, until_ns=(second + 1) * SECOND_NS)
    assert len(facts.interrupted or "") < 5_000
    assert (facts.interrupted or "").endswith("see the log")


def test_a_count_that_nobody_can_explain_is_told() -> None:
    assert told({}) is None
    assert told({7: Numbers()}) == "counts found: generation 7 10 packets, 1,000 bytes"  # type: ignore[dict-item]  # a part of it


def test_what_had_passed_an_interface_is_known_from_its_own_counters(tmp_path: Path) -> None:
    (tmp_path / "dev").write_text(DEV)
    fresh = [Link("ppp0"), Link("ppp1"), Link("eth0:1", passed=0)]
    assert list(missed(fresh, tmp_path / "dev")) == [
        "up to 7 packets had passed ppp0 before it was counted",
        "up to 18 packets had passed eth0:1 before it was counted",
    ]
    lately = [Link("ppp0", passed=7), Link("eth0:1", passed=17)]
    assert list(missed(lately, tmp_path / "dev")) == ["up to 1 packet had passed eth0:1 before it was counted"]


def added(rules: Ruleset) -> list[tuple[str, dict[str, Json]]]:
    """Kind and description of each thing that the commands make."""
    made = [cast("dict[str, dict[str, dict[str, Json]]]", command).get("add", {}) for command in commands("t", rules)]
    return [(kind, thing) for one in made for kind, thing in one.items()]


def test_the_counters_that_prove_hang_where_the_program_does() -> None:
    rules = Ruleset(table="", meter="lan", groups=(0, 0), hooks=("forward",), interfaces_excluded=("eth9",))
    kinds = [kind for kind, _ in added(rules)]
    assert kinds == ["table", "table", "counter", "chain", "rule", "rule", "rule"]
    chains = [thing for kind, thing in added(replace(rules, hooks=("input", "output"))) if kind == "chain"]
    assert [(one["hook"], one["prio"]) for one in chains] == [("input", 84), ("output", 84)]
