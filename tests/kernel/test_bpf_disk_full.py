"""A runtime directory that is full at a cut: the kernel counts on, and nothing is lost or twice when there is room."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from netledger.errors import NetledgerError
from tests.kernel.bpf_box import BpfLab, own_bpffs
from tests.kernel.bpf_metering import BpfBench, burst
from tests.kernel.senders import Udp

BURST = Udp(source="10.77.1.2", destination="10.77.2.2", count=500)
PAGE_BYTES = 4096


@pytest.fixture
def gateway() -> Iterator[BpfLab]:
    """Its runtime directory is a file system of 8 MiB, in a mount namespace of the test."""
    with own_bpffs(), BpfLab() as lab, lab.inside(lab.gw):
        small = lab.directory / "run"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "netledger-test", small], check=True)
        try:
            yield lab
        finally:
            subprocess.run(["umount", "--lazy", small], check=True)


def filled(directory: Path, *, but_for_bytes: int) -> Path:
    """A file that leaves so much room."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(PAGE_BYTES))
    os.truncate(ballast, ballast.stat().st_size - but_for_bytes)
    return ballast


@pytest.mark.parametrize("pages", [0, 1, 2])
@pytest.mark.parametrize("is_ended", [False, True])
def test_a_full_runtime_directory_loses_nothing_that_the_kernel_counts(
    gateway: BpfLab, *, pages: int, is_ended: bool
) -> None:
    """With no room the facts of the next generation are not written; with some they are, and its rows are not."""
    bench = BpfBench.on(gateway)
    bench.open()
    burst(gateway, BURST)
    ballast = filled(gateway.directory / "run", but_for_bytes=pages * PAGE_BYTES)
    for _ in range(2):
        with pytest.raises((OSError, NetledgerError), match=r"[Nn]o space left"):
            bench.cut()
        burst(gateway, BURST)
    if is_ended:
        with pytest.raises((OSError, NetledgerError), match=r"[Nn]o space left"):
            bench.close(keep_rules=True)
        with pytest.raises((OSError, NetledgerError), match=r"[Nn]o space left"):
            bench.open()
        burst(gateway, BURST)
    ballast.unlink()
    if is_ended:
        bench.open()
    bench.cut()
    burst(gateway, BURST)
    bench.close()
    assert set(bench.statuses()) == {"exact"}
    bench.check_chain()
    assert bench.sum("accounted") == bench.witnessed()
    assert bench.pinned() == []
