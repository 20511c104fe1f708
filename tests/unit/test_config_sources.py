"""What only one source has, and what a source has no use for."""

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


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, file="f")
    return str(caught.value).splitlines()


def test_a_meter_of_flows_has_keys_of_its_own() -> None:
    config = loads(FLOWS, file="f")
    flows, lan = config.meters["flows"], config.meters["lan"]
    assert (flows.mechanism, lan.mechanism) == ("conntrack", "nflog")
    assert (flows.conntrack.prove, flows.conntrack.zones, flows.buffer_bytes) == (False, (0, 65535), 268_435_456)
    assert lan.buffer_bytes == lan.nflog.buffer_bytes
    assert loads(to_toml(config), file="shown") == config


def test_flows_are_proven_unless_one_says_otherwise() -> None:
    assert loads('[meters.a]\nsource = "conntrack"\n', file="f").meters["a"].conntrack.prove


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[meters.a.conntrack]",
            ["f:1: meters.a.conntrack: has no effect on the source nflog", 'hint: it is for source = "conntrack"'],
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
            '[meters.a]\nsource = "conntrack"\nconntrack.prove = 1',
            ["f:3: meters.a.conntrack.prove: 1 is neither true nor false"],
        ),
    ],
)
def test_what_the_source_has_no_use_for_is_told(text: str, said: list[str]) -> None:
    assert mistakes(text) == said
