"""The configuration: defaults, every mistake with its line, and that what is shown can be read again."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.config import DEFAULT_PATH, Config, ConfigError, Meter, durations, load, loads, to_json, to_toml
from netledger.config.lines import line_for, lines_of
from netledger.config.toml import value_to_toml

EVERYTHING = """\
node = "gw1"
interval = "1h"
store = "/srv/ledger"
runtime = "/run/other"

[ledger]
keep_detail = "90d"
keep_rollups = "730d"

[meters.lan]
source = "nflog"
interval = "90s"
local = ["192.168.0.0/24", "2001:db8:1::/48"]
key = ["host", "peer", "protocol", "host_port", "peer_port", "interface", "label"]
interfaces = ["eth1"]
interfaces_excluded = ["tun0"]
networks = ["0.0.0.0/0"]
networks_excluded = ["10.1.2.3"]
prefix_length = {ipv4 = 24}
rows_max = 1_000

[meters.lan.nflog]
table = "ours"
buffer_bytes = 1_048_576
hooks = ["forward"]

[meters.given.nflog]
groups = [{group = 4, account = "destination"}, {group = 5, account = "both", family = "ipv6"}]
"""

NODE_HINT = 'hint: as in "gw1"; leave it out to take the host name'
TOP_KEYS = "node, interval, cut_on_assignment, store, runtime, ledger, meters, exports, attribution"
EMPTY_HINT = "hint: leave it out to take the default"
GROUP_HINT = (
    'hint: as in [[meters.lan.nflog.groups]] with group = 5 and account = "destination", '
    'or in one line: groups = [{ group = 5, account = "destination" }]'
)
DAYS_HINT = 'hint: as in "90d"; leave it out to keep all'
EMPTY = "an empty pattern stands for nothing"
NAMED_HINT = "hint: they have no addresses; leave it out"
NFT_HINT = 'hint: family, table and name, each may be a pattern: "inet filter web*", or "*" for all'
KEY_HINT = 'hint: "host", "peer", "protocol", "host_port", "peer_port", "interface", "label", "zone" or "mark"'
OF_FLOWS = "belongs to connections, and packets do not tell it"
FLOWS_HINT = 'hint: leave it out, or count flows: source = "conntrack"'
LONG_HINT = "hint: interface names have at most 15"


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, file="f")
    return str(caught.value).splitlines()


def test_an_empty_file_is_one_meter_named_nflog() -> None:
    config = loads("", file="f")
    assert list(config.meters) == ["nflog"]
    assert config.meters["nflog"] == Meter().model_copy(update={"interval_seconds": 300})
    assert (config.store, config.runtime, config.interval_seconds) == ("/var/lib/netledger", "/run/netledger", 300)
    assert config.node
    assert loads("[meters]", file="f") == config


def test_every_key_can_be_set() -> None:
    config = loads(EVERYTHING, file="f")
    assert (config.ledger.keep_detail_days, config.ledger.keep_rollups_days) == (90, 730)
    lan, given_groups = config.meters["lan"], config.meters["given"]
    assert (config.node, config.interval_seconds, lan.interval_seconds) == ("gw1", 3600, 90)
    assert lan.local == ("192.168.0.0/24", "2001:db8:1::/48")
    assert lan.networks_excluded == ("10.1.2.3/32",)
    assert (lan.prefix_length.ipv4, lan.prefix_length.ipv6) == (24, 64)
    assert (lan.nflog.table, lan.nflog.hooks, lan.rows_max) == ("ours", ("forward",), 1000)
    assert given_groups.interval_seconds == 3600
    assert [(one.group, one.account, one.family) for one in given_groups.nflog.groups] == [
        (4, "destination", None),
        (5, "both", "ipv6"),
    ]


@pytest.mark.parametrize("text", ["", EVERYTHING, 'node = "ü \\"\\\\ x"\n[meters.a]\n[meters.b]\ninterval = "7d"\n'])
def test_what_is_shown_can_be_read_again(text: str) -> None:
    config = loads(text, file="f")
    assert loads(to_toml(config), file="shown") == config
    assert tomllib.loads(to_toml(config))["meters"].keys() == config.meters.keys()
    assert '"interval"' in to_json(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('interval = "7m"', ["f:1: interval: 7 minutes do not divide a day", 'hint: "6m" or "8m" would']),
        ('interval = "36h"', ["f:1: interval: 36 hours do not divide a day", 'hint: "1d" or "2d" would']),
        ('interval = "32d"', ["f:1: interval: 32 days are too long", "hint: at most 31d"]),
        ('interval = "0s"', ['f:1: interval: "0s" is no duration', 'hint: as in "90s", "5m", "1h" or "1d"']),
        ("interval = 300", ["f:1: interval: 300 is no duration", 'hint: as in "90s", "5m", "1h" or "1d"']),
        ("node = 1", ["f:1: node: 1 is no text", "hint: text stands in quotes"]),
        ('node = " "', ["f:1: node: this is no name of a machine", NODE_HINT]),
        ('store = "here"', ['f:1: store: "here" is no absolute directory', 'hint: as in "/var/lib/netledger"']),
        ('store = "/a/../b"', ['f:1: store: "/a/../b" is no absolute directory', 'hint: as in "/var/lib/netledger"']),
        ("stor = 1", ["f:1: stor: unknown key", "hint: did you mean store?"]),
        ("zzz = 1", ["f:1: zzz: unknown key", f"hint: possible are {TOP_KEYS}"]),
        ('source = "bpf"', ["f:1: source: unknown key", "hint: it stands in [meters.NAME]"]),
        ("[bpf]\nprove = true", ["f:1: bpf: unknown key", "hint: it stands in [meters.NAME]"]),
        ("meters = 3", ["f:1: meters: 3 is no table", "hint: as in [meters.NAME]"]),
        ("[[meters]]", ["f:1: meters: [{}] is no table", "hint: as in [meters.NAME]"]),
        ("[[meters.lan]]", ["f:1: meters.lan: [{}] is no table", "hint: as in [meters.lan]"]),
        ("meters.lan = 3", ["f:1: meters.lan: 3 is no table", "hint: as in [meters.lan]"]),
        (
            "[meters.a]\nprove = true",
            ["f:2: meters.a.prove: unknown key", "hint: it stands in [meters.a.bpf] or [meters.a.conntrack]"],
        ),
        ('[meters.a]\nattach = "tcx"', ["f:2: meters.a.attach: unknown key", "hint: it stands in [meters.a.bpf]"]),
        ("[meters.a.bpf]\nhook = 1", ["f:2: meters.a.bpf.hook: unknown key", "hint: did you mean hooks?"]),
        ("[meters.a.nflog]\ngroups = [{account = \"both\"}]", ["f:2: meters.a.nflog.groups[0].group: is missing"]),
        ("[meters.a.nflog]\nhooks = []", ["f:2: meters.a.nflog.hooks: is empty", EMPTY_HINT]),
        ('[ledger]\nkeep_detail = "36h"', ['f:2: ledger.keep_detail: "36h" is no number of days', DAYS_HINT]),
        ("[ledger]\nkeep_detail = 90", ["f:2: ledger.keep_detail: 90 is no number of days", DAYS_HINT]),
        (
            '[ledger]\nkeep_rollups = "9d"',
            ["f:2: ledger.keep_rollups: has no effect while rows are kept for ever", "hint: set keep_detail too"],
        ),
        (
            '[ledger]\nkeep_detail = "9d"\nkeep_rollups = "8d"',
            ["f:3: ledger.keep_rollups: is shorter than keep_detail, 9d", "hint: hourly sums stay as long as rows"],
        ),
        ('[meters.a]\nkey = ["host", "zone"]', [f'f:2: meters.a.key[1]: "zone" {OF_FLOWS}', FLOWS_HINT]),
        ('[meters.a]\nsource = "nflog"\nkey = ["mark"]', [f'f:3: meters.a.key[0]: "mark" {OF_FLOWS}', FLOWS_HINT]),
        (
            '[meters.a]\nsource = "nfacct"\nkey = ["host"]',
            ["f:3: meters.a.key: has no effect on named counters", NAMED_HINT],
        ),
        (
            '[meters.a]\nsource = "nfacct"\n[meters.a.nflog]',
            ["f:3: meters.a.nflog: has no effect on the source nfacct", 'hint: it is for source = "nflog"'],
        ),
        (
            "[meters.a.nfacct]",
            ["f:1: meters.a.nfacct: has no effect on the source auto", 'hint: it is for source = "nfacct"'],
        ),
        (
            '[meters.a]\nsource = "nfacct"\nnfacct.nft = ["filter web"]',
            ['f:3: meters.a.nfacct.nft[0]: "filter web" is no counter of nftables', NFT_HINT],
        ),
        (
            '[meters.a]\nsource = "nfacct"\nnfacct.objects = [""]',
            [f"f:3: meters.a.nfacct.objects[0]: {EMPTY}", 'hint: "*" stands for all objects'],
        ),
        (
            '[meters.a]\nsource = "nfacct"\nnfacct.ensure = [""]',
            ['f:3: meters.a.nfacct.ensure[0]: "" is no name for an object', 'hint: as in "http-traffic"'],
        ),
        (
            f'[meters.a]\nsource = "nfacct"\nnfacct.ensure = ["{"n" * 32}"]',
            [f'f:3: meters.a.nfacct.ensure[0]: "{"n" * 32}" has 32 bytes', "hint: names of objects have at most 31"],
        ),
        ('[meters.a]\nkey = ["vlan"]', ['f:2: meters.a.key[0]: "vlan" is not possible here', KEY_HINT]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_a_hint(text: str, said: list[str]) -> None:
    assert mistakes(text) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('source = "ebpf"', ['"ebpf" is not possible here', 'hint: did you mean "bpf"?']),
        ('netns = "a"', ['"a" is no absolute path of a network namespace', 'hint: as in "/run/netns/guests"']),
        ('source = "nflg"', ['"nflg" is not possible here', 'hint: did you mean "nflog"?']),
        ('local = ["10.0.0.1/24"]', ['"10.0.0.1/24" has host bits set', 'hint: the network is "10.0.0.0/24"']),
        ('local = ["ten"]', ['"ten" is no network', 'hint: as in "192.168.0.0/24" or "2001:db8:1::/48"']),
        ('local = ["10.0.0.0/8", "10.0.0.0/8"]', ['"10.0.0.0/8" stands twice']),
        ('local = "10.0.0.0/8"', ['"10.0.0.0/8" is no list', 'hint: as in ["10.0.0.0/8"]']),
        ('key = ["hots"]', ['"hots" is not possible here', None]),
        ('interfaces = ["a-name-too-long"]', None),
        ('interfaces = ["a-name-too-long1"]', ['"a-name-too-long1" has 16 bytes', LONG_HINT]),
        ('interfaces = ["üüüüüüüü"]', ['"üüüüüüüü" has 16 bytes', LONG_HINT]),
        ('interfaces = ["a/b"]', ['"a/b" is no interface name', 'hint: as in "eth1"']),
        ('rows_max = "10"', ['"10" is no whole number', "hint: a number stands without quotes"]),
        ("rows_max = true", ["true is no whole number"]),
        ("rows_max = 1.5", ["1.5 is no whole number"]),
        ("rows_max = 0", ["0 is too small", "hint: at least 1"]),
        ('key = ["hosts"]', ['"hosts" is not possible here', 'hint: did you mean "host"?']),
        ("prefix_length = 24", ["24 is no table", "hint: as in { ipv4 = 24, ipv6 = 64 }"]),
        ("prefix_length = 56", ["56 is no table", "hint: as in { ipv4 = 32, ipv6 = 56 }"]),
        ("prefix_length = true", ["true is no table", "hint: as in { ipv4 = 32, ipv6 = 64 }"]),
        ("nflog.groups = [5]", ["5 is no table", GROUP_HINT]),
        ("nflog.groups = 5", ["5 is no list", GROUP_HINT]),
        ("nflog.groups.group = 5", ["{ group = 5 } is no list", GROUP_HINT]),
        ("prefix_length = {ipv4 = 33}", ["33 is too big", "hint: at most 32"]),
        ("prefix_length.ipv6 = -1", ["-1 is too small", "hint: at least 0"]),
        ("nflog.groups = [{group = 65536, account = \"both\"}]", ["65536 is too big", "hint: at most 65535"]),
        ("nflog.table = \"A\"", ['"A" is no name', None]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_meter_is_told(line: str, said: list[str | None] | None) -> None:
    text = f"[meters.lan]\n# a comment\n{line}\n"
    if said is None:
        assert list(loads(text, file="f").meters) == ["lan"]
        return
    told = mistakes(text)
    assert told[0].startswith("f:3: meters.lan.")
    assert told[0].endswith(f": {said[0]}")
    assert said[1:] in ([None], told[1:])


@pytest.mark.parametrize("key", ["prefix_length", "nflog.groups"])
def test_what_a_hint_gives_as_an_example_is_accepted(key: str) -> None:
    hint = mistakes(f"meters.lan.{key} = 5")[1]
    example = hint[hint.index(" {" if key == "prefix_length" else "[{") :]
    assert list(loads(f"meters.lan.{key} = {example}", file="f").meters) == ["lan"]


@pytest.mark.parametrize("name", ["Lan", "a-b", "a b", "", "a" * 17])
def test_a_meter_needs_a_name_that_chains_and_directories_can_have(name: str) -> None:
    told = mistakes(f'[meters."{name}"]\n')
    assert told[0].startswith("f:1: meters")
    assert told[1].endswith("for it names chains and directories")


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = (
        'nodee = "x"\n[meters.b.nflog]\ngroups = [{group = 4, account = "both"},\n  {group = 4, account = "no"}]\n'
        '[meters.a]\nlocal = [\n  "10.0.0.0/8",\n  "bad",\n]\n[meters.b]\ninterfaces = ["eth0"]\n'
    )
    assert [line.split(": ")[:2] for line in mistakes(text) if not line.startswith("hint")] == [
        ["f:1", "nodee"],
        ["f:4", "meters.b.nflog.groups[1].group"],
        ["f:4", "meters.b.nflog.groups[1].account"],
        ["f:8", "meters.a.local[1]"],
        ["f:11", "meters.b.interfaces"],
    ]


def test_a_group_has_one_meter() -> None:
    text = "".join(f'[[meters.{name}.nflog.groups]]\ngroup = 4\naccount = "both"\n' for name in "ab")
    assert mistakes(text) == [
        "f:5: meters.b.nflog.groups[0].group: group 4 is taken by meters.a.nflog.groups[0].group",
        "hint: a group has one listener",
    ]


def test_a_given_file_must_be_there_and_the_default_one_need_not(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load(tmp_path / "none.toml")
    if not DEFAULT_PATH.exists():
        assert load(None) == loads("", file="f")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b'# a\nnode = "\xff"\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:2: not UTF-8"
    path.write_bytes("node = 'gw1'".encode("utf-16"))
    with pytest.raises(ConfigError, match="1: not UTF-8"):
        load(path)
    with pytest.raises(ConfigError, match="is a directory"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_mistake_and_moves_no_line(tmp_path: Path) -> None:
    path = tmp_path / "f.toml"
    path.write_bytes(b'\xef\xbb\xbfnode = "gw1"\n')
    assert load(path).node == "gw1"
    path.write_bytes(b'\xef\xbb\xbf# a\nnode = "\xff"\n')
    with pytest.raises(ConfigError, match="2: not UTF-8"):
        load(path)


def test_columns_that_stand_twice_are_told_together_with_unknown_ones() -> None:
    assert mistakes('[meters.a]\nkey = ["host", "hst", "host", "peer", "peer"]') == [
        'f:2: meters.a.key: "host" stands twice',
        'f:2: meters.a.key: "peer" stands twice',
        'f:2: meters.a.key[1]: "hst" is not possible here',
        'hint: did you mean "host"?',
    ]
    assert mistakes('[meters.a]\nkey = ["host", "host"]') == ['f:2: meters.a.key: "host" stands twice']


def test_lines_are_found_in_every_way_to_write_a_key() -> None:
    text = '''\
a.b = 1 # a.c = 2
"q.r" = """
[not.a.table]
x = 1
"""
s = 'C:\\\\'

[t.u]
v = [ # comment ]
  {w = 1,
   x = [1, 2]},
  "y ] , \\\\" , z",
]
[[arr]]
k = 1
[[arr]]
k = 2
[arr.sub]
m = 1
'''
    lines = lines_of(text)
    assert {path: lines.get(path) for path in WANTED} == WANTED
    assert line_for(lines, ("t", "u", "v", 0, "nothing")) == 10
    assert line_for(lines, ("nothing", 0)) is None


WANTED = {
    ("a",): 1,
    ("a", "b"): 1,
    ("q.r",): 2,
    ("not",): None,
    ("x",): None,
    ("s",): 6,
    ("t",): 8,
    ("t", "u"): 8,
    ("t", "u", "v"): 9,
    ("t", "u", "v", 0): 10,
    ("t", "u", "v", 0, "w"): 10,
    ("t", "u", "v", 0, "x", 1): 11,
    ("t", "u", "v", 1): 12,
    ("arr", 0, "k"): 15,
    ("arr", 1, "k"): 17,
    ("arr", 1, "sub", "m"): 19,
}

KEYS = st.text("abcXYZ019_-", min_size=1, max_size=5)
SCALARS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text("a#\"'\\\n\t\x7f ü]},=[{", max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_values_are_written_as_toml_reads_them_and_keys_are_found(document: dict[str, object]) -> None:
    text = "".join(f"{key} = {value_to_toml(value)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    lines = lines_of(text)
    assert {key: lines[key,] for key in document} == {key: n for n, key in enumerate(document, start=1)}


@pytest.mark.parametrize(("seconds", "text"), [(90, "90s"), (300, "5m"), (3600, "1h"), (86_400, "1d"), (5400, "90m")])
def test_durations_are_written_as_people_do(seconds: int, text: str) -> None:
    assert durations.render(seconds) == text
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5M", "1.5h", "05m", "5m ", "1w"])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert durations.parse(text) is None


@given(st.integers(1, durations.INTERVAL_MAX_SECONDS))
def test_an_interval_that_is_refused_has_neighbours_that_are_not(seconds: int) -> None:
    assert durations.parse(durations.render(seconds)) == seconds
    if not durations.divides_days(seconds):
        shorter, longer = durations.neighbours(seconds)
        assert shorter < seconds < longer
        assert durations.divides_days(shorter)
        assert durations.divides_days(longer)


def test_a_configuration_cannot_be_changed() -> None:
    config = loads("", file="f")
    with pytest.raises(ValueError, match="frozen"):
        setattr(config, "node", "other")  # noqa: B010  # a type checker would refuse the plain way
    assert isinstance(config, Config)


def test_cut_on_assignment_is_taken_from_above_where_a_meter_says_nothing() -> None:
    text = "cut_on_assignment = true\n[meters.a]\n[meters.b]\ncut_on_assignment = false\n"
    assert {name: one.cut_on_assignment for name, one in loads(text, file="f").meters.items()} == {
        "a": True,
        "b": False,
    }
    (alone,) = loads("cut_on_assignment = true\n", file="f").meters.values()
    assert alone.cut_on_assignment
    (silent,) = loads("", file="f").meters.values()
    assert not silent.cut_on_assignment
