"""The bpf meter at interfaces and the meter of packet sockets side by side: their rows are equal, line by line."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.bpf_beside import Both, counted

EACH = "prefix_length = {ipv4 = 32, ipv6 = 128}\n"
PEERS = 'key = ["host", "peer", "protocol", "interface"]\n' + EACH
WISHES = {
    "host": 'local = ["10.77.1.0/24", "fd77:1::/64"]\n',
    "left": 'interfaces = ["left"]\n' + PEERS,
    "both": 'interfaces = ["left", "ri*"]\n' + PEERS,
    "without": 'interfaces_excluded = ["left"]\n' + PEERS,
    "loopback": 'interfaces = ["lo"]\n' + PEERS,
    "all": 'interfaces = ["*", "lo"]\n' + PEERS,
    "net": 'networks = ["10.77.2.0/24", "fd77:1::/64"]\nnetworks_excluded = ["10.77.1.2/32"]\n' + PEERS,
    # Later fragments have the ports of their first one there, and none here: they are left out.
    "ports": 'interfaces = ["left"]\nnetworks_excluded = ["10.77.2.2", "fd77:2::2", "10.77.1.1", "fd77:1::1"]\n'
    'key = ["host", "peer", "protocol", "host_port", "peer_port"]\n' + EACH,
}
RECEIPT = ("accounted_packets", "accounted_bytes", "super_packets", "wire_packets")


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    bpf = '[meters.{}_bpf.bpf]\nattach = "tcx"\n'
    meters: dict[str, str] = {}
    for wish, lines in WISHES.items():
        meters[f"{wish}_packet"] = f'source = "packet"\n{lines}[meters.{wish}_packet.packet]\nring_bytes = 4194304\n'
        meters[f"{wish}_bpf"] = f'source = "bpf"\n{lines}{bpf.format(wish)}'
    with counted(meters) as made:
        yield made


@pytest.mark.parametrize("wish", WISHES)
def test_rows_and_receipts_are_equal(both: Both, wish: str) -> None:
    names = f"{wish}_packet", f"{wish}_bpf"
    packet, bpf = (both.rows(name) for name in names)
    assert bpf - packet == packet - bpf == Counter()
    assert sum(bpf.values()) > 0
    receipts = [both.gateway.books(name).intervals[0].receipt for name in names]
    assert [{name: one[name] for name in RECEIPT} for one in receipts] == [
        {name: receipts[0][name] for name in RECEIPT}
    ] * 2
    assert both.gateway.books(names[1]).statuses == {"exact": len(both.gateway.books(names[1]).intervals)}


def test_some_of_it_was_tagged_and_some_were_super_packets(both: Both) -> None:
    receipt = both.gateway.books("left_bpf").intervals[0].receipt
    assert isinstance(receipt["super_packets"], int)
    assert receipt["super_packets"] > 0
    hosts = {dict(line)["host"] for line in both.rows("left_bpf")}
    assert hosts >= {"10.77.1.77", "fd77:1::77"}
