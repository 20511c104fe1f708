"""The native meter that counts in the kernel: taken over by other processes and other versions."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from netledger.errors import (
    NotSupportedError,
    SourceError,
)
from tests.kernel.bpf_box import BPFFS, pins
from tests.kernel.bpf_native import (
    DIRECTORY,
    HOOKS,
    OBJECT,
    PINS,
    counting,
    cut,
    machine,
    meter,
    rows,
    section,
    send,
)

pytestmark = pytest.mark.kernel


def test_another_process_takes_over_whatever_it_is_configured_to_do(tmp_path: Path) -> None:
    with machine():
        first = counting("host", "protocol")
        fingerprint = first.fingerprint
        send(1)
        first.close()
        send(2)
        second = meter(("host", "peer", "peer_port"), rows_max=7, attach="tcx")
        assert second.pinned_fingerprint() == fingerprint != second.fingerprint
        second.open()
        send(3)
        assert (second.generation(), second.generations()) == (1, [1])
        assert [(link.name, link.is_pinned, link.is_attached) for link in second.links()] == [
            (name, True, True) for name in HOOKS
        ]
        generation = cut(second, tmp_path / "1")
        assert {(row["protocol"], row["peer"]) for row in rows(generation)} == {(17, None)}
        assert generation.totals.received_packets == 6


def test_a_load_that_did_not_end_is_done_again() -> None:
    with machine():
        counter = counting()
        assert counter.pinned_layout() == 1
        counter.close()
        (PINS / "fingerprint").unlink()
        assert counter.pinned_fingerprint() is None
        with pytest.raises(SourceError, match="fingerprint is missing"):
            counter.open()
        counter.load()
        assert counter.generation() == 0
        assert sorted(path.name for path in PINS.iterdir()) == [
            "about",
            "control",
            "fingerprint",
            "program-netfilter",
            "receipts",
            "slots",
        ]
        # Links of the program that was replaced are gone with their pins.
        assert not any(link.is_attached for link in counter.links())
        counter.close()
        (PINS / "fingerprint").unlink()
        counter.remove()
        assert pins() == []
        counter.remove()


@pytest.mark.parametrize("name", ["control", "slots", "receipts", "about", "program-netfilter"])
def test_what_is_missing_is_named(name: str) -> None:
    with machine():
        counting().close()
        (PINS / name).unlink()
        with pytest.raises(SourceError, match=f"open: {name} is missing"):
            meter().open()


def of_layout(number: int, path: Path) -> str:
    """The built-in object as one of another layout."""
    image = bytearray(OBJECT.read_bytes())
    at = section(bytes(image), "version")
    image[at : at + 4] = number.to_bytes(4, "little")
    path.write_bytes(image)
    return str(path)


@pytest.mark.parametrize(("old", "new"), [(2, 1), (1, 2)])
def test_a_program_of_another_layout_is_drained_and_replaced(tmp_path: Path, old: int, new: int) -> None:
    objects = {1: None, 2: of_layout(2, tmp_path / "2.o")}
    with machine():
        counting("host", "peer_port", object_path=objects[old]).close()
        size = send(2, ports=(9000, 9001))
        there = meter(object_path=objects[new])
        assert (there.pinned_layout(), there.pinned_fingerprint() == there.fingerprint) == (old, False)
        with pytest.raises(SourceError, match="there is a program already"):
            there.load()
        there.open()
        assert (there.generation(), there.generations(), there.mend()) == (1, [1], [])
        assert there.is_draining()
        assert all(link.is_attached for link in there.links())
        refused: list[Callable[[], object]] = [there.attach, lambda: there.prepare(2), lambda: there.switch(1)]
        for call in refused:
            with pytest.raises(SourceError, match=f"it is of layout {old}: it can be drained, and no more"):
                call()
        successor = meter(directory=str(BPFFS / "netledger" / "new"), side=2, object_path=objects[new])
        successor.load(control=str(DIRECTORY))
        assert not successor.is_draining()
        successor.prepare(2)
        successor.attach()
        successor.switch(2)
        send(3)
        assert (there.generation(), there.receipt(1).received_packets) == (0, 4)
        there.settle()
        generation = there.read(1, str(tmp_path / "1"))
        assert {row["peer_port"] for row in rows(generation) if row["sent_bytes"] == 2 * size} == {9000, 9001}
        there.discard(1)
        there.remove()
        assert not DIRECTORY.exists()
        assert cut(successor, tmp_path / "2").totals.received_packets == 3


def test_what_is_not_understood_is_left_alone() -> None:
    with machine():
        counting().close()
        key, value = ["0"] * 4, [str(number % 256) for number in range(512)]
        command = ["bpftool", "map", "update", "pinned", str(PINS / "about"), "key", *key, "value", *value]
        subprocess.run(command, check=True)
        counter = meter()
        before = pins()
        for call in (counter.open, counter.remove):
            with pytest.raises(NotSupportedError, match="what it says of itself is not understood"):
                call()
        assert pins() == before


def test_a_program_takes_over_from_another_by_one_write(tmp_path: Path) -> None:
    with machine():
        old = counting()
        new = meter(("host", "protocol"), directory=str(BPFFS / "netledger" / "new"), side=2)
        new.load(control=str(DIRECTORY))
        new.attach()
        new.prepare(2)
        send(2)
        assert (old.generation(), new.generation()) == (1, 0)
        new.switch(2)
        assert (old.generation(), new.generation()) == (0, 2)
        send(3)
        # It is not the old one's any more, and so not its to end.
        old.switch(0)
        assert new.generation() == 2
        old.settle()
        assert old.read(1, str(tmp_path / "1")).totals.received_packets == 2
        old.remove()
        send(4)
        new.close()
        new.open()
        assert new.generation() == 2
        assert cut(new, tmp_path / "2").totals.received_packets == 7


def test_side_and_directory_say_nothing_about_what_is_counted() -> None:
    assert meter(side=2, directory="/elsewhere").fingerprint == meter().fingerprint
    assert meter(rows_max=7).fingerprint != meter().fingerprint
    assert meter(object_path=str(OBJECT)).fingerprint == meter().fingerprint
