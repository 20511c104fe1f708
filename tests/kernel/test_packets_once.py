"""Each packet is counted once, wherever it passes, with its whole length; what is dropped or stays inside is not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from signal import SIGUSR1

import pytest

from tests.kernel import senders
from tests.kernel.books import ZERO, Interval, Row
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab
from tests.kernel.senders import Udp

FROM_LEFT = Udp(source="10.77.1.2", destination="10.77.2.2", count=30)
FROM_LEFT_6 = Udp(source="fd77:1::2", destination="fd77:2::2", count=30)


@dataclass(frozen=True, slots=True)
class Counting:
    """A daemon with an hour's interval, cut on demand."""

    lab: Lab
    gateway: Gateway

    def of(self, action: Callable[[], object]) -> tuple[Interval, Count]:
        """The interval in which ``action`` happened, and what the witness saw of it."""
        before = self.lab.counter(self.lab.gw, "witness", "total")
        committed = len(self.gateway.books().intervals)
        self.gateway.child.signal(SIGUSR1)
        self.gateway.wait_for_intervals(committed + 1)
        action()
        self.gateway.child.signal(SIGUSR1)
        books = self.gateway.wait_for_intervals(committed + 2)
        assert books.problems() == []
        interval = books.intervals[-1]
        assert interval.status == "exact"
        return interval, self.lab.counter(self.lab.gw, "witness", "total") - before


@pytest.fixture(scope="module")
def counting() -> Iterator[Counting]:
    with Lab() as lab:
        lab.witness(lab.gw)
        gateway = Gateway(lab, lab.gw, interval="1d")
        gateway.start_counting()
        yield Counting(lab, gateway)
        assert gateway.stop() == 0


def row(interval: Interval, account: str, host: str = "") -> Row:
    found = [one for one in interval.rows if (one.account, one.host) == (account, host)]
    assert len(found) == 1, interval.rows
    return found[0]


@pytest.mark.parametrize(
    ("plan", "host", "expected"),
    [(FROM_LEFT, "10.77.1.2", Count(30, 30 * 100)), (FROM_LEFT_6, "fd77:1::", Count(30, 30 * 120))],
)
def test_what_is_forwarded_is_sent_by_the_host_and_received_by_the_rest(
    counting: Counting, plan: Udp, host: str, expected: Count
) -> None:
    interval, witnessed = counting.of(lambda: senders.udp(counting.lab, counting.lab.left, plan))
    assert interval.kernel == witnessed == expected
    assert row(interval, "host", host) == Row(account="host", host=host, sent=expected, received=ZERO)
    assert row(interval, "external") == Row(account="external", host="", sent=ZERO, received=expected)


def test_many_hosts_get_a_row_each(counting: Counting) -> None:
    plan = Udp(source="10.77.1.100", destination="10.78.0.0", sources=50, destinations=300, count=5000)
    interval, witnessed = counting.of(lambda: senders.udp(counting.lab, counting.lab.left, plan))
    assert interval.kernel == witnessed == Count(5000, 500_000)
    assert {one.host: one.sent for one in interval.rows if one.account == "host"} == {
        f"10.77.1.{100 + number}": Count(100, 10_000) for number in range(50)
    }


@pytest.mark.parametrize(("address", "header"), [("10.77.1.1", 20), ("fd77:1::1", 40)])
def test_a_ping_to_the_gateway_is_one_packet_in_and_one_out(counting: Counting, address: str, header: int) -> None:
    interval, witnessed = counting.of(lambda: senders.ping(counting.lab, counting.lab.left, address, 5))
    assert interval.kernel == witnessed == Count(10, 10 * (header + 64))


def test_a_ping_by_the_gateway_is_booked_to_its_own_local_address(counting: Counting) -> None:
    interval, witnessed = counting.of(lambda: senders.ping(counting.lab, counting.lab.gw, "10.77.1.2", 5))
    assert interval.kernel == witnessed == Count(10, 840)
    for host in ("10.77.1.1", "10.77.1.2"):
        one = row(interval, "host", host)
        assert (one.sent, one.received) == (Count(5, 420), Count(5, 420))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.77.1.1", "fd77:2::1"])
def test_what_the_gateway_says_to_itself_is_not_counted(counting: Counting, address: str) -> None:
    interval, witnessed = counting.of(lambda: senders.ping(counting.lab, counting.lab.gw, address, 3))
    assert interval.kernel == witnessed == ZERO
    assert interval.rows == ()


@pytest.mark.parametrize("address", ["10.77.2.2", "fd77:2::2"])
def test_every_fragment_counts_with_its_own_header(counting: Counting, address: str) -> None:
    expected: list[Count] = []
    interval, witnessed = counting.of(
        lambda: expected.append(senders.fragments(counting.lab, counting.lab.left, address, 5000, count=9))
    )
    assert [interval.kernel] == [witnessed] == expected
    assert expected[0].packets == 36


def test_extension_headers_are_part_of_a_packet(counting: Counting) -> None:
    interval, witnessed = counting.of(
        lambda: senders.extended(counting.lab, counting.lab.left, "fd77:2::2", 100, count=9)
    )
    assert interval.kernel == witnessed == Count(9, 9 * 164)
    assert row(interval, "host", "fd77:1::").sent == interval.kernel


@pytest.mark.parametrize(("address", "host"), [("10.77.2.2", "10.77.1.2"), ("fd77:2::2", "fd77:1::")])
def test_tcp_is_counted_both_ways_merged_packets_too(counting: Counting, address: str, host: str) -> None:
    lab = counting.lab
    interval, witnessed = counting.of(lambda: senders.tcp(lab, lab.left, lab.right, address, 3 << 20))
    assert interval.kernel == witnessed
    one = row(interval, "host", host)
    assert one.sent.bytes > 3 << 20 > one.received.bytes > 0


def test_what_the_filter_drops_is_not_counted(counting: Counting) -> None:
    lab = counting.lab
    rules = "type filter hook forward priority 0; udp dport 9001 drop;"
    lab.nft(lab.gw, f"table inet filter {{ chain forward {{ {rules} }}\n}}")
    try:
        dropped = Udp(source="10.77.1.2", destination="10.77.2.2", port=9001, count=40)
        interval, witnessed = counting.of(
            lambda: [senders.udp(lab, lab.left, plan) for plan in (dropped, FROM_LEFT)],
        )
    finally:
        lab.nft(lab.gw, "delete table inet filter")
    assert interval.kernel == witnessed == Count(30, 3000)


def test_behind_masquerading_the_host_is_still_seen_by_its_own_address(counting: Counting) -> None:
    lab = counting.lab
    rules = 'type nat hook postrouting priority 100; oifname "right" masquerade;'
    lab.nft(lab.gw, f"table inet nat {{ chain post {{ {rules} }}\n}}")
    try:
        interval, witnessed = counting.of(lambda: senders.ping(lab, lab.left, "10.77.2.2", 6))
    finally:
        lab.nft(lab.gw, "delete table inet nat")
    assert interval.kernel == witnessed == Count(12, 12 * 84)
    one = row(interval, "host", "10.77.1.2")
    assert (one.sent, one.received) == (Count(6, 504), Count(6, 504))
    assert [each.host for each in interval.rows if each.account == "host"] == ["10.77.1.2"]
