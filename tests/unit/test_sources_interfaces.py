"""Which interfaces that are wanted are not there, and what is said of them."""

import logging

import pytest

from netledger.daemon.logs import KeyValueFormatter
from netledger.sources.interfaces import missing, takes_all, warn_of_missing

THERE = ["lo", "eth0", "ppp12"]


@pytest.mark.parametrize(
    ("wanted", "absent"),
    [
        ([], []),
        (["eth0", "lo"], []),
        (["eht0", "eth0", "eth"], ["eht0", "eth"]),
        (["ppp*", "*", "eth0*"], []),
        (["tun*", "eth00*"], ["tun*", "eth00*"]),
    ],
)
def test_a_name_or_the_beginning_of_one_must_be_there(wanted: list[str], absent: list[str]) -> None:
    assert missing(wanted, THERE) == absent


@pytest.mark.parametrize(
    ("pattern", "other", "is_all"),
    [
        ("eth0", "eth0", True),
        ("eth*", "eth0", True),
        ("eth*", "eth0*", True),
        ("*", "ppp*", True),
        ("eth0*", "eth*", False),
        ("eth", "eth*", False),
        ("eth*", "eth[*]", True),
        ("eth[*]", "eth[*]", True),
        ("eth[*]", "eth*", False),
        ("eth[*]", "eth1", False),
    ],
)
def test_a_pattern_takes_all_of_another_that_is_not_wider(pattern: str, other: str, *, is_all: bool) -> None:
    assert takes_all(pattern, other) is is_all


def test_an_absent_interface_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_missing("lan", ["lo", "no-such-thing*"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    line = "level=warning meter=lan event=interface_not_there interface=no-such-thing*"
    assert KeyValueFormatter().format(record) == line
