"""A meter of the source bpf in another network namespace: its pinned links must not outlive the name of that."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, BpfPair, own_bpffs, pins
from tests.kernel.bpf_hands import detach
from tests.kernel.gateway import Gateway
from tests.kernel.lab import NAMESPACES, wait_for

WAIT_SECONDS = 20.0


@pytest.fixture
def pair() -> Iterator[BpfPair]:
    with own_bpffs(), BpfPair() as made:
        yield made


def counting(pair: BpfPair, *, besides: str = "") -> Gateway:
    """The daemon in a third namespace, with a meter in that of the second machine."""
    home, stranger = pair.namespace("home"), pair.namespace("stranger")
    pair.join(home, "side", stranger, 3)
    meters = {"lan": f'source = "bpf"\nnetns = "{NAMESPACES / pair.b}"\n{besides}'}
    gateway = Gateway(pair, home, interval="1h", meters=meters)
    gateway.start_counting()
    pair.witness(pair.b)
    senders.ping(pair, stranger, "10.77.3.1", 3)  # the daemon's own namespace is none of its business
    return gateway


def is_wired(pair: BpfPair) -> bool:
    """Whether the wire to the other machine is there: it goes with the last that holds the other's namespace."""
    return "wire" in pair.run(pair.a, ["ip", "-br", "link"])


def removed(pair: BpfPair) -> None:
    subprocess.run(["ip", "netns", "del", pair.b], check=True)


def made_again(pair: BpfPair) -> None:
    pair.make(pair.b)
    pair.join(pair.a, "wire", pair.b, 1)
    pair.witness(pair.b)


def test_it_counts_there_and_is_taken_over_there_after_a_kill(pair: BpfPair) -> None:
    gateway = counting(pair)
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    gateway.child.kill()
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    gateway.start_counting()
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    assert gateway.stop() == 0
    books = gateway.books()
    assert (books.problems(), set(books.statuses)) == ([], {"exact"})
    assert books.sent == books.received == pair.counter(pair.b, "witness", "total")
    assert pins() == []


def test_one_that_goes_away_is_let_go_and_counted_again_when_it_comes_back(pair: BpfPair) -> None:
    gateway = counting(pair)
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    truth = pair.counter(pair.b, "witness", "total")
    removed(pair)
    wait_for(lambda: not is_wired(pair), WAIT_SECONDS, "the namespace is gone")
    gateway.wait_for_intervals(1)
    gateway.wait_for_log("event=open_failed")
    gateway.wait_for_log("event=source_broke")
    (interval,) = gateway.books().intervals
    assert (interval.status, interval.sent, pins()) == ("interrupted", truth, [])
    assert "its network namespace went away" in interval.reason
    made_again(pair)
    wait_for(lambda: gateway.log().count("event=counting") == 2, WAIT_SECONDS, "it counts again")
    senders.ping(pair, pair.a, "10.77.1.2", 20)
    assert gateway.stop() == 0
    books, last = gateway.books(), pair.counter(pair.b, "witness", "total")
    assert books.problems(gaps_max=1) == []
    assert [(one.status, one.sent, one.received) for one in books.intervals] == [
        ("interrupted", truth, truth),
        ("exact", last, last),
    ]
    assert pins() == []


@pytest.mark.parametrize("is_back", [False, True])
def test_one_that_went_while_the_program_was_down_is_read_and_let_go(pair: BpfPair, *, is_back: bool) -> None:
    gateway = counting(pair)
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    gateway.child.kill()
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    truth = pair.counter(pair.b, "witness", "total")
    removed(pair)
    assert is_wired(pair)  # the pinned links hold it: nobody runs who could take them out
    if is_back:
        subprocess.run(["ip", "-n", pair.a, "link", "del", "wire"], check=True)
        made_again(pair)
    gateway.start()
    if is_back:
        gateway.wait_for_log("event=counting")
        wait_for(lambda: gateway.log().count("event=counting") == 2, WAIT_SECONDS, "it counts in the new one")
        senders.ping(pair, pair.a, "10.77.1.2", 20)
    else:
        wait_for(lambda: not is_wired(pair), WAIT_SECONDS, "the namespace is gone")
        gateway.wait_for_intervals(1)
    assert gateway.stop() == 0
    first, *rest = gateway.books().intervals
    assert (first.sent, first.kernel) == (truth, truth)
    assert pins() == []
    if is_back:
        assert rest[-1].sent == pair.counter(pair.b, "witness", "total")


def test_another_source_finishes_there_what_it_takes_the_place_of(pair: BpfPair) -> None:
    """From elsewhere nobody sees that a link was detached, nor takes out the counters that prove."""
    gateway = counting(pair, besides="[meters.lan.bpf]\nprove = true\n")
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    gateway.child.kill()
    for pin in pins():
        if "link-input-ipv4" in pin:
            detach(BPFFS / pin)
    senders.ping(pair, pair.a, "10.77.1.2", 30)
    assert "netledger_bpf" in pair.run(pair.b, ["nft", "list", "tables"])
    lines = gateway.file.read_text().replace("[meters.lan.bpf]\nprove = true\n", "")
    gateway.write(lines.replace('source = "bpf"', 'source = "nflog"'))
    gateway.start_counting()
    assert gateway.stop() == 0
    assert "netledger" not in pair.run(pair.b, ["nft", "list", "tables"])
    first, *_ = gateway.books().intervals
    assert (first.receipt["source"], first.status) == ("bpf", "interrupted")
    assert "link-input-ipv4 was detached" in first.reason
    assert pins() == []
