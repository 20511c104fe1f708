"""The page for users of libnetfilter_acct: its commands and programs run as they stand, on real traffic."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from netledger import nfacct
from tests.kernel.lab import Network, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("iptables", "nfacct")]

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "from-libnetfilter-acct.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("\n## Named counters\n")[2].partition("\n## ")[0]
BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = [block["text"] for block in BLOCK.finditer(SECTION) if block["language"] == "python"]
SESSIONS = [block["text"] for block in BLOCK.finditer(SECTION) if block["language"] == "console"]
SECONDS = 20.0
REPLY = b"HTTP/1.0 200 OK\r\n\r\nhello\n"


class Host(Network):
    """A machine that talks to itself, with a file system where the page writes its files."""

    def _wire(self) -> None:
        self.here = self.namespace("howto")

    def command(self, line: str) -> str:
        """A command of the page. Its files are put where nobody else has any."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        own = line.replace("/var/lib/", f"{self.directory}/")
        done = subprocess.run(["sh", "-c", own], capture_output=True, timeout=120, check=True, env=environment)
        assert done.stderr == b"", line
        return done.stdout.decode()

    def serve(self, port: int, reply: bytes) -> None:
        """One connection, from its first packet to its last."""
        with socket.create_server(("127.0.0.1", port)) as server:
            answered = threading.Thread(target=self._answer, args=(server, reply))
            answered.start()
            with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
                client.settimeout(SECONDS)
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                while client.recv(65_536):
                    pass
            answered.join(SECONDS)

    def _answer(self, server: socket.socket, reply: bytes) -> None:
        connection = server.accept()[0]
        with connection:
            connection.recv(1000)
            connection.sendall(reply)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as made, made.inside(made.here):
        yield made


def steps(session: str) -> list[tuple[str, str]]:
    """Commands with what the page shows of their output."""
    return [(step.partition("\n")[0], step.partition("\n")[2]) for step in session.removeprefix("# ").split("\n# ")]


def numberless(text: str) -> str:
    """Digits evened out, and the end of the last line."""
    return re.sub(r"\d+", "N", text.rstrip("\n"))


def counted(host: Host) -> tuple[int, int]:
    """Packets and bytes of the two rules, as iptables counts them."""
    rows = [host.run(host.here, ["iptables", "-w", "-nvxL", chain]).splitlines()[2] for chain in ("INPUT", "OUTPUT")]
    return sum(int(row.split()[0]) for row in rows), sum(int(row.split()[1]) for row in rows)


def test_the_page_counts_http_and_keeps_it(host: Host) -> None:
    begin, read, keep, _ = SESSIONS
    for line, shown in steps(begin):
        assert host.command(line) == shown
    host.serve(80, REPLY)
    wait_for(lambda: counted(host)[0] >= 10, SECONDS, "the connection has ended")
    for line, shown in steps(read):
        assert numberless(host.command(line)) == numberless(shown)
    counter = nfacct.get("http-traffic")
    assert (counter.packets, counter.bytes) == counted(host)
    (save, _), (restore, _) = steps(keep)
    assert host.command(save) == ""
    host.command("iptables -F")
    nfacct.flush()
    assert nfacct.list() == ()
    assert host.command(restore) == ""
    assert [(one.text, one.packets, one.bytes) for one in nfacct.list()] == [
        ("http-traffic", counter.packets, counter.bytes)
    ]


def test_the_page_sets_a_quota_and_is_told(host: Host) -> None:
    add, rule, monitor = steps(SESSIONS[3])
    host.command(add[0])
    host.command(rule[0])
    words = monitor[0].split()
    child = host.spawn(host.here, [str(Path(sys.executable).with_name(words[0])), *words[1:]])
    wait_for(lambda: _is_subscribed(child.pid), SECONDS, "monitor listens")
    assert _downloaded(2_000_000) < 1_000_000
    told = wait_for(child.output, SECONDS, "monitor has told it")
    assert numberless(told) == numberless(monitor[1])
    assert nfacct.get("guests").over_quota


def _downloaded(octets: int) -> int:
    """How much of it comes through; what a rule drops is sent again and again, and never does."""
    received = 0
    with socket.create_server(("127.0.0.1", 8080)) as server, socket.socket() as client:
        client.connect(("127.0.0.1", 8080))
        client.settimeout(1.0)
        with server.accept()[0] as connection:
            connection.settimeout(3.0)
            sender = threading.Thread(target=_send, args=(connection, octets))
            sender.start()
            with suppress(TimeoutError):
                while received < octets:
                    received += len(client.recv(65_536))
            sender.join(SECONDS)
    return received


def _send(connection: socket.socket, octets: int) -> None:
    with suppress(OSError):  # it does not get rid of all
        connection.sendall(bytes(octets))


def _is_subscribed(pid: int) -> bool:
    rows = [line.split() for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]]
    return any(row[1] == "12" and row[2] == str(pid) and int(row[3], 16) for row in rows)


def test_the_examples_do_what_those_in_c_did(host: Host) -> None:
    add, delete, get = (host.directory / name for name in ("nfacct-add", "nfacct-del", "nfacct-get"))
    for path, program in zip((add, delete, get), PROGRAMS, strict=True):
        path.write_text(program)

    def run(path: Path, *words: str) -> tuple[str, str, int]:
        argv = [sys.executable, f"./{path.name}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=host.directory)
        return done.stdout, done.stderr, done.returncode

    line = "{ pkts = 00000000000000000000, bytes = 00000000000000000000 } = http-traffic;\n"
    assert run(add) == ("", "Usage: ./nfacct-add [name]\n", 1)
    assert run(add, "http-traffic") == ("", "", 0)
    assert run(add, "http-traffic") == ("", "error: file exists\n", 1)
    assert run(get) == run(get, "-z") == run(get, "http-traffic") == (line, "", 0)
    assert run(get, "a", "b") == ("", "Usage: ./nfacct-get [-z]\n", 1)
    nfacct.add("pq", quota=nfacct.Quota(3, nfacct.Unit.PACKETS), packets=7, octets=8)
    assert run(get) == (host.run(host.here, ["nfacct", "list"]), "", 0)
    assert run(get, "-z")[0].endswith("overquota = no } = pq;\n")
    assert nfacct.get("pq").packets == 0
    assert run(delete) == ("", "Usage: ./nfacct-del [name]\n", 1)
    assert run(delete, "nope") == ("", "error: no such file or directory\n", 1)
    assert run(delete, "http-traffic") == run(delete, "pq") == ("", "", 0)
    assert run(get) == ("", "", 0)
