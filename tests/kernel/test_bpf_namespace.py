"""A bpf meter in another network namespace than the daemon's: nothing of it keeps the namespace alive when it goes."""

from collections.abc import Iterator

import pytest

from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins
from tests.kernel.gateway import Gateway
from tests.kernel.lab import NAMESPACES, Count, wait_for
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.3.2", destination="10.77.3.1", count=400)
BURST_COUNT = Count(400, 40_000)


@pytest.fixture
def lab() -> Iterator[BpfLab]:
    with BpfLab() as made, own_bpffs():
        yield made


def has_uplink(lab: BpfLab, namespace: str) -> bool:
    """Whether the other end of its wire is still there."""
    return "uplink" in lab.run(namespace, ["ip", "-br", "link"])


def test_a_namespace_that_is_deleted_ends_and_one_that_comes_back_is_counted_again(lab: BpfLab) -> None:
    space, peer = lab.namespace("space"), lab.namespace("peer")
    lab.join(space, "wire", peer, 3)
    lines = f'source = "bpf"\nnetns = "{NAMESPACES / space}"\n'
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"lan": lines})
    gateway.start_counting()
    senders.udp(lab, peer, BURST)
    senders.ping(lab, lab.left, "10.77.2.2", 3)  # the daemon's own namespace is none of its business
    lab.run(lab.gw, ["ip", "netns", "del", space])
    wait_for(lambda: not has_uplink(lab, peer), 20, f"the end of the namespace; {gateway.log()}")
    wait_for(lambda: "level=warning" in gateway.log(), 20, "a warning")
    lab.make(space)
    wait_for(lambda: gateway.log().count("event=counting") == 2, 20, f"that it counts again; {gateway.log()}")
    lab.join(space, "wire", peer, 3)
    senders.udp(lab, peer, BURST)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems(gaps_max=1) == []
    assert books.sent == books.received == Count(2 * BURST_COUNT.packets, 2 * BURST_COUNT.bytes)
    assert set(books.statuses) <= {"exact", "interrupted"}
    assert pins() == []
