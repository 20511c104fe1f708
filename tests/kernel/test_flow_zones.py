"""Zone and mark of real flows, from the kernel through a meter, its table files and the ledger into a report."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Lab, wait_for
from tests.kernel.settling import settle

pytestmark = pytest.mark.kernel

NETLEDGER = str(Path(sys.executable).with_name("netledger"))
METER = 'source = "conntrack"\nlocal = ["10.77.1.0/24"]\nkey = ["host", "zone", "mark"]\n'
# Answers come in by the other side: they are of the same zone, or they would be flows of their own.
ZONES = """
table inet zones {
  chain pre {
    type filter hook prerouting priority -300;
    udp dport { 9100, 9101 } ct zone set 7
    icmp type { echo-request, echo-reply } ct zone set 65535
  }
  chain marked { type filter hook forward priority 0; udp dport { 9101, 9200 } ct mark set 0x80000010; }
}"""
SEND = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.bind(("10.77.1.2", {source}))
    for _ in range({count}):
        one.sendto(b"x" * 72, ("10.77.2.2", {port}))
"""
Sums = Counter[tuple[int | None, int | None]]


def send(lab: Lab, port: int, count: int) -> None:
    lab.run(lab.left, [sys.executable, "-c", SEND.format(source=port + 20_000, port=port, count=count)])
    settle()


def reported(lab: Lab, gateway: Gateway, *options: str) -> Sums:
    """Bytes that the left host sent, by zone and mark."""
    argv = [NETLEDGER, "report", "--json", "--by", "zone,mark", "--where", "account=host", *options]
    told = lab.run(lab.gw, ["sh", "-c", '"$@" || [ $? = 3 ]', "-", *argv, "--config", str(gateway.file)])
    rows = json.loads(told)["rows"]
    return Counter({(row["zone"], row["mark"]): row["sent_bytes"] for row in rows})


def in_the_kernel(lab: Lab) -> Sums:
    sums: Sums = Counter()
    for flow in json.loads(lab.run(lab.gw, [NETLEDGER, "flows", "--json", "--where", "source=10.77.1.2"]))["flows"]:
        sums[flow["zone"], flow["mark"]] += flow["sent_bytes"]
    return sums


def traffic(lab: Lab) -> None:
    send(lab, 9000, 1)
    send(lab, 9100, 2)
    send(lab, 9101, 3)
    send(lab, 9200, 4)
    senders.ping(lab, lab.left, "10.77.2.2", 3, payload_bytes=72)


def test_rows_have_the_zones_and_marks_of_their_flows(lab: Lab) -> None:
    lab.nft(lab.gw, ZONES)
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"flows": METER})
    gateway.start_counting("flows")
    traffic(lab)
    assert gateway.stop() == 0
    expected = {(0, 0): 100, (7, 0): 200, (7, 0x8000_0010): 300, (0, 0x8000_0010): 400, (65_535, 0): 300}
    assert reported(lab, gateway) == in_the_kernel(lab) == expected
    assert reported(lab, gateway, "--where", "zone = 7") == {one: expected[one] for one in expected if one[0] == 7}
    assert reported(lab, gateway, "--where", "mark=0x80000010", "--where", "zone!=7") == {(0, 0x8000_0010): 400}
    names = [path.name for path in (gateway.store / "data" / "traffic").rglob("*.parquet")]
    assert names
    assert all(name.endswith(".wide.parquet") for name in names)
    lab.run(lab.gw, [NETLEDGER, "audit", "--verify", "--config", str(gateway.file)])


def test_a_killed_meter_goes_on_with_its_zones(lab: Lab) -> None:
    lab.nft(lab.gw, ZONES)
    gateway = Gateway(lab, lab.gw, interval="1d", meters={"flows": METER})
    gateway.start_counting("flows")
    send(lab, 9100, 5)
    gateway.child.kill()
    gateway.start_counting("flows")
    send(lab, 9101, 6)
    wait_for(lambda: in_the_kernel(lab)[7, 0x8000_0010] == 600, 10, "all packets")
    assert gateway.stop() == 0
    assert reported(lab, gateway) == {(7, 0): 500, (7, 0x8000_0010): 600}
