"""``-E`` beside the real one, on the same events: the same lines, at once; how it ends; and what it does on loss."""

import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.compat.conntrack.both import Program, real_program
from tests.compat.conntrack.tables import settings
from tests.kernel.lab import Child, Network, open_files, wait_for
from tests.kernel.senders import Udp, udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

OURS = Path(sys.executable).with_name("conntrack")
SECONDS = 60.0
QUIET_SECONDS = 0.5
NETLINK_NETFILTER = 12
STORM = 3_000
LONG = ("2001:db8:1111:2222:3333:4444:5555:6666", "2001:db8:1111:2222:3333:4444:5555:7777")
RULES = """
table inet tracked {
  chain then {
    type filter hook output priority -150;
    udp dport 9050 ct mark set 5
    meta nfproto ipv6 meta l4proto tcp ct mark set 4000000000
    ct state new accept
  }
}
table ip translated {
  chain to { type nat hook output priority -100; udp dport 9070 dnat to 127.0.0.1:9071; }
}"""
VARIANTS = (
    "-E", "-E -o timestamp", "-E -o extended,id,ktimestamp", "-E -o save", "-E -e DESTROY", "-E -e NEW,UPDATES",
    "-E -e NEW -e DESTROY", "-E -p udp", "-E -f ipv6", "-E -p tcp --state ESTABLISHED",
    "-E -s 127.0.0.1 -p udp --dport 9000", "-E -m 5", "-E -g -p udp", "-E -b 500000",
    "--event conntrack -o labels -o id",
)  # fmt: skip
XML = ("-E -o xml", "-E -o xml,id,ktimestamp", "-E -o xml,timestamp -e DESTROY", "-E -p icmp -o xml", "-E -p 99 -o xml")
_STAMP = re.compile(r"^\[\d{8,}\.\d{6}\]\t", re.MULTILINE)
_WHEN = re.compile(r"<when>.*?</when>")
# How old a flow is when one of them reads of it: a second may have passed until the other does.
_AGE = re.compile(r"(<deltatime>|delta-time=)\d+")
_CAUSE = re.compile(r" \[USERSPACE\] portid=\d+(?: progname=.*)?$", re.MULTILINE)
_ICMP = re.compile(r"(<layer4 [^>]*>)<type>\d+</type><code>\d+</code><id>\d+</id>")


class Space(Network):
    """A namespace that speaks with itself, and programs that listen there."""

    def _wire(self) -> None:
        self.here = self.namespace("events")
        settings(self, self.here)
        self.nft(self.here, RULES)
        for address in LONG:
            self.run(self.here, ["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"])

    def listen(self, program: Program, words: str, *, strict: bool = False) -> Child:
        """One of the programs, which listens by now."""
        own = str(real_program()) if program is Program.REAL else str(OURS)
        child = self.spawn(self.here, [own, *["--strict-output"] * strict, *words.split()])
        wait_for(lambda: self._queues(child) or not child.running, SECONDS, f"{child.argv} listens")
        assert child.running, child.errors()
        return child

    def is_idle(self, child: Child) -> bool:
        """Whether it has taken all there is, and sleeps."""
        state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "S" and not any(self._queues(child))

    def wait_until_quiet(self, children: Sequence[Child]) -> None:
        """Until all have taken what there is, and shown it: for half a second nothing has come out of any of them."""
        since, written = time.monotonic(), -1

        def is_quiet() -> bool:
            nonlocal since, written
            now = sum(child.standard_output.stat().st_size + child.standard_error.stat().st_size for child in children)
            if now != written or not all(self.is_idle(child) for child in children):
                since, written = time.monotonic(), now
            return time.monotonic() - since > QUIET_SECONDS

        wait_for(is_quiet, SECONDS, "all events are shown")

    def _queues(self, child: Child) -> list[int]:
        """What waits in its sockets that listen, in the kernel's bytes."""
        with self.inside(self.here):
            rows = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]]
        inodes = open_files(child.pid)
        listening = [row for row in rows if row[1] == str(NETLINK_NETFILTER) and int(row[3], 16)]
        return [int(row[4]) for row in listening if f"socket:[{row[9]}]" in inodes]

    def talk(self) -> None:
        """Flows of several kinds, each for a moment."""
        for family, addresses in ((socket.AF_INET, ("127.0.0.1",)), (socket.AF_INET6, ("::1", LONG[0]))):
            for address in addresses:
                with self.inside(self.here):
                    with socket.socket(family, socket.SOCK_DGRAM) as sender:
                        for port in (9000, 9050, *((9070,) if family == socket.AF_INET else ())):
                            sender.sendto(b"x", (address, port))
                    with (
                        socket.create_server((address, 0), family=family) as listener,
                        socket.create_connection(listener.getsockname()[:2]) as client,
                    ):
                        listener.accept()[0].close()
                        client.recv(1)
                self.run(self.here, ["ping", "-q", "-n", "-c", "1", address])

    def flush(self) -> socket.socket:
        """Deletes all flows, by a socket that stays as long as what is returned: so that its program can be found."""
        with self.inside(self.here):
            remover = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        remover.bind((0, 0))
        # Message 2 of subsystem 1, with an answer asked for; then the header of nfnetlink for all families.
        remover.send(struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0))
        remover.settimeout(SECONDS)
        remover.recv(1000)
        return remover


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made:
        yield made


def _ended(child: Child, number: signal.Signals) -> tuple[str, str, int]:
    child.signal(number)
    status = child.wait()
    return child.output(), child.errors(), status


def _evened(printed: tuple[str, str, int]) -> tuple[str, str, int]:
    output = _STAMP.sub("[N]\t", _WHEN.sub("<when/>", printed[0]))
    return _AGE.sub(r"\1N", output), printed[1], printed[2]


def test_both_show_the_same_events_and_end_alike(space: Space) -> None:
    pairs = {words: [space.listen(program, words) for program in Program] for words in VARIANTS}
    strict = {
        words: [space.listen(program, words, strict=program is Program.OURS) for program in Program] for words in XML
    }
    modern = {words: space.listen(Program.OURS, words) for words in XML}
    space.talk()
    children = [*(child for pair in (*pairs.values(), *strict.values()) for child in pair), *modern.values()]
    with space.flush():
        space.wait_until_quiet(children)
        shown = {
            words: [_evened(_ended(child, signal.SIGINT if number % 2 else signal.SIGTERM)) for child in pair]
            for number, (words, pair) in enumerate((*pairs.items(), *strict.items()))
        }
        documents = {words: _evened(_ended(child, signal.SIGTERM)) for words, child in modern.items()}
    assert "progname=" in shown["-E"][0][0]
    for words, (real, ours) in shown.items():
        assert ours == real, words
    for words in XML:
        real = shown[words][0]
        assert _CAUSE.search(real[0]) or "-p 99" in words
        plain = _CAUSE.sub("", real[0]) or '<?xml version="1.0" encoding="utf-8"?>\n<conntrack>\n</conntrack>\n'
        assert (_ICMP.sub(r"\1", documents[words][0]), *documents[words][1:]) == (plain, *real[1:])
    assert all(printed[0] for printed in documents.values())


def test_lines_are_whole_however_long(space: Space) -> None:
    words = "-E -p tcp -o xml,timestamp,ktimestamp -e DESTROY"
    real, ours = (space.listen(program, words) for program in Program)
    space.talk()
    with space.flush():
        space.wait_until_quiet((real, ours))
        printed = [_ended(child, signal.SIGINT)[0].splitlines() for child in (real, ours)]
    assert max(map(len, (line.partition(" [USER")[0] for line in printed[0]))) == 1023
    assert all(line.endswith("</flow>") for line in printed[1][2:-1])
    assert max(map(len, printed[1])) > 1023


def test_a_storm_beyond_the_queue_is_told_with_how_often(space: Space) -> None:
    small = space.listen(Program.OURS, "-E -p udp -b 4096")
    old = space.listen(Program.OURS, "-E -p udp -b 4096", strict=True)
    real = space.listen(Program.REAL, "-E -p udp -b 4096")
    ample = space.listen(Program.OURS, "-E -p udp -e NEW")
    children = (small, old, real, ample)
    for child in children:
        child.signal(signal.SIGSTOP)
    udp(space, space.here, Udp(source="127.0.0.1", destination="127.0.0.1", ports=STORM, count=STORM))
    for child in children:
        child.signal(signal.SIGCONT)
    space.wait_until_quiet(children)
    ends = {child: _ended(child, signal.SIGINT) for child in children}
    notice = "NOTICE: Netlink socket buffer size has been set to 8192 bytes.\n"
    warning = (
        "WARNING: We have hit ENOBUFS! We are losing events.\n"
        "This message means that the current netlink socket buffer size is too small.\n"
        "Please, check --buffer-size in conntrack(8) manpage.\n"
    )
    shown = ends[small][0].count("\n")
    assert 0 < shown < STORM
    assert ends[small][1].startswith(notice + warning)
    times = "once" if ends[small][1].count(warning) == 1 else f"{ends[small][1].count(warning)} times"
    assert ends[small][1].endswith(
        f"conntrack v1.4.7 (conntrack-tools): the kernel had no room for events {times}; those are not shown.\n"
        f"conntrack v1.4.7 (conntrack-tools): {shown} flow events have been shown.\n"
    )
    assert ends[small][2] == 0
    last = f"conntrack v1.4.7 (conntrack-tools): {ends[old][0].count(chr(10))} flow events have been shown.\n"
    assert ends[old][1] == notice + warning * ends[old][1].count(warning) + last
    # The real one says it has set the queue, and has set another.
    assert ends[real][1].startswith(notice + warning)
    assert ends[real][0].count("\n") > 2 * shown
    assert ends[ample][0].count("[NEW]") == STORM
    assert ends[ample][1] == f"conntrack v1.4.7 (conntrack-tools): {STORM} flow events have been shown.\n"


def test_the_time_is_that_of_the_event(space: Space) -> None:
    listeners = {program: space.listen(program, "-E -o timestamp -p udp -e NEW") for program in Program}
    for child in listeners.values():
        child.signal(signal.SIGSTOP)
    before = time.time()
    space.talk()
    after = time.time()
    wait_for(lambda: time.time() > after + 0.2, SECONDS, "some time has passed")
    for child in listeners.values():
        child.signal(signal.SIGCONT)
    wait_for(
        lambda: all(space.is_idle(child) and child.output() for child in listeners.values()),
        SECONDS,
        "events are shown",
    )
    told = {
        program: [float(line[1:18]) for line in _ended(child, signal.SIGINT)[0].splitlines()]
        for program, child in listeners.items()
    }
    assert all(before <= moment <= after for moment in told[Program.OURS])
    assert all(moment > after for moment in told[Program.REAL])


def test_each_line_is_there_at_once(space: Space) -> None:
    ours = space.listen(Program.OURS, "-E -p udp")
    space.talk()
    wait_for(lambda: ours.output().count("[NEW] udp") == 7, SECONDS, "all events are shown")
    assert _ended(ours, signal.SIGKILL)[2] == -signal.SIGKILL
