"""The native meter that counts in the kernel: where it hangs, and what others do to that."""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from netledger.errors import (
    ObjectNotFoundError,
    SourceError,
)
from tests.kernel.bpf_box import BPFFS
from tests.kernel.bpf_native import (
    DIRECTORY,
    HERE,
    HOOKS,
    PINS,
    THERE,
    Machine,
    by_host,
    counting,
    cut,
    machine,
    meter,
    rows,
    send,
)
from tests.kernel.lab import wait_for

pytestmark = pytest.mark.kernel


def open_links() -> list[str]:
    """What the kernel says of the links that this process has open."""
    found = []
    for file in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # what lists them is closed by now
            found += file.read_text().splitlines()
    return found


def test_a_second_program_at_a_hook_comes_first() -> None:
    with machine():
        first = counting()
        second = meter(directory=str(BPFFS / "second"))
        second.load()
        second.attach()
        priorities = [int(line.split("prio:")[1]) for line in open_links() if "prio:" in line]
        assert sorted(priorities) == [89] * 6 + [90] * 6
        for counter in (first, second):
            assert all(link.is_attached for link in counter.links())
            counter.remove()


def test_tcx_counts_what_passes_an_interface(tmp_path: Path) -> None:
    with machine() as space:
        counter = meter(("host", "interface"), attach="tcx")
        counter.load()
        counter.prepare(1)
        index = space.index()
        counter.attach_interface(index, "wire")
        counter.attach_interface(index, "wire")
        counter.attach_interface(1, "lo")
        found = {link.name: (link.interface_index, link.is_attached) for link in counter.links()}
        assert found == {
            f"link-{index}-egress": (index, True),
            f"link-{index}-ingress": (index, True),
            "link-1-ingress": (1, True),
        }
        counter.switch(1)
        size = send(3)
        with space.inside(space.b):
            send(2, to=HERE)
        generation = cut(counter, tmp_path / "1")
        assert by_host(generation) == {HERE: (3, 3 * size, 2, 2 * size), THERE: (2, 2 * size, 3, 3 * size)}
        assert {row["interface"] for row in rows(generation, {index: "wire"})} == {"wire"}
        assert (generation.totals.wire_packets, generation.totals.wire_bytes) == (5, 5 * size)
        counter.detach_interface(index)
        counter.detach_interface(index)
        send(1)
        assert counter.receipt(2).received_packets == 0
        assert [link.name for link in counter.links()] == ["link-1-ingress"]


def test_an_interface_that_goes_takes_its_links_with_it() -> None:
    with machine() as space:
        counter = meter(attach="tcx")
        counter.load()
        with pytest.raises(ObjectNotFoundError, match="interface gone: attach: no such device"):
            counter.attach_interface(999, "gone")
        index = space.index()
        counter.attach_interface(index, "wire")
        space.run(space.a, ["ip", "link", "del", "wire"])
        assert [link.is_attached for link in counter.links()] == [False, False]
        gone = [(f"link {index}-{way} is gone with its interface", False) for way in ("egress", "ingress")]
        assert counter.mend() == gone
        assert counter.mend() == []
        assert counter.links() == []


def test_each_attach_point_has_its_own_calls() -> None:
    with machine():
        counter = counting()
        with pytest.raises(SourceError, match="it is for netfilter hooks"):
            counter.attach_interface(1, "lo")
        counter.remove()
        counter = meter(attach="tcx")
        counter.load()
        with pytest.raises(SourceError, match="it is for interfaces"):
            counter.attach()


def test_with_loopback_alone_it_hangs_at_the_output_alone() -> None:
    with machine():
        counter = counting(interfaces=["lo"])
        assert [link.name for link in counter.links()] == ["link-output-ipv4", "link-output-ipv6"]
        send(1, to="127.0.0.1", ports=(9000,))
        send(1)
        assert counter.receipt(1).received_packets == 1


def detach(space: Machine, name: str) -> None:
    """As somebody with bpftool would."""
    space.run(space.a, ["bpftool", "link", "detach", "pinned", str(PINS / name)])


def test_a_link_that_somebody_detaches_is_made_again() -> None:
    with machine() as space:
        counter = counting()
        assert counter.mend() == []
        detach(space, "link-output-ipv4")
        states = {link.name: link.is_attached for link in counter.links()}
        assert states == {name: name != "link-output-ipv4" for name in HOOKS}
        send(1)
        assert counter.receipt(1).received_packets == 0
        assert counter.mend() == [("link output-ipv4 was detached", True)]
        send(2)
        assert counter.receipt(1).received_packets == 2
        detach(space, "link-output-ipv4")
        counter.attach()
        assert all(link.is_attached for link in counter.links())


def test_a_tcx_link_that_somebody_detaches_is_made_again() -> None:
    with machine() as space:
        counter = meter(attach="tcx")
        counter.load()
        counter.prepare(1)
        index = space.index()
        counter.attach_interface(index, "wire")
        counter.switch(1)
        name = f"link-{index}-egress"
        detach(space, name)
        assert {link.name: link.is_attached for link in counter.links()} == {name: False, f"link-{index}-ingress": True}
        send(1)
        assert counter.receipt(1).received_packets == 0
        assert counter.mend() == [(f"link {index}-egress was detached", True)]
        assert counter.mend() == []
        assert all(link.is_attached and link.is_pinned for link in counter.links())
        send(2)
        assert counter.receipt(1).received_packets == 2
        detach(space, name)
        counter.attach_interface(index, "wire")
        assert all(link.is_attached for link in counter.links())
        send(3)
        assert counter.receipt(1).received_packets == 5


def test_pins_of_tcx_that_somebody_removes_stop_nothing(tmp_path: Path) -> None:
    with machine() as space:
        counter = meter(attach="tcx")
        counter.load()
        for generation in (1, 2):
            counter.prepare(generation)
        counter.attach_interface(space.index(), "wire")
        counter.switch(1)
        send(1)
        shutil.rmtree(DIRECTORY)
        send(2)
        assert [(link.is_attached, link.is_pinned) for link in counter.links()] == [(True, False)] * 2
        counter.switch(2)
        counter.settle()
        assert counter.read(1, str(tmp_path / "1")).totals.received_packets == 3
        counter.remove()


def test_pins_that_somebody_removes_stop_nothing_and_are_made_again(tmp_path: Path) -> None:
    with machine():
        counter = counting()
        shutil.rmtree(DIRECTORY)
        send(2)
        assert not any(link.is_pinned for link in counter.links())
        everything = [
            "control",
            "slots",
            "receipts",
            "about",
            "program-netfilter",
            "rows-1",
            *sorted(HOOKS),
            "namespace",
            "fingerprint",  # which says that all the others are there
        ]
        assert counter.mend() == [(f"pin {name} was removed", False) for name in everything]
        assert counter.mend() == []
        counter.close()
        counter.open()
        send(1)
        assert cut(counter, tmp_path / "1").totals.received_packets == 3


def test_links_that_were_removed_while_nobody_lived_are_seen(tmp_path: Path) -> None:
    with machine():
        counting().close()
        (PINS / "link-output-ipv4").unlink()
        counter = meter()
        counter.open()
        states = {link.name: (link.is_pinned, link.is_attached) for link in counter.links()}
        assert states.pop("link-output-ipv4") == (False, False)
        assert set(states.values()) == {(True, True)}
        counter.attach()
        send(1)
        assert cut(counter, tmp_path / "1").totals.received_packets == 1


def test_what_is_removed_is_gone_from_the_kernel() -> None:
    with machine():
        counter = counting()
        program = next(line.split()[1] for line in open_links() if line.startswith("prog_id:"))
        shown = ["bpftool", "prog", "show", "id", program]
        assert subprocess.run(shown, check=True, capture_output=True).stdout
        counter.remove()
        wait_for(lambda: subprocess.run(shown, check=False, capture_output=True).returncode, 10, "its end")


def test_what_is_detached_counts_no_more() -> None:
    with machine():
        counter = counting()
        send(1)
        counter.detach()
        send(1)
        assert counter.receipt(1).received_packets == 1
        assert [(link.is_pinned, link.is_attached) for link in counter.links()] == [(False, False)] * len(HOOKS)
        assert counter.mend() == []
        counter.attach()
        send(1)
        assert counter.receipt(1).received_packets == 2


def test_links_of_another_network_namespace_are_left_behind() -> None:
    with machine() as space:
        counter = counting()
        with space.inside(space.b):
            assert not any(link.is_attached for link in counter.links())
            elsewhere = [(f"{name.replace('-', ' ', 1)} hung in another network namespace", True) for name in HOOKS]
            assert counter.mend() == elsewhere
            assert counter.mend() == []
            assert all(link.is_attached and link.is_pinned for link in counter.links())
            send(2, to=HERE)
            assert counter.receipt(1).received_packets == 2
        send(3)
        assert counter.receipt(1).received_packets == 2
