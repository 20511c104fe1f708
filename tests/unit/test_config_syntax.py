"""A file that is no TOML: its first mistake has a line and a hint."""

import pytest

from tests.unit.test_config import mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb =\n", "f:2: invalid value"),
        ("a = [1,\n", "f:2: "),
        ('node = "a"\nnode = "b"\n', "f:2: cannot overwrite a value"),
    ],
)
def test_a_syntax_error_has_its_line(text: str, said: str) -> None:
    first, hint = mistakes(text)
    assert first.startswith(said)
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[meters.a\n", "hint: a table is named like this: [meters.a]"),
        ("[[meters.a.nflog.groups]\n", "hint: a table is named like this: [[meters.a.nflog.groups]]"),
        ("[meters.a]\n[meters.a]\n", "hint: there is such a table above: put its keys there, or"),
        ("a = 1\nnode = gw1 # ours\n", 'hint: text stands in quotes: node = "gw1"'),
        ("node\n", 'hint: a line is [TABLE], KEY = VALUE or a comment behind "#"; text stands in quotes, lists in'),
    ],
)
def test_a_syntax_error_has_a_hint(text: str, hint: str) -> None:
    assert mistakes(text)[1].startswith(hint)
