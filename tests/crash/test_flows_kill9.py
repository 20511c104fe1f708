"""kill -9 of a daemon that counts flows, at random moments under traffic: what flows moved is booked, once."""

import os
import random
import threading

import pytest

from tests.crash.trial import say
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp

FLOWS = 'source = "conntrack"\nkey = ["host", "peer", "protocol", "host_port"]\n'
# 20,000 flows, so that a cut takes a while.
LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=101, count=0, rate=30_000)


@pytest.mark.parametrize("kills", [8])
def test_flows_are_booked_once_after_kills_at_random_moments(lab: Lab, kills: int) -> None:
    seed = int(os.environ.get("NETLEDGER_SEED") or random.SystemRandom().randrange(1_000_000))
    say(f"flows: repeat it with NETLEDGER_SEED={seed}")
    moments = random.Random(seed)  # noqa: S311  # moments, no secrets
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"flows": FLOWS})
    gateway.start_counting("flows")
    begun = lab.counter(lab.gw, "witness", "total")
    load = senders.start_udp(lab, lab.left, LOAD)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > 30_000, 20, "traffic")
    for _ in range(kills):
        killed = threading.Timer(moments.uniform(0.0, 1.5), gateway.child.kill)
        killed.start()
        killed.join()
        # Sometimes it dies again before it counts.
        child = gateway.start()
        if moments.random() < 0.5:
            again = threading.Timer(moments.uniform(0.3, 1.0), child.kill)
            again.start()
            again.join()
            gateway.start()
        gateway.wait_until_counting("flows")
    senders.stop_udp(load)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    books = gateway.books("flows")
    witness = lab.counter(lab.gw, "witness", "total") - begun
    say(f"flows: {len(gateway.children)} lives, {dict(books.statuses)}, {witness.packets} packets")
    assert books.problems() == []
    # No flow ended meanwhile, so nothing is missing; and the quiet end has proven it all.
    assert books.sent == books.received == books.accounted == witness
    assert books.lost == Count(0, 0)
    assert "interrupted" not in books.statuses
    assert books.intervals[-1].status == "exact"
