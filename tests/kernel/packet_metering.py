"""A meter of packet sockets in the lab, its rows as text, and itself in a process that a test can kill.

python -m tests.kernel.packet_metering CONFIG [STEP]
"""

import sys
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from netledger.reports.written import Prefixes
from netledger.sources.base import Step
from netledger.sources.packet import PacketConfig, PacketSource
from tests.kernel.lab import Lab, Network
from tests.kernel.metering import Listed
from tests.kernel.metering_child import obey

CONFIG = TypeAdapter(PacketConfig)
MEBIBYTE = 1 << 20


@dataclass
class PacketBench(Listed[PacketSource]):
    """A meter of packet sockets. Use it with the thread inside its namespace."""

    MODULE = "tests.kernel.packet_metering"
    PREFIXES = Prefixes(ipv4=32, ipv6=128)

    config: PacketConfig = field(kw_only=True)

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

    def made(self, at_step: Step) -> PacketSource:
        return PacketSource(self.config, at_step=at_step)

    def books_each_packet_twice(self) -> bool:
        return self.config.account == "both"


if __name__ == "__main__":
    obey(PacketBench(Lab(), config=CONFIG.validate_json(sys.argv[1])), *sys.argv[2:])
