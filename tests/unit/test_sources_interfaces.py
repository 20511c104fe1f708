"""Which interfaces that are wanted are not there, and what is said of them."""

import logging

import pytest

from netledger.daemon.logs import KeyValueFormatter
from netledger.sources.interfaces import missing, warn_of_missing

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


def test_an_absent_interface_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_missing("lan", ["lo", "no-such-thing*"])
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    line = "level=warning meter=lan event=interface_not_there interface=no-such-thing*"
    assert KeyValueFormatter().format(record) == line
