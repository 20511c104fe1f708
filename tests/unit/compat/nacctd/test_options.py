"""The command line, against the recorded one."""

import re

import pytest

from netledger.compat.nacctd.options import Options, RefusedError, parse_options
from tests.compat.nacctd.transcript import TRANSCRIPTS

RECORDED = (TRANSCRIPTS / "00-cli-pidfile-daemon.txt").read_text()
REFUSED = re.findall(r"^\$ nacctd ([^\n]*)\n(.*?)\[rc=1\]", RECORDED, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("words", "text"), [(words, text) for words, text in REFUSED if "Usage" in text])
def test_a_refused_command_line_gives_the_recorded_text(words: str, text: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        parse_options(words.split(), "nacctd")
    assert str(refusal.value) == text


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], Options()),
        (["-d"], Options(stays=True)),
        (["-D", "-c", "/x"], Options(table="/x", stays=True)),
        (["-Dc/x"], Options(table="/x", stays=True)),
        (["-c", "/x", "-c", "/y", "stray"], Options(table="/y")),
        (["stray", "-D"], Options(stays=True)),
        (["--", "-D"], Options()),
        (["-"], Options()),
    ],
)
def test_a_command_line_is_read_as_getopt_does(words: list[str], options: Options) -> None:
    assert parse_options(words, "nacctd") == options


@pytest.mark.parametrize("words", [["a", "b"], ["--", "a", "b"], ["-c"], ["-Dx"], ["-D", "a", "-d", "b"]])
def test_what_is_refused(words: list[str]) -> None:
    with pytest.raises(RefusedError):
        parse_options(words, "nacctd")
