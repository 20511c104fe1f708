"""A meter of flows in the lab, what its receipts add up to, and itself in a process that a test can kill.

    python -m tests.kernel.flow_metering CONFIG [STEP]

It opens the meter and obeys lines on standard input, as ``metering_child`` does: ``cut``, ``close``, ``keep``.
"""

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from netledger.reports.written import Prefixes
from netledger.sources.base import Step, no_step
from netledger.sources.conntrack import ConntrackConfig, ConntrackSource
from tests.kernel.flows import none_ends_by_itself
from tests.kernel.lab import Lab
from tests.kernel.metering import CLOCK, Committed, Interval
from tests.kernel.metering_child import Child, answer, dying

CONFIG = TypeAdapter(ConntrackConfig)


@dataclass
class FlowBench(Committed):
    """A meter of flows on the lab's gateway. Use it with the thread inside that namespace."""

    config: ConntrackConfig = field(kw_only=True)
    source: ConntrackSource | None = None

    @classmethod
    def on(cls, lab: Lab, **wishes: object) -> "FlowBench":
        """With a witness installed before anything is counted."""
        lab.witness(lab.gw)
        with lab.inside(lab.gw):
            none_ends_by_itself()
        config = ConntrackConfig(
            meter="flows", node="gw1", runtime=lab.directory / "run" / "flows", store=lab.directory / "store" / "meters"
        )
        return cls(lab, config=replace(config, **wishes))  # type: ignore[arg-type]  # names of fields, with their values

    def open(self, at_step: Step = no_step) -> list[Interval]:
        self.source = ConntrackSource(self.config, at_step=at_step)
        return self.commit(self.source.open(CLOCK.now()))

    def cut(self) -> Interval:
        assert self.source is not None
        now = CLOCK.now()
        return self.commit([self.source.cut(label_end_ns=now.wall_ns, now=now)])[0]

    def rows(self) -> list[dict[str, Any]]:
        """The rows of an interval that is cut now, addresses as text."""
        assert self.source is not None
        now = CLOCK.now()
        closed = self.source.cut(label_end_ns=now.wall_ns, now=now)
        columns = pa.record_batch(closed.batch()).to_pydict()
        self.commit([closed])
        prefixes = Prefixes(ipv4=32, ipv6=128)
        for name in ("host", "peer"):
            columns[name] = [None if cell is None else prefixes.text(cell) for cell in columns[name]]
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]

    def close(self, *, keep_rules: bool = False) -> list[Interval]:
        assert self.source is not None
        source, self.source = self.source, None
        return self.commit(source.close(now=CLOCK.now(), keep_rules=keep_rules))

    def child(self, die_at: str = "") -> Child:
        """The same meter in a process of its own, which dies at a step if one is given."""
        return Child(self, "tests.kernel.flow_metering", CONFIG.dump_json(self.config).decode(), die_at)


def main(config: str, die_at: str) -> None:
    bench = FlowBench(Lab(), config=CONFIG.validate_json(config))
    answer(bench.open(dying(die_at)))
    for line in sys.stdin:
        match line.strip():
            case "cut":
                answer([bench.cut()])
            case "close":
                answer(bench.close())
            case "keep":
                answer(bench.close(keep_rules=True))
            case command:
                raise ValueError(command)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
