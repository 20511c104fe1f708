"""What only one source has, and what a source has no use for."""

import json

import pytest

from netledger.config import ConfigError, loads, to_toml

FLOWS = """\
[meters.flows]
source = "conntrack"
key = ["host", "peer", "zone"]

[meters.flows.conntrack]
prove = false
buffer_bytes = 268_435_456
zones = [0, 65535]

[meters.lan]
"""

MANY = [f"10.{high}.{low}.0/25" for high in range(4) for low in range(250)]


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, file="f")
    return str(caught.value).splitlines()


def test_a_meter_of_flows_has_keys_of_its_own() -> None:
    config = loads(FLOWS, file="f")
    flows, lan = config.meters["flows"], config.meters["lan"]
    assert (flows.mechanisms, lan.mechanisms) == (("conntrack",), ("bpf", "nflog"))
    assert (flows.conntrack.prove, flows.conntrack.zones) == (False, (0, 65535))
    assert flows.buffer_bytes("conntrack") == 268_435_456
    assert (lan.buffer_bytes("nflog"), lan.buffer_bytes("bpf")) == (lan.nflog.buffer_bytes, None)
    assert loads(to_toml(config), file="shown") == config


def test_flows_are_proven_unless_one_says_otherwise() -> None:
    assert loads('[meters.a]\nsource = "conntrack"\n', file="f").meters["a"].conntrack.prove


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[meters.a.conntrack]",
            ["f:1: meters.a.conntrack: has no effect on the source auto", 'hint: it is for source = "conntrack"'],
        ),
        (
            '[meters.a]\nsource = "conntrack"\ninterfaces = ["eth0"]\n[meters.a.nflog]',
            [
                "f:3: meters.a.interfaces: has no effect on flows",
                "hint: conntrack knows no interfaces; choose with --where",
                "f:4: meters.a.nflog: has no effect on the source conntrack",
                'hint: it is for source = "nflog"',
            ],
        ),
        (
            '[meters.a]\nsource = "conntrack"\nconntrack.zones = [65536]',
            ["f:3: meters.a.conntrack.zones[0]: 65536 is too big", "hint: at most 65535"],
        ),
        (
            '[meters.a]\nsource = "packet"\nkey = ["label"]\nnflog.table = "x"\npacket.filter = "tcp prt 80"',
            [
                'f:3: meters.a.key[0]: "label" is what a rule of netfilter gives, and a packet socket has none',
                'hint: leave it out, or count by rules: source = "nflog"',
                "f:4: meters.a.nflog: has no effect on the source packet",
                'hint: it is for source = "nflog"',
                "f:5: meters.a.packet.filter: libpcap refuses it: syntax error",
                "hint: as tcpdump has it, but for what is not in the IP packet (ether, vlan, pppoes, inbound)",
            ],
        ),
        (
            '[meters.a]\nsource = "packet"\npacket = {ring_bytes = 1, threads = 0, promiscuous = ["a b"], snap = 5}',
            [
                "f:3: meters.a.packet.ring_bytes: 1 is too small",
                "hint: at least 1048576",
                "f:3: meters.a.packet.threads: 0 is too small",
                "hint: at least 1",
                'f:3: meters.a.packet.promiscuous[0]: "a b" is no interface name',
                'hint: as in "eth1"',
                "f:3: meters.a.packet.snap: unknown key",
                "hint: possible are ring_bytes, threads, promiscuous, filter",
            ],
        ),
        (
            f'[meters.a]\nsource = "packet"\nnetworks = {json.dumps(MANY)}',
            [
                "f:3: meters.a.networks: 7869 instructions for the kernel are too many, at most 3072",
                "hint: join networks that touch",
            ],
        ),
        (
            '[meters.a]\nsource = "bpf"\nkey = ["host", "label"]\nnflog.table = "x"\nnetns = "/run/netns/x/"',
            [
                'f:3: meters.a.key[1]: "label" is what a rule of netfilter gives, and a program of the kernel has none',
                'hint: leave it out, or count by rules: source = "nflog"',
                "f:4: meters.a.nflog: has no effect on the source bpf",
                'hint: it is for source = "nflog"',
                'f:5: meters.a.netns: "/run/netns/x/" is no absolute path of a network namespace',
                'hint: as in "/run/netns/guests"',
            ],
        ),
        (
            '[meters.a]\nsource = "nfacct"\nnetns = "/run/netns/x"',
            [
                "f:3: meters.a.netns: has no effect on named counters",
                "hint: they are those of the program's own namespace; run one there",
            ],
        ),
        (
            '[meters.a]\nsource = "conntrack"\nconntrack.prove = 1',
            ["f:3: meters.a.conntrack.prove: 1 is neither true nor false"],
        ),
    ],
)
def test_what_the_source_has_no_use_for_is_told(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


def test_a_meter_of_packets_has_keys_of_its_own() -> None:
    text = """\
[meters.up]
source = "packet"
interfaces = ["ppp*"]
networks = ["10.0.0.0/8"]
[meters.up.packet]
ring_bytes = 1048576
threads = 4
promiscuous = ["eth*"]
filter = "not port 22"
"""
    config = loads(text, file="f")
    meter = config.meters["up"]
    assert meter.mechanisms == ("packet",)
    assert (meter.buffer_key("packet"), meter.buffer_bytes("packet")) == ("ring_bytes", 1048576)
    assert (meter.packet.threads, meter.packet.promiscuous, meter.packet.filter) == (4, ("eth*",), "not port 22")
    assert loads(to_toml(config), file="shown") == config


def test_a_bad_network_is_told_once_and_where_it_stands() -> None:
    assert mistakes('[meters.a]\nsource = "packet"\nnetworks = ["10.0.0.1/8"]') == [
        'f:3: meters.a.networks[0]: "10.0.0.1/8" has host bits set',
        'hint: the network is "10.0.0.0/8"',
    ]


def test_auto_leaves_it_to_two_sources_and_both_may_have_their_own_keys() -> None:
    config = loads('[meters.a]\nnetns = "/run//netns/guests"\n[meters.a.nflog]\ntable = "x"\n', file="f")
    meter = config.meters["a"]
    assert (meter.source, meter.mechanisms, meter.netns) == ("auto", ("bpf", "nflog"), "/run/netns/guests")
    assert loads(to_toml(config), file="shown") == config
