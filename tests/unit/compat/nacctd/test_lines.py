"""Lines of the log, written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.compat.nacctd.lines import parse_line, text_of
from netledger.compat.nacctd.naccttab import parse
from netledger.compat.nacctd.records import Flow, Records, narrowed
from tests.compat.nacctd.transcript import transcript

NOW = 1795186013
FLOW = Flow(17, 0x0A090001, 4000, 0x0A090002, 9000, "eth0", None)
NONE: frozenset[int] = frozenset()

NAMES = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\t\n\x85\u2028\u2029"), max_size=20
)
DEVICES = st.from_regex(r"[a-z]{1,8}[0-9]{0,3}", fullmatch=True)
FLOWS = st.builds(
    Flow,
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.integers(0, 65535),
    DEVICES,
    st.none() | NAMES.filter(lambda name: name not in {"", "unknown"}),
)
DISABLED = st.frozensets(st.integers(2, 10))


def test_a_line_has_all_ten_fields() -> None:
    line = text_of((FLOW, 10, 1280), seconds=NOW, disabled=NONE)
    assert line == b"1795186013\t17\t10.9.0.1\t4000\t10.9.0.2\t9000\t10\t1280\teth0\tunknown\n"


@pytest.mark.parametrize(
    "name", ["01-all-fields.txt", "02-disable7-classic.txt", "03-disable-all.txt"]
    + [f"03-disable{number}.txt" for number in (2, 3, 4, 5, 6, 8, 9, 10)],
)  # fmt: skip
def test_the_recorded_traffic_makes_the_recorded_lines(name: str) -> None:
    table = parse(transcript(name).naccttab.encode()).table
    assert table is not None
    records = Records()
    for line in transcript("01-all-fields.txt").log:
        counts = parse_line(f"{NOW}\t{line}\n".encode(), NONE)
        assert counts is not None
        records.add([(narrowed(counts[0], table.disabled), *counts[1:])], last_ns=0)
    lines = b"".join(
        text_of(each, seconds=NOW, disabled=table.disabled) for each in records.counts(records.all())
    ).decode()
    assert sorted(line.partition("\t")[2] for line in lines.splitlines()) == sorted(transcript(name).log)


@pytest.mark.parametrize("name", ["04-disable5-many-hosts.txt", "04-disable3456-many-hosts.txt"])
def test_records_of_equal_fields_are_one_line(name: str) -> None:
    """The old program kept them apart by where their addresses fell in its hash table."""
    table = parse(transcript(name).naccttab.encode()).table
    assert table is not None
    records = Records()
    for line in transcript(name).log:
        counts = parse_line(f"{NOW}\t{line}\n".encode(), table.disabled)
        assert counts is not None
        records.add([counts], last_ns=0)
    assert [each[1:] for each in records.counts(records.all())] == [(6, 768)]


def test_with_all_fields_disabled_the_time_is_left() -> None:
    assert text_of((FLOW, 1, 1), seconds=NOW, disabled=frozenset(range(2, 11))) == b"1795186013\n"


def test_more_packets_than_32_bits_hold_make_another_line() -> None:
    text = text_of((FLOW, 2**32 + 4, 10**12), seconds=NOW, disabled=NONE)
    counts = [parse_line(line, NONE) for line in text.splitlines(keepends=True)]
    assert [each[1] for each in counts if each] == [2**32 - 1, 5]
    assert sum(each[2] for each in counts if each) == 10**12


def test_more_bytes_than_64_bits_hold_make_another_line() -> None:
    text = text_of((FLOW, 5, 2**64 + 9), seconds=NOW, disabled=NONE)
    counts = [parse_line(line, NONE) for line in text.splitlines(keepends=True)]
    assert [each[2] for each in counts if each] == [2**64 - 1, 10]
    assert sum(each[1] for each in counts if each) == 5


@given(FLOWS, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), DISABLED)
def test_a_line_reads_back_as_what_it_tells(flow: Flow, packets: int, size: int, disabled: frozenset[int]) -> None:
    line = text_of((flow, packets, size), seconds=NOW, disabled=disabled)
    found = parse_line(line, disabled)
    expected = narrowed(flow, disabled)
    if 9 in disabled:
        expected = expected._replace(device="")
    assert found == (expected, 0 if 7 in disabled else packets, 0 if 8 in disabled else size)


@pytest.mark.parametrize(
    "line",
    [b"", b"hand-made\n", b"1\t2\t3\n", b"x\t17\t1.2.3.4\t1\t1.2.3.4\t1\t1\t1\teth0\tu\n",
     b"1\t256\t1.2.3.4\t1\t1.2.3.4\t1\t1\t1\teth0\tu\n", b"1\t17\t1.2.3\t1\t1.2.3.4\t1\t1\t1\teth0\tu\n",
     b"1\t17\t01.2.3.4\t1\t1.2.3.4\t1\t1\t1\teth0\tu\n", b"1\t17\t1.2.3.4\t70000\t1.2.3.4\t1\t1\t1\teth0\tu\n",
     b"1\t17\t1.2.3.4\t1\t1.2.3.4\t1\t-1\t1\teth0\tu\n", b"1\t17\t1.2.3.4\t1\t1.2.3.4\t1\t1\t1\teth0\tu\tv\n"],
)  # fmt: skip
def test_what_is_no_line_is_not_read(line: bytes) -> None:
    assert parse_line(line, NONE) is None


@given(st.binary(max_size=100), DISABLED)
def test_any_bytes_are_read_or_not(line: bytes, disabled: frozenset[int]) -> None:
    found = parse_line(line, disabled)
    assert found is None or (found[1] >= 0 and found[2] >= 0)
