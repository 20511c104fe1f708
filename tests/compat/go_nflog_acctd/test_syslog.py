"""``-syslog``: datagrams on /dev/log, in a mount namespace where the test listens there."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.compat.go_nflog_acctd.transcript import TRANSCRIPTS
from tests.compat.go_nflog_acctd.wire import SECONDS, Wire
from tests.kernel.lab import wait_for

pytestmark = pytest.mark.kernel

DATAGRAM = re.compile(r"<(\d+)>([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) ([^\[]+)\[(\d+)\]: (.*)\n")
# A /dev of its own with the few devices that are needed.
OWN_DEV = """
for device in null urandom; do touch "$0/$device"; mount --bind "/dev/$device" "$0/$device"; done
mount --bind "$0" /dev
exec "$@"
"""


class Listener:
    """A log daemon that only listens."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(0)
        self._socket.bind(str(path))
        self.received: list[str] = []

    def lines(self) -> list[str]:
        while True:
            try:
                self.received.append(self._socket.recv(65536).decode())
            except BlockingIOError:
                return self.received

    def close(self) -> None:
        self._socket.close()


@contextmanager
def listener(path: Path) -> Iterator[Listener]:
    path.unlink(missing_ok=True)
    made = Listener(path)
    try:
        yield made
    finally:
        made.close()


def own_dev(directory: Path) -> tuple[str, ...]:
    directory.mkdir()
    return ("unshare", "--mount", "sh", "-c", OWN_DEV, str(directory))


def messages(text: str) -> list[str]:
    return [re.sub(r"\d{4}-\d\d-\d\d-\d{6}", "TIME", match[5]) for match in DATAGRAM.finditer(text)]


def test_lines_go_to_the_log_daemon_as_those_of_a_daemon(wire: Wire) -> None:
    dev = wire.directory / "dev"
    before = own_dev(dev)
    with listener(dev / "log") as log:
        daemon = wire.start("-syslog", "-ip4-dst-group", "4", directory="go6/acc", before=before)
        wait_for(lambda: any("Started" in line for line in log.lines()), SECONDS, "started")
        assert daemon.stop() == 0
        found = [DATAGRAM.fullmatch(line) for line in log.lines()]
    assert None not in found
    assert {match.group(1, 3, 4) for match in found if match} == {("30", "go-nflog-acctd", str(daemon.child.pid))}
    recorded = messages((TRANSCRIPTS / "06-syslog-format.txt").read_text().replace("\\n'", "\n"))
    # The recorded run had two dumps on its way.
    assert [message for message in messages("".join(log.received)) if "tats" not in message] == [
        message for message in recorded if "tats" not in message
    ]
    assert set(messages("".join(log.received))) == set(recorded)
    assert daemon.text() == ""


def test_a_refused_start_goes_to_the_log_daemon_too(wire: Wire) -> None:
    dev = wire.directory / "dev"
    before = own_dev(dev)
    with listener(dev / "log") as log:
        daemon = wire.start("-syslog", before=before)
        assert daemon.child.wait() == 1
        assert messages("".join(log.lines())) == ["Not monitoring any groups - exiting"]
    assert daemon.text() == ""


def test_without_a_log_daemon_the_start_is_refused(wire: Wire) -> None:
    daemon = wire.start("-syslog=true", "-ip4-dst-group", "4", before=own_dev(wire.directory / "dev"))
    assert daemon.child.wait() == 1
    assert daemon.log() == ["Failed to start syslog: Unix syslog delivery error"]


def test_a_restarted_log_daemon_gets_the_further_lines(wire: Wire) -> None:
    dev = wire.directory / "dev"
    before = own_dev(dev)
    with listener(dev / "log") as log:
        daemon = wire.start("-syslog", "-ip4-dst-group", "4", before=before)
        wait_for(lambda: any("Started" in line for line in log.lines()), SECONDS, "started")
    with listener(dev / "log") as log:
        assert daemon.stop() == 0
        assert messages("".join(log.lines()))[-1] == "Exit"
        assert messages("".join(log.lines()))[0] == "terminated received - shutting down"


def test_when_the_log_daemon_goes_away_lines_go_to_standard_error(wire: Wire) -> None:
    dev = wire.directory / "dev"
    before = own_dev(dev)
    with listener(dev / "log") as log:
        daemon = wire.start("-syslog", "-ip4-dst-group", "4", before=before)
        wait_for(lambda: any("Started" in line for line in log.lines()), SECONDS, "started")
    assert daemon.stop() == 0
    assert daemon.log()[0] == "terminated received - shutting down"
    assert daemon.log()[-1] == "Exit"
