"""A namespace with rules that count by name, and a meter of these counters; alone, or in a process that can be killed.

    python -m tests.kernel.counter_space CONFIG [STEP]

obeys lines on standard input as ``metering_child`` does, and ``look``.
"""

import json
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
from pydantic import TypeAdapter

from netledger import nfacct
from netledger.intervals import SystemClock
from netledger.receipt import Observed
from netledger.sources.base import Closed, Step, no_step
from netledger.sources.named import Choice
from netledger.sources.named_counters import NamedCountersConfig, NamedCountersSource
from tests.kernel.lab import Count, Network
from tests.kernel.metering_child import dying

CLOCK = SystemClock()
CONFIG = TypeAdapter(NamedCountersConfig)
PAYLOAD_BYTES = 100
PORTS = {"web": 9001, "mail": 9002}
V4_BYTES, V6_BYTES = PAYLOAD_BYTES + 28, PAYLOAD_BYTES + 48

# Beside each rule of iptables one of nftables, which counts the same packets by a name of its own.
BESIDE = """
table inet beside {
  counter web {}
  counter mail {}
  counter both {}
  chain out {
    type filter hook output priority -10;
    udp dport 9001 counter name "web"
    udp dport 9002 counter name "mail"
    udp dport 9001-9002 counter name "both"
  }
}"""


class Space(Network):
    """One namespace, ``here``."""

    def _wire(self) -> None:
        self.here = self.namespace("here")
        self.nft(self.here, BESIDE)

    def rules(self, *names: str) -> None:
        """Rules of iptables and ip6tables that count into objects."""
        for name in names:
            match = ["-p", "udp", "--dport", str(PORTS[name]), "-m", "nfacct", "--nfacct-name", name]
            for program in ("iptables", "ip6tables"):
                self.run(self.here, [program, "-w", "-A", "OUTPUT", *match])

    def no_rules(self) -> None:
        for program in ("iptables", "ip6tables"):
            self.run(self.here, [program, "-w", "-F", "OUTPUT"])

    def send(self, name: str, packets: int, *, address: str = "127.0.0.1") -> None:
        """From the calling thread, which is in ``here``."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for _ in range(packets):
                sender.sendto(bytes(PAYLOAD_BYTES), (address, PORTS[name]))

    def kernel(self, name: str) -> Count:
        """What the rule beside has counted."""
        return self.counter(self.here, "beside", name)


@dataclass(frozen=True)
class Told:
    """What is left of a closed generation after it was committed."""

    seq: int
    observed: Observed
    rows: dict[str, dict[str, str | int | None]]


TOLD = TypeAdapter(list[Told])


@dataclass
class Rules:
    """A meter of the counters in a space. Use it with the thread inside."""

    config: NamedCountersConfig
    source: NamedCountersSource | None = None
    told: list[Told] = field(default_factory=list)

    @classmethod
    def on(cls, directory: Path, **wishes: Sequence[str]) -> "Rules":
        choice = replace(Choice(nft=("inet beside *",)), **wishes)
        runtime, store = directory / "run" / "rules", directory / "store" / "meters"
        return cls(NamedCountersConfig(meter="rules", node="gw1", runtime=runtime, store=store, choice=choice))

    def open(self, at_step: Step = no_step) -> list[Told]:
        self.source = NamedCountersSource(self.config, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Told:
        assert self.source is not None
        now = CLOCK.now()
        return self.commit([self.source.cut(label_end_ns=now.wall_ns, now=now)])[0]

    def close(self, *, keep_rules: bool = False) -> list[Told]:
        assert self.source is not None
        source, self.source = self.source, None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=keep_rules))

    def commit(self, closed: Iterable[Closed]) -> list[Told]:
        done = []
        for one in closed:
            assert len(one.batch()) == one.observed.rows
            rows = pa.record_batch(one.batch()).to_pylist() if one.observed.rows else []
            done.append(Told(one.seq, one.observed, {row["name"]: row for row in rows}))
            one.release()
        self.told += done
        return done

    def booked(self, name: str) -> Count:
        """Over all intervals."""
        rows = [one.rows[name] for one in self.told if name in one.rows]
        return Count(*(sum(int(row[what] or 0) for row in rows) for what in ("packets", "bytes")))

    def statuses(self) -> list[str]:
        return [str(one.observed.status) for one in self.told]


def answer(told: Sequence[Told]) -> None:
    sys.stdout.write(json.dumps(TOLD.dump_python(list(told), mode="json")) + "\n")
    sys.stdout.flush()


def main(config: str, die_at: str) -> None:
    rules = Rules(CONFIG.validate_json(config))
    answer(rules.open(dying(die_at)))
    for line in sys.stdin:
        match line.strip():
            case "cut":
                answer([rules.cut()])
            case "look":
                assert rules.source is not None
                rules.source.glance()
                answer([])
            case "close":
                answer(rules.close())
            case "keep":
                answer(rules.close(keep_rules=True))
            case command:
                raise ValueError(command)


def live(name: str) -> Count:
    """What an object says now."""
    found = nfacct.get(name)
    return Count(found.packets, found.bytes)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
