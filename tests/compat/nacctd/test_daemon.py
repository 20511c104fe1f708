"""The daemon on a real wire: what it writes, what it says, and how it ends."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.compat.nacctd.transcript import transcript
from tests.compat.nacctd.wire import OWN, SECONDS, Wire, udp_line
from tests.kernel.lab import wait_for

pytestmark = pytest.mark.kernel

LONG = "flush 1000\nfdelay 1000\n"
WITHOUT_PACKETS = f"debugfile debug\nheaders eth 14 12\n{LONG}disable 7\nflush 1\n"


def test_the_recorded_run_is_said_and_written_as_recorded(wire: Wire) -> None:
    recorded = transcript("01-all-fields.txt")
    (wire.directory / "tab").write_text(recorded.naccttab.replace("/mnt/", f"{wire.directory}/"))
    daemon = wire.start()
    wire.send(10, 100, port=4000)
    wire.send(2, 50, port=4001)
    assert wire.stop(daemon) == 1
    assert wire.lines("acct.log") == [udp_line(10), udp_line(2, 78, port=4001)]
    assert set(wire.lines("acct.log")) <= set(recorded.log)
    expected = [(priority, text) for priority, _name, text in recorded.said if not text.startswith("config: ")]
    assert wire.said() == [(priority, text.replace("/mnt", str(wire.directory))) for priority, text in expected]
    assert (daemon.output(), daemon.errors()) == ("", "")
    left = {each.name for each in wire.directory.iterdir() if each.is_file()}
    assert left == {"tab", "acct.log", "debug"}
    assert not wire.pid_file.exists()


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, 2), (signal.SIGTERM, 15)])
def test_a_signal_ends_it_with_status_one(wire: Wire, number: signal.Signals, said: int) -> None:
    daemon = wire.start(LONG)
    assert wire.stop(daemon, number) == 1
    assert wire.said()[-1] == (30, f"net accounting daemon terminating ({said})\n")


def test_idle_records_are_written_and_the_others_are_in_the_dump(wire: Wire) -> None:
    wire.start("flush 1\nfdelay 2\n")
    wire.send(3)
    wire.wait_for_lines([udp_line(3)], "dump")
    wire.wait_for_lines([udp_line(3)])
    wait_for(lambda: not (wire.directory / "dump").exists(), SECONDS, "no dump")


def test_as_a_daemon_it_has_a_session_of_its_own_and_no_open_files(wire: Wire) -> None:
    wire.write_table(LONG)
    parent = wire.launch("-c", "tab")
    assert parent.wait() == 0
    pid = int(wait_for(lambda: wire.pid_file.exists() and wire.pid_file.read_text(), SECONDS, "a pid"))
    try:
        counted = wire.directory / "run" / "netledger" / "nacctd" / "holders.json"
        wait_for(counted.exists, SECONDS, "counting")
        assert os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/cwd").resolve() == wire.directory
        assert [Path(f"/proc/{pid}/fd/{each}").readlink() for each in range(3)] == [Path("/dev/null")] * 3
        assert wire.pid_file.stat().st_mode & 0o777 == 0o644
        wire.send(4)
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), SECONDS, "the end")
    assert wire.lines() == [udp_line(4)]
    assert (30, "net accounting daemon forked\n") in wire.said()


def test_a_second_instance_touches_nothing(wire: Wire) -> None:
    daemon = wire.start("flush 1\nfdelay 1000\n")
    wire.send(3)
    wire.wait_for_lines([udp_line(3)], "dump")
    before = {
        each.name: each.read_bytes() for each in wire.directory.iterdir() if each.is_file() and each.name != "dump"
    }
    second = wire.launch("-D", "-c", "tab")
    assert second.wait() == 1
    assert wire.launch("-c", "tab").wait() == 0
    wire.wait_for_said("daemon already running or stale pid-file", 2)
    assert (30, f"found pid-file with pid {daemon.pid}\n") in wire.said()
    assert (30, f"process {daemon.pid} is still running.\n") in wire.said()
    assert wire.lines("dump") == [udp_line(3)]
    after = {
        each.name: each.read_bytes() for each in wire.directory.iterdir() if each.is_file() and each.name != "dump"
    }
    assert after.keys() == before.keys()
    assert wire.pid_file.read_text() == f"{daemon.pid}\n"
    wire.send(2)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(5)]


@pytest.mark.parametrize("content", ["garbage\n", "", "1\n"])
def test_a_pid_file_of_nobody_keeps_nobody_out(wire: Wire, content: str) -> None:
    wire.pid_file.write_text(content)
    daemon = wire.start(LONG)
    assert wire.stop(daemon) == 1
    assert wire.said()[-1] == (30, "net accounting daemon terminating (15)\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("device nosuch0\n", ["can't get flags: No such device\n", "net accounting daemon terminating (0)\n"]),
        ("debugfile no/debug\n", ["error opening debug file: No such file or directory\n",
                                  "net accounting daemon aborting\n"]),
        ("nonsense\n", ["config file: unknown keyword nonsense in line 6\n", "error reading config file\n",
                        "net accounting daemon aborting\n"]),
    ],
)  # fmt: skip
def test_a_start_that_fails_is_said_in_the_old_words(wire: Wire, text: str, said: list[str]) -> None:
    wire.write_table(text)
    daemon = wire.launch("-D", "-c", "tab")
    assert daemon.wait() == 1
    assert [each for _, each in wire.said()][-len(said) :] == said
    assert not wire.pid_file.exists()
    assert (daemon.output(), daemon.errors()) == ("", "")


def test_without_root_it_is_refused(wire: Wire) -> None:
    (wire.directory / "dev" / "log").chmod(0o777)
    code = "import os; from netledger.compat.nacctd.main import main; os.setresuid(7, 7, 7); raise SystemExit(main([]))"
    wrapped = ["unshare", "--mount", "sh", "-c", OWN, str(wire.directory), sys.executable, "-c", code]
    assert wire.spawn(wire.a, wrapped).wait() == 1
    assert wire.said() == [(11, "must be superuser to run nacctd\n")]


def test_a_hup_with_a_bad_file_changes_nothing(wire: Wire) -> None:
    daemon = wire.start(LONG)
    wire.send(3)
    wire.write_table(f"{LONG}nonsense\n")
    daemon.signal(signal.SIGHUP)
    wire.wait_for_said("the settings stay as they were")
    assert (27, "config file: unknown keyword nonsense in line 8\n") in wire.said()
    (wire.directory / "tab").unlink()
    daemon.signal(signal.SIGHUP)
    wire.wait_for_said("the settings stay as they were", 2)
    wire.send(2)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(5)]


def test_a_hup_with_other_fields_and_another_file_keeps_the_records(wire: Wire) -> None:
    daemon = wire.start(LONG)
    wire.send(3)
    (wire.directory / "tab").write_text(f"file acct2\ndumpfile dump\n{WITHOUT_PACKETS}")
    daemon.signal(signal.SIGHUP)
    wait_for((wire.directory / "dump").exists, SECONDS, "the records in the dump")
    wire.send(2, port=4001)
    assert wire.stop(daemon) == 1
    assert wire.lines("acct2") == [line.replace("\t3\t384", "\t384").replace("\t2\t256", "\t256")
                                   for line in (udp_line(3), udp_line(2, port=4001))]  # fmt: skip


def test_a_storm_of_signals_loses_nothing(wire: Wire) -> None:
    daemon = wire.start(LONG)
    for round_ in range(20):
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTSTP, signal.SIGCONT, signal.SIGQUIT, signal.SIGALRM):
            daemon.signal(number)
        wire.send(1 + round_ % 3)
    assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(sum(1 + round_ % 3 for round_ in range(20)))]


def test_when_no_log_daemon_listens_errors_go_to_standard_error(wire: Wire) -> None:
    (wire.directory / "dev" / "log").unlink()
    (wire.directory / "tab").write_text("nonsense\n")
    daemon = wire.launch("-D", "-c", "tab")
    assert daemon.wait() == 1
    assert daemon.errors().splitlines() == [
        "nacctd: config file: unknown keyword nonsense in line 1",
        "nacctd: error reading config file",
    ]


def test_a_table_that_is_not_there_is_named(wire: Wire) -> None:
    daemon = wire.launch("-D", "-c", "nosuch")
    assert daemon.wait() == 1
    assert [text for _, text in wire.said()][-3:-1] == [
        "config file: nosuch: No such file or directory\n",
        "error reading config file\n",
    ]


def test_a_log_daemon_that_hangs_holds_nothing_up(wire: Wire) -> None:
    path = wire.directory / "dev" / "log"
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.bind(str(path))
        wire.write_table(f"{LONG}" + "notdev x\n" * 600)
        daemon = wire.start()
        wire.send(3)
        for _ in range(3):
            daemon.signal(signal.SIGHUP)
        wire.send(2)
        assert wire.stop(daemon) == 1
    assert wire.lines() == [udp_line(5)]
