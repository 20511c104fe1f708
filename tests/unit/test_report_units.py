"""Bytes for people: exact until the last digit that is shown."""

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.receipt import COUNT_MAX
from netledger.reports.units import Unit, shown_bytes


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, Unit.AUTO, "0 B"),
        (999, Unit.AUTO, "999 B"),
        (1000, Unit.AUTO, "1.000 KB"),
        (1234, Unit.AUTO, "1.234 KB"),
        (12_345, Unit.AUTO, "12.35 KB"),
        (123_456, Unit.AUTO, "123.5 KB"),
        (999_499, Unit.AUTO, "999.5 KB"),
        (999_500, Unit.AUTO, "1.000 MB"),
        (1_500_000_000, Unit.AUTO, "1.500 GB"),
        (COUNT_MAX, Unit.AUTO, "18.45 EB"),
        (1_234_567, Unit.B, "1,234,567"),
        (1_234_567, Unit.KB, "1,234.567"),
        (1_234_567, Unit.MB, "1.235"),
        (1024, Unit.KIB, "1.000"),
        (1536, Unit.KIB, "1.500"),
        (1 << 40, Unit.TIB, "1.000"),
        (499, Unit.MB, "0.000"),
        (500, Unit.MB, "0.001"),
    ],
)
def test_bytes_are_shown_in_a_unit(number: int, unit: Unit, text: str) -> None:
    assert shown_bytes(number, unit) == text


@given(st.integers(0, COUNT_MAX), st.sampled_from([one for one in Unit if one not in (Unit.AUTO, Unit.B)]))
def test_a_fixed_unit_is_rounded_half_up_at_three_decimals(number: int, unit: Unit) -> None:
    base = 1024 if "i" in unit else 1000
    size = base ** ("KMGTPE".index(unit[0]) + 1)
    expected = (Decimal(number) / size).quantize(Decimal("0.001"), ROUND_HALF_UP)
    assert Decimal(shown_bytes(number, unit).replace(",", "")) == expected


@given(st.integers(0, COUNT_MAX))
def test_the_automatic_unit_shows_four_digits_and_is_right_within_them(number: int) -> None:
    text, unit = shown_bytes(number, Unit.AUTO).split()
    size = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15, "EB": 10**18}[unit]
    assert abs(Decimal(text) * size - number) * 2000 <= max(number, 1) * Decimal("1.001")
    assert Decimal(text) < 1000
    assert unit == "B" or (Decimal(text) >= 1 and len(text) == len("1.000"))
