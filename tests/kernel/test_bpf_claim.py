"""Two processes that see one BPF file system, and two runtime directories of one path: the second is kept out."""

import shutil
import signal
from collections.abc import Iterator

import pytest

from netledger.errors import InUseError, SourceError
from tests.kernel.bpf_box import BpfLab, own_bpffs, pins
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count, wait_for
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
METERS = {"lan": 'source = "bpf"\nlocal = ["10.77.1.0/24"]\n'}


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def elsewhere(bench: BpfBench) -> BpfBench:
    """The same meter with a runtime directory of the same name that is another one, as another container has it."""
    directory = bench.config.runtime.parent
    directory.rename(directory.with_name("of-the-first"))
    return BpfBench(bench.lab, config=bench.config)


def test_the_second_is_refused_and_the_first_counts_on(gateway: BpfLab) -> None:
    first = BpfBench.on(gateway)
    first.open()
    before = first.pinned()
    second = elsewhere(first)
    for call in (second.open, second.finish):
        with pytest.raises(InUseError, match="another process counts"):
            call()
    assert first.pinned() == before
    burst(gateway, BURST)
    first.close()
    assert (first.statuses(), first.sum("accounted").packets) == (["exact"], BURST.count)
    second.open()
    burst(gateway, BURST)
    second.close()
    assert (second.statuses(), second.sum("accounted").packets) == (["exact"], BURST.count)


def test_after_a_kill_the_other_one_is_let_in(gateway: BpfLab) -> None:
    first = BpfBench.on(gateway)
    with first.child() as child:
        burst(gateway, BURST)
        child.signal(signal.SIGKILL)
        child.wait()
    second = elsewhere(first)
    (told,) = second.open()
    second.close()
    # What the first one counted is in a runtime directory that this one does not see.
    assert told.observed.interrupted is not None
    assert "500 packets" in told.observed.interrupted


def test_a_directory_that_was_removed_and_made_again_is_kept_as_well(gateway: BpfLab) -> None:
    first = BpfBench.on(gateway)
    first.open()
    before = first.pinned()
    shutil.rmtree(first.config.pins)
    wait_for(lambda: first.pinned() == before, 30, "the pins")
    first.cut()  # behind the look that made them
    with pytest.raises(InUseError):
        elsewhere(first).open()
    first.close()


def test_a_file_in_the_place_of_the_directory_is_told(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.config.pins.parent.mkdir()
    bench.config.pins.symlink_to("/nowhere")
    with pytest.raises(SourceError, match=bench.config.pins.name):
        bench.open()


def test_a_second_daemon_in_another_mount_namespace_ends_and_disturbs_nothing(gateway: BpfLab) -> None:
    gateway.witness(gateway.gw)
    one = Gateway(gateway, gateway.gw, interval="1h", meters=METERS)
    one.start_counting()
    hidden = 'mount -t tmpfs other "$1" && shift && exec "$@"'
    other = Gateway(gateway, gateway.gw, interval="1h", meters=METERS, store=gateway.directory / "store-of-the-other")
    other.start("unshare", "--mount", "sh", "-c", hidden, "sh", str(other.runtime))
    assert other.child.wait(60) == 1
    assert "another process counts for it" in other.log()
    burst(gateway, BURST)
    assert one.stop() == 0
    books = one.books()
    assert (books.problems(), books.statuses, books.sent) == ([], {"exact": 1}, Count(500, 50_000))
    assert "pins_changed" not in one.log()
    assert pins() == []
