"""A meter of packet sockets in the lab, its rows as text, and itself in a process that a test can kill.

    python -m tests.kernel.packet_metering CONFIG [STEP]

It opens the meter and obeys lines on standard input, as ``metering_child`` does: ``cut``, ``close``, ``stats``.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pyarrow as pa
from pydantic import TypeAdapter

from netledger.receipt import Count
from netledger.reports.written import Prefixes
from netledger.sources.base import Closed, Step, no_step
from netledger.sources.packet import PacketConfig, PacketSource
from tests.kernel.lab import Lab, Network, wait_for
from tests.kernel.metering import CLOCK, Committed, Interval
from tests.kernel.metering_child import Child, answer, dying

CONFIG = TypeAdapter(PacketConfig)
PREFIXES = Prefixes(ipv4=32, ipv6=128)
MEBIBYTE = 1 << 20


@dataclass
class PacketBench(Committed):
    """A meter of packet sockets. Use it with the thread inside its namespace."""

    config: PacketConfig = field(kw_only=True)
    source: PacketSource | None = None
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Of all intervals: packets by interface, host and whether it sent or received them."""

    @classmethod
    def on(cls, lab: Network, **wishes: object) -> "PacketBench":
        config = PacketConfig(
            meter="line",
            node="gw1",
            runtime=lab.directory / "run" / "line",
            store=lab.directory / "store" / "meters",
            ring_bytes=4 * MEBIBYTE,
        )
        return cls(lab, config=replace(config, **wishes))  # type: ignore[arg-type]  # names of fields, with their values

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = PacketSource(self.config, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Interval:
        now = CLOCK.now()
        return self.commit([self.opened().cut(label_end_ns=now.wall_ns, now=now)])[0]

    def close(self) -> list[Interval]:
        source, self.source = self.opened(), None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=False))

    def commit(self, closed: Iterable[Closed]) -> list[Interval]:
        all_closed = list(closed)
        for one in all_closed:
            self._note_rows(one)
        return super().commit(all_closed)

    def opened(self) -> PacketSource:
        assert self.source is not None
        return self.source

    def wait_for_packets(self, number: int) -> None:
        """Until it has counted so many since it was opened."""
        source = self.opened()
        wait_for(lambda: source.stats().received_packets >= number, 20, f"{number} packets; {source.glance()}")

    def child(self, die_at: str = "") -> Child:
        """The same meter in a process of its own, which dies at a step if one is given."""
        return Child(self, "tests.kernel.packet_metering", self.config_text(), die_at)

    def config_text(self) -> str:
        """Its configuration, for another process."""
        return CONFIG.dump_json(self.config).decode()

    def _note_rows(self, closed: Closed) -> None:
        columns = pa.record_batch(closed.batch()).to_pydict()
        hosts = [None if cell is None else PREFIXES.text(cell) for cell in columns["host"]]
        sums = Count(0, 0), Count(0, 0)
        for number, host in enumerate(hosts):
            for side, name in enumerate(("sent", "received")):
                count = Count(columns[f"{name}_packets"][number], columns[f"{name}_bytes"][number])
                self.rows[columns["interface"][number] or "", host or columns["account"][number], name] += count.packets
                sums = (sums[0] + count, sums[1]) if side == 0 else (sums[0], sums[1] + count)
        if self.config.account == "both":
            assert sums == (closed.observed.accounted, closed.observed.accounted)


def main(config: str, die_at: str) -> None:
    bench = PacketBench(Lab(), config=CONFIG.validate_json(config))
    answer(bench.open(dying(die_at)))
    for line in sys.stdin:
        match line.strip():
            case "cut":
                answer([bench.cut()])
            case "close":
                answer(bench.close())
            case "stats":
                sys.stdout.write(f"{bench.opened().stats().received_packets}\n")
                sys.stdout.flush()
            case command:
                raise ValueError(command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
