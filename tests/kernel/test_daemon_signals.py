"""The signals of ``netledger run``, and that there is only one of it."""

from signal import SIGHUP, SIGINT, SIGTERM, SIGUSR1, Signals

import pytest

from tests.kernel import senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=100, count=0, rate=50_000)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_a_stop_under_load_drains_and_commits_all_that_was_counted(lab: Lab, number: Signals) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > 20_000, 10, "traffic")
    # Whatever was counted up to here is still under way to the daemon when it is told to stop.
    lab.silence(lab.gw)
    gateway.child.signal(number)
    assert gateway.child.wait() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.statuses == {"exact": 1}
    assert books.sent == books.received == lab.counter(lab.gw, "witness", "total")
    assert gateway.generations() == []
    senders.stop_udp(sender)


def test_a_clean_stop_leaves_no_rules_and_a_new_start_goes_on_counting_intervals(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    for _ in range(2):
        gateway.start_counting()
        senders.ping(lab, lab.left, "10.77.2.2", 4)
        assert gateway.stop() == 0
        assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])
    intervals = gateway.books().intervals
    assert [interval.kernel for interval in intervals] == [Count(8, 672)] * 2
    assert intervals[1].seq == intervals[0].seq + 1


def test_usr1_closes_the_interval_now_and_the_next_one_starts_there(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.ping(lab, lab.left, "fd77:2::2", 10)
    gateway.child.signal(SIGUSR1)
    books = gateway.wait_for_intervals(1)
    assert books.kernel == Count(20, 2080)
    assert gateway.stop() == 0
    assert gateway.books().problems() == []
    assert len(gateway.books().intervals) == 2


def test_hup_with_a_bad_configuration_changes_nothing_and_says_so(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s")
    good = gateway.file.read_text()
    gateway.start_counting()
    rules = lab.run(lab.gw, ["nft", "list", "chains"])
    gateway.write(good.replace('interval = "1s"', 'interval = "7 parsecs"'))
    gateway.child.signal(SIGHUP)
    gateway.wait_for_log("event=reload_refused")
    assert "netledger.toml:2: interval" in gateway.log()
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=500))
    gateway.wait_for_intervals(len(gateway.books().intervals) + 2)
    assert lab.run(lab.gw, ["nft", "list", "chains"]) == rules
    assert gateway.stop() == 0
    assert gateway.books().problems() == []
    assert gateway.books().statuses == {"exact": len(gateway.books().intervals)}
    assert gateway.books().kernel == lab.counter(lab.gw, "witness", "total") == Count(500, 50_000)


def test_hup_with_another_meter_starts_it_and_leaves_the_first_alone(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.ping(lab, lab.left, "10.77.2.2", 3)
    gateway.write(gateway.file.read_text() + '\n[meters.all]\nsource = "nflog"\n')
    gateway.child.signal(SIGHUP)
    gateway.wait_until_counting("all")
    senders.ping(lab, lab.left, "10.77.2.2", 4)
    assert gateway.stop() == 0
    assert gateway.books("lan").kernel == Count(14, 1176)
    assert len(gateway.books("lan").intervals) == 1
    assert gateway.books("all").kernel == Count(8, 672)
    assert gateway.books("lan").problems() == gateway.books("all").problems() == []


def test_a_second_daemon_on_the_same_runtime_directory_is_refused(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1d")
    first = gateway.start_counting()
    second = gateway.start()
    assert second.wait() == 1
    assert f"in use by pid {first.pid}" in second.errors()
    gateway.children.remove(second)
    senders.ping(lab, lab.left, "10.77.2.2", 3)
    assert gateway.stop() == 0
    assert gateway.books().kernel == Count(6, 504)


def test_a_configuration_with_mistakes_is_refused_before_anything_is_touched(lab: Lab) -> None:
    gateway = Gateway(lab, lab.gw)
    gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="0s"))
    assert gateway.start().wait() == 2
    assert "netledger.toml:2: interval" in gateway.log()
    assert not gateway.runtime.exists()
    assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])
