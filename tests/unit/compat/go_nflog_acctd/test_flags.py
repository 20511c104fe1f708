"""Words of the command line read as by Go's flag package."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.go_nflog_acctd.flags import (
    Flag,
    FlagError,
    HelpAsked,
    defaults_text,
    parse_boolean,
    parse_flags,
    parse_integer,
)

FLAGS = (
    Flag("on", "bool", default=False, usage="Switch"),
    Flag("many", "int", 7, "Number"),
    Flag("long", "duration", 0, "Length"),
    Flag("word", "string", "", "Text"),
    Flag("secret", "bool", default=False, usage="Not shown", hidden=True),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("4", 4), ("-4", -4), ("+4", 4), ("0x4", 4), ("0X1f", 31), ("-0x1F", -31), ("010", 8), ("0o17", 15),
        ("0O17", 15), ("0b101", 5), ("0B1", 1), ("1_0", 10), ("1_000_000", 1_000_000), ("0_7", 7), ("0x_1f", 31),
        ("0b_1", 1), ("00", 0), ("-0", 0), ("9223372036854775807", 2**63 - 1), ("-9223372036854775808", -(2**63)),
        ("0x7fffffffffffffff", 2**63 - 1),
    ],
)  # fmt: skip
def test_an_integer_is_read(text: str, expected: int) -> None:
    assert parse_integer(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "+", "-", "x", "4x", "08", "0x", "0b", "0o", "0b2", "0o8", "0xg", "_1", "1_", "1__0", "0x1__0", "0_", "--4",
     " 4", "4 ", "4.0", "1e3", "\u0664", "\uff14", "0x_"],
)  # fmt: skip
def test_what_is_no_integer_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text of the error is never shown
        parse_integer(text)


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "-9223372036854775809", "99999999999999999999", "0x8000000000000000", "9" * 10_000]
)
def test_an_integer_beyond_64_bits_is_out_of_range(text: str) -> None:
    with pytest.raises(OverflowError):
        parse_integer(text)


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_integers_in_every_base_read_back(number: int) -> None:
    sign, magnitude = ("-" if number < 0 else ""), abs(number)
    for form in ("d", "#x", "#o", "#b", "_d", "#_x"):
        assert parse_integer(f"{sign}{magnitude:{form}}") == number
    assert parse_integer(f"{sign}0{magnitude:o}") == number


def test_twelve_words_are_booleans_and_no_others() -> None:
    assert [parse_boolean(word) for word in ("1", "t", "T", "TRUE", "true", "True")] == [True] * 6
    assert [parse_boolean(word) for word in ("0", "f", "F", "FALSE", "false", "False")] == [False] * 6
    for word in ("", "yes", "no", "tRUE", "on", "2", " true"):
        with pytest.raises(ValueError):  # noqa: PT011 - the text of the error is never shown
            parse_boolean(word)


@pytest.mark.parametrize(
    ("words", "name", "expected"),
    [
        (["-many", "3"], "many", 3),
        (["-many=3"], "many", 3),
        (["--many", "3"], "many", 3),
        (["--many=3"], "many", 3),
        (["-many", "3", "-many=4"], "many", 4),
        (["-many", "-3"], "many", -3),
        (["-on"], "on", True),
        (["-on=F"], "on", False),
        (["-on", "false"], "on", True),
        (["-on", "true", "-many", "3"], "many", 7),
        (["extra", "-many", "3"], "many", 7),
        (["--", "-many", "3"], "many", 7),
        (["-", "-many", "3"], "many", 7),
        (["-word=", "-many=3"], "word", ""),
        (["-word", "-many=3"], "word", "-many=3"),
        (["-word=a=b"], "word", "a=b"),
        (["-long", "1m"], "long", 60_000_000_000),
        (["-secret"], "secret", True),
        ([], "many", 7),
    ],
)
def test_flags_are_read_until_the_first_other_word(words: list[str], name: str, expected: object) -> None:
    parsed = parse_flags(FLAGS, words)
    assert parsed.values[name] == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["--nosuch=1"], "flag provided but not defined: -nosuch"),
        (["-many"], "flag needs an argument: -many"),
        (["-many=x"], 'invalid value "x" for flag -many: parse error'),
        (["-many", "9" * 20], f'invalid value "{"9" * 20}" for flag -many: value out of range'),
        (["-long", "5"], 'invalid value "5" for flag -long: parse error'),
        (["-on=maybe"], 'invalid boolean value "maybe" for -on: parse error'),
        (["---on"], "bad flag syntax: ---on"),
        (["-=on"], "bad flag syntax: -=on"),
        (["--=on"], "bad flag syntax: --=on"),
        (['-many="\n\udcff\u200b'], 'invalid value "\\"\\n\\xff\\u200b" for flag -many: parse error'),
    ],
)
def test_a_refusal_has_the_words_of_go(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as refusal:
        parse_flags(FLAGS, words)
    assert str(refusal.value) == message


@pytest.mark.parametrize("word", ["-h", "--h", "-help", "--help", "-h=1"])
def test_help_is_asked_for(word: str) -> None:
    with pytest.raises(HelpAsked):
        parse_flags(FLAGS, [word])


def test_the_first_mistake_counts_even_before_help() -> None:
    with pytest.raises(FlagError):
        parse_flags(FLAGS, ["-nosuch", "-h"])


def test_what_was_given_is_known_even_when_it_is_the_default() -> None:
    assert parse_flags(FLAGS, ["-many", "7"]).given == {"many"}


def test_reading_a_flag_as_another_kind_is_a_mistake_of_the_program() -> None:
    parsed = parse_flags(FLAGS, [])
    for read, name in ((parsed.integer, "on"), (parsed.boolean, "many"), (parsed.string, "many")):
        with pytest.raises(TypeError):
            read(name)


def test_the_list_of_defaults_is_sorted_and_leaves_hidden_flags_out() -> None:
    assert defaults_text(FLAGS) == (
        "  -long duration\n    \tLength\n"
        "  -many int\n    \tNumber (default 7)\n"
        "  -on\n    \tSwitch\n"
        "  -word string\n    \tText\n"
    )
