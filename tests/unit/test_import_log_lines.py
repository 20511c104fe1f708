"""Lines of nacctd: which fields they have, what is read from them, and that nothing else happens."""

import gzip
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netledger.errors import OldFileError, UsageError
from netledger.imports.nacctd import detect
from netledger.imports.nacctd.check import Addresses, check
from netledger.imports.nacctd.fields import ALL, CLASSIC, NAMES, Fields, parse
from netledger.imports.nacctd.log import LogFile, Piece, is_log
from tests.compat.nacctd.transcript import names, transcript

T = 1_795_186_013
_NEEDED = {"count", "bytes"}


def pieces(content: bytes, fields: Fields = ALL, *, period_seconds: int = 3600) -> tuple[list[Piece], int | None]:
    """What a file is read into, and the number of a last line that has no end."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net-acct.log"
        path.write_bytes(content)
        log = LogFile(path, period_seconds)
        addresses = Addresses()
        found = []
        for piece in log.pieces(fields, lambda _octets: None):
            check(piece, fields, log, addresses)
            found.append(piece)
        return found, log.unfinished_line


def disabled(naccttab: str) -> Fields:
    """The fields that a table leaves."""
    numbers = {int(line.split()[1].split(",")[0]) for line in naccttab.splitlines() if line.startswith("disable")}
    return Fields(tuple(name for number, name in enumerate(NAMES, start=1) if number not in numbers))


RECORDED = [name for name in names() if len(transcript(name).log) > 1 and "ghost" not in name]


@pytest.mark.parametrize("name", RECORDED)
def test_of_recorded_lines_the_fields_are_found_out_or_the_right_ones_are_among_those_named(name: str) -> None:
    seen = transcript(name)
    lines = [f"{T}\t{line}\n".encode(errors="surrogateescape") for line in seen.log if line]
    fields = disabled(seen.naccttab)
    if not _NEEDED & set(fields.names):
        pytest.skip("there is nothing to be booked in them")
    assert fields in detect.possible(lines)


ONE_DISABLED = [
    "01-all-fields",
    "02-disable7-classic",
    *(f"03-disable{number}" for number in (2, 3, 4, 5, 6, 8, 9, 10)),
]


@pytest.mark.parametrize("name", ONE_DISABLED)
def test_each_single_field_that_is_left_out_is_found_out(name: str) -> None:
    seen = transcript(f"{name}.txt")
    lines = [f"{T}\t{line}\n".encode() for line in seen.log]
    assert detect.possible(lines) == [disabled(seen.naccttab)]


def test_where_lines_leave_a_choice_all_of_it_is_named() -> None:
    # Port 80 and bytes, or 80 packets and bytes: nobody can tell.
    lines = [f"{T}\t6\t10.0.0.1\t1024\t10.0.0.2\t80\t{size}\teth0\tunknown\n".encode() for size in (2000, 4000)]
    found = detect.possible(lines)
    assert CLASSIC in found
    assert len(found) > 1
    # One that answers settles it.
    lines.append(f"{T}\t6\t10.0.0.2\t80\t10.0.0.1\t1024\t400\teth0\tunknown\n".encode())
    assert detect.possible(lines) == [CLASSIC]


def numbered(*sizes: int) -> list[bytes]:
    """Lines without packets or without bytes: one number in front of the interface."""
    return [f"{T}\t6\t10.0.0.1\t1024\t10.0.0.2\t25\t{size}\teth0\tunknown\n".encode() for size in sizes]


WITHOUT_BYTES = Fields(tuple(name for name in NAMES if name != "bytes"))


def test_what_is_too_little_for_packets_of_ip_is_not_taken_for_bytes() -> None:
    many = [20 + n for n in range(60)]
    assert detect.possible(numbered(*many)) == [CLASSIC]
    # More packets than 20 in most records, and some with a few: both can be, and nobody can tell.
    assert set(detect.possible(numbered(*many, *range(1, 20)))) == {CLASSIC, WITHOUT_BYTES}
    # One of a hundred may be nonsense: nacctd believed any length.
    assert detect.possible(numbered(*many, *many, 0)) == [CLASSIC]
    assert detect.possible(numbered(1, 2, 3, 3000)) == [WITHOUT_BYTES]


def test_a_user_may_have_tabs() -> None:
    lines = [f"{T}\t6\t10.0.0.1\t1024\t10.0.0.2\t80\t3\t400\tppp0\t{user}\n".encode() for user in ("al\tice", "bob")]
    assert detect.possible(lines) == [ALL]
    found, _ = pieces(b"".join(lines))
    assert [value[-1] for value in found[0].values] == [b"al\tice", b"bob"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("proto,src,bytes", "lines without a time"),
        ("time,src,dst", "neither count nor bytes"),
        ("time,bytes,src", "not in the order of a line"),
        ("time,src,src,bytes", "not in the order of a line, or twice"),
        ("time,source,bytes", "there is no field 'source'"),
        ("", "there is no field ''"),
    ],
)
def test_fields_that_no_line_has_are_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse(text)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\t"), min_size=1, max_size=15).filter(str.strip)
_VALUES: dict[str, st.SearchStrategy[object]] = {
    "time": st.integers(T, T + 7200),
    "proto": st.integers(0, 255),
    "src": st.ip_addresses(v=4),
    "sport": st.integers(0, 65_535),
    "dst": st.ip_addresses(v=4),
    "dport": st.integers(0, 65_535),
    "count": st.integers(0, 2**32 - 1),
    "bytes": st.integers(0, 2**40),
    "device": _TEXT,
    "user": st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=20),
}
FIELDS = st.sets(st.sampled_from(NAMES[1:])).map(
    lambda chosen: Fields(("time", *(name for name in NAMES[1:] if name in chosen)))
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[Fields, list[tuple[str, ...]]]:
    """Fields, and lines of them."""
    fields = draw(FIELDS)
    values = st.tuples(*(_VALUES[name].map(str) for name in fields.names))
    return fields, draw(st.lists(values, max_size=30))


@given(logs())
def test_what_is_written_is_read_back(log: tuple[Fields, list[tuple[str, ...]]]) -> None:
    fields, lines = log
    content = "".join("\t".join(line) + "\n" for line in lines).encode()
    found, unfinished = pieces(content, fields)
    assert unfinished is None
    read = [tuple(value.decode() for value in values) for piece in found for values in piece.values]
    assert read == lines
    assert b"".join(line for piece in found for line in piece.lines) == content
    starts = list(itertools.accumulate((len(piece.lines) for piece in found), initial=1))
    assert [piece.first_line for piece in found] == starts[:-1]
    assert all({int(value[0]) // 3600 for value in piece.values} == {piece.period} for piece in found)


@given(logs().filter(lambda log: log[1] != []))
def test_the_fields_of_a_log_are_always_among_those_that_are_possible(
    log: tuple[Fields, list[tuple[str, ...]]],
) -> None:
    fields, lines = log
    content = ["\t".join(line).encode() + b"\n" for line in lines]
    # What a value can be may rule out a choice, and never all of them.
    assert detect.possible(content)
    assert all(one.line.fullmatch(line) for one in detect.possible(content) for line in content)
    assert fields.names[0] == "time"


@given(logs(), st.data())
def test_a_log_that_ends_in_the_middle_of_a_line_is_read_up_to_there(
    log: tuple[Fields, list[tuple[str, ...]]], data: st.DataObject
) -> None:
    fields, lines = log
    content = "".join("\t".join(line) + "\n" for line in lines).encode()
    end = data.draw(st.integers(0, len(content)))
    found, unfinished = pieces(content[:end], fields)
    whole, rest = content[:end].count(b"\n"), content[:end].rpartition(b"\n")[2]
    assert sum(len(piece.lines) for piece in found) == whole
    assert unfinished == (whole + 1 if rest else None)


@given(st.binary(max_size=400), FIELDS)
@example(b"\x1f\x8b", ALL)
@example(gzip.compress(b"1795186013\t1\n")[:-4], ALL)
@example(gzip.compress(b"1795186013\t1\n") + b"rest", ALL)
@example(b"1" * 5000, ALL)
def test_whatever_a_file_holds_is_read_or_refused_with_its_line(content: bytes, fields: Fields) -> None:
    is_log(content)
    refused = _refused(content, fields)
    assert refused is None or ("net-acct.log" in refused.subject and str(refused).isprintable())


@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=8))
def test_fields_of_rubbish_are_none_or_some_that_it_fits(lines: list[bytes]) -> None:
    for fields in detect.possible(lines):
        assert all(fields.line.fullmatch(line) for line in lines)


@given(logs(), st.integers(0, 2**32), st.binary(min_size=1, max_size=3))
def test_a_log_with_a_damaged_byte_is_read_or_refused(
    log: tuple[Fields, list[tuple[str, ...]]], place: int, damage: bytes
) -> None:
    fields, lines = log
    content = bytearray("".join("\t".join(line) + "\n" for line in lines).encode())
    at = place % (len(content) + 1)
    content[at : at + len(damage)] = damage
    refused = _refused(bytes(content), fields)
    assert refused is None or refused.subject.rpartition(":")[2].isdigit()


def _refused(content: bytes, fields: Fields) -> OldFileError | None:
    """Why a file is refused. One that is not has been read to its last whole line."""
    try:
        found, _ = pieces(content, fields)
    except OldFileError as error:
        return error
    if not content.startswith(b"\x1f\x8b"):
        assert sum(len(piece.lines) for piece in found) == content.count(b"\n")
    return None
