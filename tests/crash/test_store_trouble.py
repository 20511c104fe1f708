"""Whatever happens to the disk of the store: counting goes on, and all is committed once, as soon as it can be."""

import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGUSR1

import pytest

from tests.crash.disks import Disk, own_mounts
from tests.kernel import senders
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, Lab, wait_for
from tests.kernel.lesser import AS_SOMEBODY, LesserGateway
from tests.kernel.senders import Udp

LOAD = Udp(source="10.77.1.2", destination="10.77.2.2", sources=200, count=0, rate=5000)
SOME = Udp(source="10.77.1.2", destination="10.77.2.2", count=3000)


@dataclass(frozen=True)
class Trouble:
    """What happens to the store, how it is mended, and what the log calls it."""

    words: str
    begin: Callable[[Disk], None]
    mend: Callable[[Disk], None]
    limits: tuple[str, ...] = ()


def forbid(disk: Disk) -> None:
    """Takes the right to write from the owner, of every directory of the store."""
    for directory in _directories(disk):
        directory.chmod(stat.S_IMODE(directory.stat().st_mode) & ~0o222)


def allow(disk: Disk) -> None:
    for directory in _directories(disk):
        directory.chmod(0o750)


def _directories(disk: Disk) -> list[Path]:
    store = disk.root / "store"
    return [store, *(path for path in store.rglob("*") if path.is_dir())]


TROUBLES = {
    "full": Trouble("o space left on device", Disk.fill, Disk.empty),
    "read-only": Trouble("read-only", Disk.damage, Disk.mend),
    "broken": Trouble("nput/output error", Disk.shut_down, Disk.mend),
    "forbidden": Trouble("ermission denied", forbid, allow, AS_SOMEBODY),
}
each_trouble = pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """In a directory that every user can reach, unlike those of pytest."""
    with own_mounts(), tempfile.TemporaryDirectory(prefix="nlt") as name:
        directory = Path(name)
        directory.chmod(0o755)
        made = Disk(directory)
        yield made
        made.unmount()


@pytest.fixture
def lab(disk: Disk) -> Iterator[Lab]:
    """As ever, in the mount namespace of the disk."""
    with Lab() as made:
        made.witness(made.gw)
        yield made


def gateway_on(disk: Disk, lab: Lab, trouble: Trouble, interval: str) -> Gateway:
    """The daemon, as the user whom the trouble concerns."""
    store = disk.root / "store"
    if not trouble.limits:
        return Gateway(lab, lab.gw, interval=interval, store=store)
    gateway = LesserGateway(lab, *trouble.limits, interval=interval, store=store)
    gateway.belongs_to_somebody()
    return gateway


def counted(lab: Lab) -> Count:
    return lab.counter(lab.gw, "witness", "total")


@each_trouble
def test_counting_goes_on_and_all_is_committed_once_as_soon_as_it_can_be(
    disk: Disk, lab: Lab, trouble: Trouble
) -> None:
    gateway = gateway_on(disk, lab, trouble, "1s")
    gateway.start_counting()
    sender = senders.start_udp(lab, lab.left, LOAD)
    before = len(gateway.wait_for_intervals(1).intervals)
    trouble.begin(disk)
    gateway.wait_for_log(trouble.words)
    # Thirteen intervals wait, and the next one grows.
    gateway.wait_for_log("event=not_cut", seconds=60)
    assert gateway.child.running
    passed = counted(lab).packets
    wait_for(lambda: counted(lab).packets > passed + 10_000, 30, "traffic while nothing can be committed")
    trouble.mend(disk)
    gateway.wait_for_intervals(before + 15, seconds=90)
    lab.silence(lab.gw)
    assert gateway.stop() == 0
    senders.stop_udp(sender)
    books = gateway.books()
    assert books.problems() == []
    assert books.statuses == {"exact": len(books.intervals)}
    assert [one.seq for one in books.intervals] == list(range(1, len(books.intervals) + 1))
    assert any("intervals waited for the store" in one.reason for one in books.intervals)
    assert books.sent == books.received == counted(lab)
    assert [line for line in gateway.log().splitlines() if "Traceback" in line] == []


@each_trouble
def test_a_stop_meanwhile_fails_and_the_next_start_commits_the_rest(disk: Disk, lab: Lab, trouble: Trouble) -> None:
    gateway = gateway_on(disk, lab, trouble, "1h")
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_intervals(1)
    trouble.begin(disk)
    senders.udp(lab, lab.left, SOME)
    gateway.child.signal(SIGUSR1)
    gateway.wait_for_log(trouble.words)
    senders.udp(lab, lab.left, SOME)
    assert gateway.stop() == 1
    assert "event=not_committed" in gateway.log()
    trouble.mend(disk)
    gateway.start_counting()
    senders.udp(lab, lab.left, SOME)
    assert gateway.stop() == 0
    books = gateway.books()
    assert books.problems(gaps_max=1) == []
    assert set(books.statuses) == {"exact"}
    assert books.sent == books.received == counted(lab)
