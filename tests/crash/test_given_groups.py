"""kill -9 with groups that the user's own rules fill: no kernel count is there, so loss cannot be proven, only told."""

import random
import threading

from tests.crash.trial import say
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp
from tests.kernel.test_daemon import GROUPS, RULES

KILLS = 6


def test_intervals_killed_with_given_groups_are_marked_and_nothing_is_counted_twice(lab: Lab) -> None:
    lab.witness(lab.gw)
    lab.nft(lab.gw, f"table inet mine {{ chain forward {{ {RULES} }}\n}}")
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"lan": GROUPS.replace("262144", "16777216")})
    gateway.start_counting()
    plan = Udp(source="10.77.1.2", destination="10.77.2.2", sources=50, count=0, rate=20_000)
    sender = senders.start_udp(lab, lab.left, plan)
    pause, chance = threading.Event(), random.Random(7)  # noqa: S311  (moments, not secrets)
    for _ in range(KILLS):
        pause.wait(chance.uniform(0.5, 2.0))
        gateway.child.kill()
        gateway.start_counting()
    gateway.wait_for_intervals(len(gateway.books().intervals) + 2)
    sent = senders.stop_udp(sender).count
    assert gateway.stop() == 0
    books = gateway.books()
    say(f"sent {sent}, in rows {books.sent}, {books.statuses}")
    assert books.problems() == []
    assert books.statuses["interrupted"] == KILLS
    assert set(books.statuses) == {"interrupted", "unproven"}
    assert sent.packets // 50 < books.accounted.packets <= sent.packets
    assert books.sent == books.received == books.accounted


def test_a_stop_with_given_groups_drains_what_the_kernel_still_held(lab: Lab) -> None:
    lab.witness(lab.gw)
    lab.nft(lab.gw, f"table inet mine {{ chain forward {{ {RULES} }}\n}}")
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"lan": GROUPS.replace("262144", "16777216")})
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=0, rate=50_000))
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > 10_000, 10, "traffic")
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    senders.stop_udp(sender)
    books = gateway.books()
    assert books.statuses == {"unproven": 1}
    assert books.lost == Count(0, 0)
    assert books.accounted == lab.counter(lab.gw, "witness", "total")
