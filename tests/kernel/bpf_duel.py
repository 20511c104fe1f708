"""Two machines that send to each other as fast as they can, on purpose over each other's heads.

Each of two CPUs of ``near`` sends IPv4 and IPv6 to thousands of addresses, from two that are therefore hot. ``far``
sends as much back, and receive packet steering hands that to the same two CPUs: there softirqs interrupt the senders in
the middle of whatever they do, as those of a network card would.
"""

import os
import subprocess
from dataclasses import dataclass, field
from typing import Self

from tests.kernel import senders
from tests.kernel.bpf_box import BpfPair
from tests.kernel.lab import Child, Count, wait_for
from tests.kernel.senders import Udp

ADDRESSES = 2000  # of each family and direction; more than the proof gives a generation rows
NEAR, FAR = ("10.77.1.1", "fd77:1::1"), ("10.78.0.1", "fd78::1")
SECONDS_MAX = 280.0
INTERFACE = "wire"


def cpus() -> tuple[int, int]:
    """The two that count.

    Raises:
        RuntimeError: there is one only.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise RuntimeError("two CPUs are needed: on one nothing happens at the same time")
    return allowed[0], allowed[1]


class Duel(BpfPair):
    """``near``, where packets are counted, and ``far``, which swallows what comes. Witnesses count at ``near``."""

    def _wire(self) -> None:
        super()._wire()
        self.near, self.far = self.a, self.b
        self.run(self.near, ["ip", "route", "add", "10.78.0.0/16", "via", "10.77.1.2"])
        self.run(self.near, ["ip", "-6", "route", "add", "fd78::/32", "via", "fd77:1::2"])
        self.run(self.far, ["ip", "route", "add", "blackhole", "10.78.0.0/16"])
        self.run(self.far, ["ip", "-6", "route", "add", "blackhole", "fd78::/32"])
        mask = sum(1 << cpu for cpu in cpus())
        steering = f"echo {mask:x} > /sys/class/net/{INTERFACE}/queues/rx-0/rps_cpus"
        # With the /sys of that namespace.
        subprocess.run(["ip", "netns", "exec", self.near, "sh", "-c", steering], check=True)
        self.witness(self.near)

    def witnessed(self) -> Count:
        """What the witness has counted until now."""
        return self.counter(self.near, "witness", "total")

    def settled(self) -> Count:
        """The same, when it does not grow any more: nobody sends, and what was under way has come."""
        seen: list[Count] = [self.witnessed()]

        def is_still() -> bool:
            seen.append(self.witnessed())
            return len(seen) > 3 and len(set(seen[-4:])) == 1

        wait_for(is_still, 20, "the end of the traffic")
        return seen[-1]


@dataclass
class Flood:
    """All senders at once. As a context manager it stops them."""

    duel: Duel
    rate: int = 0
    """Packets a second of each sender; 0: as fast as it can."""
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        first, second = cpus()
        last = max(os.sched_getaffinity(0))
        for number, family in ((number, family) for number in range(3) for family in range(2)):
            is_far = number == 2
            plan = Udp(
                source=(FAR if is_far else NEAR)[family],
                destination=(NEAR if is_far else FAR)[family],
                sources=ADDRESSES if is_far else 1,
                destinations=1 if is_far else ADDRESSES,
                ports=5,
                # Lengths of their own: bytes that go to a wrong packet do not add up.
                payload_bytes=33 + 211 * number + 97 * family,
                count=0,
                rate=self.rate,
                seconds=SECONDS_MAX,
            )
            cpu = (first, second, last)[number]
            where = self.duel.far if is_far else self.duel.near
            self.children.append(self.duel.spawn(where, ["taskset", "-c", str(cpu), *plan.argv()]))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Count:
        """What they say they have sent."""
        sent = Count(0, 0)
        while self.children:
            sent += senders.stop_udp(self.children.pop()).count
        return sent
