"""Old files: what is read from them, and what is refused with its line."""

import re
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.errors import OldFileError, UsageError
from netledger.exports.go_nflog_acctd import HEADER, Row, csv_chunks
from netledger.exports.gotext import file_stamp
from netledger.imports import kinds
from netledger.imports.base import OldPeriod, OldRow
from netledger.imports.go_nflog_acctd import KIND, periods
from tests.compat.go_nflog_acctd.transcript import TRANSCRIPTS
from tests.unit.old_files import ONE, SIX, content, write

START = "2026-11-20 14:34:04"
NAME = "2026-11-20-143404_2026-11-20-143408.csv"
SECOND_NS = 1_000_000_000
RECORDED = re.compile(
    r"^-- (?:\S+/)?(?P<name>[-\d]+_[-\d]+\.csv)\n(?P<content>Time,IP,.*\n(?:\d{4}-\d\d-\d\d \d\d:.*\n)*)", re.MULTILINE
)


def packed(text: str) -> bytes:
    address = ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def one(path: Path) -> OldPeriod:
    (found,) = periods(path)
    return found


def test_a_file_is_a_period_with_a_row_for_each_address(tmp_path: Path) -> None:
    found = one(write(tmp_path, START, "2026-11-20 14:34:08", [SIX, ONE]))
    assert (found.start_text, found.end_text, found.ordinal) == (START, "2026-11-20 14:34:08", 0)
    assert (found.first_line, found.last_line) == (2, 3)
    assert set(found.rows) == {OldRow(packed("fd09::"), *SIX[1:]), OldRow(packed("10.9.0.2"), *ONE[1:])}


def test_an_empty_period_is_a_header_and_the_name_tells_when(tmp_path: Path) -> None:
    found = one(write(tmp_path, START, "2026-11-20 14:34:08", []))
    assert (found.rows, found.start_text, found.end_text) == ((), START, "2026-11-20 14:34:08")


def test_without_rows_and_without_a_name_there_is_no_period(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER)
    assert list(periods(tmp_path / "a.csv")) == []


def test_files_put_together_are_several_periods(tmp_path: Path) -> None:
    parts = [content(START, [ONE, SIX]), content("2026-11-20 14:34:08"), content(START)]
    (tmp_path / "all.csv").write_bytes(b"".join(parts))
    found = list(periods(tmp_path / "all.csv"))
    assert [(period.first_line, period.last_line, period.start_text, period.ordinal) for period in found] == [
        (2, 3, START, 0), (5, 5, "2026-11-20 14:34:08", 0), (7, 7, START, 1),
    ]  # fmt: skip
    assert {period.end for period in found} == {None}


def test_the_same_rows_in_another_order_or_file_are_the_same_content(tmp_path: Path) -> None:
    first = one(write(tmp_path / "a", START, "2026-11-20 14:34:08", [ONE, SIX]))
    other = one(write(tmp_path / "b", START, "2026-11-20 14:34:08", [SIX, ONE]))
    (tmp_path / "renamed.csv").write_bytes(content(START, [ONE, SIX]))
    assert first.sha256 == other.sha256 == one(tmp_path / "renamed.csv").sha256
    assert first.sha256 != one(write(tmp_path / "c", START, "2026-11-20 14:34:08", [ONE])).sha256


@pytest.mark.parametrize("name", ["other", "<nil>"])
def test_what_was_added_up_without_an_address_is_read_as_such(tmp_path: Path, name: str) -> None:
    assert one(write(tmp_path, START, "2026-11-20 14:34:08", [(name, 1, 1, 0, 0)])).rows[0].address is None


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (b"", 1, "it is empty"),
        (b"preexisting\n", 1, "it does not begin with Time,IP,"),
        (HEADER[:-1], 1, "the line has no end: the file was cut there"),
        (content(START)[:-1], 2, "the line has no end: the file was cut there"),
        (content(START) + b"x" * 5000, 3, "the line is longer than any row"),
        (content(START) + b"\n", 3, "it has 1 fields, and a row has 6"),
        (content(START, [("10.9.0.2", 1, 1, 0, 0), ("10.9.0.2", 1, 1, 0, 0)]), 3, "the address stands twice"),
        (content(START, [("10.9.0.999", 1, 1, 0, 0)]), 2, '"10.9.0.999" is no address'),
        (content(START, [("fd09::/64", 1, 1, 0, 0)]), 2, '"fd09::/64" is no address'),
        (content(START, [("\x1b[2J", 1, 1, 0, 0)]), 2, r'"\x1b[2J" is no address'),
        (content(START, [("10.9.0.2", -1, 1, 0, 0)]), 2, 'SourceBytes "-1" is no whole number'),
        (content(START, [("10.9.0.2", 1, 1, 0, 2**64)]), 2, "18446744073709551616 does not fit 64 bits"),
        (content(START).replace(b"10\n", b"10\r\n"), 2, r'DestPackets "10\x0d" is no whole number'),
        (content("2026-11-31 14:34:04"), 2, "2026-11-31 14:34:04 is no time"),
        (content("20.11.2026"), 2, '"20.11.2026" is no time'),
        (content("2026-11-20 14:34:05"), 2, "its time 2026-11-20 14:34:05 is not the start in the file's name"),
    ],
)  # fmt: skip
def test_a_line_that_is_not_as_it_should_be_is_refused_with_its_place(
    tmp_path: Path, text: bytes, line: int, why: str
) -> None:
    path = tmp_path / NAME
    path.write_bytes(text)
    with pytest.raises(OldFileError) as caught:
        list(periods(path))
    assert str(caught.value).startswith(f"{path}:{line}: {why}")


def test_a_name_that_is_no_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "2026-13-20-143404_2026-11-20-143408.csv"
    path.write_bytes(content(START))
    with pytest.raises(OldFileError, match="2026-13-20-143404 is no time"):
        list(periods(path))


@given(
    st.lists(
        st.tuples(st.ip_addresses(), *(st.integers(0, 2**64 - 1) for _ in range(4))),
        unique_by=lambda line: packed(str(line[0])),
        max_size=20,
    )
)
def test_what_netledger_writes_in_the_old_form_is_read_back(lines: list[tuple[object, int, int, int, int]]) -> None:
    rows = [Row(packed(str(address)), *numbers) for address, *numbers in lines]
    with TemporaryDirectory() as folder:
        start_ns = 1_795_185_244 * SECOND_NS
        path = Path(folder) / f"{file_stamp(start_ns)}_{file_stamp(start_ns + SECOND_NS)}.csv"
        path.write_bytes(b"".join(csv_chunks(rows, start_ns=start_ns, strict_bytes=False)))
        assert {(row.address, *row[1:]) for row in one(path).rows} == {tuple(row) for row in rows}


def test_every_file_that_the_old_program_was_seen_to_write_is_read(tmp_path: Path) -> None:
    written = {}
    for transcript in TRANSCRIPTS.glob("*.txt"):
        for found in RECORDED.finditer(transcript.read_text(encoding="utf-8")):
            path = tmp_path / transcript.stem / found["name"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(found["content"], encoding="utf-8")
            written[path] = found["content"].count("\n") - 1
    assert len(written) > 10
    assert {path: sum(len(period.rows) for period in periods(path)) for path in written} == written
    assert {len(list(periods(path))) for path in written} == {1}


def test_the_kind_is_found_out_by_content(tmp_path: Path) -> None:
    path = write(tmp_path, START, "2026-11-20 14:34:08")
    assert kinds.find(None, [tmp_path]).kind is kinds.kind_of(path) is KIND
    assert kinds.split(["go-nflog-acctd", "a", "b"]) == (KIND, [Path("a"), Path("b")])
    assert kinds.split(["./go-nflog-acctd"]) == (None, [Path("go-nflog-acctd")])
    (tmp_path / "other.csv").write_text("a,b,c\n")
    with pytest.raises(OldFileError, match=r"other\.csv:1: not a file of any program known here"):
        kinds.find(None, [tmp_path / "other.csv"])
    with pytest.raises(UsageError, match="of which files"):
        kinds.split(["go-nflog-acctd"])


def test_of_a_directory_only_finished_files_are_taken(tmp_path: Path) -> None:
    path = write(tmp_path, START, "2026-11-20 14:34:08")
    path.with_suffix(".tmp").touch()
    (tmp_path / "readme.txt").touch()
    (tmp_path / "below.csv").mkdir()
    found = kinds.find(None, [tmp_path])
    assert (found.files, found.unfinished) == ([path], 1)
    with pytest.raises(OldFileError, match=r"no file \*\.csv or \*\.log in there"):
        kinds.find(None, [tmp_path / "below.csv"])
    with pytest.raises(OldFileError, match="nothing: open: no such file or directory"):
        kinds.find(None, [tmp_path / "nothing"])
