"""A BPF file system that nobody else sees, and that ends with the test, with all pins in it.

    with own_bpffs(), Duel() as duel, duel.inside(duel.near):
        meter = BpfMeter(directory=f"{BPFFS}/proof", …)

It is mounted in a mount namespace of the calling thread: a test that is killed leaves no pin behind, and so no program
that still counts and no network namespace that a pinned link keeps alive.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kernel.lab import Lab, Network, Pair

BPFFS = Path("/sys/fs/bpf")
KERNELS_OWN = frozenset(("maps.debug", "progs.debug"))
CLONE_FS, CLONE_NEWNS = 0x200, 0x20000
MS_REC, MS_SLAVE = 0x4000, 0x80000
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def own_bpffs() -> Iterator[Path]:
    """The calling thread, and what it starts, with an empty BPF file system at its usual place.

    Namespaces that labs make or remove elsewhere are made and removed in here too; not the other way round.
    """
    directory = Path.cwd()
    with Path("/proc/thread-self/ns/mnt").open() as home:
        _call("unshare", CLONE_NEWNS)
        try:
            _call("mount", None, b"/", None, MS_REC | MS_SLAVE, None)
            _call("mount", b"bpf", os.fsencode(BPFFS), b"bpf", 0, None)
            yield BPFFS
        finally:
            _call("unshare", CLONE_FS)  # threads that were started in here share the working directory
            _call("setns", home.fileno(), CLONE_NEWNS)
            os.chdir(directory)


class Plainly(Network):
    """Commands enter the network namespace and nothing else: ``ip netns exec`` would hide the BPF file system."""

    def entering(self, namespace: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{namespace}"]


class BpfLab(Plainly, Lab):
    """The gateway between two sides."""


class BpfPair(Plainly, Pair):
    """Two machines."""


def pins(directory: Path = BPFFS) -> list[str]:
    """Everything that is pinned below a directory, as paths from there; empty when it does not exist."""
    found = (path for path in directory.rglob("*") if not path.is_dir() and path.name not in KERNELS_OWN)
    return sorted(str(path.relative_to(directory)) for path in found)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
