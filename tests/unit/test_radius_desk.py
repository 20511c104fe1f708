"""Whatever comes in is answered or refused, once, and what is remembered of it has an end."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netledger.attribution.facts import Target
from netledger.learners.radius import desk as desk_module
from netledger.learners.radius.clients import Clients
from netledger.learners.radius.desk import Desk
from netledger.learners.radius.ended import Ended
from netledger.learners.radius.request import Nas
from netledger.learners.radius.session import Session
from netledger.learners.radius.sessions import Sessions
from netledger.learners.radius.wire import Letter
from tests.unit.radius import INTERIM, NUMBERS, OFF, ON, SECRET, START, STOP, accounting, encode, request
from tests.unit.rows import SECOND_NS, START_NS


def make(directory: Path) -> Desk:
    path = directory / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    clients = Clients([("192.0.2.0/24", path)])
    clients.read()
    return Desk(clients, Sessions("isp", stale_after_ns=3600 * SECOND_NS))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("radius")


def letter(data: bytes, *, at: int = 0, address: str = "192.0.2.7") -> Letter:
    return Letter(data, address, 1646, START_NS + at, (None, ()))


VALUES = st.one_of(
    st.binary(max_size=3),
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=16, max_size=18),
    st.sampled_from([struct.pack("!I", number) for number in (0, 1, 2, 3, 7, 8, 0xFFFF_FFFF)]),
)
ATTRIBUTES = st.lists(st.tuples(st.sampled_from([*NUMBERS.values(), 26, 33, 80, 255]), VALUES), max_size=12)
SIGNED = st.builds(lambda pairs: request(encode(pairs)), ATTRIBUTES)
TOLD = st.builds(
    lambda status, session, user, address, delay: accounting(
        status=status, session=session, user=user, address=address, delay=delay
    ),
    st.sampled_from([START, STOP, INTERIM, ON, OFF, 99]),
    st.sampled_from(["1", "2"]),
    st.binary(max_size=20),
    st.sampled_from(["10.0.0.2", "10.0.0.3", "0.0.0.0"]),  # noqa: S104  # an address that means none
    st.integers(0, 0xFFFF_FFFF),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.one_of(SIGNED, TOLD)))
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=3)):
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


@given(st.lists(st.one_of(st.binary(max_size=60), SIGNED, TOLD, mutated()), max_size=20))
def test_all_that_comes_is_answered_or_refused(folder: Path, datagrams: list[bytes]) -> None:
    letters = [letter(data, at=place * SECOND_NS) for place, data in enumerate(datagrams)]
    outcome = make(folder).take(letters, now_ns=START_NS)
    assert len(outcome.answers) + len(outcome.refused) == len(letters)
    assert all(SECRET.decode() not in why for _, why in outcome.refused)
    assert all(fact.source == "isp" for fact in outcome.facts)


def test_a_stranger_is_told_apart_before_anything_is_read(folder: Path) -> None:
    outcome = make(folder).take([letter(b"\x04", address="198.51.100.1")], now_ns=START_NS)
    assert outcome.refused == [("198.51.100.1", "this address is no client")]


def test_answers_that_are_remembered_have_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "REMEMBERED_MAX", 5)
    one = make(folder)
    for number in range(20):
        one.take([letter(accounting(status=99, session=str(number)))], now_ns=START_NS)
    assert len(one._answered) == 5


def test_a_packet_too_old_to_be_remembered_is_booked_once_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "REMEMBERED_MAX", 1)
    one = make(folder)
    data = accounting(status=START, session="1", user="alice", address="10.0.0.2")
    counts = [len(one.take([letter(each)], now_ns=START_NS).facts) for each in (data, accounting(status=99), data)]
    assert counts == [1, 0, 0]


def ended(number: int, *targets: str) -> Session:
    return Session(
        nas=Nas("any", "", "192.0.2.1"),
        id=str(number),
        multi="",
        subject="alice",
        port="",
        calling="",
        start_ns=number,
        seen_ns=number,
        claims={Target.address(one): number for one in targets},
        end_ns=number + 1,
    )


def test_sessions_that_are_remembered_have_an_end() -> None:
    memory = Ended(sessions_max=3)
    for number in range(10):
        memory.add(ended(number, "10.0.0.2", f"10.0.1.{number}"))
    assert len(memory) == 3
    assert [one.id for one in memory.of(Target.address("10.0.0.2"))] == ["7", "8", "9"]
    assert memory.of(Target.address("10.0.1.1")) == ()
    assert memory.freed_ns(Target.address("10.0.0.2")) == 10
    assert len(memory._by_target) == 4


def test_of_one_address_only_the_last_ones_are_remembered() -> None:
    memory = Ended()
    for number in range(40):
        memory.add(ended(number, "10.0.0.2"))
    assert len(memory.of(Target.address("10.0.0.2"))) == 16
    memory.remove(("any", "1"))
    memory.remove(("any", "39"))
    assert len(memory) == 38
