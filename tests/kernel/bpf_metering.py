"""A meter that counts in the kernel, in the lab, and itself in a process that a test can kill.

python -m tests.kernel.bpf_metering CONFIG [STEP]
"""

import sys
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from netledger.reports.written import Prefixes
from netledger.sources.base import Key, Step
from netledger.sources.bpf import BpfSource
from netledger.sources.bpf_config import BpfConfig
from tests.kernel import senders
from tests.kernel.bpf_box import BpfLab, Plainly, pins
from tests.kernel.lab import wait_for
from tests.kernel.metering import CLOCK, Interval, Listed
from tests.kernel.metering_child import obey
from tests.kernel.senders import Udp

CONFIG = TypeAdapter(BpfConfig)
BY_HOST = Key(columns=("host",))


def burst(lab: BpfLab, plan: Udp) -> None:
    """Sends it from the left side, and waits until it has passed the gateway: on a busy machine it may lie around."""
    goal = lab.counter(lab.gw, "witness", "total").packets + plan.count
    senders.udp(lab, lab.left, plan)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets >= goal, 20, "the burst")


@dataclass
class BpfBench(Listed[BpfSource]):
    """A meter that counts in the kernel. Use it with the thread inside its namespace and an own BPF file system."""

    MODULE = "tests.kernel.bpf_metering"
    PREFIXES = Prefixes(ipv4=32, ipv6=64)

    config: BpfConfig = field(kw_only=True)

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

    def made(self, at_step: Step) -> BpfSource:
        return BpfSource(self.config, at_step=at_step)

    def finish(self) -> list[Interval]:
        """Of what a dead process left, without counting on."""
        return self.commit(BpfSource(self.config).finish(CLOCK.now()))

    def pinned(self) -> list[str]:
        """What is pinned of this meter."""
        return pins(self.config.pins)


if __name__ == "__main__":
    obey(BpfBench(BpfLab(), config=CONFIG.validate_json(sys.argv[1])), *sys.argv[2:])
