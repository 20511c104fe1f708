"""Interfaces that are renamed under a meter of packet sockets: which packets have which name."""

import os
from collections.abc import Iterator

import pytest

from netledger.sources.base import Key
from tests.kernel import links
from tests.kernel.lab import Lab, wait_for
from tests.kernel.packet_metering import PacketBench
from tests.unit import packets

BY_INTERFACE = Key(columns=("host", "interface"), ipv6_prefix_length=128)
# To the gateway, from the left.
FOR_US = bytes.fromhex("027700000101 027700000102")


@pytest.fixture
def gateway(lab: Lab) -> Iterator[Lab]:
    """The lab, with this thread on its gateway."""
    with lab.inside(lab.gw):
        yield lab


def test_an_interface_has_its_new_name_once_it_is_renamed(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("ppp*", "isp"), key=BY_INTERFACE)
    meter.open()
    packet = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        os.write(line, packet)
        meter.wait_for_packets(1)
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "name", "isp"])
        native = meter.opened()._native()
        wait_for(lambda: "isp" in native.interface_names().values(), 10, "the new name")
        os.write(line, packet)
        meter.wait_for_packets(2)
    meter.close()
    assert meter.rows["ppp0", "10.0.0.1", "sent"] == meter.rows["isp", "10.0.0.1", "sent"] == 1


@pytest.mark.parametrize("name", ["isp", "other"])
def test_what_came_before_an_interface_is_renamed_has_its_old_name(gateway: Lab, name: str) -> None:
    """It lies in the ring yet when the new name is known, and so does what comes behind."""
    interfaces = ("ppp*", "isp")
    meter = PacketBench.on(gateway, interfaces=interfaces, key=BY_INTERFACE, retire_milliseconds=1000)
    meter.open()
    packet = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        native = meter.opened()._native()
        wait_for(lambda: "ppp0" in native.interface_names().values(), 10, "the old name")
        os.write(line, packet)
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "name", name])
        wait_for(lambda: "ppp0" not in native.interface_names().values(), 10, "the new name")
        assert meter.opened().stats().received_packets == 0, "it has not been read yet"
        os.write(line, packet)
    meter.close()
    assert meter.rows["ppp0", "10.0.0.1", "sent"] == 1
    assert meter.rows["isp", "10.0.0.1", "sent"] == (name == "isp")


def test_one_that_is_renamed_out_of_the_choice_is_not_counted_any_more(gateway: Lab) -> None:
    meter = PacketBench.on(gateway, interfaces=("ppp*", "left"), key=BY_INTERFACE)
    meter.open()
    packet = packets.ipv4("10.0.0.1", "10.0.0.2", bytes(80))
    with links.tun(gateway, gateway.gw, "ppp0") as line:
        os.write(line, packet)
        meter.wait_for_packets(1)
        gateway.run(gateway.gw, ["ip", "link", "set", "ppp0", "name", "other"])
        native = meter.opened()._native()
        wait_for(lambda: "ppp0" not in native.interface_names().values(), 10, "the new name")
        os.write(line, packet)
        links.put(gateway, gateway.left, "uplink", [packets.ethernet(packet, macs=FOR_US)])
        meter.wait_for_packets(2)
    meter.close()
    assert meter.rows["ppp0", "10.0.0.1", "sent"] == meter.rows["left", "10.0.0.1", "sent"] == 1
    assert meter.sum("accounted").packets == 2
