"""Lines on standard error."""

import os

import pytest

from netledger.compat.go_nflog_acctd.log import Log
from tests.unit.compat.go_nflog_acctd.test_accounting import Times
from tests.unit.compat.go_nflog_acctd.test_gotext import zone


def test_a_line_has_local_time_and_details_only_when_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    with zone("Asia/Kolkata"):
        for verbose in (False, True):
            log = Log(Times(), program="test", verbose=verbose)
            log.line("Exit")
            log.detail("Engine stop")
    assert capfd.readouterr().err.splitlines() == [
        "2026/11/20 17:30:00 Exit",
        "2026/11/20 17:30:00 Exit",
        "2026/11/20 17:30:00 Engine stop",
    ]


def test_a_name_that_is_no_utf_8_is_printed_as_it_is(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with zone("UTC"):
        Log(Times(), program="test", verbose=False).line("Dumping stats to \udcff.csv")
    assert capfdbinary.readouterr().err == b"2026/11/20 12:00:00 Dumping stats to \xff.csv\n"


def test_a_closed_standard_error_ends_nothing() -> None:
    kept = os.dup(2)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        os.dup2(writer, 2)
        Log(Times(), program="test", verbose=False).line("lost")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(writer)
