"""The running daemon answers, from before its first meter counts until it has ended."""

import os
import signal
from pathlib import Path

import pytest

from netledger.errors import NotRunningError, SourceError
from netledger.live import Client
from netledger.live.shape import SOCKET
from tests.unit.memory_source import MemorySource
from tests.unit.rows import wait_until
from tests.unit.test_daemon import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "run")


def whats(client: Client) -> list[str]:
    return [problem.what for problem in client.status().problems]


def wait_until_counting(run: Run, client: Client) -> None:
    wait_until((run.tmp_path / "run" / SOCKET).exists, "socket")
    wait_until(lambda: len(client.status().meters) == 1, "meter")


def test_it_answers_while_it_runs_and_leaves_no_socket(run: Run, client: Client) -> None:
    def meanwhile() -> None:
        wait_until_counting(run, client)
        assert client.status().pid == os.getpid()
        os.kill(os.getpid(), signal.SIGUSR1)
        wait_until(lambda: client.status().meters[0].last_commit is not None, "commit")

    assert run(meanwhile) == 0
    with pytest.raises(NotRunningError):
        client.status()
    assert not (run.tmp_path / "run" / SOCKET).exists()

    def again() -> None:
        wait_until_counting(run, client)
        # What was committed before it began.
        wait_until(lambda: [one.last_commit and one.last_commit.seq for one in client.status().meters] == [2], "seq")

    assert run(again) == 0


def test_a_refused_reload_is_a_problem_until_a_right_one(run: Run, client: Client) -> None:
    def meanwhile() -> None:
        wait_until_counting(run, client)
        right, run.text = run.text, 'interval = "7m"\nrows = 3\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: whats(client) == ["reload_refused"], "problem")
        assert "interval" in client.status().problems[0].why
        run.text = right
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: whats(client) == [], "end of it")

    assert run(meanwhile) == 0


def test_a_meter_that_cannot_start_is_a_problem_until_nobody_wants_it(run: Run, client: Client) -> None:
    busy = SourceError("nflog group 5", "bind", "busy", "stop the other one")
    run.made["busy"] = [MemorySource("busy", open_error=busy)]

    def meanwhile() -> None:
        wait_until_counting(run, client)
        right, run.text = run.text, 'interval = "1d"\n[meters.nflog]\n[meters.busy]\n'
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: whats(client) == ["not_counting"], "problem")
        (problem,) = client.status().problems
        assert (problem.meter, problem.hint) == ("busy", "stop the other one")
        run.text = right
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: whats(client) == [], "end of it")

    assert run(meanwhile) == 0


def test_a_source_that_broke_is_a_problem_until_it_is_started_again(run: Run, client: Client) -> None:
    def meanwhile() -> None:
        wait_until_counting(run, client)
        source = run.made["nflog"][0]
        source.open_error = SourceError("nflog group 5", "bind", "busy")
        source.stats_error = SourceError("meter", "ask its thread", "it has ended")
        os.kill(os.getpid(), signal.SIGUSR1)  # to make it look
        wait_until(lambda: whats(client) == ["source_broke", "not_counting"], "problems")
        assert client.status().meters == ()
        run.text = "[meters.other]\n"
        os.kill(os.getpid(), signal.SIGHUP)
        wait_until(lambda: whats(client) == [], "end of it, as nobody wants it any more")

    # The next start finds what is left.
    assert run(meanwhile) == 0
