"""The command line of go-nflog-acctd."""

import re
from pathlib import Path

import pytest

from netledger.compat.go_nflog_acctd.options import FLAGS, Group, Options, parse_options, problem_of


def options(*words: str) -> Options:
    return parse_options(words)


def test_no_words_give_the_old_defaults() -> None:
    assert options() == Options(
        groups=(),
        ipv4_prefix_length=32,
        ipv6_prefix_length=64,
        interval_ns=300_000_000_000,
        log_directory="/var/log/accounting",
        runtime_directory="",
        syslog=False,
        verbose=False,
        debug=False,
        priority=-19,
        strict_bytes=False,
        without_effect=(),
    )


def test_groups_are_opened_in_the_old_order_whatever_the_order_of_the_flags() -> None:
    numbers = ("-ip6-src-group=7", "-ip6-dst-group=6", "-ip4-src-group=5", "-ip4-dst-group=4")
    found = options(*numbers, "-ip4-prefix-length", "24")
    assert found.groups == (
        Group(flag="ip4-dst-group", number=4, ip_version=4, is_source=False, prefix_length=24),
        Group(flag="ip4-src-group", number=5, ip_version=4, is_source=True, prefix_length=24),
        Group(flag="ip6-dst-group", number=6, ip_version=6, is_source=False, prefix_length=64),
        Group(flag="ip6-src-group", number=7, ip_version=6, is_source=True, prefix_length=64),
    )
    assert [group.header_bytes for group in found.groups] == [20, 20, 40, 40]


def test_a_group_of_zero_or_less_is_not_monitored() -> None:
    assert options("-ip4-dst-group", "0", "-ip4-src-group", "-4").groups == ()


def test_debug_implies_verbose() -> None:
    assert options("-debug").verbose
    assert not options("-debug=false").verbose


def test_flags_without_effect_are_named_only_when_they_ask_for_something() -> None:
    assert options("-cpus", "2", "-memprofile", "m").without_effect == ("cpus", "memprofile")
    assert options("-cpus", "0", "-cpuprofile=").without_effect == ()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-interval", "500ms"], "Interval must be >= 1 Second"),
        (["-interval", "-5m"], "Interval must be >= 1 Second"),
        (["-interval", "0"], "Interval must be >= 1 Second"),
        (["-interval", "7m"], "Interval 7m0s doesn't divide a day exactly"),
        (["-interval", "36h"], "Interval 36h0m0s isn't a whole number of days"),
        (["-interval", "1.7s"], "Interval 1.7s doesn't divide a day exactly"),
        (["-ip4-prefix-length", "-1"], "Prefix length -1 of -ip4-prefix-length must be >= 0"),
        (["-ip6-prefix-length=-64"], "Prefix length -64 of -ip6-prefix-length must be >= 0"),
        (["-ip4-dst-group", "65540"], "Group 65540 of -ip4-dst-group must be <= 65535"),
        (["-ip6-src-group", "0x10000"], "Group 65536 of -ip6-src-group must be <= 65535"),
    ],
)
def test_a_start_is_refused_with_its_reason(words: list[str], problem: str) -> None:
    assert problem_of(parse_options(words)) == problem


@pytest.mark.parametrize(
    "words",
    [["-interval", text] for text in ("1s", "1500ms", "1m40s", "1h30m", "0.5h", "24h", "48h", "72h")]
    + [["-ip4-prefix-length", "40"], ["-ip6-prefix-length", "0"], ["-ip4-dst-group", "65535"]]
    + [["-ip4-dst-group", "-70000"]],
)
def test_what_the_old_program_took_is_taken(words: list[str]) -> None:
    assert problem_of(parse_options(words)) is None


def test_every_flag_is_in_the_reference() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/compat-go-nflog-acctd.md").read_text()
    named = set(re.findall(r"^\| `-([a-z0-9-]+)", page, re.MULTILINE))
    assert named == {flag.name for flag in FLAGS} | {"h"}
