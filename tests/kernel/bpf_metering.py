"""A meter that counts in the kernel, in the lab, and itself in a process that a test can kill.

    python -m tests.kernel.bpf_metering CONFIG [STEP]

It opens the meter, and obeys lines on standard input as ``metering_child`` does:
``cut``, ``close``, ``keep``, ``stats``.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pydantic import TypeAdapter

from netledger.receipt import Count
from netledger.reports.written import Prefixes
from netledger.sources.base import Closed, Key, Step, no_step
from netledger.sources.bpf import BpfSource
from netledger.sources.bpf_config import BpfConfig
from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, Plainly, pins
from tests.kernel.lab import wait_for
from tests.kernel.metering import CLOCK, Committed, Interval
from tests.kernel.metering_child import Child, answer, dying
from tests.kernel.senders import Udp

CONFIG = TypeAdapter(BpfConfig)
PREFIXES = Prefixes(ipv4=32, ipv6=64)
BY_HOST = Key(columns=("host",))


def burst(lab: BpfLab, plan: Udp) -> None:
    """Sends it from the left side, and waits until it has passed the gateway: on a busy machine it may lie around."""
    goal = lab.counter(lab.gw, "witness", "total").packets + plan.count
    senders.udp(lab, lab.left, plan)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets >= goal, 20, "the burst")


@dataclass
class BpfBench(Committed):
    """A meter that counts in the kernel. Use it with the thread inside its namespace and an own BPF file system."""

    config: BpfConfig = field(kw_only=True)
    source: BpfSource | None = None
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Of all intervals: packets by interface, host and whether it sent or received them."""

    @classmethod
    def on(cls, lab: Plainly, namespace: str | None = None, **wishes: object) -> "BpfBench":
        """With a witness installed, in the gateway of a lab if no other namespace is named."""
        if namespace is None and isinstance(lab, BpfLab):
            lab.witness(lab.gw)
        config = BpfConfig(
            meter="lan",
            node="gw1",
            runtime=lab.directory / "run" / "lan",
            store=lab.directory / "store" / "meters",
            key=BY_HOST,
            rows_max=10_000,
        )
        return cls(lab, config=replace(config, **wishes))  # type: ignore[arg-type]  # names of fields, with their values

    def wish(self, **wishes: object) -> None:
        """Another configuration, for the next one that opens it."""
        self.config = replace(self.config, **wishes)  # type: ignore[arg-type]  # as above

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = BpfSource(self.config, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Interval:
        now = CLOCK.now()
        return self.commit([self.opened().cut(label_end_ns=now.wall_ns, now=now)])[0]

    def close(self, *, keep_rules: bool = False) -> list[Interval]:
        source, self.source = self.opened(), None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=keep_rules))

    def finish(self) -> list[Interval]:
        """Of what a dead process left, without counting on."""
        return self.commit(BpfSource(self.config).finish(CLOCK.now()))

    def commit(self, closed: Iterable[Closed]) -> list[Interval]:
        all_closed = list(closed)
        for one in all_closed:
            self._note_rows(one)
        return super().commit(all_closed)

    def opened(self) -> BpfSource:
        assert self.source is not None
        return self.source

    def wait_for_packets(self, number: int) -> None:
        """Until it has counted so many since it was opened."""
        source = self.opened()
        wait_for(lambda: source.stats().received_packets >= number, 20, f"{number} packets; {source.glance()}")

    def child(self, die_at: str = "") -> Child:
        """The same meter in a process of its own, which dies at a step if one is given."""
        return Child(self, "tests.kernel.bpf_metering", CONFIG.dump_json(self.config).decode(), die_at)

    def pinned(self) -> list[str]:
        """What is pinned of this meter."""
        return pins(self.config.pins)

    def _note_rows(self, closed: Closed) -> None:
        columns = pa.record_batch(closed.batch()).to_pydict()
        hosts = [None if cell is None else PREFIXES.text(cell) for cell in columns["host"]]
        sent, received = Count(0, 0), Count(0, 0)
        for number, host in enumerate(hosts):
            name = columns["interface"][number] or "", host or columns["account"][number]
            out = Count(columns["sent_packets"][number], columns["sent_bytes"][number])
            into = Count(columns["received_packets"][number], columns["received_bytes"][number])
            self.rows[(*name, "sent")] += out.packets
            self.rows[(*name, "received")] += into.packets
            sent, received = sent + out, received + into
        assert sent == received == closed.observed.accounted


def main(config: str, die_at: str) -> None:
    bench = BpfBench(BpfLab(), config=CONFIG.validate_json(config))
    answer(bench.open(dying(die_at)))
    for line in sys.stdin:
        match line.strip():
            case "cut":
                answer([bench.cut()])
            case "close":
                answer(bench.close())
            case "keep":
                answer(bench.close(keep_rules=True))
            case "stats":
                sys.stdout.write(f"{bench.opened().stats().received_packets}\n")
                sys.stdout.flush()
            case command:
                raise ValueError(command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
