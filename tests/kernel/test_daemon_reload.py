"""HUP under traffic: no packet is lost between, whatever becomes of a meter."""

from signal import SIGHUP

from tests.kernel import senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Lab, wait_for
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=100, count=0, rate=20_000)
SAME = 'source = "nflog"\nlocal = ["10.77.1.0/24"]\n'
BEFORE = {"same": SAME, "changed": 'source = "nflog"\n', "gone": 'source = "nflog"\n'}
AFTER = {"same": SAME, "changed": 'source = "nflog"\nkey = ["host", "peer"]\n', "new": 'source = "nflog"\n'}


def wait_for_packets(lab: Lab, number: int) -> None:
    """Until so many more have passed."""
    goal = lab.counter(lab.gw, "witness", "total").packets + number
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets > goal, 20, "traffic")


def wait_for_events(gateway: Gateway, event: str, number: int) -> None:
    """Until it has been said so often, in all."""
    wait_for(lambda: gateway.log().count(event) == number, 20, f"{number} times {event}")


def test_meters_added_removed_and_changed_under_load_lose_no_packet(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1s", meters=BEFORE)
    gateway.start_counting("gone")
    sender = senders.start_udp(lab, lab.left, LOAD)
    for meters in (AFTER, BEFORE, AFTER):
        wait_for_packets(lab, 30_000)
        opened, closed = gateway.log().count("meter=changed event=counting"), gateway.log().count("event=closed")
        gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters=meters))
        gateway.child.signal(SIGHUP)
        wait_for_events(gateway, "meter=changed event=counting", opened + 1)
        wait_for_events(gateway, "event=closed", closed + 2)
    wait_for_events(gateway, "meter=new event=counting", 2)
    gateway.wait_for_intervals(len(gateway.books("new").intervals) + 1, meter="new")
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    senders.stop_udp(sender)
    witness = lab.counter(lab.gw, "witness", "total")
    same, changed, gone, new = (gateway.books(name) for name in ("same", "changed", "gone", "new"))
    assert [books.problems(gaps_max=gaps) for books, gaps in ((same, 0), (changed, 0), (gone, 1), (new, 1))] == [[]] * 4
    # One that stays is not touched. One that is changed hides nothing: what nobody attributed between is on a row too.
    assert same.statuses == {"exact": len(same.intervals)}
    assert same.sent == same.received == witness
    assert changed.sent == changed.received == changed.kernel == witness
    assert set(changed.statuses) <= {"exact", "lossy"}
    # Between two lives of a meter that was gone nobody counts for it; within each of them all is exact.
    for books in (gone, new):
        assert books.statuses == {"exact": len(books.intervals)}
        assert books.kernel.packets > 30_000
