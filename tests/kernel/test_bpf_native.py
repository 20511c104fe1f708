"""The native meter that counts in the kernel: generations, takeover, links, refusals."""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from netledger._core import Generation, bpf_check, bpf_log, keep_capabilities, recover
from netledger.errors import (
    NetledgerError,
    NotSupportedError,
    ObjectNotFoundError,
    PermissionDeniedError,
    SourceError,
)
from tests.kernel.bpf_box import BPFFS, pins
from tests.kernel.bpf_native import (
    DIRECTORY,
    HERE,
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

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
HOOKS = [f"link-{hook}-{family}" for hook in ("forward", "input", "output") for family in ("ipv4", "ipv6")]
OBJECT = Path(__file__).parent.parent.parent / "bpf" / "accounting.bpf.o"


def test_a_generation_is_counted_read_and_gone(tmp_path: Path) -> None:
    with machine():
        counter = counting()
        size = send(3)
        send(2, to="fd77:1::2")
        assert (counter.generation(), counter.generations()) == (1, [1])
        generation = cut(counter, tmp_path / "1")
        expected = {
            HERE: (3, 3 * size, 0, 0),
            THERE: (0, 0, 3, 3 * size),
            "fd77:1::1": (2, 2 * (size + 20), 0, 0),
            "fd77:1::2": (0, 0, 2, 2 * (size + 20)),
        }
        assert by_host(generation) == expected
        totals = generation.totals
        assert (totals.received_packets, totals.received_bytes) == (5, 5 * size + 40)
        assert (totals.posted_sent_packets, totals.posted_received_bytes) == (5, 5 * size + 40)
        assert (generation.rows, totals.other_packets, generation.recovered) == (4, 0, False)
        assert counter.generations() == [1, 2]
        counter.discard(1)
        counter.discard(1)
        assert counter.generations() == [2]
        counter.remove()
        assert pins() == []
        assert not DIRECTORY.exists()


def test_what_was_read_is_a_table_file_like_any_other(tmp_path: Path) -> None:
    with machine():
        counter = counting("host", "protocol", "peer_port")
        send(2, ports=(9000, 9001))
        generation = cut(counter, tmp_path / "1")
        expected = sorted(rows(generation), key=repr)
        assert len(expected) == 3
        del generation
        again = recover(str(tmp_path / "1"))
        assert sorted(rows(again), key=repr) == expected
        assert (again.totals.received_packets, again.totals.posted_sent_packets) == (4, 4)
        again.release()
        assert list(tmp_path.iterdir()) == []


def test_reading_again_replaces_the_file(tmp_path: Path) -> None:
    with machine():
        counter = counting()
        send(3)
        (tmp_path / "1.part").write_text("left by a process that died")
        first = by_host(cut(counter, tmp_path / "1"))
        assert by_host(counter.read(1, str(tmp_path / "1"))) == first
        assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("columns", [("host", "peer_port"), ("host", "peer", "peer_port")])
def test_more_rows_than_one_call_reads(tmp_path: Path, columns: tuple[str, ...]) -> None:
    with machine():
        counter = counting(*columns, rows_max=100_000)
        ports = range(1, 40_001)
        size = send(ports=ports)
        generation = cut(counter, tmp_path / "1")
        assert generation.rows == len(ports) + 1
        found = rows(generation)
        assert sorted(row["peer_port"] for row in found if row["sent_packets"]) == list(ports)
        assert all(row["sent_bytes"] == size for row in found if row["sent_packets"])
        assert sum(row["received_bytes"] for row in found) == len(ports) * size


def test_rows_beyond_the_limit_are_other(tmp_path: Path) -> None:
    with machine():
        counter = counting("host", "peer_port", rows_max=3)
        size = send(2, ports=range(9000, 9010))
        assert counter.glance().rows == 3
        assert counter.glance().totals.other_packets > 0
        generation = cut(counter, tmp_path / "1")
        found = {row["account"]: row for row in rows(generation)}
        assert set(found) == {"host", "other"}
        assert sum(row["sent_packets"] for row in rows(generation)) == 20
        assert sum(row["sent_bytes"] for row in rows(generation)) == 20 * size
        assert generation.totals.other_packets == max(
            found["other"]["sent_packets"], found["other"]["received_packets"]
        )


def test_networks_and_interfaces_are_told_to_the_program(tmp_path: Path) -> None:
    with machine() as space:
        for address in ("10.77.1.9", "10.77.1.77"):
            space.run(space.a, ["ip", "neighbour", "replace", address, "lladdr", "02:77:00:00:01:02", "dev", "wire"])
        counter = counting(local=["10.77.1.1/32", "10.77.1.9/32"], networks_excluded=["10.77.1.77/32"])
        send(4)
        send(3, to="10.77.1.9")
        send(2, to="10.77.1.77")
        send(5, to="fd77:1::2")
        found = {host: (row[0], row[2]) for host, row in by_host(cut(counter, tmp_path / "1")).items()}
        assert found == {HERE: (7, 0), "10.77.1.9": (0, 3), "external": (5, 9)}
        counter.remove()
        for wanted, excluded, packets in (("wi*", "none", 1), ("*", "wire", 0), ("wir", "none", 0), ("wire", "w", 1)):
            counter = counting(interfaces=[wanted], interfaces_excluded=[excluded], networks=["10.77.1.0/24"])
            send(1)
            send(1, to="fd77:1::2")
            assert counter.receipt(1).received_packets == packets, (wanted, excluded)
            counter.remove()


def test_a_look_costs_nothing_and_is_right(tmp_path: Path) -> None:
    with machine() as space:
        counter = counting("host", "interface")
        size = send(3)
        glance = counter.glance()
        assert (glance.rows, glance.totals.received_packets, glance.totals.received_bytes) == (2, 3, 3 * size)
        counter.prepare(2)
        counter.switch(2)
        send(1)
        counter.settle()
        # Before the first is read both are there; afterwards the open one alone, and nothing goes back.
        live = counter.live({space.index(): "wire"})
        assert (live.rows, live.sent_packets, live.received_bytes) == (2, 4, 4 * size)
        assert (counter.glance().rows, counter.glance().since_start.received_packets) == (2, 4)
        counter.read(1, str(tmp_path / "1"))
        assert counter.glance().since_start.received_packets == 4
        counter.discard(1)
        counter.prepare(3)
        assert counter.glance().since_start.received_packets == 4
        live = counter.live({space.index(): "wire"}, top=1)
        assert (live.rows, live.sent_packets, len(live.batch)) == (2, 1, 1)
        assert counter.receipt(2).received_packets == 1
        assert counter.receipt(3).received_packets == 0
        with pytest.raises(ValueError, match="sort is any of"):
            counter.live({}, sort="name")


def test_what_does_not_add_up_is_refused_and_kept(tmp_path: Path) -> None:
    with machine():
        counter = counting()
        send(3)
        counter.switch(0)
        counter.settle()
        key = ["0"] * 15 + ["7"]
        row = ["1", *["0"] * 7] * 4
        command = ["bpftool", "map", "update", "pinned", str(PINS / "rows-1"), "key", *key, "value", *row]
        subprocess.run(command, check=True)
        with pytest.raises(SourceError, match="generation 1: rows and receipt do not add up"):
            counter.read(1, str(tmp_path / "1"))
        assert list(tmp_path.iterdir()) == []
        subprocess.run(["bpftool", "map", "delete", "pinned", str(PINS / "rows-1"), "key", *key], check=True)
        assert counter.read(1, str(tmp_path / "1")).rows == 2


def test_what_would_lose_packets_is_refused(tmp_path: Path) -> None:
    with machine():
        counter = counting()
        send(2)
        refused: list[tuple[str, Callable[[], object]]] = [
            ("generation 1 is open", lambda: counter.discard(1)),
            ("generation 1 is open", lambda: counter.read(1, str(tmp_path / "1"))),
            ("there is no generation 2", lambda: counter.switch(2)),
            ("there is no generation 2", lambda: counter.read(2, str(tmp_path / "2"))),
            ("there is no generation 2", lambda: counter.receipt(2)),
            ("generation 1 is in the slot of generation 3", lambda: counter.prepare(3)),
            ("0 can be no generation", lambda: counter.prepare(0)),
            ("there is a program already", counter.load),
        ]
        for words, call in refused:
            with pytest.raises(SourceError, match=words):
                call()
        counter.prepare(1)
        assert counter.receipt(1).received_packets == 2
        assert counter.generations() == [1]
        counter.close()
        counter.close()
        with pytest.raises(SourceError, match="nothing is open"):
            counter.generation()


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


def section(image: bytes, wanted: str) -> int:
    """Where a section of an object begins, found by `readelf`'s own means: the ELF header's tables."""
    table = int.from_bytes(image[40:48], "little")
    size, count, names = (int.from_bytes(image[at : at + 2], "little") for at in (58, 60, 62))
    headers = [image[table + number * size : table + (number + 1) * size] for number in range(count)]
    names_at = int.from_bytes(headers[names][24:32], "little")
    for header in headers:
        start = names_at + int.from_bytes(header[:4], "little")
        if image[start : image.index(0, start)].decode() == wanted:
            return int.from_bytes(header[24:32], "little")
    raise LookupError(wanted)


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
        assert all(link.is_attached for link in there.links())
        refused: list[Callable[[], object]] = [there.attach, lambda: there.prepare(2), lambda: there.switch(1)]
        for call in refused:
            with pytest.raises(SourceError, match=f"it is of layout {old}: it can be drained, and no more"):
                call()
        successor = meter(directory=str(BPFFS / "netledger" / "new"), side=2, object_path=objects[new])
        successor.load(control=str(DIRECTORY))
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
        index = space.index()
        counter.attach_interface(index, "wire")
        detach(space, f"link-{index}-egress")
        assert counter.mend() == [(f"link {index}-egress was detached", True)]
        assert counter.mend() == []
        assert all(link.is_attached and link.is_pinned for link in counter.links())


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
            "fingerprint",
            "namespace",
        ]
        everything += HOOKS
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
            assert error.hint == "run as root, or with CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"
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


def test_a_namespace_that_goes_leaves_no_program_behind() -> None:
    with machine() as space:
        counter = counting()
        counter.remove()
        counter = counting()
        counter.detach()
        assert [link.is_attached for link in counter.links()] == [False] * len(HOOKS)
        index = space.index()
    # Nothing of the test holds the namespace, so its interfaces are gone with it.
    with machine() as other:
        gone = f"/proc/sys/net/ipv4/conf/wire{index}"
        wait_for(lambda: not Path(gone).exists(), 10, "its end")
        assert other.index() > 0
