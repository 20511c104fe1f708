"""Command lines that were refused when they were recorded, and what others mean."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.conntrack.arguments import parse_arguments
from netledger.compat.conntrack.asking import filter_of
from netledger.compat.conntrack.commands import Command, Table
from netledger.compat.conntrack.labels import LabelNames
from netledger.compat.conntrack.refusal import Refusal
from netledger.compat.conntrack.request import Kinds, Output, Request
from netledger.conntrack import Status
from tests.unit.compat.conntrack.recorded import Command as Recorded
from tests.unit.compat.conntrack.recorded import commands

REFUSED = [
    command
    for name in ("01-list-get-delete-zero.txt", "03-signals-buffer-errors.txt")
    for command in commands(name)
    if command.status == 2 and "-z" not in command.words[1:-1] and command.words[-2:] != ("9000", "-z")
]
LETTERS = st.text(alphabet=string.ascii_letters + string.digits + "-=,/.:![]<>() ", max_size=12)


def _unheard(_line: str) -> None:
    """Takes a warning."""


def _parsed(words: str) -> Request:
    warned: list[str] = []
    request = parse_arguments(words.split(), warned.append)
    assert warned == []
    return request


@pytest.mark.parametrize("recorded", REFUSED, ids=lambda command: " ".join(command.words))
def test_refused_as_recorded(recorded: Recorded) -> None:
    with pytest.raises(Refusal) as refused:
        parse_arguments(recorded.words, _unheard)
    assert refused.value.lines().splitlines() == list(recorded.errors)
    assert refused.value.status == 2


def test_some_were_recorded() -> None:
    assert len(REFUSED) >= 12


def test_options_may_be_cut_and_joined() -> None:
    one = _parsed("-L -p tcp --orig-port-dst 80 -s 10.0.0.0/8 -f ipv4 -o id,extended -m 0x10/0xff")
    other = _parsed("--du --pro=tcp --dpor 80 --src=10.0.0.0/8 -fipv4 -oid -o e --mar 16/255")
    assert one == other
    assert (one.command, one.table, one.output) == (Command.LIST, Table.CONNTRACK, Output.ID | Output.EXTENDED)
    assert one.masks == {"src": bytes([255, 0, 0, 0])}


def test_kinds_of_events_add_up() -> None:
    assert _parsed("-E -e NEW,destroy").kinds == Kinds.NEW | Kinds.DESTROY
    assert _parsed("-E -e u -e N").kinds == Kinds.UPDATES | Kinds.NEW


def test_a_status_may_be_wanted_or_not() -> None:
    assert _parsed("-L -u ASSURED,!seen,UNREPLIED").status == (Status.ASSURED, Status.SEEN_REPLY)


@pytest.mark.parametrize(
    ("words", "source"),
    [
        ("-L -s 10.9.8.7", "10.9.8.7"),
        ("-L -s 10.9.8.7/16", "10.9.8.7/16"),
        ("-L -s 10.9.8.7 --mask-src 255.255.0.0", "10.9.8.7/16"),
        # No network has such a mask: the kernel must not be asked to leave anything out.
        ("-L -s 10.9.8.7 --mask-src 255.0.255.0", None),
        ("-L -s 10.9.8.7/0", "10.9.8.7/0"),
    ],
)
def test_the_kernel_is_asked_for_no_less_than_what_matches(words: str, source: str | None) -> None:
    assert filter_of(_parsed(words)).original_source == source


def test_a_mark_outside_its_mask_is_not_asked_for() -> None:
    assert filter_of(_parsed("-L -m 6/1")).mark is None
    assert filter_of(_parsed("-L -m 5/7")).mark == 5


@pytest.mark.parametrize(
    "words", ["-D -w abc", "-D -m 5/x", "-D -p tcp --dport http", "-L -w 65536", "-L -p icmp --icmp-type 256"]
)
def test_what_is_no_number_is_told(words: str) -> None:
    with pytest.raises(Refusal, match="unexpected value"):
        _parsed(words)


@pytest.mark.parametrize("words", ["-I", "-U", "--add", "-R", "-L -c 5", "-D -t 5", "-F expect", "-E expect"])
def test_what_is_not_here_is_named(words: str) -> None:
    with pytest.raises(Refusal, match="is not supported by netledger") as refused:
        _parsed(words)
    assert refused.value.status == 2


@given(
    st.lists(
        LETTERS | st.sampled_from(["-L", "-D", "-p", "tcp", "-s", "10.0.0.1", "-o", "xml", "-u", "-n", "-l"]),
        max_size=8,
    )
)
def test_any_words_are_a_request_or_refused(words: list[str]) -> None:
    refusal = None
    try:
        parse_arguments(words, _unheard)
    except Refusal as refused:
        refusal = refused
    if refusal is not None:
        assert refusal.status in (1, 2)
        assert refusal.lines().startswith("conntrack v1.4.7 (conntrack-tools): ")


def test_labels_have_the_first_name_of_a_bit_and_the_first_bit_of_a_name(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("labels") / "connlabel.conf"
    path.write_text(
        "# names\n3 ftp\n0x5\tlong name \n5 again\n7 ftp\n9 bad_name\n1024 far\n010 eight\n08 none\nx y\n\n"
    )
    names = LabelNames.read(path)
    assert names.shown((1 << 3 | 1 << 5 | 1 << 7 | 1 << 8).to_bytes(16, "little")) == ["ftp", "long name", "eight"]
    with pytest.raises(Refusal, match="unknown label 'again'"):
        names.bit("again")


def test_a_file_without_labels_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("labels") / "connlabel.conf"
    path.write_text("# nothing\n")
    with pytest.raises(OSError, match="Success"):
        LabelNames.read(path)
