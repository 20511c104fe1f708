"""A meter of flows in the lab, what its receipts add up to, and itself in a process that a test can kill.

python -m tests.kernel.flow_metering CONFIG [STEP]
"""

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from netledger.reports.written import Prefixes
from netledger.sources.base import Step
from netledger.sources.conntrack import ConntrackConfig, ConntrackSource
from tests.kernel.flows import none_ends_by_itself
from tests.kernel.lab import Lab
from tests.kernel.metering import Metered
from tests.kernel.metering_child import obey

CONFIG = TypeAdapter(ConntrackConfig)


@dataclass
class FlowBench(Metered[ConntrackSource]):
    """A meter of flows on the lab's gateway. Use it with the thread inside that namespace."""

    MODULE = "tests.kernel.flow_metering"

    config: ConntrackConfig = field(kw_only=True)

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

    def made(self, at_step: Step) -> ConntrackSource:
        return ConntrackSource(self.config, at_step=at_step)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of an interval that is cut now, addresses as text."""
        closed = self.closed_by_a_cut()
        columns = pa.record_batch(closed.batch()).to_pydict()
        self.commit([closed])
        prefixes = Prefixes(ipv4=32, ipv6=128)
        for name in ("host", "peer"):
            columns[name] = [None if cell is None else prefixes.text(cell) for cell in columns[name]]
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


if __name__ == "__main__":
    obey(FlowBench(Lab(), config=CONFIG.validate_json(sys.argv[1])), *sys.argv[2:])
