"""The listener on a real socket and a real ledger: what is answered is kept, and what is not kept gets no answer."""

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from netledger.attribution.facts import Fact
from netledger.errors import LearnerError, LedgerError
from netledger.intervals import SystemClock
from netledger.learners.base import State
from netledger.learners.radius import learner as learner_module
from netledger.learners.radius import signs
from netledger.learners.radius.clients import Clients, read_secret
from netledger.learners.radius.learner import RadiusLearner
from netledger.learners.radius.session import Sign
from netledger.learners.radius.wire import Wire
from tests.unit.radius import INTERIM, SECRET, START, STOP, accounting, is_answer
from tests.unit.recorder import Kept, running
from tests.unit.rows import wait_until

ADDRESS = "127.0.0.1"
ANSWER_SECONDS = 10.0


@dataclass
class Place:
    """Where a learner keeps its things."""

    directory: Path

    @property
    def signs(self) -> Path:
        return self.directory / "signs.json"

    def secret(self, text: bytes = SECRET + b"\n", mode: int = 0o640, name: str = "secret") -> Path:
        path = self.directory / name
        path.write_bytes(text)
        path.chmod(mode)
        return path

    def record(self) -> Kept:
        return Kept(self.directory / "store", SystemClock())

    def learner(self, secrets: Sequence[tuple[str | None, Path]] = (), *, address: str = ADDRESS) -> RadiusLearner:
        return RadiusLearner(
            "isp",
            address=address,
            port=0,
            secrets=list(secrets) or [(None, self.secret())],
            stale_after_seconds=3600,
            signs_file=self.signs,
            clock=SystemClock(),
        )


@dataclass
class Nas:
    """An access server: one socket, which sends and waits for the answers."""

    socket: socket.socket

    def tell(self, *requests: bytes) -> list[bytes]:
        """Sends requests and gives their answers."""
        for data in requests:
            self.socket.send(data)
        return [self.socket.recv(4096) for _ in requests]

    def says_nothing_to(self, data: bytes) -> bool:
        """Whether a request gets no answer: one that is sent behind it gets its own first."""
        last = accounting(number=255, status=9, session="last")
        self.socket.send(data)
        return is_answer(self.tell(last)[0], last)


@contextmanager
def nas(port: int, address: str = ADDRESS, family: socket.AddressFamily = socket.AF_INET) -> Iterator[Nas]:
    with socket.socket(family, socket.SOCK_DGRAM) as plain:
        plain.settimeout(ANSWER_SECONDS)
        plain.connect((address, port))
        yield Nas(plain)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_answered_is_in_the_ledger(place: Place) -> None:
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        data = accounting(status=START, session="1", user="alice", address="10.0.0.2")
        assert is_answer(bras.tell(data)[0], data)
        assert record.now() == {"10.0.0.2": "alice"}
        data = accounting(number=2, status=STOP, session="1", user="alice", address="10.0.0.2")
        assert is_answer(bras.tell(data)[0], data)
        assert record.now() == {}
    assert learner.status().facts == 3


def test_a_packet_that_is_sent_again_is_answered_again_and_kept_once(place: Place) -> None:
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        data = accounting(status=START, session="1", user="alice", address="10.0.0.2")
        assert all(is_answer(answer, data) for answer in bras.tell(data, data, data))
        with nas(learner.port) as other:
            assert is_answer(other.tell(data)[0], data)
    assert len(record.facts()) == 1


def test_a_hand_over_asks_for_a_cut_and_a_sign_of_life_for_none(place: Place) -> None:
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        bras.tell(accounting(status=START, session="1", user="alice", address="10.0.0.2"))
        wait_until(lambda: record.cuts == 1, "cut")
        bras.tell(accounting(number=2, status=INTERIM, session="1", user="alice", address="10.0.0.2"))
    assert record.cuts == 1


class Slow(Kept):
    """Cuts take until they are let go."""

    def __init__(self, store: Path) -> None:
        super().__init__(store, SystemClock())
        self.may_end = threading.Event()

    def cut_moment(self) -> int:
        self.may_end.wait(ANSWER_SECONDS)
        return super().cut_moment()


def test_no_answer_waits_for_a_cut(place: Place) -> None:
    learner, record = place.learner(), Slow(place.directory / "store")
    with running(learner, record), nas(learner.port) as bras:
        for number in range(3):
            bras.tell(
                accounting(number=number, status=START, session=str(number), user="a", address=f"10.0.0.{number}")
            )
        assert record.cuts == 0
        record.may_end.set()
        wait_until(lambda: record.cuts == 2, "cuts: one that was under way, one for all that came meanwhile")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            accounting(status=START, session="1", user="alice", address="10.0.0.2", secret=b"wrong"),
            "bad authenticator: its secret is another one",
        ),
        (accounting(status=START, user="alice", address="10.0.0.2"), "no Acct-Session-Id"),
        (b"", "this is no RADIUS request"),
        (b"\x04\x01", "this is no RADIUS request"),
        (b"\x05\x01\xff\xff" + os.urandom(5000), "this is no RADIUS request"),
        (b"\x01\x01\x00\x14" + bytes(16), "this is no accounting request"),
    ],
    ids=["bad authenticator", "no session", "empty", "short", "long", "access"],
)
def test_what_cannot_be_taken_gets_no_answer_and_is_counted_by_its_reason(place: Place, data: bytes, why: str) -> None:
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        assert bras.says_nothing_to(data)
        wait_until(lambda: learner.status().refused == 1, "count")
    assert dict(learner.status().refused_reasons) == {why: 1}
    assert record.facts() == []


def test_a_session_that_is_nobodys_is_answered_and_counted(place: Place) -> None:
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        data = accounting(status=START, session="1", address="10.0.0.2")
        assert is_answer(bras.tell(data)[0], data)
        wait_until(lambda: learner.status().refused == 1, "count")


def test_a_stranger_gets_no_answer(place: Place) -> None:
    learner, record = place.learner([("192.0.2.0/24", place.secret())]), place.record()
    with running(learner, record), nas(learner.port) as bras:
        bras.socket.send(accounting(status=START, session="1", user="alice", address="10.0.0.2"))
        wait_until(lambda: learner.status().refused == 1, "count")
    assert record.facts() == []


def test_both_versions_of_ip_reach_one_socket(place: Place) -> None:
    clients: list[tuple[str | None, Path]] = [
        ("127.0.0.0/8", place.secret(b"four", name="four")),
        ("::1/128", place.secret(b"six", name="six")),
    ]
    learner, record = place.learner(clients, address="::"), place.record()
    with running(learner, record):
        with nas(learner.port) as four:
            data = accounting(status=START, session="1", user="alice", address="10.0.0.2", secret=b"four")
            assert is_answer(four.tell(data)[0], data, secret=b"four")
        with nas(learner.port, "::1", socket.AF_INET6) as six:
            data = accounting(status=START, session="1", user="bob", delegated="2001:db8::/56", secret=b"six")
            assert is_answer(six.tell(data)[0], data, secret=b"six")
    assert record.now() == {"10.0.0.2": "alice", "2001:db8::/56": "bob"}


def test_the_answer_comes_from_the_address_that_was_asked(place: Place) -> None:
    learner, record = place.learner(address="0.0.0.0"), place.record()  # noqa: S104  # what is tested
    with running(learner, record), nas(learner.port, "127.0.0.5") as bras:
        # A connected socket takes nothing that comes from elsewhere.
        data = accounting(status=START, session="1", user="alice", address="10.0.0.2")
        assert is_answer(bras.tell(data)[0], data)


class Full(Kept):
    """A ledger whose disk is full."""

    def learn(self, facts: Sequence[Fact]) -> None:
        raise LedgerError("store", "write", f"{len(facts)} facts: no space left on device")


def test_what_cannot_be_kept_is_not_answered_and_ends_the_listener(place: Place) -> None:
    learner, record = place.learner(), Full(place.directory / "store", SystemClock())

    def send_and_wait() -> None:
        with running(learner, record) as thread, nas(learner.port) as bras:
            bras.socket.send(accounting(status=START, session="1", user="alice", address="10.0.0.2"))
            thread.join(ANSWER_SECONDS)
            bras.socket.settimeout(0)
            with pytest.raises(BlockingIOError):
                bras.socket.recv(4096)

    with pytest.raises(LedgerError, match="no space left"):
        send_and_wait()


def test_sessions_and_their_signs_of_life_outlive_the_listener(place: Place) -> None:
    first, record = place.learner(), place.record()
    with running(first, record), nas(first.port) as bras:
        bras.tell(accounting(status=START, session="1", user="alice", address="10.0.0.2"))
        bras.tell(accounting(number=2, status=INTERIM, session="1", address="10.0.0.2", seconds=1, input=77))
    kept = signs.read(place.signs)
    assert [sign.usage.input_octets for sign in kept.values() if sign.usage] == [77]
    second = place.learner()
    with running(second, record), nas(second.port) as bras:
        bras.tell(accounting(number=3, status=STOP, session="1", address="10.0.0.2"))
    assert record.now() == {}
    assert record.facts()[-2].detail["input_octets"] == "77"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 9, "signs": {}}', '{"version": 1, "signs": {"a": [-1]}}'])
def test_a_damaged_file_of_signs_is_as_none(place: Place, text: str) -> None:
    place.signs.write_text(text)
    assert signs.read(place.signs) == {}


def test_signs_come_back_as_they_were_written(place: Place) -> None:
    place.signs.write_text(json.dumps({"version": 1, "signs": {"a": [5], "b": [6, 1, 2, 3, 4, 5]}}))
    found = signs.read(place.signs)
    assert found["a"] == Sign(5, None)
    assert found["b"].usage is not None
    assert found["b"].usage.output_packets == 5


def test_a_port_that_is_taken_is_said(place: Place) -> None:
    with Wire(ADDRESS, 0) as taken, pytest.raises(LearnerError, match="address already in use"):
        Wire(ADDRESS, taken.port)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o641, 0o602])
def test_a_secret_that_everybody_may_use_is_refused(place: Place, mode: int) -> None:
    with pytest.raises(LearnerError, match="everybody may use it") as raised:
        read_secret(place.secret(mode=mode))
    assert raised.value.hint is not None
    assert SECRET.decode() not in str(raised.value)


@pytest.mark.parametrize(("text", "secret"), [(b"abc\n", b"abc"), (b"abc\r\nrest", b"abc"), (b" a b ", b" a b ")])
def test_the_secret_is_the_first_line(place: Place, text: bytes, secret: bytes) -> None:
    assert read_secret(place.secret(text)) == secret


@pytest.mark.parametrize("text", [b"", b"\nabc", b"x" * 2000])
def test_what_is_no_secret_is_refused(place: Place, text: bytes) -> None:
    with pytest.raises(LearnerError, match="secret file"):
        read_secret(place.secret(text))


def test_a_secret_that_is_not_there_is_said(place: Place) -> None:
    with pytest.raises(LearnerError, match="no such file"):
        read_secret(place.directory / "none")
    with pytest.raises(LearnerError, match=r"no file|directory"):
        read_secret(place.directory)


def test_the_longest_network_has_the_client(place: Place) -> None:
    one, two, three = (place.secret(text, name=text.decode()) for text in (b"one", b"two", b"three"))
    clients = Clients([("192.0.2.0/24", one), ("192.0.2.7/32", two), (None, three)])
    clients.read()
    found = [
        clients.find(address) for address in ("192.0.2.8", "192.0.2.7", "198.51.100.1", "2001:db8::1", "fe80::1%lo")
    ]
    assert [client.secret for client in found if client] == [b"one", b"two", b"three", b"three", b"three"]
    assert "one" not in repr(found)


def test_a_changed_secret_is_read_again(place: Place) -> None:
    clients = Clients([(None, place.secret(b"one"))])
    clients.read()
    place.secret(b"two")
    clients.read()
    found = clients.find(ADDRESS)
    assert found is not None
    assert found.secret == b"two"


def test_a_secret_that_cannot_be_read_again_is_told_and_the_one_before_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "_LOOK_SECONDS", 0.05)
    learner, record = place.learner(), place.record()

    def is_answered(number: int, secret: bytes) -> bool:
        data = accounting(number=number, status=START, session=str(number), user="a", address="10.0.0.2", secret=secret)
        return is_answer(bras.tell(data)[0], data, secret=secret)

    with running(learner, record), nas(learner.port) as bras:
        assert is_answered(1, SECRET)
        place.secret(b"")  # as somebody has it who writes it anew
        wait_until(lambda: learner.status().state is State.WAITING, "trouble")
        assert "its first line is empty" in str(learner.status().error)
        assert is_answered(2, SECRET)
        place.secret(b"another\n")
        wait_until(lambda: learner.status().state is State.FOLLOWING, "mend")
        assert is_answered(3, b"another")


def test_no_secret_is_in_the_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    learner, record = place.learner(), place.record()
    with running(learner, record), nas(learner.port) as bras:
        bras.tell(accounting(status=START, session="1", user="alice", address="10.0.0.2"))
        assert bras.says_nothing_to(accounting(status=START, session="2", secret=b"wrong"))
    said = " ".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)
    assert "radius_listening" in said
    assert SECRET.decode() not in said
