"""Texts from outside are facts, or refused with a reason; nothing else happens, and nothing is read in two ways."""

import io
import ipaddress
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netledger.attribution.facts import RESERVED, Fact, Kind, Target, given_subject, learnt_subject, printable
from netledger.errors import FactError, OldFileError, UsageError
from netledger.imports.assignments import read
from netledger.receipt import parse_rfc3339
from netledger.reports.assignments import write_csv

CELL = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["10.0.0.2", "10.0.0.0/24", "2001:db8::/48", "aa:bb:cc:dd:ee:ff", "mark:7", "interface:ppp0"]),
    st.sampled_from(["alice", "", "1", "20", "address", "subject", "from", "to", "mac", "detail", '{"a":"b"}', "[]"]),
)
LINES = st.lists(st.lists(CELL, max_size=6).map(",".join), max_size=6).map("\n".join)


@given(st.one_of(st.text(max_size=24), CELL))
def test_a_target_is_read_as_itself_or_refused(text: str) -> None:
    try:
        target = Target.parse(text)
    except FactError:
        return
    assert Target.parse(str(target)) == target


@given(st.one_of(st.ip_addresses(v=4).map(str), st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){3,4}", fullmatch=True)))
@example("010.0.0.1")
@example("10.0.0.1\0")
def test_an_address_is_what_the_standard_library_takes_for_one(text: str) -> None:
    try:
        known = str(ipaddress.IPv4Address(text))
    except ValueError:
        with pytest.raises(FactError):
            Target.parse(text)
    else:
        assert Target.parse(text) == Target(Kind.ADDRESS, known)


@given(st.text(max_size=300))
@example("user:unknown")
@example("Other")
def test_a_learnt_name_is_possible_or_refused_and_never_one_of_the_reports(text: str) -> None:
    try:
        learnt = learnt_subject(text)
    except FactError:
        return
    assert given_subject(learnt) == learnt
    assert learnt.casefold() not in RESERVED


@given(st.sets(st.sampled_from(["unknown", "user:unknown", "user:user:unknown", "Unknown", "user:", "user:alice"])))
def test_no_two_learnt_names_become_one(names: set[str]) -> None:
    assert len({learnt_subject(name) for name in names}) == len(names)


@given(st.text(max_size=400))
def test_any_text_can_be_a_detail(text: str) -> None:
    Fact(target=Target.parse("ppp0"), valid_from_ns=0, subject="a", source="s", detail={"x": printable(text)})


def moment(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise UsageError(name, "", "no time")
    return int(text)


@given(st.one_of(LINES.map(str.encode), st.binary(max_size=80)))
def test_a_file_is_facts_or_mistakes_and_a_list_of_the_facts_is_the_same_facts(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "who.csv"
        path.write_bytes(content)
        try:
            found = read(path, default_from_ns=5, read_time=moment, progress=lambda *_: None)
        except OldFileError:
            return
        assert all(mistake.line >= 1 and mistake.cause for mistake in found.mistakes)
        printed = io.StringIO(newline="")
        write_csv(found.facts, printed)
        path.write_text(printed.getvalue(), encoding="utf-8", newline="")

        again = read(path, default_from_ns=5, read_time=lambda _, text: parse_rfc3339(text), progress=lambda *_: None)
        assert (list(again.facts), list(again.mistakes)) == (list(found.facts), [])
