"""What systemd is told, and when it is not."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.daemon import Daemon
from netledger.daemon.notify import ServiceManager
from netledger.errors import NetledgerError
from netledger.intervals import SystemClock
from netledger.pipeline import CommitQueue
from tests.unit.memory_source import maker, no_bpf
from tests.unit.rows import wait_until
from tests.unit.test_daemon import Run, run

__all__ = ["run"]


class Systemd:
    """A socket that is told how a service goes."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def next(self) -> dict[str, str]:
        """The next message. Blocks until it is there, at most ten seconds."""
        return dict(line.split("=", 1) for line in self._channel.recv(4096).decode().splitlines())

    def until(self, key: str) -> dict[str, str]:
        """The next message that has such a line."""
        while key not in (message := self.next()):
            pass
        return message


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    path = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(10)
        channel.bind(f"\0{path}" if request.param else path)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{path}" if request.param else path)
        yield Systemd(channel)


def test_it_is_told_when_it_counts_how_it_goes_and_when_it_stops(run: Run, systemd: Systemd) -> None:
    told = []
    assert run(lambda: told.append(systemd.next())) == 0
    told.append(systemd.next())
    assert told == [
        {"READY": "1", "STATUS": "Counting nflog."},
        {"STOPPING": "1", "STATUS": "Closing the intervals and committing them."},
    ]


def test_it_is_told_of_a_reload_and_of_a_refused_one(run: Run, systemd: Systemd) -> None:
    told = []

    def meanwhile() -> None:
        systemd.until("READY")
        for text in ("rows = 3\n", '[meters.nflog]\n[meters.wan]\ninterval = "1h"\n'):
            run.text = text
            os.kill(os.getpid(), signal.SIGHUP)
            told.extend([systemd.next(), systemd.until("READY")])
        told.append(systemd.until("STATUS"))

    assert run(meanwhile) == 0
    reading = {"RELOADING": "1", "STATUS": "Reading the configuration again."}
    assert told[0] == told[2] == reading
    assert told[1] == {"READY": "1", "STATUS": "Counting nflog."}
    assert told[3] == {"READY": "1", "STATUS": "Counting nflog; not yet wan."}
    assert told[4]["STATUS"].startswith("Counting ")


def test_the_watchdog_hears_the_loop_as_often_as_it_asks(
    run: Run, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    signs: list[dict[str, str]] = []
    assert run(lambda: signs.extend(systemd.until("WATCHDOG") for _ in range(5))) == 0
    assert len(signs) == 5


@pytest.mark.parametrize(
    ("settings", "expected_ns"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 10_000_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
    ],
)
def test_the_watchdog_is_heard_only_where_this_process_is_meant(
    settings: dict[str, str], expected_ns: int | None
) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/nowhere"} | settings).sign_of_life_ns() == expected_ns
    assert ServiceManager(settings).sign_of_life_ns() is None


def test_without_the_thread_that_commits_the_watchdog_hears_nothing_and_the_program_ends(
    run: Run, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    monkeypatch.setattr(CommitQueue, "is_alive", lambda _: False)
    daemon = Daemon(run.config(), SystemClock(), make_source=maker(run.made), reload=run.config, probe=no_bpf)
    with pytest.raises(NetledgerError, match="thread of commits: it has ended"):
        daemon.run()
    assert systemd.next()["READY"] == "1"
    with pytest.raises(TimeoutError):
        systemd_without_waiting(systemd)


def systemd_without_waiting(systemd: Systemd) -> dict[str, str]:
    """What is there at once."""
    systemd._channel.settimeout(0.05)  # this file's own class
    return systemd.next()


def test_a_systemd_that_does_not_listen_is_no_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{run.tmp_path}/nobody")
    assert run(lambda: wait_until(lambda: bool(run.made), "source")) == 0
