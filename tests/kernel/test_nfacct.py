"""``netledger.nfacct`` and the real ``nfacct`` on the same kernel objects, with packets through real rules."""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from netledger import nfacct
from netledger.errors import ObjectBusyError, ObjectExistsError, ObjectNotFoundError
from netledger.nfacct import Counter, Lost, Only, Quota, Unit
from tests.kernel.lab import Network, wait_for
from tests.kernel.lesser import lacking

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

QUOTA = rb", quota = (\d{20}), mode = (byte|packet), overquota = (yes|no)"
LINE = re.compile(
    rb"\{ pkts = (\d{20}), bytes = (\d{20})(?:" + QUOTA + rb")? \} = (.*?);\n(?=\{|\Z)",
    re.DOTALL,
)
PORT, PAYLOAD_BYTES = 9001, 100
PACKET_BYTES = PAYLOAD_BYTES + 28
MANY = 2_000
ROUNDS = 30
EVENT_SECONDS = 10.0


class Counters(Network):
    """Namespaces to keep counters in."""

    def _wire(self) -> None:
        self.here, self.there = self.namespace("here"), self.namespace("there")

    def peer(self, *words: bytes | str, text: bytes | None = None) -> bytes:
        """What the real program prints, in ``here``."""
        argv = ["ip", "netns", "exec", self.here, "nfacct", *words]
        return subprocess.run(argv, input=text, capture_output=True, timeout=120, check=True).stdout

    def rule(self, name: str, *target: str) -> None:
        match = ["-p", "udp", "--dport", str(PORT), "-m", "nfacct", "--nfacct-name", name]
        self.run(self.here, ["iptables", "-w", "-A", "OUTPUT", *match, *target])

    def send(self, packets: int) -> list[bool]:
        """Packets of 128 bytes to ourselves, from the calling thread, which is in ``here``; which ones went out."""
        passed = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(packets):
                try:
                    sender.sendto(bytes(PAYLOAD_BYTES), ("127.0.0.1", PORT))
                    passed.append(True)
                except PermissionError:  # what a rule drops at output is told to the sender
                    passed.append(False)
        return passed


@pytest.fixture
def space() -> Iterator[Counters]:
    """The calling thread is in the namespace ``here``."""
    with Counters() as made, made.inside(made.here):
        yield made


def printed(counter: Counter) -> tuple[object, ...]:
    quota = counter.quota
    if quota is None:
        return counter.name, counter.packets, counter.bytes, None, None, None
    return counter.name, counter.packets, counter.bytes, quota.limit, quota.unit, counter.over_quota


def told(line: bytes) -> tuple[object, ...]:
    found = LINE.fullmatch(line)
    assert found, line
    packets, octets, limit, mode, over, name = found.groups()
    if limit is None:
        return name, int(packets), int(octets), None, None, None
    unit = Unit.BYTES if mode == b"byte" else Unit.PACKETS
    return name, int(packets), int(octets), int(limit), unit, over == b"yes"


def lines(output: bytes) -> list[tuple[object, ...]]:
    return [told(line) for line in output.splitlines(keepends=True)]


def test_what_we_make_the_real_program_lists_and_the_other_way_round(space: Counters) -> None:
    nfacct.add("plain")
    nfacct.add("restored", packets=5, octets=600)
    nfacct.add("of-bytes", quota=Quota(1000, Unit.BYTES))
    nfacct.add("of-packets", quota=Quota(2**64 - 1, Unit.PACKETS))
    space.peer("add", "theirs")
    space.peer("add", "their-bytes", "byte", "77")
    space.peer("add", "their-packets", "packet", "0")
    assert nfacct.list() == (
        Counter(b"plain", 0, 0),
        Counter(b"restored", 5, 600),
        Counter(b"of-bytes", 0, 0, quota=Quota(1000, Unit.BYTES)),
        Counter(b"of-packets", 0, 0, quota=Quota(2**64 - 1, Unit.PACKETS)),
        Counter(b"theirs", 0, 0),
        Counter(b"their-bytes", 0, 0, quota=Quota(77, Unit.BYTES)),
        Counter(b"their-packets", 0, 0, quota=Quota(0, Unit.PACKETS)),
    )
    assert lines(space.peer("list")) == [printed(counter) for counter in nfacct.list()]
    for counter in nfacct.list():
        assert nfacct.get(counter.name) == counter
        assert lines(space.peer("get", counter.name)) == [printed(counter)]


@pytest.mark.parametrize(
    ("only", "word"),
    [
        (Only.PLAIN, "counters"),
        (Only.BYTE_QUOTA, "bytes-quota"),
        (Only.PACKET_QUOTA, "pkts-quota"),
        (Only.OVER_QUOTA, "overquota"),
    ],
)
def test_the_filters_are_the_kernel_s(space: Counters, only: Only, word: str) -> None:
    nfacct.add("plain")
    nfacct.add("small", quota=Quota(1, Unit.BYTES))
    nfacct.add("large", quota=Quota(10**9, Unit.PACKETS))
    space.rule("small")
    space.send(2)
    chosen = nfacct.list(only)
    assert [printed(counter) for counter in chosen] == lines(space.peer("list", word))
    assert 0 < len(chosen) < 3
    assert list(nfacct.reset_all(only)) == list(chosen)


def test_rules_count_and_a_reset_takes_what_they_counted(space: Counters) -> None:
    nfacct.add("web")
    space.rule("web")
    space.rule("web")
    space.send(3)
    counted = Counter(b"web", 6, 6 * PACKET_BYTES, references=3)
    assert nfacct.get("web") == counted
    assert lines(space.peer("list")) == [printed(counted)]
    assert nfacct.reset("web") == counted
    assert lines(space.peer("get", "web", "reset")) == [(b"web", 0, 0, None, None, None)]
    space.send(1)
    assert list(nfacct.reset_all()) == [Counter(b"web", 2, 2 * PACKET_BYTES, references=3)]
    assert nfacct.get("web") == Counter(b"web", 0, 0, references=3)


def test_a_counter_in_use_stays_and_a_flush_takes_the_others(space: Counters) -> None:
    for name in ("used", "unused"):
        nfacct.add(name)
    space.rule("used")
    with pytest.raises(ObjectBusyError, match="nfacct counter used: delete: device or resource busy") as busy:
        nfacct.delete("used")
    assert busy.value.hint == "remove the rules that use it first"
    nfacct.flush()
    assert [counter.text for counter in nfacct.list()] == ["used"]
    space.run(space.here, ["iptables", "-w", "-F", "OUTPUT"])
    nfacct.delete("used")
    assert nfacct.list() == ()
    assert space.peer("list") == b""


def test_what_is_not_there_and_what_is_there_already(space: Counters) -> None:
    for ask in (nfacct.get, nfacct.reset, nfacct.delete):
        with pytest.raises(ObjectNotFoundError, match="no such file or directory") as missing:
            ask("nobody")
        assert missing.value.hint
    space.peer("add", "there")
    with pytest.raises(ObjectExistsError, match="nfacct counter there: add: file exists"):
        nfacct.add("there")


def test_names_are_bytes(space: Counters) -> None:
    names = [b"\xff\xfe\x01", b" a;b\"'\n", b"n" * 31, "größe".encode()]
    for name in names:
        nfacct.add(name)
    assert [counter.name for counter in nfacct.list()] == names
    for counter in nfacct.list():
        assert nfacct.get(counter.text) == counter
    peers = space.peer("list")
    assert [found[5] for found in LINE.findall(peers)] == names
    nfacct.delete("\udcff\udcfe\x01")
    assert len(nfacct.list()) == len(names) - 1


def test_each_namespace_has_its_own(space: Counters) -> None:
    nfacct.add("one", packets=1, octets=10)
    with space.inside(space.there):
        assert nfacct.list() == ()
        nfacct.add("one", packets=2, octets=20)
        assert nfacct.get("one").packets == 2
        with nfacct.events() as events, space.inside(space.here):
            nfacct.add("small", quota=Quota(1, Unit.PACKETS))
            space.rule("small")
            space.send(1)
            assert events.wait(0) is None
    assert [counter.packets for counter in nfacct.list()] == [1, 1]


@pytest.mark.parametrize(
    ("quota", "reached_by", "exceeded_by"),
    [(Quota(3, Unit.PACKETS), 3, 4), (Quota(300, Unit.BYTES), 3, 3), (Quota(256, Unit.BYTES), 2, 3)],
)
def test_a_quota_is_told_once_by_the_packet_that_reaches_it(
    space: Counters, quota: Quota, reached_by: int, exceeded_by: int
) -> None:
    nfacct.add("limited", quota=quota)
    space.rule("limited", "-j", "DROP")
    reached = Counter(b"limited", reached_by, reached_by * PACKET_BYTES, 2, quota, over_quota=True)
    with nfacct.events() as events:
        for _ in range(2):
            passed = space.send(reached_by - 1)
            assert events.wait(0) is None
            assert not nfacct.get("limited").over_quota
            passed += space.send(1)
            assert events.wait(EVENT_SECONDS) == reached
            passed += space.send(2)
            assert events.wait(0) is None
            assert passed == [number < exceeded_by for number in range(1, reached_by + 3)]
            # The flag is cleared with the counters, and the event comes again.
            assert nfacct.reset("limited").packets == reached_by + 2
            assert not nfacct.get("limited").over_quota


def test_the_stream_ends_when_nothing_comes_and_when_it_is_closed(space: Counters) -> None:
    nfacct.add("limited", quota=Quota(1, Unit.PACKETS))
    space.rule("limited")
    space.send(1)
    with nfacct.events(timeout_seconds=0.1) as events:
        assert list(events) == []
    events = nfacct.events()
    nfacct.reset("limited")
    space.send(1)
    seen: list[Counter | Lost] = []
    reader = threading.Thread(target=lambda: seen.extend(events))
    reader.start()
    wait_for(lambda: seen, EVENT_SECONDS, "an event")
    events.close()
    events.close()
    reader.join(EVENT_SECONDS)
    assert not reader.is_alive()
    assert [type(event) for event in seen] == [Counter]
    assert events.wait() is None


def test_events_that_found_no_room_are_counted(space: Counters) -> None:
    names = [f"limited{number}" for number in range(40)]
    for name in names:
        nfacct.add(name, quota=Quota(1, Unit.PACKETS))
        space.rule(name)
    with nfacct.events(queue_bytes=1, timeout_seconds=0) as events:
        space.send(1)
        came = list(events)
        counters = [event for event in came if isinstance(event, Counter)]
        lost = sum(event.events for event in came if isinstance(event, Lost))
        assert isinstance(came[0], Lost)
        assert counters
        assert lost
        assert len(counters) + lost == len(names)
        # What comes later is told again.
        nfacct.reset(names[0])
        space.send(1)
        assert [event.name for event in events if isinstance(event, Counter)] == [names[0].encode()]


def test_a_reset_of_all_loses_nothing_at_the_borders_of_the_kernel_s_answer(space: Counters) -> None:
    restore = b"".join(b"{ pkts = 1, bytes = 100 } = counter%d;\n" % number for number in range(MANY))
    space.peer("restore", text=restore)
    assert sum(counter.packets for counter in nfacct.reset_all()) == MANY
    assert sum(counter.packets for counter in nfacct.list()) == 0


VANISH = f"""
from netledger import nfacct
for number in range({MANY // 2}):
    nfacct.delete(b"passing%d" % number)
"""


def test_a_list_is_whole_while_counters_are_deleted(space: Counters) -> None:
    stays = {b"stays%d" % number for number in range(MANY // 2)}
    passing = [b"passing%d" % number for number in range(MANY // 2)]
    pairs = zip(sorted(stays), passing, strict=True)
    restore = b"".join(b"{ pkts = 0, bytes = 0 } = %s;\n" % name for pair in pairs for name in pair)

    for _ in range(ROUNDS):
        space.peer("restore", text=restore)
        # Each part of the list may end at one of these, and be gone on with when it is no more.
        other = space.spawn(space.here, [sys.executable, "-c", VANISH])
        while other.running:
            assert stays <= {counter.name for counter in nfacct.list()}
        assert other.wait() == 0, other.errors()
        nfacct.flush()


UNPRIVILEGED = """
import json
from netledger import nfacct
from netledger.errors import PermissionDeniedError

refused = []
for ask in (nfacct.list, nfacct.flush, nfacct.events, *(lambda ask=ask: ask("x") for ask in
            (nfacct.get, nfacct.add, nfacct.delete, nfacct.reset))):
    try:
        ask()
    except PermissionDeniedError as error:
        refused.append([str(error), error.hint])
print(json.dumps(refused))
"""


def test_without_the_capability_each_call_says_so(space: Counters) -> None:
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    refused = json.loads(space.run(space.here, [*without, sys.executable, "-c", UNPRIVILEGED]))
    assert len(refused) == 7
    assert {hint for _, hint in refused} == {lacking("CAP_NET_ADMIN")}
    assert refused[0][0] == "nfacct counters: list: operation not permitted"
