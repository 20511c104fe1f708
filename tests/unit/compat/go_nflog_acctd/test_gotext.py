"""Moments, names and quoted text as Go prints them."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netledger.exports.gotext import (
    errno_text,
    file_stamp,
    join_path,
    log_stamp,
    moment_text,
    quote,
    row_stamp,
    syslog_stamp,
)

SECOND_NS = 1_000_000_000
NOON = 1_795_176_000 * SECOND_NS  # 2026-11-20 12:00:00 UTC


@contextmanager
def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UTC", "2026-11-20 12:00:00 +0000 UTC"),
        ("America/New_York", "2026-11-20 07:00:00 -0500 EST"),
        ("Asia/Kolkata", "2026-11-20 17:30:00 +0530 IST"),
        ("America/St_Johns", "2026-11-20 08:30:00 -0330 NST"),
    ],
)
def test_a_moment_prints_in_local_time(name: str, expected: str) -> None:
    with zone(name):
        assert moment_text(NOON) == expected


def test_a_fraction_of_a_second_prints_without_trailing_zeros() -> None:
    with zone("UTC"):
        assert moment_text(NOON + SECOND_NS // 2) == "2026-11-20 12:00:00.5 +0000 UTC"
        assert moment_text(NOON + 1) == "2026-11-20 12:00:00.000000001 +0000 UTC"


def test_stamps_are_local_and_cut_to_the_second() -> None:
    with zone("Asia/Kolkata"):
        late = NOON + SECOND_NS - 1
        assert log_stamp(late) == "2026/11/20 17:30:00"
        assert file_stamp(late) == "2026-11-20-173000"
        assert row_stamp(late) == "2026-11-20 17:30:00"
        assert syslog_stamp(late) == "Nov 20 17:30:00"


def test_syslog_pads_the_day_with_a_blank() -> None:
    with zone("UTC"):
        assert syslog_stamp(NOON - 15 * 86_400 * SECOND_NS) == "Nov  5 12:00:00"


def test_two_hours_of_the_autumn_clock_change_have_one_name() -> None:
    first = 1_793_509_200 * SECOND_NS  # 2026-11-01 05:00:00 UTC = 01:00 EDT
    with zone("America/New_York"):
        assert file_stamp(first) == file_stamp(first + 3600 * SECOND_NS) == "2026-11-01-010000"


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/var/log", "/var/log/x.csv"),
        ("/var/log/", "/var/log/x.csv"),
        ("./acc", "acc/x.csv"),
        ("a//b/../c", "a/c/x.csv"),
        (".", "x.csv"),
        ("", "x.csv"),
        ("/", "/x.csv"),
        ("//var", "/var/x.csv"),
        ("../up", "../up/x.csv"),
    ],
)
def test_a_path_is_tidied(directory: str, expected: str) -> None:
    assert join_path(directory, "x.csv") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('"\\', r'"\"\\"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("stra\u00dfe \u4e2d", '"stra\u00dfe \u4e2d"'),
        ("\u200b\u00a0", r'"\u200b\u00a0"'),
        ("\U000e0001", r'"\U000e0001"'),
        ("\udcff", r'"\xff"'),
    ],
)
def test_text_is_quoted(text: str, expected: str) -> None:
    assert quote(text) == expected


def test_errors_are_the_systems_words_in_lower_case() -> None:
    assert errno_text(FileNotFoundError(2, "x")) == "no such file or directory"
    assert errno_text(OSError(28, "x")) == "no space left on device"
    assert errno_text(OSError(105, "x")) == "no buffer space available"
    assert errno_text(OSError("odd")) == "odd"
