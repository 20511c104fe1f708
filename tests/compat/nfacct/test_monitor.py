"""``monitor`` beside the real one: the same lines, at once; how it ends; and what it does when events are lost."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger import nfacct
from netledger.nfacct import Quota, Unit
from tests.compat.nfacct.both import NOBODY, Program, real_program, run
from tests.compat.nfacct.tables import PAYLOAD_BYTES, PORT
from tests.kernel.lab import Child, Network, open_files, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables", "stdbuf")]

OURS = [str(Path(sys.executable).with_name("nfacct")), "m"]
SECONDS = 20.0
STORM = 20_000
ENDS = (signal.SIGTERM, signal.SIGINT)
NETLINK_NETFILTER = "12"
LINE = b"{ pkts = %020d, bytes = %020d, quota = %020d, mode = %s, overquota = yes } = %s;\n"


class Space(Network):
    """A namespace with rules; 128 bytes a packet."""

    def _wire(self) -> None:
        self.here = self.namespace("monitor")

    def monitor(self, argv: list[str]) -> Child:
        """A monitor that listens by now."""
        child = self.spawn(self.here, argv)
        wait_for(lambda: self._sockets(child), SECONDS, f"{argv[0]} listens")
        return child

    def queued(self, child: Child) -> int:
        """What waits in its socket, in the kernel's bytes."""
        return sum(int(columns[4]) for columns in self._sockets(child))

    def _sockets(self, child: Child) -> list[list[str]]:
        rows = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]]
        listening = [row for row in rows if row[1] == NETLINK_NETFILTER and int(row[3], 16)]
        inodes = open_files(child.pid)
        return [row for row in listening if f"socket:[{row[9]}]" in inodes]

    def rule(self, name: str) -> None:
        match = ["-p", "udp", "--dport", str(PORT), "-m", "nfacct", "--nfacct-name", name]
        self.run(self.here, ["iptables", "-w", "-A", "OUTPUT", *match])

    def send(self, packets: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(packets):
                sender.sendto(bytes(PAYLOAD_BYTES), ("127.0.0.1", PORT))


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made, made.inside(made.here):
        made.nft(made.here, "table ip sink { chain c { type filter hook input priority 0; udp dport 9001 drop; }; }")
        nfacct.add("pq", quota=Quota(3, Unit.PACKETS))
        nfacct.add("b q\xff", quota=Quota(256, Unit.BYTES))
        made.rule("pq")
        yield made


def test_both_print_the_same_lines(space: Space) -> None:
    real = space.monitor(["stdbuf", "-oL", str(real_program()), "m"])
    ours = space.monitor(OURS)
    space.send(5)
    nfacct.reset("pq")
    space.send(2)
    nfacct.reset("pq")
    space.send(4)
    expected = LINE % (3, 384, 3, b"packet", b"pq") * 2
    wait_for(lambda: ours.standard_output.read_bytes() == expected, SECONDS, "ours has told it")
    wait_for(lambda: real.standard_output.read_bytes() == expected, SECONDS, "the real one has told it")
    for child in (real, ours):
        child.signal(signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
    assert (ours.standard_output.read_bytes(), real.standard_output.read_bytes()) == (expected, expected)
    assert (ours.errors(), real.errors()) == ("", "")


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name)
def test_a_signal_ends_both_and_only_ours_has_printed_by_then(space: Space, end: signal.Signals) -> None:
    real, ours = space.monitor([str(real_program()), "monitor"]), space.monitor(OURS)
    space.send(3)
    expected = LINE % (3, 384, 3, b"packet", b"pq")
    wait_for(lambda: ours.standard_output.read_bytes() == expected, SECONDS, "ours has told it")
    wait_for(lambda: space.queued(real) == 0, SECONDS, "the real one has taken it")
    for child in (real, ours):
        child.signal(end)
        assert child.wait() == -end
    assert (ours.standard_output.read_bytes(), real.standard_output.read_bytes()) == (expected, b"")
    assert (ours.errors(), real.errors()) == ("", "")


def test_without_privilege_ours_says_so_and_the_real_one_listens_to_nothing(space: Space) -> None:
    printed = run(Program.OURS, [b"monitor"], as_nobody=True)
    assert (printed.status, printed.output) == (1, b"")
    assert printed.errors == b"nfacct v1.0.2: error: Operation not permitted\n"
    argv = [str(real_program()), "monitor"]
    real = subprocess.Popen(argv, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE)
    try:
        wait_for(lambda: _waits(real.pid), SECONDS, "the real one waits")
        space.send(3)
        assert nfacct.get("pq").over_quota
        assert real.poll() is None
    finally:
        real.kill()
        assert real.communicate()[0] == b""


def _waits(pid: int) -> bool:
    """Whether a process has a socket, and sleeps."""
    state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    return state == "S" and any("socket" in name for name in open_files(pid))


def test_lost_events_end_the_real_one_silently_and_ours_tells_of_them_and_goes_on(space: Space) -> None:
    real, ours = space.monitor([str(real_program()), "monitor"]), space.monitor(OURS)
    for child in (real, ours):
        child.signal(signal.SIGSTOP)
    for _ in range(STORM):
        space.send(3)
        nfacct.reset("pq")
    for child in (real, ours):
        child.signal(signal.SIGCONT)
    assert real.wait() == 0
    assert real.errors() == "mnl_socket_recvfrom: No buffer space available\n"
    wait_for(lambda: "events lost" in ours.errors() and space.queued(ours) == 0, SECONDS, "ours tells of the loss")
    nfacct.reset("pq")
    before = len(ours.standard_output.read_bytes())
    space.send(3)
    wait_for(lambda: len(ours.standard_output.read_bytes()) > before, SECONDS, "ours goes on")
    lost = int(ours.errors().partition("available (")[2].partition(" ")[0])
    told = ours.standard_output.read_bytes().count(b"\n") - 1
    assert told + lost == STORM
    ours.signal(signal.SIGTERM)
    assert ours.wait() == -signal.SIGTERM
