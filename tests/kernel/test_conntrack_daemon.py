"""``netledger run`` with a meter of flows: status and live rows, reload, kill, stop, report and audit."""

import json
import signal
import sys
from pathlib import Path

from netledger.live.client import Client
from tests.kernel import senders
from tests.kernel.gateway import Gateway, configuration
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.senders import Udp

NETLEDGER = str(Path(sys.executable).with_name("netledger"))
FLOWS = 'source = "conntrack"\nlocal = ["10.77.1.0/24"]\nkey = ["host", "peer"]\n'
PROVEN = FLOWS + "[meters.flows.conntrack]\nprove = true\nbuffer_bytes = 268_435_456\n"
BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500, sources=10)
LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=199, ports=20, count=0, rate=10_000)
SWITCHES = ("nf_conntrack_acct", "nf_conntrack_events", "nf_conntrack_timestamp")


def said(lab: Lab) -> list[str]:
    return lab.run(lab.gw, ["cat", *(f"/proc/sys/net/netfilter/{name}" for name in SWITCHES)]).split()


def witnessed(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "total")


def wait_for_events(gateway: Gateway, event: str, number: int) -> None:
    """Until it has been said so often, in all."""
    wait_for(lambda: gateway.log().count(event) == number, 20, f"{number} times {event}")


def test_a_day_of_flows_from_the_start_to_the_audit(lab: Lab) -> None:
    lab.witness(lab.gw)
    before = said(lab)
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"flows": PROVEN})
    gateway.start_counting("flows")
    assert said(lab) == ["1", "1", "1"]
    senders.udp(lab, lab.left, BURST)
    client = Client(gateway.runtime)
    table = wait_for(lambda: table if (table := client.table(top=3)).head.sent_packets == 500 else None, 10, "rows")
    assert table is not None
    assert (table.head.rows, table.head.rows_shown) == (11, 3)
    (meter,) = client.status().meters
    assert (meter.source, meter.received_packets, meter.lost_packets) == ("conntrack", 500, 0)
    assert client.status().problems == ()
    senders.tcp(lab, lab.left, lab.right, "10.77.2.2", 200_000)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    assert said(lab) == before
    assert "netledger_ct" not in lab.run(lab.gw, ["nft", "list", "tables"])
    books = gateway.books("flows")
    assert books.problems() == []
    assert books.statuses == {"exact": 1}
    assert books.sent == books.received == books.kernel == witnessed(lab)
    audit = json.loads(lab.run(lab.gw, [NETLEDGER, "audit", "--verify", "--json", "--config", str(gateway.file)]))
    assert audit["balance"]["exact"] == audit["balance"]["intervals"] == 1
    # The hours before are not covered, which is exit status 3.
    asked = f"{NETLEDGER} report --by account --json --config {gateway.file} || test $? = 3"
    rows = {row["account"]: row for row in json.loads(lab.run(lab.gw, ["sh", "-c", asked]))["rows"]}
    assert sum(row["sent_bytes"] for row in rows.values()) == witnessed(lab).bytes
    assert rows["host"]["sent_bytes"] > rows["external"]["sent_bytes"] > 0


def test_a_killed_daemon_goes_on_and_sets_the_switches_back_at_its_next_stop(lab: Lab) -> None:
    lab.witness(lab.gw)
    before = said(lab)
    gateway = Gateway(lab, lab.gw, interval="1s", meters={"flows": PROVEN})
    gateway.start_counting("flows")
    begun = witnessed(lab)
    load = senders.start_udp(lab, lab.left, LOAD)
    for _ in range(3):
        number = len(gateway.books("flows").intervals)
        gateway.wait_for_intervals(number + 2, meter="flows")
        gateway.child.kill()
        gateway.start_counting("flows")
    senders.stop_udp(load)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    books = gateway.books("flows")
    assert books.problems() == []
    assert "interrupted" not in books.statuses
    assert books.intervals[-1].status == "exact"
    assert books.sent == books.received == witnessed(lab) - begun
    assert said(lab) == before


def test_a_stop_that_keeps_the_rules_is_gone_on_with(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"flows": PROVEN}, options=["--keep-rules"])
    gateway.start_counting("flows")
    senders.udp(lab, lab.left, BURST)
    assert gateway.stop() == 0
    assert said(lab) == ["1", "1", "1"]
    senders.udp(lab, lab.left, BURST)
    gateway.options = ()
    gateway.start_counting("flows")
    assert gateway.stop() == 0
    books = gateway.books("flows")
    assert books.problems() == []
    assert set(books.statuses) == {"exact"}
    assert books.kernel == books.accounted == witnessed(lab) == Count(1000, 100_000)
    assert said(lab) == ["0", "2", "0"]


def test_a_reload_changes_a_meter_of_flows_under_load(lab: Lab) -> None:
    lab.witness(lab.gw)
    both = {"flows": FLOWS, "same": FLOWS}
    gateway = Gateway(lab, lab.gw, interval="1s", meters=both)
    gateway.start_counting("same")
    load = senders.start_udp(lab, lab.left, LOAD)
    changed = [
        {"flows": FLOWS.replace('"peer"', '"protocol"'), "same": FLOWS},
        {"flows": FLOWS + "[meters.flows.conntrack]\nbuffer_bytes = 1048576\n", "same": FLOWS},
        {"same": FLOWS},
    ]
    for number, meters in enumerate(changed, 1):
        gateway.wait_for_intervals(len(gateway.books("same").intervals) + 1, meter="same")
        gateway.write(configuration(store=gateway.store, runtime=gateway.runtime, interval="1s", meters=meters))
        gateway.child.signal(signal.SIGHUP)
        wait_for_events(gateway, "event=closed", number)
        wait_for_events(gateway, "meter=flows event=counting", min(number + 1, len(changed)))
    assert said(lab) == ["1", "1", "1"], "the other meter still needs them"
    senders.stop_udp(load)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    for name in both:
        books = gateway.books(name)
        assert books.problems() == []
        assert "interrupted" not in books.statuses
        assert books.lost == Count(0, 0)
    assert gateway.books("same").accounted == gateway.books("same").sent
    assert said(lab) == ["0", "2", "0"]
