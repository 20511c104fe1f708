"""What is shown as the effective configuration is read again as the same, whatever was configured."""

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from netledger.config import loads, to_json, to_toml
from netledger.config.toml import value_to_toml
from netledger.schema import CONNECTION_COLUMNS, KEY_COLUMNS

NAMES = st.text("abz09_", min_size=1, max_size=16)
INTERVALS = st.sampled_from(["1s", "90s", "5m", "90m", "1h", "1d", "31d"])
NETWORKS = st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::/0"]), unique=True)
INTERFACES = st.lists(st.sampled_from(["eth0", "wg-home", "br0.12", 'a"b', "ünf"]), unique=True)
# Others than those that are chosen: a meter that leaves out all of these is refused.
NETWORKS_EXCLUDED = st.lists(st.sampled_from(["172.16.0.0/12", "198.51.100.7", "fd00::/8"]), unique=True)
INTERFACES_EXCLUDED = st.lists(st.sampled_from(["ppp*", "br0.13", 'b"a']), unique=True)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "table": NAMES,
        "buffer_bytes": st.integers(1 << 18, 1 << 30),
        "hooks": st.lists(st.sampled_from(["input", "forward", "output"]), min_size=1, unique=True),
    },
)
MEASURES = {
    "source": st.sampled_from(["auto", "nflog"]),
    "interval": INTERVALS,
    "netns": st.sampled_from(["/run/netns/a", "/proc/1/ns/net"]),
    "local": NETWORKS,
    "key": st.lists(
        st.sampled_from([one for one in KEY_COLUMNS if one not in CONNECTION_COLUMNS]), min_size=1, unique=True
    ),
    "prefix_length": st.fixed_dictionaries({}, optional={"ipv4": st.integers(0, 32), "ipv6": st.integers(0, 128)}),
    "rows_max": st.integers(1, 1 << 24),
}
SELECTIONS = {
    "interfaces": INTERFACES,
    "interfaces_excluded": INTERFACES_EXCLUDED,
    "networks": NETWORKS,
    "networks_excluded": NETWORKS_EXCLUDED,
}
RINGS = st.fixed_dictionaries(
    {},
    optional={
        "ring_bytes": st.integers(1 << 20, 1 << 30),
        "threads": st.integers(1, 64),
        "promiscuous": INTERFACES,
        "filter": st.sampled_from(["", "not port 22", "ip[0] & 0xf != 5 and host 10.0.0.1"]),
    },
)
BY_RULES = st.fixed_dictionaries({}, optional={**MEASURES, **SELECTIONS, "nflog": RULES})
BY_SOCKETS = st.fixed_dictionaries(
    {"source": st.just("packet")},
    optional={
        **{name: values for name, values in MEASURES.items() if name not in {"source", "key"}},
        **SELECTIONS,
        "packet": RINGS,
    },
)
METERS = st.dictionaries(NAMES, BY_RULES | BY_SOCKETS, max_size=4)
PLACES = st.sampled_from(["/", "/srv/a b", '/srv/"x"', "/srv/ü"])
EXPORTS = st.dictionaries(
    NAMES, st.fixed_dictionaries({"format": st.sampled_from(["csv", "jsonl"]), "directory": PLACES}), max_size=1
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "node": st.sampled_from(["gw1", "ü, \"\\ '", "gw-1.example"]),
        "interval": INTERVALS,
        "store": PLACES,
        "runtime": PLACES,
        "meters": METERS,
        "exports": EXPORTS,
    },
)


def written(document: dict[str, object]) -> str:
    return "".join(f"{key} = {value_to_toml(value)}\n" for key, value in document.items())


@given(FILES)
def test_what_is_shown_is_read_as_the_same(document: dict[str, object]) -> None:
    config = loads(written(document), file="f")
    shown = to_toml(config)
    assert loads(shown, file="shown") == config
    assert json.loads(to_json(config)) == tomllib.loads(shown)


@given(
    groups=st.lists(st.integers(0, 65_535), min_size=1, max_size=6, unique=True),
    account=st.sampled_from(["both", "source"]),
)
def test_given_groups_are_shown_and_read_again(groups: list[int], account: str) -> None:
    nflog = {"groups": [{"group": group, "account": account} for group in groups]}
    config = loads(written({"meters": {"lan": {"nflog": nflog}}}), file="f")
    assert loads(to_toml(config), file="shown") == config
    assert [one.group for one in config.meters["lan"].nflog.groups] == groups
