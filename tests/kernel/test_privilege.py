"""What SECURITY.md says of privileges: CAP_NET_ADMIN is enough, and without it the refusal says what is missing."""

import sys
from pathlib import Path

from tests.kernel import senders
from tests.kernel.gateway import STOP_SECONDS, Gateway
from tests.kernel.lab import Child, Lab
from tests.kernel.senders import Udp

CAP_NET_ADMIN = 12


class LesserGateway(Gateway):
    """``netledger run`` with such capabilities as are named, and no others."""

    def __init__(self, lab: Lab, *capabilities: str) -> None:
        super().__init__(lab, lab.gw)
        # Of root's capabilities a new program gets those of the bounding set. The user stays: a checkout may lie
        # where only root can read.
        self._bounds = ",".join(("-all", *(f"+{name}" for name in capabilities)))

    def start(self, *settings: str) -> Child:
        limits = ["setpriv", f"--inh-caps={self._bounds}", f"--bounding-set={self._bounds}"]
        program = [sys.executable, "-m", "netledger", "run", "--config", str(self.file)]
        self.children.append(self.network.spawn(self.namespace, ["env", *settings, *limits, *program]))
        return self.child


def _effective(child: Child) -> int:
    """The capabilities that a process has, as the kernel's bit mask."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))


def test_the_right_to_administer_the_network_is_enough(lab: Lab) -> None:
    lab.witness(lab.gw)
    gateway = LesserGateway(lab, "net_admin")
    child = gateway.start_counting()
    assert _effective(child) == 1 << CAP_NET_ADMIN
    senders.udp(lab, lab.left, Udp(source="10.77.1.2", destination="10.77.2.2", count=2_000))
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems() == []
    assert [interval.status for interval in books.intervals if interval.status != "exact"] == []
    assert books.accounted == lab.counter(lab.gw, "witness", "total")
    assert books.accounted.packets == 2_000


def test_without_it_the_refusal_says_what_is_missing(lab: Lab) -> None:
    child = LesserGateway(lab).start()
    assert child.wait(STOP_SECONDS) == 1
    assert "operation not permitted" in child.errors().lower()
    assert "CAP_NET_ADMIN" in child.errors()
