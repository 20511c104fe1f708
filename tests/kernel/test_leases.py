"""Leases of real servers, lent to a real client: learnt when they are lent, and over when they are free."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from netledger.config import loads
from netledger.daemon.learners import make_learner
from netledger.intervals import SECOND_NS, SystemClock
from tests.kernel import dhcp
from tests.kernel.dhcp import Client, Server, Wire
from tests.kernel.lab import wait_for
from tests.unit.recorder import Kept, running

pytestmark = [pytest.mark.kernel, pytest.mark.peers("dnsmasq", "dhcpd", "kea-dhcp4", "kea-dhcp6", "dhclient")]

SECONDS = 15.0
LONG, SHORT = 120, 6
Start = Callable[[Wire, int], Server]
SERVERS: dict[str, tuple[str, Start, Start]] = {
    "dnsmasq": ("dnsmasq", dhcp.dnsmasq, dhcp.dnsmasq),
    "isc": ("isc", lambda net, s: dhcp.isc(net, s, family=4), lambda net, s: dhcp.isc(net, s, family=6)),
    "kea": ("kea", lambda net, s: dhcp.kea(net, s, family=4), lambda net, s: dhcp.kea(net, s, family=6)),
}


@pytest.fixture
def net() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture
def record(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "store", SystemClock())


def learning(source: str, leases: Path, record: Kept) -> AbstractContextManager[threading.Thread]:
    text = f'[attribution.dhcp]\nsource = "{source}"\npath = "{leases}"\n'
    (wanted,) = loads(text, file="f").attribution.values()
    return running(make_learner("dhcp", wanted, record.clock, runtime=leases.parent), record)


@pytest.mark.parametrize("name", SERVERS)
def test_an_address_is_the_clients_until_he_gives_it_back(net: Wire, record: Kept, name: str) -> None:
    source, start, _ = SERVERS[name]
    server, client = start(net, LONG), Client(net, 4)
    with learning(source, server.leases, record):
        before_ns = record.clock.now().wall_ns
        client.ask()
        wait_for(lambda: len(record.now()) == 1, SECONDS, "lease")
        after_ns = record.clock.now().wall_ns
        ((address, who),) = record.now().items()
        ((_, mac, from_ns, _),) = record.held(address)
        assert (who, mac) == ("laptop", dhcp.DEVICE)
        assert before_ns - SECOND_NS <= from_ns <= after_ns
        client.release()
        wait_for(lambda: record.now() == {}, SECONDS, "release")
        ((_, _, _, to_ns),) = record.held(address)
        assert to_ns is not None
        assert after_ns - SECOND_NS <= to_ns <= record.clock.now().wall_ns
    assert len(record.facts()) == 2


@pytest.mark.parametrize("name", SERVERS)
def test_the_same_of_ipv6_with_the_network_that_is_delegated(net: Wire, record: Kept, name: str) -> None:
    source, _, start = SERVERS[name]
    server, client = start(net, LONG), Client(net, 6)
    with learning(source, server.leases, record):
        client.ask()
        expected = 1 if name == "dnsmasq" else 2  # dnsmasq delegates no networks
        wait_for(lambda: len(record.now()) == expected, SECONDS, "leases")
        held = record.now()
        assert all(target.startswith("fd77:") for target in held)
        assert sum("/" in target for target in held) == expected - 1
        assert {mac for target in held for _, mac, _, _ in record.held(target)} == {dhcp.DEVICE}
        client.release()
        wait_for(lambda: record.now() == {}, SECONDS, "release")


# The shortest lease of dnsmasq has two minutes.
@pytest.mark.parametrize("name", ["isc", "kea"])
def test_a_lease_that_is_renewed_goes_on_and_one_that_is_not_expires(net: Wire, record: Kept, name: str) -> None:
    source, start, _ = SERVERS[name]
    server, client = start(net, SHORT), Client(net, 4)
    with learning(source, server.leases, record):
        client.ask()
        wait_for(lambda: len(record.now()) == 1, SECONDS, "lease")
        (address,) = record.now()
        first = server.leases.read_bytes()
        wait_for(lambda: server.leases.read_bytes() != first, SHORT, "renewal")
        assert list(record.now()) == [address]
        renewed_ns = record.clock.now().wall_ns
        client.vanish()
        wait_for(lambda: record.now() == {}, SHORT + SECONDS, "expiry")
        ((_, _, _, to_ns),) = record.held(address)
        assert to_ns is not None
        assert renewed_ns + (SHORT - 2) * SECOND_NS <= to_ns <= record.clock.now().wall_ns
    assert len(record.facts()) == 2


def test_the_next_client_gets_the_address_from_the_cut_on(net: Wire, record: Kept) -> None:
    server = dhcp.dnsmasq(net, LONG)
    with learning("dnsmasq", server.leases, record):
        Client(net, 4).ask()
        wait_for(lambda: list(record.now().values()) == ["laptop"], SECONDS, "first lease")
        (address,) = record.now()
        Client(net, 4).release()
        net.run(net.client, ["ip", "address", "flush", "dev", "uplink"])
        wait_for(lambda: record.now() == {}, SECONDS, "release")
        Client(net, 4, "phone").ask()
        wait_for(lambda: list(record.now().values()) == ["phone"], SECONDS, "second lease")
    assert [who for who, _, _, _ in record.held(address)] == ["laptop", "phone"]


def test_kea_cleans_up_its_files_and_nobody_loses_an_address(net: Wire, record: Kept) -> None:
    server, client = dhcp.kea(net, 4, family=4, lfc_seconds=1), Client(net, 4)
    with learning("kea", server.leases, record):
        client.ask()
        wait_for(lambda: len(record.now()) == 1, SECONDS, "lease")
        inode = server.leases.stat().st_ino
        wait_for(lambda: server.leases.stat().st_ino != inode, SECONDS, "a new file")
        wait_for(Path(f"{server.leases}.2").exists, SECONDS, "the file of what was before")
        assert len(record.now()) == 1
    assert len(record.facts()) == 1
