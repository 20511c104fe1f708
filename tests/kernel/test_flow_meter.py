"""The meter of flows on a real kernel: what it books is what an independent counter of nft has seen."""

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow
import pytest

from netledger._core import ConntrackMeter, FlowsCut, KeySpec
from netledger.errors import SourceError, TableError
from tests.kernel.flows import none_ends_by_itself
from tests.kernel.lab import Network, wait_for
from tests.kernel.settling import settle

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

NETLINK_NETFILTER, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_BROADCAST_ERROR, DESTROY_GROUP = 12, 270, 1, 4, 3
ROOM_MIN = 8192  # flows of the first mebibyte, which a table has at least
PORT = 9001
PAYLOAD = bytes(100)
PACKET_BYTES = len(PAYLOAD) + 28
# What a host sends to itself conntrack counts where it goes out; a packet may wait before it comes in again.
RULES = """
table inet seen {
  counter every {}
  chain early { type filter hook output priority -150; udp dport 9002 ct mark set 7; }
  chain translated {
    type nat hook output priority -100;
    ip daddr 198.51.100.1 udp dport 9001 dnat ip to 127.0.0.1:9003;
  }
  chain behind { type filter hook output priority -199; ct state new,established counter name "every"; }
}"""
SWITCHES = ("acct", "timestamp", "events")


class Flows(Network):
    """A namespace that follows its flows."""

    def _wire(self) -> None:
        self.here = self.namespace("here")
        for name in SWITCHES:
            self.run(self.here, ["sysctl", "-qw", f"net.netfilter.nf_conntrack_{name}=1"])
        self.nft(self.here, RULES)
        with self.inside(self.here):
            none_ends_by_itself()
        self.run(self.here, ["ip", "route", "add", "198.51.100.0/24", "dev", "lo"])

    def conntrack(self, *words: str) -> None:
        self.run(self.here, ["conntrack", *words])

    def send(self, flows: int, *, packets: int = 1, port: int = PORT, to: str = "127.0.0.1") -> None:
        """From the calling thread; every flow has a port of its own."""
        for _ in range(flows):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(packets):
                    sender.sendto(PAYLOAD, (to, port))


@pytest.fixture
def space() -> Iterator[Flows]:
    """The calling thread is in the namespace; somebody takes the packets, and nobody answers."""
    with Flows() as made, made.inside(made.here):
        takers = []
        for port in (PORT, PORT + 1, PORT + 2):
            takers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            takers[-1].bind(("127.0.0.1", port))
        yield made
        for taker in takers:
            taker.close()


class Booking:
    """A meter, and what its cuts have booked."""

    def __init__(self, directory: Path, *columns: str, buffer_bytes: int = 16 << 20) -> None:
        self.directory, self.key = directory, KeySpec(columns=columns or ("host",))
        self.buffer_bytes = buffer_bytes
        self.meter = self.new()
        self.seq, self.packets, self.octets = 0, 0, 0

    def new(self) -> ConntrackMeter:
        path = str(self.directory / "flows")
        return ConntrackMeter(path=path, key=self.key, rows_max=1000, buffer_bytes=self.buffer_bytes)

    def cut(self) -> FlowsCut:
        self.seq += 1
        cut = self.meter.cut(str(self.directory / f"{self.seq}.table"), seq=self.seq, counters=("seen", ["every"]))
        totals = cut.generation.totals
        assert totals.posted_sent_packets == totals.posted_received_packets == totals.received_packets
        self.packets += totals.received_packets
        self.octets += totals.received_bytes
        return cut

    def meets(self, cut: FlowsCut) -> bool:
        """Whether all that was ever booked is what the counter had meanwhile."""
        assert cut.before is not None
        assert cut.after is not None
        packets, octets = zip(cut.before["every"], cut.after["every"], strict=True)
        return packets[0] <= self.packets <= packets[1] and octets[0] <= self.octets <= octets[1]


def rows(cut: FlowsCut, *columns: str) -> set[tuple[object, ...]]:
    batch = pyarrow.record_batch(cut.generation.batch({})).to_pylist()
    return {tuple(_shown(row[column]) for column in columns) for row in batch}


def _shown(value: object) -> object:
    return str(ipaddress.IPv6Address(value).ipv4_mapped) if isinstance(value, bytes) else value


def test_flows_of_any_length_are_booked_where_their_bytes_moved(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path)
    opened = booking.meter.open(counters=("seen", ["every"]))
    assert (opened.found, opened.flows, opened.before, opened.after) == (False, 0, {"every": (0, 0)}, {"every": (0, 0)})
    space.send(20, packets=3)
    first = booking.cut()
    assert (booking.packets, booking.octets) == (60, 60 * PACKET_BYTES)
    assert (first.new_flows, first.flows, first.events) == (20, 20, 0)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        taken = server.accept()[0]
        for _ in range(10):
            client.sendall(bytes(20_000))
            assert booking.meets(booking.cut())
        taken.close()
    settle()
    space.conntrack("-F")
    space.send(5)
    space.conntrack("-F")
    last = booking.cut()
    assert last.events >= 26
    assert last.flows == 0
    assert last.before == last.after == {"every": (booking.packets, booking.octets)}
    assert booking.meter.stats().received_packets == booking.packets
    booking.meter.close()
    with pytest.raises(SourceError, match="it is not open"):
        booking.meter.glance()


def test_what_is_older_is_a_baseline_and_not_booked(space: Flows, tmp_path: Path) -> None:
    space.send(7, packets=2)
    booking = Booking(tmp_path)
    opened = booking.meter.open()
    assert (opened.baseline_flows, opened.baseline_packets, opened.baseline_bytes) == (7, 14, 14 * PACKET_BYTES)
    space.conntrack("-F")
    booking.cut()
    assert booking.packets == 0


def test_a_storm_into_a_tiny_queue_loses_nothing(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path, buffer_bytes=4096)
    booking.meter.open()
    overruns, duplicates = 0, 0
    for _ in range(3):
        space.send(2_000)
        space.conntrack("-F")
        cut = booking.cut()
        overruns, duplicates = overruns + cut.overruns, duplicates + cut.duplicates
    # Those that the kernel could not tell yet are told after the cut, and add nothing.
    last = booking.cut()
    assert overruns + last.overruns > 0
    assert booking.meets(last)
    assert last.vanished == 0


def is_live(meter: ConntrackMeter, packets: int) -> bool:
    return meter.live().received_packets == packets


def test_flows_that_ended_are_added_up_before_the_cut(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path)
    booking.meter = ConntrackMeter(
        path=str(tmp_path / "flows"), key=booking.key, rows_max=1000, buffer_bytes=16 << 20, ended_max=50
    )
    booking.meter.open()
    for number in (1, 2):
        space.send(60, packets=2)
        space.conntrack("-F")
        spill = tmp_path / f"flows.{number}"
        wait_for(spill.exists, 10, "a spill")
        wait_for(partial(is_live, booking.meter, 120 * number), 10, "their rows")
    booking.meter.close()
    booking.meter = booking.new()
    booking.meter.open()
    assert booking.meter.live().received_packets == 240
    cut = booking.cut()
    assert booking.meets(cut)
    assert booking.packets == 240
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.table", "flows"]


@contextmanager
def deaf() -> Iterator[None]:
    """A listener who asked to be told of every end, and never reads."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as listener:
        listener.bind((0, 0))
        listener.setsockopt(SOL_NETLINK, NETLINK_BROADCAST_ERROR, 1)
        listener.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, DESTROY_GROUP)
        yield


def test_an_end_that_is_told_again_and_again_is_booked_once(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path, buffer_bytes=64 << 20)
    booking.meter.open()
    with deaf():
        space.send(3_000)
        space.conntrack("-F")
        wait_for(lambda: booking.cut().duplicates, 20, "an end that is told again")
        assert booking.packets == 3_000
        booking.meter.close()
        booking.meter = booking.new()
        opened = booking.meter.open(counters=("seen", ["every"]))
        assert (opened.found, opened.flows, opened.after) == (True, 0, {"every": (booking.packets, booking.octets)})
        wait_for(lambda: booking.cut().duplicates, 20, "an end that is told again")
    space.send(10)
    last = booking.cut()
    assert (booking.packets, last.flows, last.vanished) == (3_010, 10, 0)
    assert booking.meets(last)


def test_two_meters_of_which_one_has_no_room_book_the_same(space: Flows, tmp_path: Path) -> None:
    (tmp_path / "narrow").mkdir()
    (tmp_path / "wide").mkdir()
    narrow, wide = Booking(tmp_path / "narrow", buffer_bytes=4096), Booking(tmp_path / "wide")
    for booking in (narrow, wide):
        booking.meter.open()
    for _ in range(3):
        space.send(2_000)
        space.conntrack("-F")
        for _ in range(5):
            wide.cut()
        narrow.cut()
    wait_for(lambda: narrow.meets(narrow.cut()), 20, "all ends")
    assert wide.meets(wide.cut())
    assert narrow.packets == wide.packets == 6_000


def test_a_start_needs_room_for_all_that_is_there(space: Flows, tmp_path: Path) -> None:
    for port in (PORT, PORT + 1, PORT + 2):  # the kernel gives some port of a sender twice
        space.send(ROOM_MIN // 2, port=port)
    path = tmp_path / "flows"
    meter = ConntrackMeter(
        path=str(path), key=KeySpec(columns=("host",)), rows_max=10, buffer_bytes=1 << 20, flows_max=ROOM_MIN
    )
    with pytest.raises(TableError, match="there is no room for all flows"):
        meter.open()
    assert meter.found() is None
    assert not path.exists()


def test_a_restart_books_what_moved_meanwhile(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path)
    booking.meter.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", PORT))
        sender.send(PAYLOAD)
        space.send(3, packets=2)
        first = booking.cut()
        booking.meter.close()
        space.conntrack("-D", "-p", "udp", "--orig-port-src", str(_other_port(sender)))
        sender.send(PAYLOAD)
        booking.meter = booking.new()
        found = booking.meter.found()
        assert found is not None
        assert (found.phase, found.seq, found.flows, found.same_boot) == ("open", 1, 4, True)
        first.generation.release()
        assert booking.meter.refold(first.generation.path, seq=1) is None
    opened = booking.meter.open()
    assert (opened.found, opened.baseline_flows, opened.vanished) == (True, 0, 1)
    cut = booking.cut()
    assert (cut.vanished, booking.packets) == (1, 8)
    assert booking.meets(cut), "the flow that ended unseen had nothing that was not booked"


def _other_port(sender: socket.socket) -> int:
    listed = Path("/proc/net/nf_conntrack").read_text().splitlines()
    ports = {int(line.partition("sport=")[2].split()[0]) for line in listed}
    return min(ports - {sender.getsockname()[1]})


def test_the_ends_are_the_true_ones_behind_a_translation(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path, "host", "protocol", "host_port", "mark")
    booking.meter.open()
    space.send(1, packets=4, to="198.51.100.1")
    space.send(1, packets=2, port=PORT + 1)
    cut = booking.cut()
    received = {row for row in rows(cut, "host_port", "received_packets", "mark", "protocol") if row[1]}
    assert received == {(PORT + 2, 4, 0, 17), (PORT + 1, 2, 7, 17)}
    assert not {row for row in rows(cut, "host") if row == ("198.51.100.1",)}


def test_zeroed_counters_are_noticed(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path)
    booking.meter.open()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(5):
            sender.sendto(PAYLOAD, ("127.0.0.1", PORT))
        assert booking.meets(booking.cut())
        space.conntrack("-L", "-z")
        sender.sendto(PAYLOAD, ("127.0.0.1", PORT))
        cut = booking.cut()
    assert cut.resets == 1
    assert booking.meets(cut)


def test_only_the_families_asked_for_are_booked(space: Flows, tmp_path: Path) -> None:
    meter = ConntrackMeter(
        path=str(tmp_path / "flows"), key=KeySpec(columns=("host",)), rows_max=10, buffer_bytes=1 << 20, families=(10,)
    )
    meter.open()
    space.send(3)
    space.conntrack("-F")
    cut = meter.cut(str(tmp_path / "1"), seq=1)
    assert (cut.events, cut.new_flows, cut.generation.totals.received_packets) == (0, 0, 0)


def test_a_table_that_cannot_be_made_leaves_everything_to_the_next_cut(space: Flows, tmp_path: Path) -> None:
    booking = Booking(tmp_path)
    booking.meter.open()
    space.send(4)
    with pytest.raises(TableError, match="no such file or directory"):
        booking.meter.cut(str(tmp_path / "nowhere" / "1"), seq=1)
    assert booking.meets(booking.cut())
    assert booking.meter.live(top=1).rows == 0
