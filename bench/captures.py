"""Programs that count what passes an interface by packet sockets: the floor, this one, and other people's."""

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from harness import BIN, run
from ours import Netledger
from peers import PACKETS, Outcome, not_installed

__all__ = ["Capture", "Nacctd", "NetledgerPackets", "PacketFloor", "Pmacctd", "Softflowd"]

INTERFACE = "bench0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """What all of them have in common: no rule logs for them."""

    name: str
    floor: str
    rule: str | None = None
    listens: str = PACKETS
    stop_signal: signal.Signals = signal.SIGTERM
    becomes_idle: bool = True

    def before_stop(self, directory: Path) -> str:
        """What it says when all packets are accounted, and only while it runs."""
        del directory
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketFloor(Capture):
    """A reader in C that checks nothing."""

    ahead: bool = False

    def missing(self) -> str | None:
        return None

    def command(self, directory: Path) -> list[str | Path]:
        del directory
        return [BIN / "packet_floor", "-i", INTERFACE, *(["-p"] if self.ahead else [])]

    def outcome(self, directory: Path, output: str) -> Outcome:
        del directory
        answer = json.loads(output)
        return Outcome(answer["packets"], answer["addresses"])


@dataclass(frozen=True, slots=True, kw_only=True)
class NetledgerPackets(Netledger):
    """``netledger run`` with a packet meter on the interface."""

    rule: str | None = None
    listens: str = PACKETS

    def meter(self) -> list[str]:
        return ['source = "packet"', f'interfaces = ["{INTERFACE}"]']


@dataclass(frozen=True, slots=True, kw_only=True)
class Softflowd(Capture):
    """softflowd, flows by address; it keeps them all and exports none, and is asked for its counts before it ends."""

    def missing(self) -> str | None:
        return not_installed("softflowd", "softflowd")

    def command(self, directory: Path) -> list[str | Path]:
        where: list[str | Path] = ["-p", directory / "pid", "-c", directory / "control"]
        return ["softflowd", "-d", "-i", INTERFACE, *where, "-N", "-T", "ip", "-m", "400000"]

    def before_stop(self, directory: Path) -> str:
        return run("softflowctl", "-c", directory / "control", "statistics", check=False)

    def outcome(self, directory: Path, output: str) -> Outcome:
        del directory
        packets, flows = (re.search(words, output) for words in (r"Packets processed: (\d+)", r"active flows: (\d+)"))
        return Outcome(int(packets.group(1)) if packets else 0, int(flows.group(1)) if flows else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pmacctd(Capture):
    """pmacctd of pmacct, rows per source address, printed as CSV when it ends."""

    tuned: bool
    stop_signal: signal.Signals = signal.SIGINT

    def missing(self) -> str | None:
        return not_installed("pmacctd", "pmacct")

    def command(self, directory: Path) -> list[str | Path]:
        keys = {
            "daemonize": "false",
            "logfile": f"{directory}/log",
            "pcap_interface": INTERFACE,
            "promisc": "false",
            "aggregate": "src_host",
            "plugins": "print",
            "print_output": "csv",
            "print_output_file": f"{directory}/rows.csv",
            "print_refresh_time": "86400",
        }
        if self.tuned:
            keys |= {"snaplen": "64", "plugin_pipe_size": "67108864", "plugin_buffer_size": "65536"}
            keys |= {"print_cache_entries": "100003"}
        configuration = directory / "pmacctd.conf"
        configuration.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
        return ["pmacctd", "-f", configuration]

    def outcome(self, directory: Path, output: str) -> Outcome:
        del output
        packets, addresses = 0, set()
        for file in directory.glob("rows.csv*"):
            for line in file.read_text().splitlines():
                cells = line.split(",")
                if len(cells) >= 3 and cells[-2].isdigit():
                    packets += int(cells[-2])
                    addresses.add(cells[0])
        return Outcome(packets, len(addresses))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nacctd(Capture):
    """nacctd of net-acct; what it did not write when it ended lies in its dump file."""

    def missing(self) -> str | None:
        return not_installed("nacctd", "net-acct")

    def command(self, directory: Path) -> list[str | Path]:
        table = directory / "naccttab"
        lines = ["flush 3600", "fdelay 3600", f"file {directory}/log", f"dumpfile {directory}/dump"]
        lines += [f"debugfile {directory}/debug", f"iflimit {INTERFACE}"]
        lines += ["headers bench 14 12", "headers lo 14 12", *(f"disable {field}" for field in (4, 6, 9, 10))]
        table.write_text("\n".join(lines) + "\n")
        return ["nacctd", "-D", "-c", table]

    def outcome(self, directory: Path, output: str) -> Outcome:
        del output
        packets, addresses = 0, set()
        for name in ("log", "dump"):
            file = directory / name
            for line in file.read_text().splitlines() if file.exists() else ():
                cells = line.split()
                if len(cells) == 6 and cells[4].isdigit():
                    packets += int(cells[4])
                    addresses.add(cells[2])
        return Outcome(packets, len(addresses))
