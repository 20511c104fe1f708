"""Other people's accounting daemons, and the floor: the least that any program could do."""

import json
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness import BIN, LOG_GROUPS

__all__ = [
    "GROUP",
    "MESSAGES",
    "PACKETS",
    "PLAIN",
    "THRESHOLD",
    "Floor",
    "Outcome",
    "Peer",
    "Uacctd",
    "Ulogd",
    "not_installed",
]

GROUP = 4
PLAIN = f"log group {GROUP} snaplen 64"  # the listener decides how many packets are one message
THRESHOLD = f"{PLAIN} queue-threshold 50"  # the rule decides, as in most examples on the web
# Where the kernel lists who listens, below /proc/PID/net.
MESSAGES = LOG_GROUPS
PACKETS = "packet"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program accounted, read from its own final output after a clean stop."""

    packets: int
    addresses: int
    remark: str = ""


class Peer(Protocol):
    """A program that accounts what ``rule`` logs."""

    @property
    def name(self) -> str:
        """As in the table."""

    @property
    def rule(self) -> str | None:
        """The log statement it is given; None for a program that makes its own rules."""

    @property
    def listens(self) -> str:
        """Where it can be seen that it is ready."""

    @property
    def floor(self) -> str:
        """Name of the floor under the same rule."""

    @property
    def stop_signal(self) -> signal.Signals:
        """What it takes for a wish to end and to write everything out."""

    @property
    def becomes_idle(self) -> bool:
        """Whether it uses no CPU once all packets are accounted."""

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""

    def command(self, directory: Path) -> list[str | Path]:
        """Its command line; configuration and output go into ``directory``."""

    def before_stop(self, directory: Path) -> str:
        """What it says when all packets are accounted, and only while it runs; comes before its output."""

    def outcome(self, directory: Path, output: str) -> Outcome:
        """What it accounted."""


def not_installed(program: str, package: str) -> str | None:
    """Why a program cannot run here, or None."""
    return None if shutil.which(program) else f"{program} is not installed (Debian: {package})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A reader in C that checks nothing."""

    name: str
    rule: str
    gather_ms: int = 0
    listens: str = MESSAGES
    stop_signal: signal.Signals = signal.SIGTERM
    becomes_idle: bool = True

    @property
    def floor(self) -> str:
        return self.name

    def missing(self) -> str | None:
        return None

    def command(self, directory: Path) -> list[str | Path]:
        del directory
        return [BIN / "nflog_floor", "-g", str(GROUP), "-e", str(self.gather_ms)]

    def before_stop(self, directory: Path) -> str:
        del directory
        return ""

    def outcome(self, directory: Path, output: str) -> Outcome:
        del directory
        answer = json.loads(output)
        return Outcome(answer["packets"], answer["addresses"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulogd:
    """ulogd2 with the output that is its cheapest in text: one line for each packet."""

    name: str
    floor: str
    rule: str = THRESHOLD
    listens: str = MESSAGES
    stop_signal: signal.Signals = signal.SIGTERM
    becomes_idle: bool = True

    def missing(self) -> str | None:
        if not self._plugins():
            return "the plugins of ulogd are not installed (Debian: ulogd2)"
        return not_installed("ulogd", "ulogd2")

    def command(self, directory: Path) -> list[str | Path]:
        plugins = self._plugins()
        wanted = [
            "inppkt_NFLOG",
            "raw2packet_BASE",
            "filter_IFINDEX",
            "filter_IP2STR",
            "filter_PRINTPKT",
            "output_LOGEMU",
        ]
        lines = ["[global]", f'logfile="{directory}/log"', "loglevel=5"]
        lines += [f'plugin="{plugins[0].parent}/ulogd_{name}.so"' for name in wanted]
        lines += ["stack=in:NFLOG,base:BASE,index:IFINDEX,text:IP2STR,print:PRINTPKT,out:LOGEMU"]
        lines += [
            "[in]",
            f"group={GROUP}",
            "netlink_socket_buffer_size=67108864",
            "netlink_socket_buffer_maxsize=134217728",
        ]
        lines += ["netlink_qthreshold=50", "netlink_qtimeout=10", "bufsize=131072"]
        lines += ["[out]", f'file="{directory}/packets"', "sync=0"]
        configuration = directory / "ulogd.conf"
        configuration.write_text("\n".join(lines) + "\n")
        return ["ulogd", "-c", configuration]

    def before_stop(self, directory: Path) -> str:
        del directory
        return ""

    def outcome(self, directory: Path, output: str) -> Outcome:
        del output
        packets, addresses = 0, set()
        with (directory / "packets").open(errors="replace") as lines:
            for line in lines:
                found = re.search(r"\bSRC=(\S+)", line)
                if found:
                    packets += 1
                    addresses.add(found.group(1))
        return Outcome(packets, len(addresses))

    @staticmethod
    def _plugins() -> list[Path]:
        return sorted(Path("/usr/lib").glob("*/ulogd/ulogd_inppkt_NFLOG.so"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Uacctd:
    """uacctd of pmacct, rows per source address, printed as CSV when it ends."""

    name: str
    floor: str
    tuned: bool
    rule: str = THRESHOLD
    listens: str = MESSAGES
    stop_signal: signal.Signals = signal.SIGINT
    becomes_idle: bool = True

    def missing(self) -> str | None:
        return not_installed("uacctd", "pmacct")

    def command(self, directory: Path) -> list[str | Path]:
        keys = {
            "daemonize": "false",
            "logfile": f"{directory}/log",
            "aggregate": "src_host",
            "plugins": "print",
            "print_output": "csv",
            "print_output_file": f"{directory}/rows.csv",
            "print_refresh_time": "86400",
            "uacctd_group": str(GROUP),
        }
        if self.tuned:
            keys |= {
                "snaplen": "64",
                "plugin_pipe_size": "67108864",
                "plugin_buffer_size": "65536",
                "print_cache_entries": "100003",
                "uacctd_nl_size": "2097152",
                "uacctd_threshold": "50",
            }
        configuration = directory / "uacctd.conf"
        configuration.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
        return ["uacctd", "-f", configuration]

    def before_stop(self, directory: Path) -> str:
        del directory
        return ""

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
