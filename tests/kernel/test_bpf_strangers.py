"""Things in the place of a meter's pins that are not netledger's: named with a way out, and never removed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from netledger.errors import ObjectExistsError
from netledger.receipt import Count
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.lab import wait_for
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
NOTICED_SECONDS = 30.0  # about one, and the machine may be busy


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        yield lab


def put(path: Path, what: str) -> None:
    """A directory, or a symbolic link to one or to nothing, at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "directory":
        path.mkdir()
    else:
        path.symlink_to({"link": "/sys/fs/bpf", "dangling link": "/sys/fs/bpf/nowhere"}[what])


def is_there(path: Path) -> bool:
    return os.path.lexists(path)


@pytest.mark.parametrize(
    ("where", "what", "words"),
    [
        ("", "dangling link", "it is no directory"),
        ("a", "dangling link", "it is no directory"),
        ("a", "link", "it is no directory"),
        ("a/v1", "link", "it is no directory"),
        ("a/v1/link-forward-ipv4", "directory", "it is a directory"),
        ("a/v1/rows-1", "dangling link", "it is a symbolic link"),
    ],
)
def test_what_is_in_the_way_of_a_first_start_is_named(gateway: BpfLab, where: str, what: str, words: str) -> None:
    bench = BpfBench.on(gateway)
    path = bench.config.pins / where
    put(path, what)
    with pytest.raises(ObjectExistsError) as caught:
        bench.open()
    assert str(caught.value) == f"bpf {path}: look for pins: it is not netledger's: {words}"
    assert f"rm -r {path}" in (caught.value.hint or "")
    assert is_there(path)
    # The hint mends it.
    path.rmdir() if what == "directory" else path.unlink()
    bench.open()
    burst(gateway, BURST)
    bench.close()
    assert bench.statuses() == ["exact"]
    assert bench.sum("accounted") == bench.witnessed() == Count(500, 50_000)


@pytest.mark.parametrize("pin", ["control", "about", "fingerprint", "namespace", "program-netfilter"])
def test_what_took_the_place_of_a_pin_is_named_and_the_kernel_counts_on(gateway: BpfLab, pin: str) -> None:
    bench = BpfBench.on(gateway)
    with bench.child() as child:
        child.signal(signal.SIGKILL)
        child.wait()
    path = bench.config.pins / "a" / "v1" / pin
    spare = path.with_name("spare")
    path.rename(spare)
    put(path, "directory")
    with pytest.raises(ObjectExistsError, match=f"a/v1/{pin}: look for pins: it is not netledger's"):
        bench.open()
    burst(gateway, BURST)
    path.rmdir()
    spare.rename(path)
    bench.open()
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("accounted") == bench.witnessed() == Count(500, 50_000)


def test_what_takes_the_place_of_a_pin_meanwhile_is_told_and_left_alone(gateway: BpfLab) -> None:
    bench = BpfBench.on(gateway)
    bench.open()
    source, path = bench.opened(), bench.config.pins / "a" / "v1" / "link-forward-ipv4"
    path.unlink()
    put(path, "directory")
    seen = wait_for(lambda: source.glance().unpinned, NOTICED_SECONDS, "the watch")
    assert seen is not None
    assert f"bpf {path}: look for pins: it is not netledger's: it is a directory" in seen.why
    assert f"rm -r {path}" in (seen.hint or "")
    burst(gateway, BURST)
    bench.cut()
    path.rmdir()
    wait_for(lambda: source.glance().unpinned is None, NOTICED_SECONDS, "the watch")
    assert path.is_file()
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("accounted") == bench.witnessed() == Count(500, 50_000)


@pytest.mark.parametrize("where", ["foreign", "a/foreign", "a/v1/foreign"])
@pytest.mark.parametrize("what", ["directory", "dangling link"])
def test_what_is_in_nobodys_way_stays_and_hinders_nothing(gateway: BpfLab, where: str, what: str) -> None:
    bench = BpfBench.on(gateway)
    path = bench.config.pins / where
    put(path, what)
    bench.open()
    burst(gateway, BURST)
    bench.close()
    assert is_there(path)
    bench.open()
    bench.close()
    assert is_there(path)
    assert set(bench.statuses()) == {"exact"}
    assert bench.sum("accounted") == bench.witnessed() == Count(500, 50_000)
