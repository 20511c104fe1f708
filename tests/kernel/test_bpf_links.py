"""Interfaces and namespaces that go, and come back: what the bpf meter has then."""

from collections.abc import Iterator

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import BpfPair, own_bpffs, pins
from tests.kernel.bpf_counting import TO_A, WIRE, burst, counting, index_of
from tests.kernel.lab import wait_for

HOOKS = ("forward", "input", "output")
NETFILTER = [f"link-{hook}-{family}" for hook in HOOKS for family in ("ipv4", "ipv6")]


@pytest.fixture
def pair() -> Iterator[BpfPair]:
    with own_bpffs(), BpfPair() as made, made.inside(made.a):
        yield made


def send(pair: BpfPair) -> None:
    senders.udp(pair, pair.b, TO_A)


def test_an_interface_that_goes_takes_its_links_and_not_its_rows_and_comes_back_in_the_same_generation(
    pair: BpfPair,
) -> None:
    one = counting(pair, "tcx", columns=("host", "interface")).begin()
    first = index_of(pair)
    one.meter.attach_interface(first, WIRE)
    assert one.attached() == [f"link-{first}-egress", f"link-{first}-ingress"]
    send(pair)
    pair.run(pair.a, ["ip", "link", "del", WIRE])
    assert one.attached() == []
    assert one.meter.glance().totals.received_packets == TO_A.count
    pair.join(pair.a, WIRE, pair.b, 1)
    second = index_of(pair)
    one.meter.attach_interface(second, WIRE)
    one.meter.detach_interface(first)
    send(pair)
    closed = one.stop()
    assert (closed.total, closed.problems("closed")) == (burst(2 * TO_A.count), [])
    assert one.attached() == [f"link-{second}-egress", f"link-{second}-ingress"]
    assert first != second
    one.meter.remove()
    assert pins() == []


def test_at_netfilter_hooks_an_interface_may_go_and_come_back(pair: BpfPair) -> None:
    one = counting(pair, "netfilter").begin()
    one.meter.attach()
    assert one.attached() == NETFILTER
    send(pair)
    pair.run(pair.a, ["ip", "link", "del", WIRE])
    pair.join(pair.a, WIRE, pair.b, 1)
    send(pair)
    assert one.stop().total == burst(2 * TO_A.count)
    assert one.attached() == NETFILTER
    one.meter.remove()


def test_removed_links_let_a_deleted_namespace_end(pair: BpfPair) -> None:
    """A pinned netfilter link keeps the namespace alive, and with it the other end of its wire."""
    one = counting(pair, "netfilter").begin()
    other = pair.namespace("other")
    pair.run(pair.b, ["ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", other])
    with pair.inside(other):
        one.meter.attach()
    pair.run(pair.b, ["ip", "netns", "del", other])
    assert "far" in pair.run(pair.b, ["ip", "-br", "link"])
    one.meter.detach()
    wait_for(lambda: "far" not in pair.run(pair.b, ["ip", "-br", "link"]), 20, "the end of the namespace")
    one.meter.remove()
