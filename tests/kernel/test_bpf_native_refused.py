"""The native meter that counts in the kernel: what it refuses, and what it says then."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netledger._core import Generation, bpf_check, bpf_log, keep_capabilities
from netledger.errors import (
    NetledgerError,
    PermissionDeniedError,
    SourceError,
)
from tests.kernel.bpf_box import BPFFS, pins
from tests.kernel.bpf_native import (
    OBJECT,
    counting,
    cut,
    machine,
    meter,
    section,
    send,
)
from tests.kernel.lesser import lacking

pytestmark = pytest.mark.kernel

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}


def without(missing: str | None, call: Callable[[], object]) -> NetledgerError | None:
    """What a call raises in a thread that has the three capabilities, or two of them, and no others."""
    raised: list[NetledgerError] = []

    def run() -> None:
        keep_capabilities(sum(1 << number for name, number in CAPABILITIES.items() if name != missing))
        try:
            call()
        except NetledgerError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_three_capabilities_do_for_everything(tmp_path: Path) -> None:
    def work() -> None:
        counter = counting(local=["10.0.0.0/8"])
        send(3)
        assert counter.mend() == []
        closed.append(cut(counter, tmp_path / "1"))
        counter.discard(1)
        counter.prepare(3)
        counter.close()
        counter.open()
        counter.remove()

    closed: list[Generation] = []
    with machine():
        assert without(None, work) is None
        assert closed[0].totals.received_packets == 3
        assert pins() == []


@pytest.mark.parametrize("name", sorted(CAPABILITIES))
@pytest.mark.parametrize("attach", ["netfilter", "tcx"])
def test_a_capability_that_is_missing_is_named(attach: str, name: str) -> None:
    with machine():
        for call in (lambda: meter(attach=attach).load(), lambda: bpf_check(attach)):
            error = without(name, call)
            if name == "CAP_NET_ADMIN" and error is None:
                continue  # asked for when it is attached
            assert isinstance(error, PermissionDeniedError), error
            assert f"missing: {name}" in error.cause
            assert error.hint == lacking(name)
        assert pins() == []


@pytest.mark.parametrize("attach", ["netfilter", "tcx"])
def test_a_check_leaves_nothing(attach: str) -> None:
    with machine():
        bpf_check(attach)
        assert bpf_log() == ""
        assert pins() == []
    with pytest.raises(ValueError, match="attach is netfilter or tcx"):
        bpf_check("xdp")


def test_a_program_that_the_verifier_refuses_says_why(tmp_path: Path) -> None:
    image = bytearray(OBJECT.read_bytes())
    at = section(bytes(image), "netfilter")
    image[at : at + 8] = bytes([0xBF, 0x50, 0, 0, 0, 0, 0, 0])  # r0 = r5, which nobody has written
    broken = tmp_path / "broken.o"
    broken.write_bytes(image)
    with machine():
        with pytest.raises(SourceError, match="R5 !read_ok") as raised:
            meter(object_path=str(broken)).load()
        assert "the last words of the verifier" in raised.value.cause
        assert "R5 !read_ok" in bpf_log()
        assert pins() == []


@pytest.mark.parametrize("content", [b"", b"no object", OBJECT.read_bytes()[:2000]])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "accounting.o"
    file.write_bytes(content)
    with machine():
        with pytest.raises(SourceError, match="bpf program: "):
            meter(object_path=str(file)).load()
        with pytest.raises(SourceError, match="read: no such file"):
            meter(object_path=str(tmp_path / "missing.o")).load()


def test_where_there_is_no_bpf_file_system_it_says_how_to_get_one(tmp_path: Path) -> None:
    with machine():
        with pytest.raises(SourceError, match="is not in one") as raised:
            meter(directory=str(tmp_path / "meter")).load()
        assert "mount -t bpf bpf /sys/fs/bpf" in (raised.value.hint or "")
        # One of the machine itself may lie below the test's own.
        while os.path.ismount(BPFFS):
            subprocess.run(["umount", str(BPFFS)], check=True)
        with pytest.raises(SourceError, match="is not one in this mount namespace"):
            meter().load()


def test_a_name_with_a_dot_is_refused_with_the_reason() -> None:
    with machine():
        with pytest.raises(PermissionDeniedError) as raised:
            meter(directory=str(BPFFS / "a.b")).load()
        assert "names have no dots" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"columns": ["host", "label"]}, "neither label"),
        ({"columns": ["host", "zone"]}, "neither label"),
        ({"rows_max": 0}, "above 0"),
        ({"side": 0}, "above 0"),
        ({"attach": "xdp"}, "netfilter or tcx"),
        ({"hooks": ["prerouting"]}, "hooks are"),
        ({"networks": ["10.0.0.0/33"]}, "no network"),
        ({"interfaces": ["sixteen_letters_"]}, "no name"),
        ({"interfaces": [f"eth{number}" for number in range(33)]}, "more than 32"),
    ],
)
def test_what_cannot_be_asked_for(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        meter(**wrong)
