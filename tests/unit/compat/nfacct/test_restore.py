"""Lines of ``list`` come back as what they were; any other text is refused or read as the old program reads it."""

import ctypes
import io
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netledger.compat.nfacct.arguments import RefusalError
from netledger.compat.nfacct.formats import line
from netledger.compat.nfacct.restore import Line, read
from netledger.nfacct import Counter, Quota, Unit

LIBC = ctypes.CDLL(None)
INVALID, UNREADABLE = b"nfacct v1.0.2: invalid line\n", b"nfacct v1.0.2: error reading input\n"
HEAD = b"{ pkts = 00000000000000000001, bytes = 00000000000000000002 } = "

NUMBERS = st.integers(0, 2**64 - 1)


def is_told_apart(name: bytes) -> bool:
    """A name with both would look like the end of an object, or like a remark behind it."""
    return b"\0" not in name and not (b";" in name and b"\n" in name)


NAMES = st.binary(min_size=1, max_size=31).filter(is_told_apart)
ODD_NAMES = st.text("a; \n\t\r\x0b}{=,", min_size=1, max_size=31).map(str.encode).filter(is_told_apart)
QUOTAS = st.none() | st.builds(Quota, NUMBERS, st.sampled_from(Unit))
COUNTERS = st.builds(
    lambda name, packets, octets, quota, over: Counter(name, packets, octets, 1, quota, over),
    NAMES | ODD_NAMES, NUMBERS, NUMBERS, QUOTAS, st.booleans(),
)  # fmt: skip
PARTS = st.sampled_from(
    [
        b"{",
        b"}",
        b"=",
        b"pkts",
        b"bytes",
        b"quota",
        b"mode",
        b"byte",
        b"overquota",
        b"no",
        b",",
        b";",
        b"\n",
        b" ",
        b"7",
    ]
)


def lines(text: bytes) -> list[Line]:
    return list(read(io.BytesIO(text), is_strict=False))


def refusal(text: bytes) -> tuple[list[Line], bytes]:
    """What was read before the refusal, and its words."""
    found: list[Line] = []
    with pytest.raises(RefusalError) as refused:
        found.extend(read(io.BytesIO(text), is_strict=False))
    return found, refused.value.text


@given(st.lists(COUNTERS, max_size=4))
def test_what_list_prints_comes_back(counters: list[Counter]) -> None:
    assert lines(b"".join(map(line, counters))) == [
        Line(counter.name, counter.packets, counter.bytes, counter.quota) for counter in counters
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"{pkts=1,bytes=2}=x;", [Line(b"x", 1, 2, None)]),
        (b"{ pkts = 1, bytes = 2 } =  two words ;\n", [Line(b"two words", 1, 2, None)]),
        (HEAD + b" kept \r;\r\n", [Line(b" kept \r", 1, 2, None)]),
        (HEAD + b"name; # a remark\n", [Line(b"name", 1, 2, None)]),
        (HEAD + b"a\nb;\n" + HEAD + b"c;\n", [Line(b"a\nb", 1, 2, None), Line(b"c", 1, 2, None)]),
        (b"{ pkts = 1, bytes = 2, quota = 3, mode = byte } = x;\n", [Line(b"x", 1, 2, Quota(3, Unit.BYTES))]),
        (
            b"{ pkts = 1, bytes = 2, quota = 3, mode = packet, overquota = yes } = x;\n",
            [Line(b"x", 1, 2, Quota(3, Unit.PACKETS))],
        ),
        (b"{ pkts = -1, bytes = 99999999999999999999 } = x;\n", [Line(b"x", 2**64 - 1, 2**64 - 1, None)]),
    ],
)
def test_a_text_is_read(text: bytes, expected: list[Line]) -> None:
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"garbage\n", INVALID),
        (b"\n", INVALID),
        (b"garbage;\n", UNREADABLE),
        (b"{ pkts = 1, bytes = 2 } = ;\n", UNREADABLE),
        (b"{ pkts = 1, bytes = 2, quota = 3, mode = bytes } = x;\n", UNREADABLE),
        (HEAD + b"no end\n" + HEAD + b"nor here\n", INVALID),
        (HEAD + b"no end", INVALID),
        (HEAD + b"x" * 32 + b";\n", b"nfacct v1.0.2: object name is longer than 31 bytes: " + b"x" * 32 + b"\n"),
        (b"x" * 5000, INVALID),
    ],
)
def test_a_text_is_refused(text: bytes, words: bytes) -> None:
    assert refusal(text) == ([], words)


def test_what_stands_before_a_mistake_is_given_out() -> None:
    assert refusal(HEAD + b"x;\nbad\n" + HEAD + b"y;\n") == ([Line(b"x", 1, 2, None)], INVALID)


def test_an_object_is_given_out_before_the_next_line_is_there() -> None:
    class Terminal(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            told = super().readline(size)
            assert told, "nobody has typed it yet"
            return told

    assert next(read(Terminal(HEAD + b"x;\n"), is_strict=False)).name == b"x"


@given(st.lists(PARTS | st.binary(max_size=3), max_size=40).map(b"".join) | st.binary(max_size=200))
@example(HEAD)
@example(HEAD + b"\0;\n")
def test_any_text_is_read_or_refused(text: bytes) -> None:
    found: list[Line] = []
    with suppress(RefusalError):
        found.extend(read(io.BytesIO(text), is_strict=False))
    assert all(1 <= len(one.name) <= 31 and b"\0" not in one.name for one in found)
    assert all(0 <= one.packets < 2**64 and 0 <= one.octets < 2**64 for one in found)


@given(
    st.lists(st.sampled_from([b" ", b"\t", b"", b"  "]), min_size=9, max_size=9),
    st.lists(st.sampled_from([b"7", b"0", b"-1", b"+5", b"x", b"", b"18446744073709551616"]), min_size=2, max_size=2),
    st.text("abz09-_.:ü", max_size=8).map(str.encode),
)
def test_what_people_write_is_read_as_by_sscanf(blanks: list[bytes], numbers: list[bytes], name: bytes) -> None:
    parts = (b"{", b"pkts", b"=", numbers[0] + b",", b"bytes", b"=", numbers[1], b"}", b"=", name)
    text = b"".join(part + blank for part, blank in zip(parts, [*blanks, b""], strict=True))
    packets, octets, word = ctypes.c_ulonglong(), ctypes.c_ulonglong(), ctypes.create_string_buffer(512)
    pattern = b"{ pkts = %llu, bytes = %llu } = %s"
    found = LIBC.sscanf(text, pattern, ctypes.byref(packets), ctypes.byref(octets), word)
    if found == 3:
        assert lines(text + b";\n") == [Line(word.value, packets.value, octets.value, None)]
    else:
        assert refusal(text + b";\n") == ([], UNREADABLE)
