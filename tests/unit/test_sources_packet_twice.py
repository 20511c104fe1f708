"""Two interfaces that see the same packets are told of, and which ones count at all."""

import logging

import pytest

from netledger.sources.interfaces import fits
from netledger.sources.packet_links import InterfaceChoice, Link
from netledger.sources.packet_twice import Twice, pairs

LO = Link("lo", is_loopback=True)
LINKS = {
    1: LO,
    2: Link("eth0"),
    3: Link("eth0.5", kind="vlan", lower=2),
    4: Link("br0", kind="bridge"),
    5: Link("eth1", master=4),
    6: Link("gre1", kind="gre", lower=2),
    7: Link("veth7", kind="veth", lower=8),
    8: Link("veth8", kind="veth", lower=7),
    9: Link("veth9", kind="veth", master=4),  # its other end is in another namespace
}
PAIRS = {("eth0.5", "eth0"), ("eth1", "br0"), ("veth7", "veth8"), ("veth9", "br0")}


def test_the_pairs_are_those_that_pass_the_same_packets_on() -> None:
    assert set(pairs(LINKS, InterfaceChoice())) == PAIRS


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (InterfaceChoice(only=("eth*",)), {("eth0.5", "eth0")}),
        (InterfaceChoice(excluded=("br0", "eth0")), {("veth7", "veth8")}),
        (InterfaceChoice(only=("eth0", "eth1", "gre1")), set()),
    ],
)
def test_only_counted_ones_are_told(choice: InterfaceChoice, left: set[tuple[str, str]]) -> None:
    assert set(pairs(LINKS, choice)) == left


@pytest.mark.parametrize(
    ("choice", "is_taken"),
    [
        (InterfaceChoice(), False),
        (InterfaceChoice(loopback=True), True),
        (InterfaceChoice(only=("lo", "eth0")), True),
        (InterfaceChoice(only=("l*",)), False),
        (InterfaceChoice(only=("lo",), excluded=("l*",)), False),
    ],
)
def test_loopback_counts_where_it_is_named(choice: InterfaceChoice, is_taken: bool) -> None:
    assert choice.takes(LO) is is_taken


@pytest.mark.parametrize(
    ("wanted", "name", "is_so"),
    [
        ("ppp*", "ppp10", True),
        ("ppp*", "ppp", True),
        ("ppp*", "pp", False),
        ("*", "eth0", True),
        ("eth[*]", "eth*", True),
        ("eth[*]", "eth0", False),
        ("e?h0", "eth0", False),
        ("e*h0", "eth0", False),
    ],
)
def test_a_pattern_is_a_name_or_its_beginning(wanted: str, name: str, is_so: bool) -> None:
    assert fits(wanted, name) is is_so


def test_each_pair_is_told_once_and_again_when_it_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    twice = Twice("lan", InterfaceChoice())
    alone = {2: LINKS[2]}
    with caplog.at_level(logging.WARNING):
        for links in (LINKS, LINKS, alone, {**alone, 3: LINKS[3]}):
            twice.look(links)
    told = [vars(record)["fields"]["interfaces"] for record in caplog.records if record.message == "counted_at_both"]
    assert told == ["eth0.5 and eth0, eth1 and br0, veth7 and veth8, veth9 and br0", "eth0.5 and eth0"]


def test_many_pairs_are_told_in_few_words(caplog: pytest.LogCaptureFixture) -> None:
    ports = {index: Link(f"port{index}", master=1) for index in range(10, 40)}
    with caplog.at_level(logging.WARNING):
        Twice("lan", InterfaceChoice()).look({1: Link("br0", kind="bridge"), **ports})
    told = [vars(record)["fields"]["interfaces"] for record in caplog.records if record.message == "counted_at_both"]
    assert told[0].endswith("port14 and br0, and 25 more")
