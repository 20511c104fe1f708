"""What a test needs from the machine, and what is missing of it.

A test says so with a marker: ``@pytest.mark.kernel``, ``@pytest.mark.loop`` for a file system of its own, or
``@pytest.mark.peers("pmacctd", "ulogd")``. Where it is missing the test is skipped with the reason; where
NETLEDGER_REQUIRE names the marker (as ``.ci/run`` does) it fails.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

KINDS = ("kernel", "loop", "peers")
BPF_RELEASE = (6, 6)
_BTF = Path("/sys/kernel/btf/vmlinux")
_PROBE_SECONDS = 30
_PROBE_LOOP = """cd "$1"; mkdir disk; truncate -s 4M image; mkfs.ext4 -q image; mount -o loop image disk; umount disk"""
# A rule that logs makes the kernel load its logging to netlink: the very thing the tests need.
_PROBE_RULESET = "table inet probe {\n chain c {\n  log group 1\n }\n}\n"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a test: ``run``, ``skip`` or ``fail``, and why."""

    action: str
    reason: str = ""


def required(environment: str | None) -> frozenset[str]:
    """The kinds that must not be skipped.

    Raises:
        ValueError: a word that is no kind; a slip there would let everything be skipped.
    """
    kinds = frozenset(word.strip() for word in (environment or "").split(",") if word.strip())
    unknown = sorted(kinds.difference(KINDS))
    if unknown:
        message = f"NETLEDGER_REQUIRE: {', '.join(unknown)}: known are {', '.join(KINDS)}"
        raise ValueError(message)
    return kinds


def verdict(kind: str, missing: str | None, require: frozenset[str]) -> Verdict:
    """Decides about one test that needs ``kind``, of which ``missing`` is not there."""
    if missing is None:
        return Verdict("run")
    if kind in require:
        return Verdict("fail", f"NETLEDGER_REQUIRE names {kind}, but {missing}")
    return Verdict("skip", f"needs {kind}: {missing}")


@cache
def missing_kernel() -> str | None:
    """What the tests on the real kernel lack here, or None."""
    if os.geteuid() != 0:
        return "this is not root"
    for program in ("nft", "ip", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        probe = subprocess.run(
            ["unshare", "--net", "nft", "-f", "-"],
            input=_PROBE_RULESET,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"nft in a new network namespace did not answer within {_PROBE_SECONDS} s"
    if probe.returncode != 0:
        return f"nft in a new network namespace: {probe.stderr.strip() or probe.returncode}"
    return None


@cache
def missing_loop() -> str | None:
    """What a file system whose power can be cut lacks here, or None."""
    if os.geteuid() != 0:
        return "this is not root"
    for program in ("mkfs.ext4", "mount", "umount", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    with tempfile.TemporaryDirectory() as directory:
        try:
            probe = subprocess.run(
                ["unshare", "--mount", "sh", "-euc", _PROBE_LOOP, "probe", directory],
                capture_output=True,
                text=True,
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"a mount of a file did not end within {_PROBE_SECONDS} s"
    if probe.returncode != 0:
        return f"ext4 on a loop device: {probe.stderr.strip() or probe.returncode}"
    return None


def missing_bpf(release: str) -> str | None:
    """What the source bpf lacks on a kernel of this release, or None."""
    found = re.match(r"(\d+)\.(\d+)", release)
    if found is None or (int(found[1]), int(found[2])) < BPF_RELEASE:
        return f"the kernel is {release}, and bpf needs {'.'.join(map(str, BPF_RELEASE))}"
    return None if _BTF.exists() else f"{_BTF} is not there: the kernel does not tell its types"


def missing_peers(programs: Sequence[str]) -> str | None:
    """Which of the programs are not installed, or None."""
    absent = [program for program in programs if shutil.which(program) is None]
    return f"{', '.join(absent)}: not installed" if absent else None
