"""Durations read and print as in Go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.go_nflog_acctd.duration import duration_text, parse_duration

SECOND = 1_000_000_000
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5 * SECOND),
        ("-5m", -300 * SECOND),
        ("+1h", 3600 * SECOND),
        ("300ms", SECOND * 3 // 10),
        ("1500ms", SECOND * 3 // 2),
        ("1.5h", 5400 * SECOND),
        (".5h", 1800 * SECOND),
        ("5.s", 5 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1m40s", 100 * SECOND),
        ("72h", 72 * 3600 * SECOND),
        ("30m1h", 5400 * SECOND),
        ("1ns", 1),
        ("1us", 1_000),
        ("1\u00b5s", 1_000),
        ("1\u03bcs", 1_000),
        ("1h2m3s4ms5us6ns", 3723 * SECOND + 4_005_006),
        ("0.0000000019s", 1),
        ("9223372036854775807ns", 2**63 - 1),
        ("-9223372036854775808ns", -(2**63)),
    ],
)
def test_a_duration_is_read(text: str, expected_ns: int) -> None:
    assert parse_duration(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    ["", "5", "1x", "1d", "s", ".", ".s", "+", "-", "--5m", "1h 30m", " 5m", "5m ", "1..5h", "1.5.5h", "h1", "1H",
     "1e3s", "0x5s", "\u0665s", "1_0s", "infinity", "9223372036854775808ns", "-9223372036854775809ns", "3000000h",
     "9" * 5000 + "s"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text of the error is never shown
        parse_duration(text)


@pytest.mark.parametrize(
    ("duration_ns", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5\u00b5s"),
        (500_000_000, "500ms"),
        (1_000_001, "1.000001ms"),
        (SECOND, "1s"),
        (1_500_000_000, "1.5s"),
        (60 * SECOND, "1m0s"),
        (300 * SECOND, "5m0s"),
        (420 * SECOND, "7m0s"),
        (3600 * SECOND, "1h0m0s"),
        (36 * 3600 * SECOND, "36h0m0s"),
        (-300 * SECOND, "-5m0s"),
        (3_600_000_000_001, "1h0m0.000000001s"),
        (-(2**63), "-2562047h47m16.854775808s"),
    ],
)
def test_a_duration_prints_as_in_go(duration_ns: int, expected: str) -> None:
    assert duration_text(duration_ns) == expected


@given(INT64)
def test_what_is_printed_reads_back(duration_ns: int) -> None:
    assert parse_duration(duration_text(duration_ns)) == duration_ns


@given(st.text(alphabet="0123456789.hmsnu\u00b5+-", max_size=12))
def test_any_text_gives_64_bits_or_is_refused(text: str) -> None:
    try:
        duration_ns = parse_duration(text)
    except ValueError:
        return
    assert -(2**63) <= duration_ns < 2**63
