"""The network of the transcripts: this host 10.9.0.1 and fd09::1, its peer 10.9.0.2 and fd09::2, a wire between."""

import re
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.compat.go_nflog_acctd.transcript import even
from tests.kernel.lab import Child, Count, Pair, wait_for
from tests.kernel.senders import Udp, udp

PROGRAM = Path(sys.executable).with_name("go-nflog-acctd")
SECONDS = 20.0
HERE, PEER = {4: "10.9.0.1", 6: "fd09::1"}, {4: "10.9.0.2", 6: "fd09::2"}
HEADER = "Time,IP,SourceBytes,SourcePackets,DestBytes,DestPackets"
NAME = re.compile(r"(\d{4}-\d\d-\d\d-\d{6})_(\d{4}-\d\d-\d\d-\d{6})(\.\d+)?\.csv")


class Wire(Pair):
    """Two namespaces, ``a`` and ``b``; ``a`` is this host."""

    def _wire(self) -> None:
        super()._wire()
        for namespace, device, here, there in ((self.a, "wire", HERE, PEER), (self.b, "uplink", PEER, HERE)):
            lines = [f"address add {here[4]}/24 dev {device}", f"address add {here[6]}/64 dev {device} nodad"]
            end = 2 if namespace == self.a else 1
            hardware = f"02:77:00:00:01:{end:02x}"
            lines += [
                f"neighbour replace {there[version]} lladdr {hardware} dev {device} nud permanent" for version in (4, 6)
            ]
            self.run(namespace, ["ip", "-batch", "-"], text="\n".join(lines))

    def rules(self, *rules: str) -> None:
        """Adds rules of iptables or ip6tables, as written in the transcripts."""
        for rule in rules:
            self.run(self.a, rule.split())

    def counts(self, chain: str, program: str = "iptables") -> list[Count]:
        """What the rules of a chain have counted themselves, in their order."""
        lines = self.run(self.a, [program, "-nvxL", chain]).splitlines()[2:]
        return [Count(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def send(self, count: int, payload_bytes: int, *, version: int = 4, port: int = 9000, to: str = "") -> None:
        """UDP packets from this host to its peer."""
        plan = Udp(
            source=HERE[version], destination=to or PEER[version], source_port=4000, port=port, count=count,
            payload_bytes=payload_bytes,
        )  # fmt: skip
        udp(self, self.a, plan)

    def receive(self, count: int, payload_bytes: int, *, version: int = 4) -> None:
        """UDP packets from the peer to this host."""
        plan = Udp(
            source=PEER[version], destination=HERE[version], source_port=4000, port=9001, count=count,
            payload_bytes=payload_bytes,
        )  # fmt: skip
        udp(self, self.b, plan)

    def start(
        self,
        *words: str,
        directory: str = "acc",
        zone: str = "UTC",
        before: tuple[str, ...] = (),
        own_runtime: bool = True,
    ) -> "Daemon":
        """Starts the program in ``a``. It writes into ``directory`` below this network's directory, where it works."""
        runtime = ("-runtime-directory", str(self.directory / f"run-{directory}")) if own_runtime else ()
        argv = [
            *before, "setsid", "env", "-C", str(self.directory), f"TZ={zone}", str(PROGRAM), "-priority", "0",
            # A border of five minutes may come at any moment; who wants one says so behind it.
            *runtime, "-interval", "24h", "-log-directory", directory, *words,
        ]  # fmt: skip
        return Daemon(self.spawn(self.a, argv), self.directory / directory)


class Daemon:
    """A running program and the directory it writes to."""

    def __init__(self, child: Child, directory: Path) -> None:
        self.child = child
        self.directory = directory

    def text(self) -> str:
        return self.child.errors()

    def log(self) -> list[str]:
        """The lines that it said, without times; the last may be half written when one looks, and is left out."""
        text = self.text()
        return [even(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def wait_for_line(self, wanted: str | Callable[[str], bool], times: int = 1) -> None:
        """Waits until a line has been said so many times."""

        def is_it(line: str) -> bool:
            return line == wanted if isinstance(wanted, str) else wanted(line)

        def said() -> bool:
            return sum(is_it(line) for line in self.log()) >= times

        with suppress(TimeoutError):
            wait_for(lambda: said() or not self.child.running, SECONDS, f"{wanted}")
        assert said(), f"{wanted} not said {times} times:\n{self.text()}"

    def started(self) -> "Daemon":
        self.wait_for_line("Started accounting")
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it by a signal; gives the exit status."""
        self.child.signal(number)
        return self.child.wait()

    def files(self) -> dict[str, list[str]]:
        """The rows of each CSV file by its name, times evened out; the header is checked and left out."""
        found = {}
        for path in sorted(self.directory.glob("*.csv")):
            header, *rows = path.read_text().splitlines()
            assert header == HEADER, path
            assert NAME.fullmatch(path.name), path
            found[path.name] = [even(row) for row in rows]
        return found

    def sums(self) -> dict[str, tuple[Count, Count]]:
        """What each address sent and received, over all files."""
        sums: dict[str, tuple[Count, Count]] = {}
        for rows in self.files().values():
            for row in rows:
                _, address, source_bytes, source_packets, dest_bytes, dest_packets = row.split(",")
                sent, received = sums.get(address, (Count(0, 0), Count(0, 0)))
                sent += Count(int(source_packets), int(source_bytes))
                received += Count(int(dest_packets), int(dest_bytes))
                sums[address] = sent, received
        return sums

    def leftovers(self) -> list[str]:
        """What is in the directory and is no CSV file."""
        return sorted(path.name for path in self.directory.iterdir() if path.suffix != ".csv")
