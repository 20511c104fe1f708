"""Facts of whose an address was: what can be one, what the ledger adds, and what it never takes back."""

import sqlite3
from pathlib import Path

import pytest

from netledger.attribution.facts import Fact, Kind, Target, given_subject, learnt_subject, printable
from netledger.attribution.painting import claims
from netledger.errors import DamageError, FactError, LedgerError
from netledger.intervals import SECOND_NS
from netledger.ledger.assignments import Assignments
from netledger.ledger.database import NAME
from netledger.ledger.reader import Reader
from netledger.ledger.verify import verify
from tests.unit.memory_source import TestClock
from tests.unit.rows import START_NS
from tests.unit.store import opened


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with opened(tmp_path / "store"):
        pass
    return tmp_path / "store"


def fact(
    target: str, start: int, end: int | None, subject: str | None, source: str = "assign", mac: str | None = None
) -> Fact:
    return Fact(
        target=Target.parse(target),
        valid_from_ns=start * SECOND_NS,
        valid_to_ns=None if end is None else end * SECOND_NS,
        subject=subject,
        mac=mac,
        source=source,
    )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("10.0.0.2", Kind.ADDRESS, "10.0.0.2"),
        ("10.0.0.2/32", Kind.ADDRESS, "10.0.0.2"),
        ("10.0.0.0/24", Kind.ADDRESS, "10.0.0.0/24"),
        ("0.0.0.0/0", Kind.ADDRESS, "0.0.0.0/0"),
        ("2001:DB8:0::1", Kind.ADDRESS, "2001:db8::1"),
        ("2001:db8::/48", Kind.ADDRESS, "2001:db8::/48"),
        ("::ffff:10.0.0.2", Kind.ADDRESS, "10.0.0.2"),
        ("::ffff:10.0.0.0/120", Kind.ADDRESS, "10.0.0.0/24"),
        ("AA-BB-CC-DD-EE-FF", Kind.MAC, "aa:bb:cc:dd:ee:ff"),
        ("aabb.ccdd.eeff", Kind.MAC, "aa:bb:cc:dd:ee:ff"),
        ("mark:42", Kind.MARK, "42"),
        ("mark:0x2A", Kind.MARK, "42"),
        ("mark:0", Kind.MARK, "0"),
        ("mark:4294967295", Kind.MARK, "4294967295"),
        ("ppp0", Kind.INTERFACE, "ppp0"),
        ("interface:10.0.0.2", Kind.INTERFACE, "10.0.0.2"),
        ("interface:eth0.7", Kind.INTERFACE, "eth0.7"),
        ("beef", Kind.INTERFACE, "beef"),
    ],
)
def test_a_target_has_one_form_that_is_read_as_itself(text: str, kind: Kind, value: str) -> None:
    target = Target.parse(text)
    assert target == Target(kind, value)
    assert Target.parse(str(target)) == target


@pytest.mark.parametrize(
    "texts",
    [
        ["", "10.0.0.256", "10.0.0.1/24", "10.0.0", "fe80::1%eth0", "aa:bb:cc:dd:ee", "mark:", "mark:4294967296"],
        ["mark:-1", "mark:010", "mark:\u0664\u0662", "mark:1_0", "interface:", "a/b", "sixteen_letters_", "a b"],
        ["tab\t", "..", "2001:db8::/129", "10.0.0.0/33", "10.0.0.0/-1", "\udcff"],
    ],
)
def test_what_is_no_target_is_refused(texts: list[str]) -> None:
    for text in texts:
        with pytest.raises(FactError):
            Target.parse(text)


def test_a_network_with_host_bits_is_told_which_one_is_meant() -> None:
    with pytest.raises(FactError) as caught:
        Target.parse("10.0.0.7/24")
    assert caught.value.hint == "the network is 10.0.0.0/24"


@pytest.mark.parametrize(
    "subject", ["", " a", "a ", "a\nb", "a\x1b[2Jb", "\u202eevil", "x" * 256, "\udcff", "a\u2028b"]
)
def test_nobody_is_called_so(subject: str) -> None:
    with pytest.raises(FactError):
        fact("10.0.0.2", 0, None, subject)


def test_names_that_reports_use_are_refused_where_given_and_told_apart_where_learnt() -> None:
    lookalikes = ("ｕｎｋｎｏｗｎ", "ＯＴＨＥＲ", "ᵒther", "𝐞𝐱𝐭𝐞𝐫𝐧𝐚𝐥")  # noqa: RUF001  # they are it
    for name in ("unknown", "External", "other", "unattributed", *lookalikes):
        with pytest.raises(FactError):
            given_subject(name)
        assert learnt_subject(name) == f"user:{name}"
        assert learnt_subject(f"user:{name}") == f"user:user:{name}"
    assert given_subject("Jörg Müller") == learnt_subject("Jörg Müller") == "Jörg Müller"


@pytest.mark.parametrize(("start", "end"), [(5, 5), (5, 4), (-1, 4), (1 << 40, None)])
def test_a_fact_has_a_time(start: int, end: int | None) -> None:
    with pytest.raises(FactError):
        fact("10.0.0.2", start, end, "alice")


def test_only_an_address_has_a_device_and_in_one_form() -> None:
    assert fact("10.0.0.2", 0, None, None, mac="aa:bb:cc:dd:ee:ff").is_claim
    for target, mac in (("ppp0", "aa:bb:cc:dd:ee:ff"), ("10.0.0.2", "AA:BB:CC:DD:EE:FF"), ("10.0.0.2", "x")):
        with pytest.raises(FactError):
            fact(target, 0, None, None, mac=mac)


def test_details_can_be_shown() -> None:
    hostile = printable("\x1b[2Jhost\u202e" + "x" * 999)
    assert hostile.startswith("\\x1b[2Jhost\\u202e")
    made = Fact(target=Target.parse("ppp0"), valid_from_ns=0, subject="a", source="s", detail={"host": hostile})
    assert made.detail == {"host": hostile}
    with pytest.raises(FactError):
        Fact(target=Target.parse("ppp0"), valid_from_ns=0, subject="a", source="s", detail={"host": "\x1b"})


def test_what_was_added_is_read_again(store: Path) -> None:
    clock = TestClock(START_NS)
    book = Assignments(store, clock)
    first = book.add([fact("10.0.0.2", 0, 9, "alice"), fact("2001:db8::/48", 5, None, None, "dhcp", None)])
    assert [(one.id, one.learnt_ns) for one in first] == [(1, START_NS)]  # nobody's is what it was before
    clock.advance(SECOND_NS)
    second = book.add(
        [fact("10.0.0.2", 9, None, "bob", mac="aa:bb:cc:dd:ee:ff"), fact("ppp0", 1, None, "carol", "isp")]
    )
    assert book.facts() == first + second
    assert book.facts(as_known_at_ns=START_NS) == first
    assert book.facts(after_id=1) == second
    assert book.facts(source="isp") == [second[1]]
    assert book.last_id() == 3


def test_what_was_said_already_is_not_written_again(store: Path) -> None:
    book = Assignments(store, TestClock(START_NS))
    told = [fact("10.0.0.2", 10, None, "alice"), fact("10.0.0.3", 10, 20, "bob"), fact("10.0.0.3", 20, 30, "bob")]
    assert len(book.add(told)) == 3
    assert book.add(told) == []
    within = [fact("10.0.0.2", 15, 17, "alice"), fact("10.0.0.3", 12, 28, "bob"), fact("10.0.0.3", 40, 50, None)]
    assert book.add(within) == []
    others = [
        fact("10.0.0.3", 12, 31, "bob"),
        fact("10.0.0.2", 10, None, "alice", "isp"),
        fact("10.0.0.2", 9, 11, "alice"),
    ]
    assert len(book.add(others)) == 3
    # What follows counts: the same as at first is news again after something else was said.
    assert len(book.add([fact("10.0.0.2", 12, 13, None)])) == 1
    assert [one.subject for one in book.add([fact("10.0.0.2", 10, None, "alice")])] == ["alice"]
    assert book.add([fact("10.0.0.2", 12, 13, "alice")]) == []


def test_a_repetition_within_one_call_is_left_out(store: Path) -> None:
    told = [fact("10.0.0.2", 10, None, "alice")] * 3
    assert len(Assignments(store, TestClock(START_NS)).add(told)) == 1


def test_what_overlaps_in_itself_is_news_only_once(store: Path) -> None:
    book = Assignments(store, TestClock(START_NS))
    told = [fact("10.0.0.2", 10, None, "alice"), fact("10.0.0.2", 20, 30, "bob"), fact("10.0.0.2", 20, 30, "carol")]
    assert [one.subject for one in book.add(told)] == ["alice", "carol"]
    assert book.add(told) == []
    # What is written covers what was said of the same time before: so that is written once more.
    again = book.add([fact("10.0.0.2", 5, None, "alice"), fact("10.0.0.2", 20, 30, "carol")])
    assert [one.subject for one in again] == ["alice", "carol"]
    seen = [(start_ns // SECOND_NS, one.subject) for start_ns, _, one in claims(book.facts())]
    assert seen == [(5, "alice"), (20, "carol"), (30, "alice")]


def test_others_write_while_it_is_found_out_what_is_news(store: Path) -> None:
    told = [fact(f"10.0.{n >> 8}.{n & 255}", 10, None, "alice") for n in range(2500)]
    looked: list[tuple[int, int]] = []
    meanwhile = {0: fact("10.0.0.0", 10, None, "alice"), 2000: fact("10.0.0.7", 5, None, "bob")}
    other = Assignments(store, TestClock(START_NS))

    def progress(_what: str, done: int, total: int) -> None:
        looked.append((done, total))
        if total == len(told) and done in meanwhile:
            other.add([meanwhile[done]])  # waits for ever where the ledger is locked

    added = Assignments(store, TestClock(START_NS)).add(told, progress=progress)
    # What came meanwhile is looked at again, and that alone: the first is said already, bob's begins before.
    assert looked == [(0, 2500), (1000, 2500), (2000, 2500), (0, 2)]
    assert [str(one.target) for one in added] == [str(one.target) for one in told[1:]]
    facts = other.facts()
    assert [one.id for one in facts] == list(range(1, 2502))
    assert facts[2:] == added
    seen = claims([one for one in facts if one.target == meanwhile[2000].target])
    assert [(start_ns // SECOND_NS, one.subject) for start_ns, _, one in seen] == [(5, "bob"), (10, "alice")]


def test_open_claims_are_what_is_left_of_now_and_later(store: Path) -> None:
    book = Assignments(store, TestClock(100 * SECOND_NS))
    book.add([fact("10.0.0.2", 10, None, "alice", "isp"), fact("10.0.0.3", 10, 90, "bob", "isp")])
    book.add([fact("10.0.0.2", 20, 30, None, "isp"), fact("10.0.0.4", 200, 300, "carol", "isp")])
    book.add([fact("10.0.0.5", 10, None, "dave", "isp"), fact("10.0.0.5", 50, None, None, "isp")])
    book.add([fact("10.0.0.6", 10, None, "erin", "dhcp")])
    found = [(str(one.target), one.valid_from_ns, one.valid_to_ns, one.subject) for one in book.open_claims("isp")]
    assert found == [
        ("10.0.0.2", 30 * SECOND_NS, None, "alice"),
        ("10.0.0.4", 200 * SECOND_NS, 300 * SECOND_NS, "carol"),
    ]


def test_who_ends_his_own_claim_does_not_end_that_of_another(store: Path) -> None:
    book = Assignments(store, TestClock(START_NS))
    book.add(
        [fact("10.0.0.2", 10, None, "alice"), fact("10.0.0.2", 20, None, "bob"), fact("10.0.0.2", 0, 9, "c", "isp")]
    )
    assert book.end(fact("10.0.0.2", 30, None, None), of="alice") == []
    assert book.end(fact("10.0.0.3", 30, None, None), of="alice") == []
    assert book.end(fact("10.0.0.2", 5, None, None), of="c") == []
    assert [one.id for one in book.end(fact("10.0.0.2", 30, None, None), of="bob")] == [4]
    assert book.end(fact("10.0.0.2", 30, None, None), of="bob") == []


def test_a_clock_that_was_set_back_changes_nothing_of_what_was_known(store: Path) -> None:
    clock = TestClock(START_NS)
    book = Assignments(store, clock)
    book.add([fact("10.0.0.2", 0, None, "alice")])
    clock.wall_ns -= 3600 * SECOND_NS
    (late,) = book.add([fact("10.0.0.2", 0, None, "bob")])
    assert late.learnt_ns == START_NS


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE assignments SET subject = 'x'",
        "DELETE FROM assignments",
        "INSERT OR REPLACE INTO assignments SELECT id, kind, target, 0, 1, 'x', mac, source, learnt_at, detail "
        "FROM assignments",
        "INSERT INTO assignments SELECT id + 1, kind, target, 0, 1, 'x', mac, source, 0, detail FROM assignments",
    ],
)
def test_the_database_refuses_to_change_a_fact(store: Path, change: str) -> None:
    Assignments(store, TestClock(START_NS)).add([fact("10.0.0.2", 0, None, "alice")])
    connection = sqlite3.connect(store / NAME)
    with pytest.raises(sqlite3.IntegrityError, match="a fact is"):
        connection.execute(change)
    connection.close()


def test_a_line_that_is_no_fact_is_damage(store: Path) -> None:
    connection = sqlite3.connect(store / NAME, isolation_level=None)
    connection.execute("INSERT INTO assignments VALUES (1, 'address', '10.0.0.2', 9, 9, 'a', NULL, 'assign', 1, '{}')")
    connection.close()
    with pytest.raises(DamageError, match="assignment 1 is none"):
        Assignments(store, TestClock(START_NS)).facts()


def test_all_or_nothing(store: Path) -> None:
    book = Assignments(store, TestClock(START_NS))
    connection = sqlite3.connect(store / NAME, isolation_level=None)
    # Refused by the database itself, in the middle of what is added together.
    connection.execute(
        "CREATE TRIGGER no_bob BEFORE INSERT ON assignments WHEN new.subject = 'bob' "
        "BEGIN SELECT raise(ABORT, 'no'); END"
    )
    connection.close()
    with pytest.raises(LedgerError):
        book.add([fact("10.0.0.2", 0, None, "alice"), fact("10.0.0.3", 0, None, "bob")])
    assert book.facts() == []


def test_without_a_ledger_there_are_none_and_none_is_begun(tmp_path: Path) -> None:
    book = Assignments(tmp_path / "nowhere", TestClock(START_NS))
    assert (book.facts(), book.last_id(), book.open_claims("isp")) == ([], 0, [])
    with pytest.raises(LedgerError):
        book.add([fact("10.0.0.2", 0, None, "alice")])
    assert not (tmp_path / "nowhere").exists()


def test_the_audit_sees_a_fact_that_was_taken_out_or_put_in_front(store: Path) -> None:
    clock = TestClock(START_NS)
    book = Assignments(store, clock)
    for number in range(6):
        book.add([fact(f"10.0.0.{number}", 0, None, "alice")])
        clock.advance(SECOND_NS)
    assert verify(Reader(store)) == []
    connection = sqlite3.connect(store / NAME, isolation_level=None)
    for trigger in ("assignments_stay", "assignments_are_final"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("DELETE FROM assignments WHERE id IN (2, 3, 6)")
    connection.execute("UPDATE assignments SET learnt_at = 7 WHERE id = 5")
    connection.close()
    assert [str(problem) for problem in verify(Reader(store))] == [
        "assignments: numbers 2 to 3 are gone",
        "assignment 5: it says that it was learnt before the one in front of it",
        "assignments: number 6 is gone",
    ]
