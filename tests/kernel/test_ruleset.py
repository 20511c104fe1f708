"""The rules of a managed meter on a real kernel: one transaction each, every packet once, foreign hands noticed."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netledger.errors import RulesetError
from netledger.receipt import Count
from netledger.sources.kernel_rules import KernelRules
from netledger.sources.listing import Listing, total
from netledger.sources.nft import Json, Nft
from netledger.sources.ruleset import SIDES, Ruleset, Side
from tests.kernel import senders
from tests.kernel.lab import Lab
from tests.kernel.senders import Udp

PLAIN = Ruleset(table="netledger", meter="lan", groups=(30000, 30001))


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    """The lab, with this thread on its gateway and the witness installed."""
    lab.witness(lab.gw)
    with lab.inside(lab.gw):
        yield lab


def rules_of(rules: Ruleset) -> KernelRules:
    kernel = KernelRules(Nft(), rules)
    kernel.install("a", kernel.list())
    return kernel


def listed(kernel: KernelRules) -> Listing:
    found = kernel.list()
    assert found is not None
    return found


def counted(kernel: KernelRules, side: Side = "a") -> Count:
    return total(kernel.counters(kernel.list(), side).values())


def witnessed(lab: Lab, name: str = "total") -> Count:
    seen = lab.counter(lab.gw, "witness", name)
    return Count(seen.packets, seen.bytes)


def udp(lab: Lab, count: int, *, source: str = "10.77.1.2", destination: str = "10.77.2.2") -> Count:
    sent = senders.udp(lab, lab.left, Udp(source=source, destination=destination, count=count)).count
    return Count(sent.packets, sent.bytes)


def test_forwarded_received_and_sent_packets_count_once_and_loopback_does_not(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    udp(gateway, 300)
    udp(gateway, 200, source="fd77:1::2", destination="fd77:2::2")
    senders.ping(gateway, gateway.left, "10.77.1.1", 7)
    senders.ping(gateway, gateway.left, "fd77:1::1", 7)
    senders.ping(gateway, gateway.gw, "127.0.0.1", 5)
    assert counted(kernel) == witnessed(gateway)
    assert counted(kernel).packets == 300 + 200 + 4 * 7


def test_loopback_counts_once_when_it_is_asked_for(gateway: Lab) -> None:
    kernel = rules_of(replace(PLAIN, interfaces=("lo",)))
    senders.ping(gateway, gateway.gw, "127.0.0.1", 5)
    senders.ping(gateway, gateway.gw, "::1", 5)
    udp(gateway, 50)
    assert counted(kernel) == Count(20, 10 * 84 + 10 * 104)


def test_loopback_beside_all_other_interfaces(gateway: Lab) -> None:
    kernel = rules_of(replace(PLAIN, interfaces=("*", "lo")))
    senders.ping(gateway, gateway.gw, "127.0.0.1", 5)
    udp(gateway, 50)
    assert counted(kernel) == Count(10, 840) + Count(50, 5000)


@pytest.mark.usefixtures("gateway")
def test_own_multicast_that_comes_back_to_a_local_listener_counts_once() -> None:
    kernel = rules_of(replace(PLAIN, networks=("239.77.0.1/32",)))  # without reports of membership
    group, here = socket.inet_aton("239.77.0.1"), socket.inet_aton("10.77.1.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("", 9999 + 1))
        listener.settimeout(60)
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + here)
        before = counted(kernel)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
            sender.sendto(bytes(72), ("239.77.0.1", 10000))
        assert listener.recv(200) == bytes(72)
        assert counted(kernel) - before == Count(1, 100)


MANY = tuple(f"d{number}" for number in range(40))
"""More names than there is room for in one rule, if each is compared by itself."""


@pytest.mark.parametrize("number", [31, 32, 40, 400])
def test_any_number_of_interfaces_can_be_chosen(gateway: Lab, number: int) -> None:
    for name in MANY:
        gateway.run(gateway.gw, ["ip", "link", "add", name, "up", "type", "veth", "peer", "name", f"{name}x"])
    # Not what the kernel says by itself when an interface comes up.
    plain = replace(PLAIN, hooks=("output",), networks=("255.255.255.255/32",))
    kernel = rules_of(replace(plain, interfaces=tuple(f"d{each}" for each in range(number))))
    for position, name in enumerate(MANY):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
            line.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for _ in range(position + 1):
                line.sendto(bytes(72), ("255.255.255.255", 9))
    seen = sum(position + 1 for position in range(min(number, len(MANY))))
    assert counted(kernel) == Count(seen, 100 * seen)


@pytest.mark.parametrize(
    ("wishes", "packets"),
    [
        ({"interfaces": ("left",)}, 30 + 10),
        ({"interfaces": ("right",)}, 30),
        ({"interfaces": ("le*",)}, 30 + 10),
        ({"interfaces": ("other",)}, 0),
        ({"interfaces": (*MANY, "left")}, 30 + 10),
        ({"interfaces": (*MANY, "right")}, 30),
        ({"interfaces": (*MANY, "left", "le*", "left*", "left")}, 30 + 10),
        ({"interfaces": (*(f"{name}x*" for name in MANY), "le*")}, 30 + 10),
        ({"interfaces": tuple(f"{name}x*" for name in MANY)}, 0),
        ({"interfaces": (*MANY, "l*")}, 30 + 10),
        ({"interfaces": (*MANY, "lo")}, 0),
        ({"interfaces_excluded": (*MANY, "right")}, 10),
        ({"interfaces_excluded": ("right",)}, 10),
        ({"interfaces_excluded": ("ri*", "left")}, 0),
        ({"networks": ("10.77.2.0/24",)}, 30),
        ({"networks": ("10.77.1.2/32", "10.77.0.0/16", "10.77.1.0/24")}, 40),
        ({"networks": ("fd77::/16",)}, 0),
        ({"networks": ("0.0.0.0/0",)}, 40),
        ({"networks_excluded": ("10.77.2.2/32",)}, 10),
        ({"networks_excluded": ("0.0.0.0/0",)}, 0),
        ({"networks": ("10.77.1.0/24",), "networks_excluded": ("10.77.2.0/24",)}, 10),
        ({"hooks": ("forward",)}, 30),
        ({"hooks": ("input", "output")}, 10),
        ({"interfaces": ("right",), "networks": ("10.77.1.1/32",)}, 0),
    ],
)
def test_what_is_chosen_is_counted(gateway: Lab, wishes: dict[str, tuple[str, ...]], packets: int) -> None:
    kernel = rules_of(replace(PLAIN, **wishes))  # type: ignore[arg-type]  # names of fields, with their values
    udp(gateway, 30)
    senders.ping(gateway, gateway.left, "10.77.1.1", 5)
    assert counted(kernel).packets == packets


def test_both_ip_versions_are_chosen_by_their_own_networks(gateway: Lab) -> None:
    kernel = rules_of(replace(PLAIN, networks=("10.77.2.0/24", "fd77:2::/64"), networks_excluded=("fd77:1::9/128",)))
    udp(gateway, 30)
    udp(gateway, 40, source="fd77:1::2", destination="fd77:2::2")
    udp(gateway, 50, source="fd77:1::9", destination="fd77:2::2")
    assert counted(kernel).packets == 70


def test_a_switch_moves_the_count_and_freezes_the_other_side(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    first = udp(gateway, 10)
    before = kernel.snapshot(listed(kernel))
    kernel.switch("b", listed(kernel))
    second = udp(gateway, 20)
    assert (counted(kernel, "a"), counted(kernel, "b")) == (first, second)
    assert kernel.side(listed(kernel)) == "b"
    assert kernel.snapshot(listed(kernel)) == before, "a switch leaves all handles as they are"
    kernel.switch("a", listed(kernel))
    third = udp(gateway, 30)
    assert (counted(kernel, "a"), counted(kernel, "b")) == (first + third, second)


def test_no_packet_is_missed_or_counted_twice_while_rules_are_switched_and_put_in_order(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    sender = senders.start_udp(
        gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=0, rate=100_000)
    )
    for turn in range(20):
        kernel.switch(SIDES[(turn + 1) % 2], listed(kernel))
        kernel.install(SIDES[turn % 2], kernel.list())
        kernel.switch(SIDES[(turn + 1) % 2], listed(kernel))
    sent = senders.stop_udp(sender)
    assert sent.count.packets > 1000
    assert counted(kernel, "a") + counted(kernel, "b") == witnessed(gateway, "forward")
    assert min(counted(kernel, side).packets for side in SIDES) > 0


def test_stopping_ends_the_count(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    first = udp(gateway, 10)
    kernel.stop()
    udp(gateway, 20)
    assert (counted(kernel, "a"), counted(kernel, "b")) == (first, Count(0, 0))
    assert kernel.side(listed(kernel)) is None


@pytest.mark.usefixtures("gateway")
def test_a_refused_transaction_changes_nothing() -> None:
    kernel = rules_of(PLAIN)
    before = kernel.list()
    commands: list[Json] = [
        {"flush": {"chain": {"family": "inet", "table": "netledger", "name": "lan_count"}}},
        {"delete": {"counter": {"family": "inet", "table": "netledger", "name": "lan_a_ipv4"}}},
    ]
    with pytest.raises(RulesetError, match="Device or resource busy"):
        Nft().apply(commands)
    assert kernel.list() == before


@pytest.mark.usefixtures("gateway")
def test_removing_one_meter_leaves_the_other_and_the_last_takes_the_table_along() -> None:
    one, two = rules_of(PLAIN), rules_of(replace(PLAIN, meter="dmz", groups=(30002, 30003)))
    assert listed(one).log_groups() == {30000, 30001, 30002, 30003}
    one.remove(listed(one))
    left = listed(two)
    assert {name.partition("_")[0] for name in (*left.chains, *left.counters)} == {"dmz"}
    assert two.side(left) == "a"
    two.remove(left)
    assert two.list() is None


def test_objects_of_others_in_the_table_are_left_alone(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    gateway.nft(gateway.gw, "add set inet netledger mine { type ipv4_addr; }")
    kernel.remove(listed(kernel))
    left = listed(kernel)
    assert (left.others, dict(left.chains), dict(left.counters)) == (("mine",), {}, {})


def test_other_hooks_take_the_place_of_old_ones_and_counters_stay(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    first = udp(gateway, 10)
    fewer = rules_of(replace(PLAIN, hooks=("input",)))
    udp(gateway, 10)
    assert {"lan_forward", "lan_output"}.isdisjoint(listed(fewer).chains)
    assert counted(kernel) == first


FOREIGN = {
    "delete table inet netledger": "table inet netledger is gone",
    "flush table inet netledger": "of chain lan_output is gone",
    "flush chain inet netledger lan_forward": "of chain lan_forward is gone",
    "insert rule inet netledger lan_a meta l4proto tcp return": "of chain lan_a is new",
    "add rule inet netledger lan_a log group 7": "of chain lan_a is new",
    "add chain inet netledger extra; add rule inet netledger extra jump lan_count": "of chain extra is new",
    "add table inet netledger { flags dormant; }": "table is changed",
    "add chain inet netledger lan_input { policy drop; }": "chain lan_input is changed",
    "reset counters table inet netledger": "counter lan_a_ipv4 was reset",
    "flush chain inet netledger lan_count; add rule inet netledger lan_count goto lan_a": "of chain lan_count is new",
}


@pytest.mark.parametrize("command", FOREIGN)
def test_what_others_do_to_the_rules_is_noticed_and_mended(gateway: Lab, command: str) -> None:
    kernel = rules_of(PLAIN)
    udp(gateway, 10)
    before = listed(kernel)
    expected = kernel.snapshot(before)
    assert kernel.disturbance(before, expected=expected, known=before.counters) is None
    gateway.nft(gateway.gw, command)
    noticed = kernel.disturbance(kernel.list(), expected=expected, known=before.counters)
    assert noticed is not None
    assert FOREIGN[command] in noticed.what
    assert noticed.counters_lost == (command.startswith(("delete table", "reset")))
    kernel.install("b", kernel.list())
    start = counted(kernel, "b")
    assert counted(kernel, "b") - start == Count(0, 0)
    assert udp(gateway, 10) == counted(kernel, "b") - start


@pytest.mark.usefixtures("gateway")
def test_rules_as_they_should_be_are_no_disturbance_after_being_put_in_order() -> None:
    kernel = rules_of(PLAIN)
    kernel.install("b", kernel.list())
    found = listed(kernel)
    assert kernel.disturbance(found, expected=kernel.snapshot(found), known=found.counters) is None


def test_a_packet_dropped_by_a_filter_is_not_counted(gateway: Lab) -> None:
    kernel = rules_of(PLAIN)
    gateway.nft(gateway.gw, "table inet fw { chain f { type filter hook forward priority 0; udp dport 9001 drop; }; }")
    for port in (9000, 9001):
        senders.udp(gateway, gateway.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=10, port=port))
    assert counted(kernel) == Count(10, 1000)


def test_local_addresses_are_seen_behind_source_nat(gateway: Lab) -> None:
    kernel = rules_of(replace(PLAIN, networks=("10.77.1.0/24",)))
    gateway.nft(
        gateway.gw,
        "table ip nat { chain p { type nat hook postrouting priority 100; oifname right masquerade; }; }",
    )
    senders.ping(gateway, gateway.left, "10.77.2.2", 5)
    assert counted(kernel) == Count(10, 840)
