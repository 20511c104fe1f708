"""Words of the command line as nfacct 1.0.2 reads them."""

import ctypes
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nfacct.arguments import RefusalError, Words, number, understand
from netledger.nfacct import Only, Quota, Unit

USAGE = "Usage: nfacct command [parameters]...\n"
LIBC = ctypes.CDLL(None)


def words(line: str) -> list[bytes]:
    """The words of a line; '' is an empty one."""
    return [b"" if word == "''" else word.encode() for word in line.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("list", Words(command="list")),
        ("''", Words(command="list")),
        ("l r x c", Words(command="list", reset=True, form="xml", only=Only.PLAIN)),
        ("li overquota json reset", Words(command="list", reset=True, form="json", only=Only.OVER_QUOTA)),
        ("list bytes", Words(command="list", only=Only.BYTE_QUOTA)),
        ("list p", Words(command="list", only=Only.PACKET_QUOTA)),
        ("a x", Words(command="add", name=b"x")),
        ("add x byte 12x", Words(command="add", name=b"x", quota=Quota(12, Unit.BYTES))),
        ("add x packet -1", Words(command="add", name=b"x", quota=Quota(2**64 - 1, Unit.PACKETS))),
        ("add ''", Words(command="add", name=b"")),
        ("d x", Words(command="delete", name=b"x")),
        ("g x json xml r r", Words(command="get", name=b"x", reset=True, form="xml")),
        ("f", Words(command="flush")),
        ("v more words", Words(command="version")),
        ("h", Words(command="help")),
        ("r", Words(command="restore")),
        ("m", Words(command="monitor")),
        ("--strict-output list xml", Words(command="list", form="xml", is_strict=True)),
        ("--strict-output get x", Words(command="get", name=b"x", is_strict=True)),
    ],
)
def test_a_line_is_understood(line: str, expected: Words) -> None:
    assert understand(words(line)) == expected


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("bogus", f"nfacct v1.0.2: Unknown command: bogus\n{USAGE}"),
        ("--help", f"nfacct v1.0.2: Unknown command: --help\n{USAGE}"),
        ("list plain", "nfacct v1.0.2: unknown argument\n"),
        ("list ''", "nfacct v1.0.2: unknown argument\n"),
        ("list --strict-output", "nfacct v1.0.2: unknown argument\n"),
        ("list xml j", 'Error: duplicate "j" or collision with another option \n'),
        ("list re reset", 'Error: duplicate "reset" or collision with another option \n'),
        ("list c o", 'Error: duplicate "o" or collision with another option \n'),
        ("add", "nfacct v1.0.2: missing object name\n"),
        ("get", "nfacct v1.0.2: missing object name\n"),
        ("delete", "nfacct v1.0.2: missing object name\n"),
        ("add a b", "nfacct v1.0.2: missing quota value\n"),
        ("add a bytes 10", 'nfacct v1.0.2: argument must "byte" or "packet"\n'),
        ("add a byte x", "nfacct v1.0.2: error reading quota\n"),
        ("add a foo x y", "nfacct v1.0.2: too many arguments\n"),
        ("delete a b", "nfacct v1.0.2: too many arguments\n"),
        ("flush x", "nfacct v1.0.2: too many arguments\n"),
        ("get a counters", "nfacct v1.0.2: unknown argument\n"),
        ("get a ''", "nfacct v1.0.2: unknown argument\n"),
        (f"add {'x' * 32}", f"nfacct v1.0.2: object name is longer than 31 bytes: {'x' * 32}\n"),
    ],
)
def test_a_line_is_refused_in_the_old_words(line: str, complaint: str) -> None:
    with pytest.raises(RefusalError) as refused:
        understand(words(line))
    assert refused.value.text == complaint.encode()


@pytest.mark.parametrize("line", ["", "--strict-output"])
def test_no_command_at_all_is_answered_by_the_usage(line: str) -> None:
    with pytest.raises(RefusalError) as refused:
        understand(words(line))
    assert refused.value.text == USAGE.encode()


def test_a_long_name_is_cut_when_it_shall_be_as_it_was() -> None:
    assert understand(words(f"--strict-output add {'x' * 40}")).name == b"x" * 31


@given(st.one_of(st.binary(max_size=30), st.text("+- \t0123456789x", max_size=25).map(str.encode)))
def test_a_number_is_what_sscanf_makes_of_it(text: bytes) -> None:
    text = text.partition(b"\0")[0]
    value = ctypes.c_ulonglong()
    found = LIBC.sscanf(text, b"%llu", ctypes.byref(value))
    assert number(text) == (value.value if found == 1 else None)


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(words("list add get reset xml json c byte 5 ''")))))
def test_any_words_are_understood_or_refused(line: list[bytes]) -> None:
    with suppress(RefusalError):
        assert len(understand(line).name) <= 31
