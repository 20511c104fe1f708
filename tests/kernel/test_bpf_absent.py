"""``netledger status`` where no daemon lives, and the kernel counts on all the same: for which meter, since when."""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence

import pytest

from netledger.receipt import parse_rfc3339
from tests.kernel import senders
from tests.kernel.bpf_box import BPFFS, BpfLab, own_bpffs
from tests.kernel.gateway import Gateway
from tests.kernel.lab import wait_for
from tests.kernel.lesser import SOMEBODY, THEIR_GROUP, within_reach
from tests.kernel.metering import CLOCK
from tests.kernel.senders import Udp

THROUGH = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
METERS = {"lan": 'source = "bpf"\n', "rules": 'source = "nflog"\n'}
AS_READER = ["setpriv", f"--reuid={SOMEBODY}", f"--regid={THEIR_GROUP}", "--clear-groups", "--inh-caps=-all"]


@pytest.fixture
def lab() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as made:
        made.witness(made.gw)
        yield made


def asked(gateway: Gateway, *options: str, before: Sequence[str] = ()) -> str:
    """What it prints, whatever it says of that on standard error."""
    argv = [sys.executable, "-m", "netledger", "status", "--config", str(gateway.file), *options]
    lab = gateway.network
    argv = within_reach([*before, *argv], lab.directory / "view") if before else argv
    return lab.run(gateway.namespace, ["sh", "-c", '"$@" || test $? = 1', "sh", *argv])


def lines_of(gateway: Gateway, meter: str = "lan") -> list[str]:
    return [line for line in asked(gateway).splitlines() if line.startswith(f"meter {meter}: ")]


def burst(lab: BpfLab) -> None:
    """Sends it, and waits until it has passed."""
    goal = lab.counter(lab.gw, "witness", "total").packets + THROUGH.count
    senders.udp(lab, lab.left, THROUGH)
    wait_for(lambda: lab.counter(lab.gw, "witness", "total").packets >= goal, 20, "the burst")


def test_after_a_kill_it_says_what_the_kernel_counts_and_since_when(lab: BpfLab) -> None:
    before_ns = CLOCK.now().wall_ns
    gateway = Gateway(lab, lab.gw, interval="1h", meters=METERS)
    gateway.start_counting()
    gateway.child.kill()
    after_ns = CLOCK.now().wall_ns
    burst(lab)
    first, second = lines_of(gateway)
    found = re.fullmatch(
        r"meter lan: the kernel counts on since (\S+); 500 packets, 50\.00 KB so far; nobody has looked since (\S+); "
        r"the next start books it",
        first,
    )
    assert found is not None, first
    since_ns, looked_ns = (parse_rfc3339(time) for time in found.groups())
    assert before_ns <= since_ns <= looked_ns <= after_ns
    assert second == "meter lan: 1 generation in the runtime directory, committed at the next start"
    # Rules count on, too; but whose it is is not counted with them.
    assert not any("counts on" in line for line in lines_of(gateway, "rules"))
    burst(lab)
    told = json.loads(asked(gateway, "--json"))["kernel_counts"]
    assert list(told) == ["lan"]
    assert (told["lan"]["packets"], told["lan"]["bytes"]) == (1000, 100_000)
    assert (parse_rfc3339(told["lan"]["since"]), parse_rfc3339(told["lan"]["looked_at"])) == (since_ns, looked_ns)
    # Looking has changed nothing.
    gateway.start_counting()
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.sent == books.kernel == lab.counter(lab.gw, "witness", "total")
    assert set(books.statuses) == {"exact"}
    assert (lines_of(gateway)[0].count("last commit"), json.loads(asked(gateway, "--json"))["kernel_counts"]) == (1, {})


def test_a_stop_that_leaves_it_attached_is_told_as_well(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": METERS["lan"]}, options=("--keep-attached",))
    gateway.start_counting()
    burst(lab)
    assert gateway.stop() == 0
    burst(lab)
    assert "500 packets, 50.00 KB so far" in lines_of(gateway)[0]


def test_without_its_state_it_still_says_what_counts(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": METERS["lan"]})
    gateway.start_counting()
    gateway.child.kill()
    burst(lab)
    shutil.rmtree(gateway.runtime)
    (line,) = lines_of(gateway)
    assert line.startswith("meter lan: the kernel counts on; 500 packets, ")
    assert line.endswith(
        "; what was noted of its interval is gone: the next start says how much it was, and books none of it"
    )
    gateway.start_counting()
    assert gateway.stop() == 0
    first, *rest = gateway.books().intervals
    assert (first.status, first.sent.packets) == ("interrupted", 0)
    assert "500 packets, 50,000 bytes" in first.reason
    assert [(one.status, one.sent.packets) for one in rest] == [("exact", 0)]


def test_what_somebody_removed_does_not_count_on(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": METERS["lan"]})
    gateway.start_counting()
    gateway.child.kill()
    shutil.rmtree(BPFFS / "netledger")
    assert not any("counts on" in line for line in lines_of(gateway))


def test_who_may_not_ask_the_kernel_is_told_what_was_written_down(lab: BpfLab) -> None:
    gateway = Gateway(lab, lab.gw, interval="1h", meters={"lan": METERS["lan"]})
    gateway.start_counting()
    gateway.child.kill()
    lab.directory.chmod(0o755)
    BPFFS.chmod(0o700)
    for path in (gateway.runtime, gateway.runtime / "lan"):
        path.chmod(0o755)
    for path in (gateway.runtime / "netledger.sock", *(gateway.runtime / "lan").glob("*")):
        path.chmod(0o666)
    said = asked(gateway, before=AS_READER)
    assert re.search(
        r"^meter lan: the kernel counts on since \S+; how much this user may not see; ", said, re.MULTILINE
    )
