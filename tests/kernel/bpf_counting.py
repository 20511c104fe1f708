"""A bpf meter without a daemon: loaded, attached and cut by the test. Use it with the thread in its namespace."""

from dataclasses import dataclass, field
from pathlib import Path

from netledger._core import BpfMeter
from tests.kernel.bpf_box import BpfPair
from tests.kernel.bpf_proof import Seen, meter, seen
from tests.kernel.lab import Count
from tests.kernel.senders import Udp

TO_A = Udp(source="10.77.1.2", destination="10.77.1.1", count=300)
TO_A_BYTES = 100
WIRE = "wire"


def burst(packets: int = TO_A.count) -> Count:
    """What so many packets of :data:`TO_A` are."""
    return Count(packets, packets * TO_A_BYTES)


@dataclass
class Counting:
    """One that has begun to count at ``a``, the machine that ``wire`` belongs to."""

    pair: BpfPair
    meter: BpfMeter
    files: list[Path] = field(default_factory=list)

    def begin(self) -> "Counting":
        """Loads and opens the first generation; nothing is attached."""
        self.meter.load()
        for generation in (1, 2):
            self.meter.prepare(generation)
        self.meter.switch(1)
        return self

    def cut(self) -> Seen:
        """Ends the open generation, and gives what it has."""
        left = self.meter.generation()
        self.meter.switch(left + 1)
        closed = self.take(left)
        self.meter.prepare(left + 2)
        return closed

    def stop(self) -> Seen:
        """The same, and opens no other."""
        left = self.meter.generation()
        self.meter.switch(0)
        return self.take(left)

    def take(self, generation: int) -> Seen:
        """Reads and discards one that was left."""
        self.meter.settle()
        closed = seen(self.meter.read(generation, str(self.pair.directory / "table")))
        self.meter.discard(generation)
        return closed

    def attached(self) -> list[str]:
        """Names of the links by which packets come."""
        return [link.name for link in self.meter.links() if link.is_attached]


def counting(pair: BpfPair, attach: str, **wishes: object) -> Counting:
    """With a meter that has not touched anything yet."""
    return Counting(pair, meter(attach, **wishes))  # type: ignore[arg-type]  # names of options, with their values


def index_of(pair: BpfPair, interface: str = WIRE) -> int:
    """Of an interface of ``a``."""
    told = pair.run(pair.a, ["ip", "-o", "link", "show", "dev", interface])
    return int(told.partition(":")[0])
