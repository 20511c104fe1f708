"""A kill, and a start with another configuration: what the dead process had counted is still booked."""

from tests.kernel import senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Count, Lab
from tests.kernel.senders import Udp

SOME = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, count=1000)


def test_another_key_interface_and_interval_after_a_kill_keep_the_books_whole(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    gateway.child.kill()
    changed = 'source = "nflog"\nkey = ["host", "peer", "protocol"]\ninterfaces = ["left"]\nrows_max = 3\n'
    gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="30m", meters={"lan": changed}))
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) <= {"exact", "lossy"}
    assert books.sent == books.received == books.kernel == lab.counter(lab.gw, "witness", "total")
    assert {row.account for row in books.intervals[-1].rows} == {"host", "other"}
    assert books.intervals[-1].kernel == Count(1000, 100_000)


def test_a_meter_renamed_after_a_kill_leaves_what_it_counted_until_it_is_named_again(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    first = gateway.file.read_text()
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    gateway.child.kill()
    gateway.write(first.replace("[meters.lan]", "[meters.home]"))
    gateway.start_counting("home")
    assert "event=generations_of_no_meter" in gateway.log()
    assert gateway.stop() == 0
    gateway.write(first)
    gateway.start_counting()
    gateway.wait_for_intervals(1)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.sent == books.kernel == lab.counter(lab.gw, "witness", "total")


def test_another_source_after_a_kill_begins_behind_what_the_one_before_left(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d")
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    gateway.child.kill()
    senders.udp(lab, lab.left, SOME)
    by_rules = lab.counter(lab.gw, "witness", "total")
    changed = 'source = "packet"\ninterfaces = ["left"]\n'
    gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="1d", meters={"lan": changed}))
    gateway.start_counting()
    assert "event=finished source=nflog intervals=2" in gateway.log()
    senders.udp(lab, lab.left, SOME)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.sent == books.received == lab.counter(lab.gw, "witness", "total")
    first, moment, last = books.intervals
    assert (first.status, first.kernel) == ("lossy", by_rules)
    assert (moment.status, moment.kernel) == ("exact", Count(0, 0))
    assert (last.has_kernel_count, last.sent) == (False, Count(1000, 100_000))
    assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])
