"""Flows of a gateway against two independent counts: the witness at other hooks, and the counters of the proof."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from netledger.errors import SourceError
from netledger.receipt import ZERO
from netledger.sources.base import Key
from netledger.sources.conntrack_switches import FOLDER
from netledger.sources.nft import Nft
from tests.kernel import senders
from tests.kernel.flow_metering import FlowBench
from tests.kernel.lab import Lab
from tests.kernel.metering import leftovers
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500, sources=10)
NAT = """
table inet nat {
  chain at_prerouting { type nat hook prerouting priority -100; iif "left" tcp dport 8080 dnat ip to 10.77.2.2:9200; }
  chain at_postrouting { type nat hook postrouting priority 100; oif "right" masquerade; }
}"""


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    with lab.inside(lab.gw):
        yield lab


def check_exact(bench: FlowBench) -> None:
    """Every interval is proven, and what they say is what the witness saw."""
    assert set(bench.statuses()) == {"exact"}, [one.observed for one in bench.intervals]
    assert bench.sum("kernel") == bench.sum("accounted") == bench.witnessed()
    bench.check_chain()


def test_a_quiet_meter_is_exact_and_leaves_nothing(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    before = {path.name: path.read_text() for path in FOLDER.glob("nf_conntrack_[aet][cvi]*")}
    assert bench.open() == []
    assert bench.cut().observed.kernel == ZERO
    bench.close()
    assert bench.statuses() == ["exact", "exact"]
    assert bench.intervals[0].observed.why_lost == (
        "nf_conntrack_acct was 0 and is 1 now, nf_conntrack_events was 2 and is 1 now, "
        "nf_conntrack_timestamp was 0 and is 1 now"
    )
    assert bench.intervals[1].observed.why_lost is None
    assert {path.name: path.read_text() for path in FOLDER.glob("nf_conntrack_[aet][cvi]*")} == before
    assert leftovers(bench.config.runtime) == []
    assert Nft().table("inet", "netledger_ct_flows") is None
    assert list(bench.config.store.iterdir()) == [bench.config.store / "flows.seq"]


def test_every_kind_of_traffic_is_accounted_to_the_byte(gateway: Lab) -> None:
    bench = FlowBench.on(gateway, key=Key(columns=("host", "peer", "protocol", "host_port", "peer_port")))
    bench.open()
    for address in ("10.77.2.2", "fd77:2::2"):
        senders.ping(gateway, gateway.left, address, 20, 1000)
        assert senders.tcp(gateway, gateway.left, gateway.right, address, 1_000_000) == 1_000_000
        senders.udp(gateway, gateway.left, BURST)
        senders.ping(gateway, gateway.gw, address, 3)
    senders.udp(gateway, gateway.left, Udp(source="fd77:1::2", destination="fd77:2::2", count=300, sources=10))
    bench.cut()
    bench.close()
    check_exact(bench)
    assert bench.intervals[0].observed.accounted.packets > 1300


def test_flows_that_last_over_ten_intervals_are_booked_where_their_bytes_moved(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    with gateway.inside(gateway.right):
        listener = socket.create_server(("10.77.2.2", 9100))
    with gateway.inside(gateway.left):
        client = socket.create_connection(("10.77.2.2", 9100))
    server, _ = listener.accept()
    with closing(listener), closing(client), closing(server):
        for size in range(1, 11):
            client.sendall(bytes(size * 1000))
            while size and len(server.recv(size * 1000, socket.MSG_WAITALL)) < size * 1000:
                pass
            server.sendall(b"x")
            client.recv(1)
            gateway.silence(gateway.gw)  # no delayed acknowledgement passes while flows are read
            interval = bench.cut()
            gateway.speak(gateway.gw)
            assert size * 1000 < interval.observed.accounted.bytes < size * 1000 + 2000
    bench.close()
    check_exact(bench)
    assert len(bench.intervals) == 11


def test_a_flow_that_began_and_ended_within_one_interval_is_booked_whole(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    bench.open()
    for _ in range(20):
        senders.tcp(gateway, gateway.left, gateway.right, "10.77.2.2", 20_000)
    gateway.run(gateway.gw, ["conntrack", "-F"])
    interval = bench.cut()
    assert interval.observed.accounted.bytes > 20 * 20_000
    bench.close()
    check_exact(bench)


def test_addresses_behind_translation_are_the_true_ones(gateway: Lab) -> None:
    gateway.nft(gateway.gw, NAT)
    bench = FlowBench.on(gateway, key=Key(columns=("host", "peer")))
    bench.open()
    senders.tcp(gateway, gateway.left, gateway.right, "10.77.2.2", 100_000)
    senders.ping(gateway, gateway.left, "10.77.2.2", 5)
    with gateway.inside(gateway.right):
        listener = socket.create_server(("10.77.2.2", 9200))
    with gateway.inside(gateway.left), closing(listener), socket.create_connection(("10.77.1.1", 8080)) as client:
        server, _ = listener.accept()
        client.sendall(b"asked")
        server.recv(100)
        server.sendall(b"answered")
        server.close()
        while client.recv(100):
            pass
    gateway.silence(gateway.gw)
    rows = bench.rows()
    # Nobody is booked under the gateway's own address 10.77.2.1, which the right side has seen.
    assert {(row["host"], row["peer"]) for row in rows} == {
        ("10.77.1.2", "10.77.2.2"),
        ("10.77.2.2", "10.77.1.2"),
    }
    assert all(row["sent_bytes"] and row["received_bytes"] for row in rows)
    check_exact(bench)


def test_a_start_that_fails_leaves_nothing(gateway: Lab) -> None:
    bench = FlowBench.on(gateway)
    before = [(FOLDER / name).read_text() for name in ("nf_conntrack_acct", "nf_conntrack_events")]

    def fail(step: str) -> None:
        if step == "opened":
            raise SourceError("conntrack", "open", "a test says so")

    with pytest.raises(SourceError, match="a test says so"):
        bench.open(fail)
    assert leftovers(bench.config.runtime) == []
    assert Nft().table("inet", "netledger_ct_flows") is None
    assert [(FOLDER / name).read_text() for name in ("nf_conntrack_acct", "nf_conntrack_events")] == before
    bench.open()
    bench.close()
    assert bench.statuses() == ["exact"]
