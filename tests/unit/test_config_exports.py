"""Exports in the configuration: the default, the switch, and what is refused."""

from pathlib import Path

import pytest

from netledger.config import ConfigError, loads, to_toml
from netledger.daemon.build import make_exports
from netledger.exports.formats import Export

OLD = '[meters.lan]\n[exports.old]\nformat = "go-nflog-acctd"\ndirectory = "/o"\n'


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        loads(text, file="f")
    return str(refused.value).splitlines()


def test_without_any_there_is_csv_below_the_store() -> None:
    (only,) = make_exports(loads('store = "/srv"\n', file="f"))
    assert only == Export(name="files", format="csv", directory=Path("/srv/exports"))


def test_an_empty_table_switches_them_off_and_is_shown_as_such() -> None:
    config = loads("[exports]\n", file="f")
    assert make_exports(config) == []
    assert loads(to_toml(config), file="shown").exports == {}


def test_a_list_replaces_the_default() -> None:
    text = (
        '[meters.lan]\n[exports.a]\nformat = "jsonl"\ndirectory = "/a"\nmeters = ["lan"]\n'
        '[exports.old]\nformat = "go-nflog-acctd"\ndirectory = "/o"\nmeters = ["lan"]\n'
        '[exports.old.go-nflog-acctd]\naccount = "source"\ntimezone = "Europe/Berlin"\nstrict_bytes = true\n'
    )
    config = loads(text, file="f")
    first, second = make_exports(config)
    assert first == Export(name="a", format="jsonl", directory=Path("/a"), meters=("lan",))
    assert (second.side, str(second.zone), second.strict_bytes) == ("source", "Europe/Berlin", True)
    assert loads(to_toml(config), file="shown") == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[exports.a]\nformat = "xml"\ndirectory = "/a"\n',
            ['f:2: exports.a.format: "xml" is not possible here', 'hint: "csv", "jsonl" or "go-nflog-acctd"'],
        ),
        ('[exports.a]\nformat = "csv"\n', ["f:1: exports.a.directory: is missing"]),
        (
            '[exports.a]\nformat = "csv"\ndirectory = "/a"\n[exports.b]\nformat = "jsonl"\ndirectory = "/a/"\n',
            ["f:6: exports.b.directory: it is taken by exports.a", "hint: each export has a directory of its own"],
        ),
        (
            '[meters.lan]\n[exports.a]\nformat = "csv"\ndirectory = "/a"\nmeters = ["wan"]\n',
            ['f:5: exports.a.meters[0]: there is no meter "wan"', 'hint: there is "lan"'],
        ),
        (
            '[exports.a]\nformat = "csv"\ndirectory = "/a"\n[exports.a.go-nflog-acctd]\nstrict_bytes = true\n',
            [
                "f:4: exports.a.go-nflog-acctd: has no effect on this format",
                'hint: it is for format = "go-nflog-acctd"',
            ],
        ),
        (
            OLD,
            [
                'f:2: exports.old.meters: format "go-nflog-acctd" takes exactly one meter',
                'hint: as in meters = ["lan"]',
            ],
        ),
        (
            '[meters.lan]\nkey = ["protocol"]\n' + OLD.partition("\n")[2] + 'meters = ["lan"]\n',
            [
                'f:6: exports.old.meters: format "go-nflog-acctd" has a line for each host, and this meter has none',
                'hint: add "host" to meters.lan.key',
            ],
        ),
        (
            OLD + 'meters = ["lan"]\n[exports.old.go-nflog-acctd]\ntimezone = "Berlin"\n',
            [
                'f:7: exports.old.go-nflog-acctd.timezone: "Berlin": no such time zone',
                "hint: write it as Europe/Berlin or UTC; the package tzdata holds the list",
            ],
        ),
        ("exports = 3\n", ["f:1: exports: 3 is no table", "hint: as in [exports.NAME]"]),
        ('[exports.a]\nformat = "csv"\ndirectory = "a"\n', None),
    ],
)
def test_a_mistake_is_told_with_its_line_and_a_hint(text: str, said: list[str] | None) -> None:
    assert mistakes(text) == (
        said or ['f:3: exports.a.directory: "a" is no absolute directory', 'hint: as in "/var/lib/netledger"']
    )


def test_the_default_meter_may_be_named() -> None:
    loads('[exports.a]\nformat = "csv"\ndirectory = "/a"\nmeters = ["nflog"]\n', file="f")
