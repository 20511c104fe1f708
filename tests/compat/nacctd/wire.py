"""The network of the transcripts, and a nacctd in it that has its own /run and log daemon."""

import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.kernel.lab import Child, Pair, text_of, wait_for
from tests.kernel.senders import Udp, udp

PROGRAM = Path(sys.executable).with_name("nacctd")
SECONDS = 20.0
HERE, PEER = "10.9.0.1", "10.9.0.2"
# A /dev with the few devices that are needed and a log daemon, and a /run, both of its own.
OWN = """
for device in null urandom full; do : >>"$0/dev/$device"; mount --bind "/dev/$device" "$0/dev/$device"; done
mount --rbind "$0/dev" /dev; mount --bind "$0/run" /run
cd "$0" && exec "$@"
"""
DATAGRAM = re.compile(r"<(\d+)>([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (nacctd(?: \([a-z]+\))?): (.*)", re.DOTALL)
CATCH_UP = b"this is the end of what was said until now"
STOCK = "debugfile debug\nheaders lo 14 12\nheaders eth 14 12\n"


class Wire(Pair):
    """This host ``a`` (eth0 10.9.0.1) and its peer ``b`` (uplink 10.9.0.2), and this host's files."""

    def _wire(self) -> None:
        self.a, self.b = self.namespace("a"), self.namespace("b")
        self.join(self.a, "eth0", self.b, 1)
        for namespace, device, here, there, end in ((self.a, "eth0", HERE, PEER, 2), (self.b, "uplink", PEER, HERE, 1)):
            lines = [
                f"address add {here}/24 dev {device}",
                f"neighbour replace {there} lladdr 02:77:00:00:01:{end:02x} dev {device} nud permanent",
            ]
            self.run(namespace, ["ip", "-batch", "-"], text="\n".join(lines))
        for name in ("dev", "run"):
            (self.directory / name).mkdir()
        self._received: list[str] = []
        self._asked = self._caught_up = 0
        log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._exits.callback(log.close)
        log.bind(str(self.directory / "dev" / "log"))
        # The kernel keeps a few datagrams only; somebody has to read.
        reader = threading.Thread(target=self._listen, args=(log,), daemon=True)
        reader.start()
        self._exits.callback(reader.join)
        self._exits.callback(log.shutdown, socket.SHUT_RD)

    @property
    def pid_file(self) -> Path:
        return self.directory / "run" / "nacctd.pid"

    def write_table(self, text: str, *, stock: str = STOCK) -> None:
        """A naccttab with ``acct`` and ``dump`` in this host's directory."""
        (self.directory / "tab").write_text(f"file acct\ndumpfile dump\n{stock}{text}")

    def start(self, text: str | None = None, *words: str, program: Path = PROGRAM, stock: str = STOCK) -> Child:
        """Starts the program in the foreground with a naccttab, and waits until it counts."""
        if text is not None:
            self.write_table(text, stock=stock)
        begun = time.time()
        child = self.launch("-D", "-c", "tab", *words, program=program)
        counts = self.directory / "run" / "netledger" / "nacctd" / "holders.json"
        is_ours = program == PROGRAM

        def is_ready() -> bool:
            if not child.running:
                raise AssertionError(f"it ended: {self.said()} {child.errors()}")
            return self.pid_file.exists() and (not is_ours or (counts.exists() and counts.stat().st_mtime > begun))

        wait_for(is_ready, SECONDS, "nacctd counts")
        return child

    def launch(self, *words: str, program: Path = PROGRAM) -> Child:
        """Starts the program with these words."""
        own = ("unshare", "--mount", "sh", "-c", OWN, str(self.directory))
        return self.spawn(self.a, [*own, "env", "TZ=UTC", str(program), *words])

    def send(self, count: int, payload_bytes: int = 100, *, port: int = 4000, to: str = PEER) -> None:
        """UDP packets from this host to port 9000."""
        source = "127.0.0.1" if to.startswith("127.") else HERE
        plan = Udp(source=source, destination=to, source_port=port, port=9000, count=count, payload_bytes=payload_bytes)
        udp(self, self.a, plan)

    def lines(self, name: str = "acct") -> list[str]:
        """Lines of a file without their times, sorted."""
        return sorted(line.partition("\t")[2] for line in text_of(self.directory / name).splitlines())

    def wait_for_lines(self, lines: Sequence[str], name: str = "acct") -> None:
        """Waits until a file has these lines."""
        try:
            wait_for(lambda: self.lines(name) == sorted(lines), SECONDS, f"lines in {name}")
        except TimeoutError:
            assert self.lines(name) == sorted(lines), self.said()

    def wait_for_counted(self, size: int) -> None:
        """Waits until a flow of so many bytes is in a table file, or in the dump or the log if a flush came between.

        A ring hands over what it has within milliseconds; there is nothing else to see of that from outside.
        """
        counter, field = struct.pack("=Q", size), f"\t{size}\t"

        def is_there() -> bool:
            known = [*self.lines(), *self.lines("dump")]
            return any(field in line for line in known) or any(counter in table for table in self._tables())

        wait_for(is_there, SECONDS, f"{size} bytes counted")

    def _tables(self) -> Iterator[bytes]:
        for path in (self.directory / "run" / "netledger" / "nacctd").glob("gen-*.table"):
            with suppress(FileNotFoundError):
                yield path.read_bytes()

    def said(self) -> list[tuple[int, str]]:
        """What the log daemon got: priority and text, messages about the configuration left out."""
        # Who has ended may have said something that nobody has read yet. What is said is read in its order.
        self._asked += 1
        asked = self._asked
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(CATCH_UP, str(self.directory / "dev" / "log"))
        wait_for(lambda: self._caught_up >= asked, SECONDS, "what was said is read")
        received = [*self._received]
        parts = [DATAGRAM.fullmatch(datagram) for datagram in received]
        assert None not in parts, received
        found = [(int(part[1]), part[4]) for part in parts if part]
        return [(priority, text) for priority, text in found if not text.startswith("config: ")]

    def wait_for_said(self, text: str, times: int = 1) -> None:
        """Waits until something was said so many times."""
        wait_for(lambda: sum(text in said for _, said in self.said()) >= times, SECONDS, f"{text!r} said")

    def _listen(self, log: socket.socket) -> None:
        while datagram := log.recv(65536):
            if datagram == CATCH_UP:
                self._caught_up += 1
                continue
            self._received.append(datagram.decode("utf-8", "surrogateescape"))

    def stop(self, child: Child, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends the program by a signal; gives the exit status."""
        child.signal(number)
        return child.wait()


def udp_line(packets: int, size: int = 128, *, port: int = 4000, to: str = PEER, user: str = "unknown") -> str:
    """The line of UDP packets from this host."""
    return f"17\t{HERE}\t{port}\t{to}\t9000\t{packets}\t{packets * size}\teth0\t{user}"
