"""Conditions: what they take, asked of a real store and compared with what Python's own arithmetic says."""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from netledger.errors import UsageError
from netledger.reports.where import understand
from tests.unit.booked import Booked, ask, book
from tests.unit.rows import Row, row

SPAN = "2026-11-20T10:00..2026-11-20T10:05"
ADDRESSES = (
    "0.0.0.1", "10.0.255.255", "10.1.0.0", "10.1.0.7", "10.1.255.255", "10.2.0.0", "192.0.2.7", "255.255.255.255",
    "::", "::1", "2001:db8::", "2001:db8:0:1::", "2001:db8:1::", "fd09::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)  # fmt: skip


class Connection(NamedTuple):
    protocol: int
    host: int
    peer: int


CONNECTIONS = tuple(Connection(*one) for one in (
    (6, 443, 50000), (6, 50001, 443), (6, 80, 50002), (17, 53, 53), (17, 6000, 9), (17, 6063, 9), (17, 6064, 9),
    (1, 8, 0), (58, 128, 0), (132, 65535, 0),
))  # fmt: skip
ODD = "it's {odd}, \\x00; --"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A row of one packet for each address, each connection, each name; each has a number of its own in ``label``."""
    lines: list[Row] = [row("host", host=one, sent=(1, 1), received=(1, 1), label=f"host {one}") for one in ADDRESSES]
    lines += [
        row("host", peer=one, host="203.0.113.1", sent=(1, 1), received=(1, 1), label=f"peer {one}")
        for one in ADDRESSES
    ]
    lines += [
        row("host", protocol=protocol, host_port=host, peer_port=peer, sent=(1, 1), received=(1, 1),
            label=f"{protocol} {host} {peer}")
        for protocol, host, peer in CONNECTIONS
    ]  # fmt: skip
    lines += [row("host", interface=name, sent=(1, 1), received=(1, 1), label=name) for name in ("eth0", "eth1")]
    lines += [row("host", sent=(1, 1), received=(1, 1), label=ODD), row("external", sent=(1, 1), received=(1, 1))]
    # Each row stands for a movement of its own here; the balance of the whole is not the matter.
    here = [Booked("2026-11-20T10:00:00Z", lines, meter=meter) for meter in ("lan", "wan")]
    there = Booked("2026-11-20T10:00:00Z", lines[:2], node="gw2")
    return book(tmp_path_factory.mktemp("where") / "store", [*here, there])


def labels(store: Path, *where: str) -> set[object]:
    """The rows of one meter that conditions take, by their label."""
    found = ask(store, period=SPAN, by=["label"], where=["node=gw1", "meter=lan", *where])
    return set(found.totals.columns["label"])


def inside(network: str) -> set[object]:
    wanted = ipaddress.ip_network(network)
    return {one for one in ADDRESSES if ipaddress.ip_address(one) in wanted}


@pytest.mark.parametrize(
    "network",
    [
        "10.1.0.7", "10.1.0.0/16", "10.1.0.0/32", "0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "255.255.255.255",
        "::", "::1/128", "::/0", "::/1", "2001:db8::/32", "2001:db8::/64", "2001:db8::/47", "fd00::/8", "8000::/1",
    ],
)  # fmt: skip
def test_a_network_takes_what_is_in_it_and_ipv6_never_takes_ipv4(store: Path, network: str) -> None:
    expected = inside(network)
    assert expected
    assert labels(store, f"host={network}", "label!=" + ODD) - {f"peer {one}" for one in ADDRESSES} == {
        f"host {one}" for one in expected
    }
    assert labels(store, f"peer={network}") == {f"peer {one}" for one in expected}
    others = {f"host {one}" for one in ADDRESSES if one not in expected}
    assert {one for one in labels(store, f"host!={network}") if str(one).startswith("host")} == others


def test_an_address_is_looked_for_at_both_ends(store: Path) -> None:
    assert labels(store, "address=10.1.0.0/16") == {
        f"{end} {one}" for end in ("host", "peer") for one in inside("10.1.0.0/16")
    }
    assert labels(store, "net=192.0.2.7") == {"host 192.0.2.7", "peer 192.0.2.7"}
    without = labels(store, "address!=10.1.0.0/16")
    assert {f"host {one}" for one in inside("10.1.0.0/16")} & without == set()
    assert {f"peer {one}" for one in inside("10.1.0.0/16")} & without == set()
    assert {"host 10.2.0.0", "peer 10.2.0.0"} <= without
    # Nothing is known of the addresses of these.
    assert {"eth0", None} & without == set()


def connections(takes: Callable[[Connection], object]) -> set[object]:
    return {f"{one.protocol} {one.host} {one.peer}" for one in CONNECTIONS if takes(one)}


@pytest.mark.parametrize(
    ("where", "takes"),
    [
        (["protocol=6"], lambda one: one.protocol == 6),
        (["proto=TCP"], lambda one: one.protocol == 6),
        (["proto=udp,sctp"], lambda one: one.protocol in {17, 132}),
        (["proto=udp", "proto=sctp"], lambda one: one.protocol in {17, 132}),
        (["proto!=udp"], lambda one: one.protocol != 17),
        (["proto!=udp", "proto!=tcp"], lambda one: one.protocol not in {6, 17}),
        (["proto!=udp,tcp"], lambda one: one.protocol not in {6, 17}),
        (["port=443"], lambda one: 443 in {one.host, one.peer}),
        (["port=80,443"], lambda one: {80, 443} & {one.host, one.peer}),
        (["port=6000-6063"], lambda one: one.host in {6000, 6063}),
        (["host_port=443"], lambda one: one.host == 443),
        (["peer_port=443"], lambda one: one.peer == 443),
        (["port=443", "proto=udp"], lambda one: not one),
        (["port=53", "proto=udp"], lambda one: one.host == 53),
        (["port!=443"], lambda one: 443 not in {one.host, one.peer}),
        # 8 and 128 are types of ICMP and no ports; asked for by their columns they are found.
        (["port=8,128"], lambda one: not one),
        (["proto=icmp", "host_port=8"], lambda one: one.protocol == 1),
        (["proto=icmp,icmpv6"], lambda one: one.protocol in {1, 58}),
    ],
)
def test_protocols_and_ports(store: Path, where: list[str], takes: Callable[[Connection], object]) -> None:
    assert labels(store, *where) == connections(takes)


def test_names_are_taken_as_they_are_written(store: Path) -> None:
    assert labels(store, "interface=eth0") == {"eth0"}
    assert labels(store, "iface=eth0,eth1") == {"eth0", "eth1"}
    assert labels(store, "interface!=eth0") == {"eth1"}
    assert labels(store, f"label={ODD}") == {ODD}
    assert None in labels(store, "account=external")
    assert labels(store, "account=external") == {None}


def test_nodes_and_meters_choose_intervals_and_their_balance(store: Path) -> None:
    def chosen(*where: str) -> set[tuple[str, str]]:
        return {(one.node, one.meter) for one in ask(store, period=SPAN, where=where).intervals}

    assert chosen() == {("gw1", "lan"), ("gw1", "wan"), ("gw2", "lan")}
    assert chosen("meter=lan") == {("gw1", "lan"), ("gw2", "lan")}
    assert chosen("meter=lan,wan", "node!=gw2") == {("gw1", "lan"), ("gw1", "wan")}
    assert chosen("node=gw2") == {("gw2", "lan")}
    assert chosen("meter=lan", "node=gw2") == {("gw2", "lan")}
    assert chosen("host=10.1.0.7") == {("gw1", "lan"), ("gw1", "wan"), ("gw2", "lan")}
    assert ask(store, period=SPAN, where=["node=gw2"]).balance.accounted.packets == 2
    assert ask(store, period=SPAN, where=["node=gw2"]).totals.total["sent_packets"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host", "not a condition"),
        ("host=", "not a condition"),
        ("host=10.1.2.3/16", "10.1.2.3/16 has bits behind its prefix"),
        ("host=10.1.2", "10.1.2 is no address and no network"),
        ("host=10.1.0.0/16,", " is no address and no network"),
        ("hots=10.1.0.0/16", "no such word: hots"),
        ("proto=tpc", "tpc is no protocol"),
        ("proto=256", "256 is no protocol"),
        ("proto=-1", "-1 is no protocol"),
        ("port=65536", "65536 is no port"),
        ("port=90-80", "90-80 is no port"),
        ("port=http", "http is no port"),
        ("account=hosts", "hosts is no account"),
        ("interface=a\0b", "a name holds no zero byte"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        understand([text])
    assert caught.value.cause.startswith(message)


def test_a_network_with_bits_behind_its_prefix_is_corrected_in_the_hint() -> None:
    with pytest.raises(UsageError) as caught:
        understand(["host=10.1.2.3/16"])
    assert caught.value.hint == "the network is 10.1.0.0/16"
