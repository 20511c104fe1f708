"""The daemon on a real gateway: two meters, rules that somebody else removes, groups that somebody else fills."""

from contextlib import suppress
from dataclasses import replace
from signal import SIGCONT, SIGSTOP, SIGUSR1

from netledger.live import Client
from tests.kernel import senders
from tests.kernel.books import Books
from tests.kernel.gateway import Gateway
from tests.kernel.lab import QUIET, Count, Lab, wait_for
from tests.kernel.senders import Udp

LEFT_ONLY = 'source = "nflog"\nlocal = ["10.77.1.0/24", "fd77:1::/64"]\n'
GROUPS = LEFT_ONLY + '[meters.lan.nflog]\ngroups = [{group = 7, account = "both"}]\nbuffer_bytes = 262144\n'
SOME = Udp(source="10.77.1.2", destination="10.77.2.2")
FLUSH = f"flush ruleset\n{QUIET}"  # the lab's own rules stay: a gateway that says nothing unasked
RULES = "type filter hook forward priority 0; log group 7 snaplen 64;"


def test_two_meters_count_the_same_packets_each_by_its_own_key(lab: Lab) -> None:
    lab.witness(lab.gw)
    meters = {"lan": LEFT_ONLY, "flows": 'source = "nflog"\nkey = ["host", "peer", "protocol", "peer_port"]\n'}
    gateway = Gateway(lab, lab.gw, interval="1s", meters=meters)
    gateway.start_counting("lan")
    gateway.wait_until_counting("flows")
    for plan in (
        Udp(source="10.77.1.2", destination="10.77.2.2", sources=20, count=30_000, rate=30_000),
        Udp(source="fd77:1::2", destination="fd78::1", destinations=20, count=30_000, rate=30_000),
    ):
        senders.udp(lab, lab.left, plan)
    senders.tcp(lab, lab.left, lab.right, "10.77.2.2", 5_000_000)
    assert gateway.stop() == 0
    witness = lab.counter(lab.gw, "witness", "total")
    for name in meters:
        books = gateway.books(name)
        assert books.problems() == []
        assert books.sent == books.received == books.accounted == witness
    assert len(gateway.books("flows").by_host()) > len(gateway.books("lan").by_host())


def test_a_foreign_flush_interrupts_the_interval_and_the_rules_come_back(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1s")
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=500))
    lab.nft(lab.gw, FLUSH)
    gateway.wait_for_log("level=warning")
    wait_for(lambda: "netledger" in lab.run(lab.gw, ["nft", "list", "tables"]), 10, "the rules")
    committed = len(gateway.books().intervals)
    gateway.wait_for_intervals(committed + 1)
    senders.udp(lab, lab.left, replace(SOME, count=700))
    gateway.wait_for_intervals(committed + 3)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    broken = [interval for interval in books.intervals if interval.status != "exact"]
    # Two, when the flush came in the middle of a cut: it touched the interval that ended and the one that began.
    assert [interval.status for interval in broken] in (["interrupted"], ["interrupted"] * 2)
    assert all("table inet netledger is gone" in interval.reason for interval in broken)
    # Nothing passed while there were no rules, and the packets that the daemon had got are not forgotten.
    assert books.accounted == Count(1200, 120_000)


def test_counters_reset_by_someone_else_make_the_interval_interrupted_not_wrong(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=300))
    lab.run(lab.gw, ["nft", "reset", "counters", "table", "inet", "netledger"])
    senders.udp(lab, lab.left, replace(SOME, count=400))
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    senders.udp(lab, lab.left, replace(SOME, count=50))
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [interval.status for interval in books.intervals] == ["interrupted", "exact"]
    assert "reset" in books.intervals[0].reason
    assert books.accounted == Count(750, 75_000)


def test_rules_flushed_while_nobody_runs_are_noticed_at_the_next_start(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=300))
    # Committed before the kill: what is under way to the listener at a kill is lost, and would blur the numbers.
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    gateway.child.kill()
    lab.nft(lab.gw, FLUSH)
    senders.udp(lab, lab.left, replace(SOME, count=100))
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=60))
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [interval.status for interval in books.intervals] == ["exact", "interrupted", "exact"]
    assert [interval.accounted.packets for interval in books.intervals] == [300, 0, 60]


def test_rules_kept_over_a_stop_count_what_passes_until_the_next_start(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d", options=["--keep-rules"])
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=300))
    assert gateway.stop() == 0
    senders.udp(lab, lab.left, replace(SOME, count=70))
    gateway.start_counting()
    senders.udp(lab, lab.left, replace(SOME, count=30))
    assert gateway.stop() == 0
    senders.udp(lab, lab.left, replace(SOME, count=5))
    gateway.options = ()
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.kernel == lab.counter(lab.gw, "witness", "total") == Count(405, 40_500)
    assert books.lost == Count(75, 7500)
    assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])


def test_given_groups_admit_what_the_sequence_numbers_miss(lab: Lab) -> None:
    """The daemon is held up until its small buffer overflows: what it got and what it missed is what was sent."""
    lab.nft(lab.gw, f"table inet mine {{ chain forward {{ {RULES} }}\n}}")
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"lan": GROUPS})
    gateway.start_counting()
    plan = replace(SOME, sources=9, count=20_000, rate=50_000)
    gateway.child.signal(SIGSTOP)
    senders.udp(lab, lab.left, plan)
    gateway.child.signal(SIGCONT)
    # The gap shows in the number of the packet behind it. While the queue is full that one finds no room either.
    client, more = Client(gateway.runtime), 0

    def told() -> int:
        (meter,) = client.status().meters
        return (meter.received_packets or 0) + (meter.lost_packets or 0)

    def shows_it() -> bool:
        nonlocal more
        more += 1
        senders.udp(lab, lab.left, replace(SOME, count=1))
        with suppress(TimeoutError):
            wait_for(lambda: told() == plan.count + more, 1, "it")
        return told() == plan.count + more

    wait_for(shows_it, 20, "a packet that finds room")
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.statuses == {"unproven": 1}
    missed = gap(books)
    assert missed > 0
    came = plan.count + more - missed
    assert books.accounted == Count(came, 100 * came)
    assert books.sent == books.received == books.accounted
    assert books.intervals[0].lost.packets == missed


def gap(books: Books) -> int:
    """What the receipts say that the sequence numbers missed."""
    number = 0
    for interval in books.intervals:
        lost = interval.receipt["lost"]
        assert isinstance(lost, dict)
        number += lost["sequence_gap_packets"]
    return number
