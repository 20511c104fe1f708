"""Meters that count in another network namespace than the program's: one that is there, goes away, and comes back."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.gateway import LEFT, Gateway
from tests.kernel.lab import NAMESPACES, Count, Lab, Pair, wait_for
from tests.kernel.senders import Udp

WAIT_SECONDS = 20.0
LOCAL = ", ".join(f'"{network}"' for network in LEFT)
THROUGH = Udp(source="10.77.1.2", destination="10.77.2.2", sources=10, count=2_000)
SOURCES = {
    "nflog": f'source = "nflog"\nlocal = [{LOCAL}]\n',
    "packet": f'source = "packet"\ninterfaces = ["left"]\nlocal = [{LOCAL}]\n',
    "conntrack": f'source = "conntrack"\nlocal = [{LOCAL}]\n',
}


def named(namespace: str, lines: str) -> dict[str, str]:
    """The meter ``lan`` in a namespace that ``ip netns`` named."""
    return {"lan": f'netns = "{NAMESPACES / namespace}"\n{lines}'}


@pytest.mark.parametrize("source", SOURCES)
def test_a_meter_counts_in_the_namespace_that_it_names(lab: Lab, source: str) -> None:
    home = lab.namespace("home")
    lab.witness(lab.gw)
    gateway = Gateway(lab, home, interval="1h", meters=named(lab.gw, SOURCES[source]))
    gateway.start_counting()
    senders.udp(lab, lab.left, THROUGH)
    gateway.child.signal(signal.SIGUSR1)
    gateway.wait_for_intervals(1)
    senders.udp(lab, lab.left, THROUGH)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert books.sent == books.received == lab.counter(lab.gw, "witness", "total")
    assert "netledger" not in lab.run(lab.gw, ["nft", "list", "tables"])


def test_rules_are_left_in_it_and_taken_over_after_a_kill(lab: Lab) -> None:
    home = lab.namespace("home")
    lab.witness(lab.gw)
    gateway = Gateway(lab, home, interval="1h", meters=named(lab.gw, SOURCES["nflog"]))
    gateway.start_counting().kill()
    senders.udp(lab, lab.left, THROUGH)
    gateway.start_counting()
    senders.udp(lab, lab.left, THROUGH)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert set(books.statuses) <= {"exact", "lossy"}
    assert books.kernel == lab.counter(lab.gw, "witness", "total")


def is_wired(pair: Pair) -> bool:
    """Whether the wire to the other machine is there: it goes with the last that holds the other's namespace."""
    return "wire" in pair.run(pair.a, ["ip", "-br", "link"])


@pytest.mark.parametrize("source", ["nflog", "conntrack"])
def test_one_that_goes_away_is_let_go_and_waited_for(pair: Pair, source: str) -> None:
    home = pair.namespace("home")
    lines = f'source = "{source}"\n'
    gateway = Gateway(pair, home, interval="1h", meters=named(pair.b, lines))
    gateway.start_counting()
    pair.witness(pair.b)
    senders.ping(pair, pair.a, "10.77.1.2", 50)
    truth = pair.counter(pair.b, "witness", "total")
    pair.run(pair.a, ["ip", "netns", "del", pair.b])
    wait_for(lambda: not is_wired(pair), WAIT_SECONDS, "the namespace is gone")
    gateway.wait_for_intervals(1)
    gateway.wait_for_log("event=open_failed")
    (interval,) = gateway.books().intervals
    assert (interval.status, interval.sent) == ("interrupted", truth)
    assert "its network namespace went away" in interval.reason
    assert gateway.log().count("event=open_failed") == 1
    pair.make(pair.b)
    pair.join(pair.a, "wire", pair.b, 1)
    pair.witness(pair.b)
    wait_for(lambda: gateway.log().count("event=counting") == 2, WAIT_SECONDS, "it counts again")
    senders.ping(pair, pair.a, "10.77.1.2", 20)
    assert gateway.stop() == 0
    books = gateway.books()
    (gap,) = books.problems()  # in which there was nothing to count
    assert f"starts {books.intervals[1].start}" in gap
    assert len(books.intervals) == 2
    assert books.intervals[-1].status == "exact"
    assert books.intervals[-1].sent == pair.counter(pair.b, "witness", "total")


def test_one_that_is_not_there_yet_is_counted_as_soon_as_it_is(lab: Lab) -> None:
    path = NAMESPACES / f"{lab.gw}_later"
    gateway = Gateway(lab, lab.left, interval="1h", meters=named(path.name, 'source = "nflog"\n'))
    gateway.start()
    gateway.wait_for_log(f'error="network namespace {path}: open: no such file"')
    gateway.wait_for_log("event=started")
    subprocess.run(["ip", "netns", "attach", path.name, str(lab_process(lab))], check=True)
    try:
        gateway.wait_until_counting()
        senders.udp(lab, lab.left, THROUGH)
        assert gateway.stop() == 0
        assert gateway.books().sent == Count(2_000, 2_000 * (THROUGH.payload_bytes + 28))
    finally:
        subprocess.run(["ip", "netns", "del", path.name], check=True)


def lab_process(lab: Lab) -> int:
    """A process that is in the gateway's namespace until the lab ends."""
    child = lab.spawn(lab.gw, ["tail", "-f", "/dev/null"])
    wait_for(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "tail\n", WAIT_SECONDS, "it is in there")
    return child.pid


def test_what_is_no_namespace_is_waited_for_too_and_who_may_not_enter_is_told_what_it_takes(lab: Lab) -> None:
    home = lab.namespace("home")
    empty = lab.directory / "empty"
    empty.touch()
    gateway = Gateway(lab, home, meters={"lan": f'source = "nflog"\nnetns = "{empty}"\n'})
    gateway.start()
    gateway.wait_for_log("open: it is no network namespace")
    assert gateway.stop() == 0
    lesser = Gateway(lab, home, meters=named(lab.gw, SOURCES["nflog"]))
    bounds = "-all,+net_admin"
    limited = ["setpriv", f"--inh-caps={bounds}", f"--bounding-set={bounds}"]
    run = lab.spawn(home, [*limited, *lesser_words(lesser)])
    assert run.wait() == 1
    assert "enter: operation not permitted" in run.errors()
    assert "CAP_SYS_ADMIN" in run.errors()


def lesser_words(gateway: Gateway) -> list[str]:
    return [str(Path(__file__).parents[2] / ".venv/bin/netledger"), "run", "--config", str(gateway.file)]
