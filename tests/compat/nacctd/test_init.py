"""Debian's init script and log rotation of net-acct, as they stand, with this program in the old one's place."""

import os
import signal
from pathlib import Path

import pytest

from tests.compat.nacctd.wire import OWN, PROGRAM, SECONDS, Wire, udp_line
from tests.kernel.lab import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd", "start-stop-daemon")]

INSTEAD = """
mount --bind "$1" /usr/sbin/nacctd; mount --bind "$0/tab" /etc/naccttab
exec /etc/init.d/net-acct "$2"
"""
# What /etc/logrotate.d/net-acct has logrotate do.
ROTATE = """
kill -TSTP `cat /var/run/nacctd.pid`
mv acct acct.1
kill -CONT `cat /var/run/nacctd.pid`
"""


def init(wire: Wire, word: str) -> int:
    script = OWN.replace('exec "$@"', "") + "\n" + INSTEAD
    child = wire.spawn(wire.a, ["unshare", "--mount", "sh", "-ec", script, str(wire.directory), str(PROGRAM), word])
    return child.wait(SECONDS)


def pid_of(wire: Wire) -> int:
    return int(wait_for(lambda: wire.pid_file.exists() and wire.pid_file.read_text(), SECONDS, "a pid"))


def test_the_init_script_starts_tells_restarts_and_stops_it(wire: Wire) -> None:
    (wire.directory / "tab").write_text(
        f"file {wire.directory}/acct\ndumpfile {wire.directory}/dump\nheaders eth 14 12\nflush 1\nfdelay 0\n"
    )
    assert init(wire, "status") != 0
    assert init(wire, "start") == 0
    pid = pid_of(wire)
    try:
        counted = wire.directory / "run" / "netledger" / "nacctd" / "holders.json"
        wait_for(counted.exists, SECONDS, "counting")
        assert init(wire, "status") == 0
        wire.send(3)
        wire.wait_for_lines([udp_line(3)])
        own = OWN.replace('exec "$@"', ROTATE)
        assert wire.spawn(wire.a, ["unshare", "--mount", "sh", "-ec", own, str(wire.directory)]).wait(SECONDS) == 0
        wire.send(5, port=4001)
        wire.wait_for_lines([udp_line(5, port=4001)])
        assert wire.lines("acct.1") == [udp_line(3)]
        before = pid
        assert init(wire, "restart") == 0
        pid = pid_of(wire)
        assert pid != before
        assert init(wire, "stop") == 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), SECONDS, "the end")
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
    assert not wire.pid_file.exists()
