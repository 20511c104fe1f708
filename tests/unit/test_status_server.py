"""The status socket against clients of every kind: who asks well is answered, whatever the others do."""

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from netledger.daemon import status_server
from netledger.daemon.answers import Later
from netledger.daemon.status_server import CLIENTS_MAX, StatusServer
from netledger.live.shape import REQUEST_BYTES_MAX, SOCKET
from tests.unit.rows import wait_until

GOOD = b'{"get": "status"}\n'


class Echo:
    """Answers with as many bytes as it is asked for, or breaks; takes its time where it is asked to."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.asked: list[bytes] = []
        self.looks = 0

    def answer(self, request: bytes) -> bytes | Later:
        self.asked.append(request)
        if request == b"later":
            return self.later
        if request == b"break":
            raise ZeroDivisionError
        return b"x" * int(request) + b"\n" if request.isdigit() else b"ok\n"

    def later(self, user: int) -> bytes:
        assert self.may_go_on.wait(90)
        return b"by %d\n" % user

    def look(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise ZeroDivisionError


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def runtime(tmp_path: Path, echo: Echo) -> Iterator[Path]:
    # Longer than the name of a socket may be.
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    server = StatusServer(directory, echo)
    server.open()
    yield directory
    server.close()
    server.close()
    assert list(directory.iterdir()) == []


def connected(runtime: Path, stack: ExitStack) -> socket.socket:
    folder = os.open(runtime, os.O_PATH)
    stack.callback(os.close, folder)
    channel = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    # With a timeout it would not wait for its turn, but fail at once.
    channel.connect(f"/proc/self/fd/{folder}/{SOCKET}")
    channel.settimeout(10)
    return channel


def read_all(channel: socket.socket) -> bytes:
    pieces = []
    try:
        while piece := channel.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pass  # it had not read all that was sent
    return b"".join(pieces)


def ask(runtime: Path, request: bytes = GOOD) -> bytes:
    with ExitStack() as stack:
        channel = connected(runtime, stack)
        with suppress(BrokenPipeError):  # it was refused already
            channel.sendall(request)
        return read_all(channel)


def test_one_question_has_one_answer_and_then_the_end(runtime: Path, echo: Echo) -> None:
    assert ask(runtime) == b"ok\n"
    assert ask(runtime, GOOD + GOOD) == b"ok\n"
    assert ask(runtime, b"3000000\n") == b"x" * 3_000_000 + b"\n"
    assert echo.asked == [GOOD.strip()] * 2 + [b"3000000"]


def test_only_its_user_and_group_may_ask(runtime: Path) -> None:
    found = (runtime / SOCKET).stat()
    assert stat.S_IMODE(found.st_mode) == 0o660
    assert found.st_gid == runtime.stat().st_gid
    assert [path.name for path in runtime.iterdir()] == [SOCKET]


def test_a_question_may_come_in_pieces_and_half_a_one_is_none(runtime: Path, echo: Echo) -> None:
    with ExitStack() as stack:
        channel = connected(runtime, stack)
        for byte in GOOD:
            channel.sendall(bytes([byte]))
        assert read_all(channel) == b"ok\n"
        half = connected(runtime, stack)
        half.sendall(GOOD[:-1])
        half.shutdown(socket.SHUT_WR)
        assert read_all(half) == b""
    assert len(echo.asked) == 1


def test_a_question_without_end_is_refused(runtime: Path, echo: Echo) -> None:
    for request in (b"x" * REQUEST_BYTES_MAX, b"x" * 10 * REQUEST_BYTES_MAX):
        with ExitStack() as stack:
            channel = connected(runtime, stack)
            try:
                channel.sendall(request)
            except (BrokenPipeError, ConnectionResetError):
                continue  # it was refused before it was all sent
            assert "less than" in json.loads(read_all(channel))["error"]["why"]
    assert echo.asked == []
    assert ask(runtime) == b"ok\n"


def test_an_answer_that_breaks_is_told_and_the_next_is_given(
    runtime: Path, echo: Echo, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until(lambda: echo.looks > 0, "look")
    assert json.loads(ask(runtime, b"break\n"))["error"]["hint"] == "see the log of the daemon"
    assert ask(runtime) == b"ok\n"
    # The first look broke too, maybe before this test began.
    assert {record.message for record in caplog.records} == {"status_failed"}


def test_a_hundred_that_never_ask_do_not_keep_anybody_from_it(runtime: Path) -> None:
    with ExitStack() as stack:
        silent = [connected(runtime, stack) for _ in range(100)]
        assert ask(runtime) == b"ok\n"
        # Those that were there first have made room.
        assert read_all(silent[0]) == b""
        silent[-1].sendall(GOOD)
        assert read_all(silent[-1]) == b"ok\n"


def test_those_who_never_read_are_let_go(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "STALL_SECONDS", 0.3)
    with ExitStack() as stack:
        stuck = [connected(runtime, stack) for _ in range(CLIENTS_MAX)]
        for channel in stuck:
            channel.sendall(b"5000000\n")
        assert [channel.recv(1) for channel in stuck] == [b"x"] * CLIENTS_MAX
        answers: list[bytes] = []

        def may_ask() -> bool:
            answers.append(ask(runtime))
            return answers[-1] == b"ok\n"

        wait_until(may_ask, "answer")
        # While all of them were in the way it said so.
        assert all(b"too many" in answer for answer in answers[:-1])
        assert min(len(read_all(channel)) for channel in stuck) < 4_000_000


def test_who_reads_too_slowly_is_let_go_in_the_end(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "ANSWER_SECONDS", 0.5)
    pause = threading.Event()
    with ExitStack() as stack:
        channel = connected(runtime, stack)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        channel.sendall(b"50000000\n")
        got = 0
        while piece := channel.recv(1 << 16):
            got += len(piece)
            pause.wait(0.02)
        assert got < 50_000_000
    assert ask(runtime) == b"ok\n"


def test_who_does_not_ask_in_time_is_let_go(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_server, "REQUEST_SECONDS", 0.2)
    with ExitStack() as stack:
        channel = connected(runtime, stack)
        channel.sendall(GOOD[:3])
        assert read_all(channel) == b""


def test_who_goes_away_in_the_middle_hurts_nobody(runtime: Path) -> None:
    for request in (b"", GOOD[:5], GOOD, b"5000000\n"):
        with ExitStack() as stack:
            connected(runtime, stack).sendall(request)
    assert ask(runtime) == b"ok\n"


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path, echo: Echo) -> None:
    (tmp_path / SOCKET).write_text("stale")
    (tmp_path / f"{SOCKET}.new").write_text("stale")
    with socket.socket(socket.AF_UNIX) as dead:
        (tmp_path / SOCKET).unlink()
        dead.bind(str(tmp_path / SOCKET))
    server = StatusServer(tmp_path, echo)
    server.open()
    assert ask(tmp_path) == b"ok\n"
    server.close()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_somebody_removed_is_made_again(
    tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(status_server, "_LOOK_SECONDS", 0.05)
    server = StatusServer(tmp_path / "later", echo)
    server.open()
    wait_until(lambda: echo.looks > 2, "looks")
    # Nothing is said of it but that; counting goes on.
    assert "status_socket_failed" in [record.message for record in caplog.records]
    (tmp_path / "later").mkdir()
    wait_until((tmp_path / "later" / SOCKET).exists, "socket")
    (tmp_path / "later" / SOCKET).unlink()
    wait_until((tmp_path / "later" / SOCKET).exists, "socket")
    assert ask(tmp_path / "later") == b"ok\n"
    server.close()


def test_too_many_open_files_let_it_rest_and_not_turn(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, echo: Echo
) -> None:
    monkeypatch.setattr(status_server, "_REST_SECONDS", 0.2)
    tries = []

    def refuse(self: socket.socket) -> tuple[socket.socket, object]:
        tries.append(1)
        raise OSError(24, "Too many open files")

    accept = socket.socket.accept
    monkeypatch.setattr(socket.socket, "accept", refuse)
    with ExitStack() as stack:
        channel = connected(runtime, stack)
        channel.sendall(GOOD)
        wait_until(lambda: len(tries) >= 2, "second try")
        monkeypatch.setattr(socket.socket, "accept", accept)
        assert read_all(channel) == b"ok\n"
    assert len(tries) < 20


def test_what_takes_its_time_holds_up_nobody_and_says_who_asked(runtime: Path, echo: Echo) -> None:
    with ExitStack() as stack:
        slow = [connected(runtime, stack) for _ in range(CLIENTS_MAX)]
        for channel in slow:
            channel.sendall(b"later\n")
        wait_until(lambda: len(echo.asked) == CLIENTS_MAX, "questions")
        assert ask(runtime) == b"ok\n"
        # One more would be one thread more.
        assert "too many" in json.loads(ask(runtime, b"later\n"))["error"]["why"]
        slow.pop().close()
        echo.may_go_on.set()
        assert {read_all(channel) for channel in slow} == {b"by %d\n" % os.getuid()}
    assert ask(runtime, b"later\n") == b"by %d\n" % os.getuid()


def test_what_is_being_done_at_the_end_is_answered_before_it(tmp_path: Path, echo: Echo) -> None:
    server = StatusServer(tmp_path, echo)
    server.open()
    with ExitStack() as stack:
        channel = connected(tmp_path, stack)
        channel.sendall(b"later\n")
        wait_until(lambda: echo.asked == [b"later"], "question")
        closing = threading.Thread(target=server.close)
        closing.start()
        echo.may_go_on.set()
        assert read_all(channel) == b"by %d\n" % os.getuid()
        closing.join(30)
        assert not closing.is_alive()


def test_what_never_ends_does_not_keep_the_server_from_ending(
    tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status_server, "WORK_SECONDS", 0.1)
    server = StatusServer(tmp_path, echo)
    server.open()
    with ExitStack() as stack:
        channel = connected(tmp_path, stack)
        channel.sendall(b"later\n")
        wait_until(lambda: echo.asked == [b"later"], "question")
        server.close()
        echo.may_go_on.set()
        # It is let go by the thread that had it.
        assert read_all(channel) == b""
