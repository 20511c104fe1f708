"""The native meter that counts in the kernel: generations, and what they hold."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from netledger._core import recover
from netledger.errors import (
    SourceError,
)
from tests.kernel.bpf_box import pins
from tests.kernel.bpf_native import (
    DIRECTORY,
    HERE,
    PINS,
    THERE,
    by_host,
    counting,
    cut,
    machine,
    rows,
    send,
)

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]


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


def test_rows_of_a_bucket_that_finds_no_room_are_read_all_the_same() -> None:
    command = ["cargo", "test", "--quiet", "--locked", "-p", "netledger-core", "--lib", "bpf::"]
    ran = subprocess.run([*command, "--", "--ignored"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-4000:]
    assert "4 passed" in ran.stdout


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
