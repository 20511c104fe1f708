"""Questions and answers: a board with a meter in memory, the socket, and the client that asks."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from netledger.daemon.answers import Answers
from netledger.daemon.status_server import StatusServer
from netledger.errors import LedgerError, LiveError, NotRunningError, SourceError
from netledger.live import AttributionStatus, Client, DaemonStatus, LastCommit, MeterStatus, ProblemStatus
from netledger.live.shape import SOCKET, TableHead
from netledger.pipeline.problems import Trouble
from netledger.receipt import Count
from tests.unit.house import House, built
from tests.unit.memory_source import STILL
from tests.unit.rows import RECEIPT, SECOND_NS, row


@pytest.fixture
def house(tmp_path: Path) -> House:
    return built(tmp_path)


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    server = StatusServer(house.runtime, Answers(house.board))
    server.open()
    yield Client(house.runtime)
    server.close()


def test_the_client_gets_what_the_board_says(house: House, client: Client) -> None:
    house.clock.advance(2 * SECOND_NS)
    house.source.seen = replace(STILL, rows=7, received=Count(5000, 900_000), overruns_since_open=2)
    house.problems.note(Trouble.EXPORT, "why", export="csv", hint="do")
    told = client.status()
    assert (told.node, told.now, told.started_at) == ("gw1", "2025-11-20T10:00:02Z", "2025-11-20T10:00:00Z")
    (meter,) = told.meters
    assert (meter.name, meter.source, meter.interval_seconds, meter.rows, meter.rows_max) == (
        "lan",
        "nflog",
        300,
        7,
        1000,
    )
    assert (meter.interval_start, meter.interval_age_seconds) == ("2025-11-20T10:00:00Z", 2)
    assert (meter.received_packets, meter.overruns, meter.lost_packets) == (5000, 2, 0)
    assert (meter.last_commit, meter.intervals_waiting, meter.is_export_due) == (None, 0, False)
    (problem,) = told.problems
    assert (problem.what, problem.export, problem.why, problem.hint) == ("export_failing", "csv", "why", "do")
    assert problem.since == "2025-11-20T10:00:02Z"


def test_the_rate_is_there_at_the_first_question(house: House) -> None:
    house.clock.advance(2 * SECOND_NS)
    house.source.seen = replace(STILL, received=Count(5000, 900_000))
    (meter,) = house.board.status().meters
    assert (meter.packets_per_second, meter.bytes_per_second, meter.rate_milliseconds) == (2500, 450_000, 2000)


def test_a_source_that_breaks_leaves_the_rest_of_the_answer(house: House) -> None:
    house.source.stats_error = SourceError("meter", "ask its thread", "it has ended")
    (meter,) = house.board.status().meters
    assert (meter.rows, meter.received_packets, meter.packets_per_second) == (None, None, None)
    assert meter.interval_start is not None


def test_limits_that_are_too_small_are_problems_with_the_key_to_raise(house: House) -> None:
    house.source.seen = replace(STILL, other=Count(30, 3000), lost_packets=4, overruns=1)
    first = house.board.status()
    assert [problem.what for problem in first.problems] == ["packets_lost", "table_full"]
    lost, full = first.problems
    assert lost.why == "4 packets in this interval and the one before it"
    assert "meters.lan.nflog.buffer_bytes" in (lost.hint or "")
    assert full.why.startswith("30 packets")
    assert "meters.lan.rows_max, which is 1000" in (full.hint or "")
    # The next interval has none; it is over only with the one behind that.
    house.source.seen = STILL
    observed = replace(RECEIPT.observed, lost_by_sequence_packets=4, other=Count(30, 3000))
    house.board.committed(replace(RECEIPT, observed=observed))
    assert house.whats() == ["packets_lost", "table_full"]
    house.board.committed(RECEIPT)
    assert house.whats() == []
    # A full buffer is known before anybody knows how many it cost.
    house.source.seen = replace(STILL, overruns=1)
    assert house.whats() == ["packets_lost"]
    house.board.closed("lan")
    assert house.whats() == []


def test_the_last_commit_is_told_and_outlives_a_restart_of_the_meter(house: House) -> None:
    house.board.committed(RECEIPT)
    house.board.closed("lan")
    assert house.board.status().meters == ()
    house.board.opened(house.meter)
    (meter,) = house.board.status().meters
    assert meter.last_commit is not None
    assert (meter.last_commit.seq, meter.last_commit.status) == (12, "exact")
    assert meter.last_commit.interval_end == "2025-11-20T10:05:00Z"


def test_a_store_problem_says_how_much_waits(house: House) -> None:
    house.meter.cut()
    house.problems.note_error(Trouble.STORE, LedgerError("/s", "write", "no space left on device"), meter="lan")
    (problem,) = house.board.status().problems
    assert problem.why == "/s: write: no space left on device; 1 interval waits"
    house.meter.cut()
    assert "2 intervals wait" in house.board.status().problems[0].why


def test_the_table_is_what_the_source_gives(house: House, client: Client) -> None:
    house.source.content = [
        row("host", host="10.0.0.0", sent=(3000, 3), received=(100, 1), protocol=6),
        row("host", host="fd00::1", sent=(50, 1)),
        row("external", received=(2950, 3)),
    ]
    table = client.table(top=2)
    head = table.head
    assert (head.meter, head.rows, head.rows_shown, head.sort) == ("lan", 3, 2, "bytes")
    assert (head.sent_bytes, head.sent_packets, head.received_bytes, head.received_packets) == (3050, 4, 3050, 4)
    counters = {"sent_bytes": 3000, "sent_packets": 3, "received_bytes": 100, "received_packets": 1}
    assert table.rows[0] == {"account": "host", "host": "10.0.0.0/24", "protocol": 6, **counters}
    assert table.rows[1]["host"] == "fd00::1"
    assert list(client.table("lan", top=1).rows[0]) == ["account", "host", "protocol", *counters]
    house.source.content = []
    assert client.table().rows == ()


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("", "not JSON"),
        ("\x00\xff", "not JSON"),
        ("[" * 4000, "not JSON"),
        ("[]", "nobody knows"),
        ("null", "nobody knows"),
        ('"status"', "nobody knows"),
        ("{}", "nobody knows"),
        ('{"get": ["status"]}', "nobody knows"),
        ('{"get": "everything"}', "nobody knows"),
        ('{"get": "status", "meter": "lan"}', "no meter to status"),
        ('{"get": "table", "stop": true}', "no stop to table"),
        ('{"get": "table", "top": 0}', "top is"),
        ('{"get": "table", "top": 10001}', "top is"),
        ('{"get": "table", "top": true}', "top is"),
        ('{"get": "table", "top": "9"}', "top is"),
        ('{"get": "table", "top": 1.5}', "top is"),
        (f'{{"get": "table", "top": 1{"0" * 4000}}}', "top is"),
        ('{"get": "table", "sort": "host"}', "sort is"),
        ('{"get": "table", "sort": []}', "sort is"),
        ('{"get": "table", "meter": "dmz"}', "dmz does not count"),
        ('{"get": "table", "meter": 7}', "name of one"),
        ('{"get": "table", "meter": {}}', "name of one"),
    ],
)
def test_what_is_no_question_is_refused(house: House, question: str, why: str) -> None:
    error = house.ask(question)["error"]
    assert isinstance(error, dict)
    assert why in error["why"]


def test_a_refusal_reaches_the_one_who_asked(client: Client, house: House) -> None:
    with pytest.raises(LiveError, match="meter dmz does not count") as caught:
        client.table("dmz")
    assert caught.value.hint == "there are lan"
    with pytest.raises(LiveError, match="so long a question"):
        client.table("x" * 5000)
    house.board.closed("lan")
    with pytest.raises(LiveError, match="meter is the name of one"):
        client.table()


def test_where_none_runs_the_hint_says_how_to_start_one(tmp_path: Path) -> None:
    for runtime in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotRunningError, match="no netledger runs here") as caught:
            Client(runtime).status()
        assert "netledger run" in (caught.value.hint or "")
    # What a dead process left.
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    with pytest.raises(NotRunningError):
        Client(tmp_path).status()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "ended in the middle"),
        (b'{"status": ', "ended in the middle"),
        (b"x\n", "understand"),
        (b"[]\n", "understand"),
        (b'{"status": {"pid": 1}}\n', "understand"),
        (b'{"table": {}}\nx\n', "more than was asked"),
    ],
)
def test_a_daemon_that_answers_nonsense_is_an_error_not_a_fault(tmp_path: Path, answer: bytes, why: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET))
        listener.listen(1)

        def serve() -> None:
            channel, _ = listener.accept()
            with channel:
                channel.recv(4096)
                channel.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(LiveError, match=why):
            Client(tmp_path).status()
        thread.join()


def test_a_daemon_that_is_silent_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET))
        listener.listen(1)
        with pytest.raises(LiveError, match="no answer in time"):
            Client(tmp_path, timeout_seconds=0.2).status()


def test_the_page_names_each_key_and_each_kind_of_trouble() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "status.md").read_text(encoding="utf-8")
    shapes = (DaemonStatus, MeterStatus, ProblemStatus, LastCommit, TableHead, AttributionStatus)
    names = {one.name for shape in shapes for one in fields(shape)} | set(Trouble)
    assert sorted(name for name in names if f"`{name}`" not in page) == []
