"""A file that people write: read strictly, followed while it is changed."""

import contextlib
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.errors import LearnerError
from netledger.intervals import SystemClock
from netledger.learners.static import StaticLearner
from netledger.learners.static_file import parsed
from tests.unit.memory_source import TestClock
from tests.unit.recorder import Kept, running
from tests.unit.rows import START_NS, wait_until

NOVEMBER = 1_793_491_200  # 2026-11-01T00:00:00Z
DAY = 86_400


@pytest.fixture
def record(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "store", TestClock(START_NS))


def learner(path: Path, record: Kept) -> StaticLearner:
    return StaticLearner("people", path, record.clock)


def follows(one: StaticLearner) -> bool:
    return one.status().state == "following"


def test_both_forms_say_the_same() -> None:
    table = parsed(
        b"\xef\xbb\xbf# who pays\ntarget,subject,from,to\n10.0.0.2,alice,,\n"
        b"2001:db8:1::/48,bob,2026-11-01T01:00:00+01:00,\n"
        b"\nAA-BB-CC-00-00-01, carol ,2026-11-01T00:00:00Z,2026-11-02T00:00:00Z\r\nppp0,dave\n",
        Path("a.csv"),
        now_ns=START_NS,
    )
    toml = parsed(
        b'"10.0.0.2" = "alice"\n"2001:db8:1::/48" = { subject = "bob", from = 2026-11-01T01:00:00+01:00 }\n'
        b'"aa:bb:cc:00:00:01" = [{ subject = "carol", from = 2026-11-01T00:00:00Z, to = "2026-11-02T00:00:00Z" }]\n'
        b'ppp0 = "dave"\n',
        Path("a.toml"),
        now_ns=START_NS,
    )
    assert table == toml
    assert [str(line.target) for line in table] == [
        "10.0.0.2",
        "2001:db8:1::/48",
        "aa:bb:cc:00:00:01",
        "interface:ppp0",
    ]
    assert (table[1].from_ns, table[2].to_ns) == (NOVEMBER * 10**9, (NOVEMBER + DAY) * 10**9)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", b"10.0.0.2,alice\n", "a.csv:1: these are not the columns of assignments"),
        ("a.csv", b"target,subject\n10.0.0.300,alice\n", "a.csv:2: 10.0.0.300: this is no address"),
        ("a.csv", b"target,subject\n\n10.0.0.1\n", "a.csv:3: it needs a target and a subject"),
        ("a.csv", b"target,subject\n10.0.0.1,a,b\n", "a.csv:2: it has 3 cells, and there are 2 columns"),
        (
            "a.csv",
            b"target,subject\n10.0.0.1,unknown\n",
            "a.csv:2: subject unknown: this name has a meaning of its own",
        ),
        ("a.csv", b"target,subject,from\n10.0.0.1,a,2026-11-20\n", "a.csv:2: 2026-11-20 is no time"),
        ("a.csv", b"target,subject,from\n10.0.0.1,a,0001-01-01T00:00:00Z\n", "is no time that can be written down"),
        (
            "a.csv",
            b"target,subject,from,to\n10.0.0.1,a,2026-11-20T00:00:00Z,2026-11-20T00:00:00Z\n",
            "a.csv:2: it ends before it begins",
        ),
        ("a.csv", b'target,subject\n"10.0.0.1,a\n', "a.csv:2: unexpected end of data"),
        ("a.csv", b"target,subject\n10.0.0.1,\xff\n", "a.csv:2: not UTF-8"),
        (
            "a.csv",
            b"target,subject\n10.0.0.1,a\n10.0.0.1/32,b\n",
            "a.csv:3: 10.0.0.1 is given to somebody at the same time in a.csv:2",
        ),
        ("a.toml", b'"10.0.0.1" = 5\n', "a.toml: 10.0.0.1: this says nobody's"),
        ("a.toml", b'"10.0.0.1" = { subject = "a", since = 5 }\n', "a.toml: 10.0.0.1: this says nobody's"),
        ("a.toml", b'"10.0.0.1" = { subject = "a", from = 2026-11-20 }\n', "2026-11-20 is no time"),
        ("a.toml", b'"10.0.0.1" = \n', "a.toml: no TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place(name: str, text: bytes, said: str) -> None:
    with pytest.raises(LearnerError) as caught:
        parsed(text, Path(name), now_ns=START_NS)
    assert said in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from(["a.csv", "a.toml"]))
def test_any_file_is_read_or_refused(raw: bytes, name: str) -> None:
    with contextlib.suppress(LearnerError):
        parsed(raw, Path(name), now_ns=START_NS)


@given(st.lists(st.tuples(st.sampled_from(["10.0.0.1", "::1", "x"]), st.text(max_size=5), st.text(max_size=5))))
def test_any_table_is_read_or_refused(lines: list[tuple[str, str, str]]) -> None:
    text = "target,subject,from\n" + "".join(",".join(line) + "\n" for line in lines)
    with contextlib.suppress(LearnerError):
        parsed(text.encode(errors="replace"), Path("a.csv"), now_ns=START_NS)


def test_what_is_written_later_is_learnt_then(tmp_path: Path, record: Kept) -> None:
    path = tmp_path / "people.csv"
    with running(learner(path, record), record):
        assert record.facts() == []
        path.write_text("target,subject,from\n10.0.0.2,alice,\n10.0.0.3,bob,2026-11-01T00:00:00Z\n")
        wait_until(lambda: record.now() == {"10.0.0.2": "alice", "10.0.0.3": "bob"}, "first lines")
        assert isinstance(record.clock, TestClock)
        record.clock.advance(60 * 10**9)
        other = tmp_path / "new"
        other.write_text("target,subject,from\n10.0.0.2,carol,\n10.0.0.3,bob,2026-11-01T00:00:00Z\n10.0.0.4,dave,\n")
        other.rename(path)
        wait_until(lambda: record.now().get("10.0.0.4") == "dave", "next lines")
    start = START_NS // 10**9
    assert record.spans("10.0.0.2") == [("alice", start, start + 60), ("carol", start + 60, None)]
    assert record.spans("10.0.0.3") == [("bob", NOVEMBER, None)]
    # alice, bob, carol, dave: who follows at once ends the one before.
    assert len(record.facts()) == 4


def test_a_line_that_is_taken_out_ends_now_and_the_past_stays(tmp_path: Path, record: Kept) -> None:
    path = tmp_path / "people.toml"
    path.write_text(
        '"10.0.0.2" = "alice"\n'
        '"10.0.0.3" = [{subject = "bob", from = 2020-01-01T00:00:00Z, to = 2021-01-01T00:00:00Z}]\n'
        '"10.0.0.4" = {subject = "carol", to = 2099-01-01T00:00:00Z}\n'
    )
    with running(learner(path, record), record):
        wait_until(lambda: len(record.facts()) == 3, "facts")
    assert isinstance(record.clock, TestClock)
    record.clock.advance(60 * 10**9)
    path.write_text("")
    start = START_NS // 10**9
    with running(learner(path, record), record):
        wait_until(lambda: record.now() == {}, "end")
    assert record.spans("10.0.0.2") == [("alice", start, start + 60)]
    assert record.spans("10.0.0.3") == [("bob", 1_577_836_800, 1_609_459_200)]
    assert record.spans("10.0.0.4") == [("carol", start, start + 60)]


def test_the_same_file_read_again_leads_to_no_fact_and_no_cut(tmp_path: Path, record: Kept) -> None:
    path = tmp_path / "people.csv"
    text = "target,subject,from\n10.0.0.2,alice,\n10.0.0.3,bob,2026-11-01T00:00:00Z\n"
    path.write_text(text)
    with running(learner(path, record), record) as _:
        pass
    assert (len(record.facts()), record.cuts) == (2, 1)
    again = learner(path, record)
    with running(again, record):
        path.write_text(text + "# nothing\n")
    assert len(record.facts()) == 2


def test_a_mistake_changes_nothing_and_is_told_until_it_is_mended(tmp_path: Path) -> None:
    record = Kept(tmp_path / "store", SystemClock())
    path = tmp_path / "people.csv"
    path.write_text("target,subject\n10.0.0.2,alice\n")
    one = learner(path, record)
    with running(one, record):
        assert one.status().state == "following"
        path.write_text("target,subject\n10.0.0.2\n")
        wait_until(lambda: one.status().state == "waiting", "mistake")
        assert "people.csv:2" in str(one.status().error)
        assert record.now() == {"10.0.0.2": "alice"}
        path.unlink()
        wait_until(lambda: "no such file" in str(one.status().error), "gone")
        assert record.now() == {"10.0.0.2": "alice"}
        path.write_text("target,subject\n10.0.0.2,bob\n")
        wait_until(lambda: one.status().state == "following", "mended")
        assert one.status().error is None
        assert record.now() == {"10.0.0.2": "bob"}


@pytest.mark.parametrize("lines", [("bob,,", "alice,2020-01-01T00:00:00Z,2099-01-01T00:00:00Z")])
def test_a_line_without_a_beginning_does_not_take_what_is_still_somebodys(
    tmp_path: Path, record: Kept, lines: tuple[str, ...]
) -> None:
    path = tmp_path / "people.csv"
    path.write_text("".join(f"{line}\n" for line in ("target,subject,from,to", *(f"10.0.0.2,{one}" for one in lines))))
    one = learner(path, record)
    with running(one, record):
        wait_until(lambda: one.status().state == "waiting", "mistake")
        assert "10.0.0.2 is given to somebody at the same time" in str(one.status().error)
    assert record.facts() == []


def test_who_has_it_until_a_time_may_be_followed_by_who_has_it_from_then_on(tmp_path: Path, record: Kept) -> None:
    path = tmp_path / "people.csv"
    path.write_text(
        "target,subject,from,to\n10.0.0.2,alice,,2099-01-01T00:00:00Z\n10.0.0.2,bob,2099-01-01T00:00:00Z,\n"
    )
    assert isinstance(record.clock, TestClock)
    for _ in range(2):
        one = learner(path, record)
        with running(one, record):
            wait_until(partial(follows, one), "two that follow each other")
        # Then alice's end has passed.
        record.clock.advance(100 * 365 * DAY * 10**9)
    handed_over = 4_070_908_800
    assert record.spans("10.0.0.2") == [("alice", START_NS // 10**9, handed_over), ("bob", handed_over, None)]


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_link_that_leads_elsewhere_now_is_followed_there(tmp_path: Path, record: Kept, *, is_behind: bool) -> None:
    """``is_behind``: the link is a directory's, as where a whole set of files is exchanged at once."""
    for name, who in (("old", "alice"), ("new", "bob")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "people.csv").write_text(f"target,subject\n10.0.0.2,{who}\n")
    etc = tmp_path / "etc"
    etc.mkdir()
    link = etc / "..data" if is_behind else etc / "people.csv"
    if is_behind:
        (etc / "people.csv").symlink_to("..data/people.csv")
    link.symlink_to(tmp_path / "old" / ("" if is_behind else "people.csv"))
    one = learner(etc / "people.csv", record)
    with running(one, record):
        wait_until(lambda: record.now() == {"10.0.0.2": "alice"}, "alice")
        other = etc / "other"
        other.symlink_to(tmp_path / "new" / ("" if is_behind else "people.csv"))
        other.rename(link)
        wait_until(lambda: record.now() == {"10.0.0.2": "bob"}, "bob")
        # What is written where it leads now is seen, too.
        (tmp_path / "new" / "people.csv").write_text("target,subject\n10.0.0.2,carol\n")
        wait_until(lambda: record.now() == {"10.0.0.2": "carol"}, "carol")
