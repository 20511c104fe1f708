"""Meters that leave out all that they choose are refused; those that leave out a part of it are not."""

import pytest

from netledger.config import ConfigError, loads


@pytest.mark.parametrize(
    ("kind", "chosen", "excluded"),
    [
        ("interfaces", '["lan0"]', '["lan0"]'),
        ("interfaces", '["lan0", "ppp1*"]', '["lan0", "ppp*"]'),
        ("networks", '["10.1.0.0/16"]', '["10.0.0.0/8", "::/0"]'),
        ("networks", '["10.1.0.0/16", "fd00:1::/32"]', '["fd00::/8", "10.1.0.0/16"]'),
    ],
)
def test_a_meter_that_could_count_nothing_is_told_where_it_says_so(kind: str, chosen: str, excluded: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"[meters.a]\n{kind} = {chosen}\n{kind}_excluded = {excluded}\n", file="f")
    assert str(caught.value).splitlines() == [
        f"f:3: meters.a.{kind}_excluded: leave out all of {kind}: nothing would be counted",
        "hint: leave out a part of them, or choose others",
    ]


@pytest.mark.parametrize(
    ("kind", "chosen", "excluded"),
    [
        ("interfaces", '["lan0", "ppp*"]', '["lan0", "ppp1*"]'),
        ("interfaces", "[]", '["lan0"]'),
        ("interfaces", '["lan*"]', "[]"),
        ("networks", '["10.1.0.0/16", "fd00::/8"]', '["10.0.0.0/8"]'),
        ("networks", '["10.0.0.0/8"]', '["10.1.0.0/16"]'),
        ("networks", "[]", '["10.1.0.0/16"]'),
    ],
)
def test_a_meter_that_leaves_out_a_part_is_right(kind: str, chosen: str, excluded: str) -> None:
    text = f"[meters.a]\n{kind} = {chosen}\n{kind}_excluded = {excluded}\n"
    assert list(loads(text, file="f").meters) == ["a"]
