"""Debian's init script and log rotation of net-acct, as they stand, with this program in the old one's place."""

from pathlib import Path

import pytest

from tests.compat.nacctd.wire import OWN, PROGRAM, SECONDS, Wire, udp_line
from tests.kernel.lab import wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nacctd", "start-stop-daemon")]

# Processes of its own, too: start-stop-daemon takes any nacctd on this machine for the one it is to start.
HOLD = OWN.replace(
    'cd "$0" && exec "$@"',
    'mount --bind "$1" /usr/sbin/nacctd; mount --bind "$0/tab" /etc/naccttab; cd "$0"; : >ready; exec sleep 600',
)
# What /etc/logrotate.d/net-acct has logrotate do.
ROTATE = """
kill -TSTP `cat /var/run/nacctd.pid`
mv acct acct.1
kill -CONT `cat /var/run/nacctd.pid`
"""


class Host:
    """A machine whose only nacctd is ours."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        holder = wire.spawn(wire.a, [*own, "sh", "-ec", HOLD, str(wire.directory), str(PROGRAM)])
        wait_for((wire.directory / "ready").exists, SECONDS, "namespaces")
        self._first = Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split()[0]

    def run(self, *argv: str) -> int:
        """Runs a command there, and gives its exit status."""
        inside = ["nsenter", "--target", self._first, "--mount", "--pid", f"--wd={self._wire.directory}"]
        return self._wire.spawn(self._wire.a, [*inside, *argv]).wait()

    def init(self, word: str) -> int:
        return self.run("/etc/init.d/net-acct", word)


def pid_of(wire: Wire) -> int:
    return int(wait_for(lambda: wire.pid_file.exists() and wire.pid_file.read_text(), SECONDS, "a pid"))


def test_the_init_script_starts_tells_restarts_and_stops_it(wire: Wire) -> None:
    (wire.directory / "tab").write_text(
        f"file {wire.directory}/acct\ndumpfile {wire.directory}/dump\nheaders eth 14 12\nflush 1\nfdelay 0\n"
    )
    host = Host(wire)
    assert host.init("status") != 0
    assert host.init("start") == 0
    before = pid_of(wire)
    counted = wire.directory / "run" / "netledger" / "nacctd" / "holders.json"
    wait_for(counted.exists, SECONDS, "counting")
    assert host.init("status") == 0
    wire.send(3)
    wire.wait_for_lines([udp_line(3)])
    assert host.run("sh", "-ec", ROTATE) == 0
    wire.send(5, port=4001)
    wire.wait_for_lines([udp_line(5, port=4001)])
    assert wire.lines("acct.1") == [udp_line(3)]
    assert host.init("restart") == 0
    after = pid_of(wire)
    assert after != before
    assert host.init("stop") == 0
    wait_for(lambda: not wire.pid_file.exists(), SECONDS, "the end")
