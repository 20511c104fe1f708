"""The page on ``netledger.conntrack`` does what it says: its programs run as they stand, on real flows."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from netledger import conntrack
from netledger.conntrack import Direction, Flow
from tests.kernel.flows import PAYLOAD_BYTES, SINK, Tracked, send_udp
from tests.kernel.lab import wait_for
from tests.kernel.senders import Udp, start_udp, stop_udp

pytestmark = pytest.mark.kernel

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conntrack-api.md"
TEXT = PAGE.read_text(encoding="utf-8")
BEGIN, FILTER, EVENTS, ACCOUNTANT = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
CAST = "from netledger import conntrack\n"
PACKET_BYTES = PAYLOAD_BYTES + 28
SECONDS = 20.0
NETFILTER, DESTROY_GROUP = "12", 1 << 2
# Of 20,000 packets and some hundred flows that are deleted under them.
UNDER_WAY_MAX = 5


@pytest.fixture
def space() -> Iterator[Tracked]:
    """The calling thread is in the namespace ``here``."""
    with Tracked() as made, made.inside(made.here):
        yield made


def run(space: Tracked, code: str) -> str:
    argv = ["ip", "netns", "exec", space.here, sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_page_begins_with_what_works(space: Tracked) -> None:
    send_udp(SINK, packets=3)
    assert run(space, BEGIN) == f"127.0.0.1 127.0.0.1 17 {3 * PACKET_BYTES} 0\n"


def test_the_filter_of_the_page_adds_up_what_it_names(space: Tracked) -> None:
    here = FILTER.replace("protocol=6", "protocol=17").replace("443", str(SINK)).replace("10.0.0.0/8", "127.0.0.1")
    assert run(space, CAST + FILTER) == "0\n"
    send_udp(SINK)
    assert run(space, CAST + here.replace("flow.reply", "flow.original")) == f"{PACKET_BYTES}\n"


def test_the_events_of_the_page_are_told_until_they_end(space: Tracked) -> None:
    quickly = EVENTS.replace("timeout_seconds=60", "timeout_seconds=1")
    assert quickly != EVENTS
    argv = [sys.executable, "-u", "-c", CAST + quickly]
    child = space.spawn(space.here, argv)

    def hears() -> bool:
        nonlocal child
        if not child.running:  # where the machine is held up, it has ended before a packet came
            child = space.spawn(space.here, argv)
        send_udp(SINK)
        return "new 127.0.0.1 None\n" in child.output()

    wait_for(hears, SECONDS, "an event")
    conntrack.flush()
    assert child.wait() == 0, child.errors()
    assert "destroy 127.0.0.1 1\n" in child.output()


def listens() -> bool:
    """Whether a socket of this network namespace is told of the end of flows."""
    lines = Path("/proc/thread-self/net/netlink").read_text(encoding="ascii").splitlines()[1:]
    return any(line.split()[1] == NETFILTER and int(line.split()[3], 16) & DESTROY_GROUP for line in lines)


def test_the_accountant_of_the_page_has_each_byte_once(space: Tracked) -> None:
    plan = Udp(source="127.0.0.1", destination="127.0.0.1", ports=200, count=0, rate=10_000)
    sender = start_udp(space, space.here, plan)
    accountant = space.spawn(space.here, [sys.executable, "-c", ACCOUNTANT])
    wait_for(listens, SECONDS, "the accountant")
    ended = 0
    for _ in range(5):
        # Before, while and after the counters are zeroed; new flows take their place.
        for flow in conntrack.dump():
            conntrack.delete(flow)
            ended += 1
        wait_for(lambda: conntrack.count() > 1, SECONDS, "new flows")
    assert accountant.running
    sent = stop_udp(sender).count
    assert accountant.wait() == 0, accountant.errors()
    printed = [accountant.output(), run(space, ACCOUNTANT)]
    sums = [sum(int(line.split()[1]) for line in lines.splitlines()) for lines in printed]
    assert ended > plan.ports
    assert min(sums) > 0
    # What finds its flow while that is being deleted is counted when the kernel has told its end already: rarely one.
    size_bytes = plan.payload_bytes + 28
    assert sent.bytes - UNDER_WAY_MAX * size_bytes <= sum(sums) <= sent.bytes


def test_the_page_names_every_call_each_error_and_each_field() -> None:
    calls = [name for name in conntrack.__all__ if name[0].islower()]
    assert [name for name in calls if f"`{name}(" not in TEXT] == []
    told = ""
    for module in Path(conntrack.__file__).parent.glob("*.py"):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        told += " ".join(ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    raised = set(re.findall(r"\b[A-Z]\w+Error\b", told))
    assert raised >= {"UnsteadyError", "ObjectNotFoundError"}
    assert [name for name in sorted(raised) if f"`{name}`" not in TEXT] == []
    named = [field.name for record in (Flow, Direction) for field in fields(record)]
    assert [name for name in named if f"`{name}`" not in TEXT] == []
