"""The bpf meter and the managed NFLOG meter side by side, on the same packets: their rows are equal, line by line."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kernel.bpf_beside import HANDED_BACK, Both, counted

LOCAL = 'local = ["10.77.1.0/24", "fd77:1::/64"]\n'
EACH = "prefix_length = {ipv4 = 32, ipv6 = 128}\n"
FULL = 'key = ["host", "peer", "protocol", "host_port", "peer_port", "interface"]\n' + EACH

# What each pair of meters is asked for, but for the source.
WISHES = {
    "host": LOCAL,
    "everybody": EACH,
    "full": FULL,
    "localfull": LOCAL + FULL,
    "peers": LOCAL + 'key = ["host", "peer"]\nprefix_length = {ipv4 = 24, ipv6 = 48}\n',
    "protocols": 'key = ["protocol", "peer_port"]\n',
    "noaddress": 'key = ["interface"]\n',
    "nothing": 'key = ["host"]\nprefix_length = {ipv4 = 0, ipv6 = 0}\n',
    "left": 'interfaces = ["left"]\n' + FULL,
    "wild": 'interfaces = ["r*", "no*"]\n' + FULL,
    "without": 'interfaces_excluded = ["le*"]\n' + FULL,
    "loopback": 'interfaces = ["lo"]\n' + FULL,
    "all": 'interfaces = ["lo", "*"]\n' + FULL,
    "leftlo": 'interfaces = ["lo", "left"]\n' + FULL,
    "net": 'networks = ["10.77.1.0/25", "fd77:2::/64", "127.0.0.0/8"]\n' + FULL,
    "netout": 'networks_excluded = ["10.78.0.0/16", "fd77:1::2/128"]\n' + FULL,
    "netboth": 'networks = ["10.0.0.0/8", "fd00::/8"]\nnetworks_excluded = ["10.77.2.2/32", "fd78::/32"]\n' + FULL,
    "onlyipv6": 'networks = ["::/0"]\n' + FULL,
    "noipv6": 'networks_excluded = ["::/0"]\n' + FULL,
}
FEW_ROWS = EACH + "rows_max = 10\n"


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    meters = {
        f"{wish}_{source}": f'source = "{source}"\n{lines}'
        for wish, lines in {**WISHES, "fewrows": FEW_ROWS}.items()
        for source in ("nflog", "bpf")
    }
    with counted(meters) as made:
        yield made


@pytest.mark.parametrize("wish", WISHES)
def test_rows_are_equal_line_by_line(both: Both, wish: str) -> None:
    for source in ("nflog", "bpf"):
        books = both.gateway.books(f"{wish}_{source}")
        assert books.problems() == []
        assert set(books.statuses) == {"exact"}, [one.reason for one in books.intervals]
    nflog, bpf = both.rows(f"{wish}_nflog"), both.rows(f"{wish}_bpf")
    assert bpf - nflog == nflog - bpf == Counter()
    assert sum(nflog.values()) > 0


def test_the_rows_are_all_packets_and_of_every_kind(both: Both) -> None:
    for meter in ("full_bpf", "host_bpf", "fewrows_bpf", "fewrows_nflog"):
        books = both.gateway.books(meter)
        # The witness saw the copies that the kernel handed back, too.
        assert books.sent + HANDED_BACK == books.received + HANDED_BACK == both.witness
    full = [dict(line) for line in both.rows("full_bpf")]
    assert {line["protocol"] for line in full} >= {"1", "6", "17", "58"}
    assert {line["interface"] for line in full} == {"", "left", "right"}
    assert len(full) > 500
    assert "lo" in {dict(line)["interface"] for line in both.rows("loopback_bpf")}
    # NFLOG's own row for the others is one of the ten.
    for meter, hosts in (("fewrows_bpf", 10), ("fewrows_nflog", 9)):
        accounts = Counter(dict(line)["account"] for line in both.rows(meter))
        assert accounts == {"host": hosts, "other": 1}
