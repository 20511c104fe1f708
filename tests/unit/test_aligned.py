"""Sentences beneath a table, on a terminal."""

from netledger.reports.aligned import wrapped


def test_lines_are_broken_between_words_and_go_on_beneath_the_second_one() -> None:
    text = "  gap         2026-11-21 00:00 to 2026-11-21 05:49: the meter had not begun"
    assert list(wrapped([text, "short"], 50)) == [
        "  gap         2026-11-21 00:00 to 2026-11-21",
        "              05:49: the meter had not begun",
        "short",
    ]


def test_what_is_to_be_copied_is_never_broken() -> None:
    digest, address = "0123456789abcdef" * 4, "2001:db8:1-2:3::4/64"
    lines = list(wrapped([f"verified    gw1: chain ends with {digest}", f"balance: of {address}"], 20))
    assert [line.strip() for line in lines if digest in line] == [digest]
    assert [line.strip() for line in lines if address in line] == [address]


def test_in_a_pipe_lines_are_as_long_as_they_are() -> None:
    assert list(wrapped(["word " * 100], None)) == ["word " * 100]
