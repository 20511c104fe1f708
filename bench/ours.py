"""netledger as its users run it: the whole daemon, in the ways that its receive path can be set up."""

import csv
import json
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from peers import GROUP, MESSAGES, Outcome

__all__ = ["Netledger"]

# A day: the measurement is meant to hold no cut, unless it is about cuts.
NO_CUTS = "1d"
ROWS_MAX = 2_000_000  # room for a million addresses, which is more than the default has beside the row `external`


@dataclass(frozen=True, slots=True, kw_only=True)
class Netledger:
    """``netledger run`` with a configuration of its own, by given groups or by rules of its own."""

    name: str
    floor: str
    rule: str | None  # None: the meter makes its own rules
    listens: str = MESSAGES
    runtime: Path | None = None  # where the rows lie; None: beside everything else, in memory
    interval: str = NO_CUTS
    source: str = "nflog"
    exports: bool = True
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def becomes_idle(self) -> bool:
        return self.interval == NO_CUTS

    def missing(self) -> str | None:
        return None if self._program().exists() else f"{self._program()} is not there (make build)"

    def command(self, directory: Path) -> list[str | Path]:
        runtime = (self.runtime or directory) / "runtime"
        lines = ['node = "bench"', f'interval = "{self.interval}"']
        lines += [f'store = "{directory}/store"', f'runtime = "{runtime}"']
        lines += [] if self.exports else ["[exports]"]
        lines += ["[meters.bench]", 'local = ["10.0.0.0/8"]', f"rows_max = {ROWS_MAX}", *self.meter()]
        configuration = directory / "netledger.toml"
        configuration.write_text("\n".join(lines) + "\n")
        return [self._program(), "run", "--config", configuration]

    def meter(self) -> list[str]:
        """How it observes, as lines of its configuration."""
        if self.rule is None:
            return [f'source = "{self.source}"']
        groups = f'groups = [{{group = {GROUP}, account = "source"}}]'
        return ['source = "nflog"', "[meters.bench.nflog]", groups]

    def before_stop(self, directory: Path) -> str:
        """It says nothing before its end."""
        del directory
        return ""

    def outcome(self, directory: Path, output: str) -> Outcome:
        del output
        exports = directory / "store" / "exports" / "bench"
        packets, addresses = 0, set()
        for file in exports.glob("*.csv"):
            with file.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    if row["account"] != "unattributed":
                        packets += int(row["sent_packets"])
                    if row["account"] == "host" and row["sent_packets"] != "0":
                        addresses.add(row["host"])
        receipts = [json.loads(file.read_text()) for file in exports.glob("*.receipt.json")]
        said = Counter(receipt["status"] for receipt in receipts)
        return Outcome(
            packets, len(addresses), ", ".join(f"{count} {status}" for status, count in sorted(said.items()))
        )

    @staticmethod
    def _program() -> Path:
        return Path(sys.executable).with_name("netledger")
