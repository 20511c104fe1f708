"""``netledger.conntrack`` and the real ``conntrack`` on the same flows, made by real traffic."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from netledger import conntrack
from netledger._core import ConntrackDump
from netledger.conntrack import Direction, Family, Filter, Flow, Status
from netledger.conntrack.told import flow_of
from netledger.conntrack.wanted import native_filter
from netledger.errors import ObjectNotFoundError, SourceError
from tests.kernel.flows import (
    ESP,
    FTP,
    GRE,
    HALF_ZONED,
    LABEL,
    LABELLED,
    MARK,
    MARKED,
    ORIGINAL_ZONE,
    PAYLOAD_BYTES,
    SCTP,
    SINK,
    ZONE,
    ZONED,
    Tracked,
    connected,
    line,
    lines,
    make_every_kind,
    send_udp,
)
from tests.kernel.lab import wait_for
from tests.kernel.lesser import lacking
from tests.kernel.senders import Udp, start_udp, stop_udp, udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

UDP_BYTES = PAYLOAD_BYTES + 28
KINDS = 13
MANY = 30_000
ROUNDS = 200
SECONDS = 10.0


@pytest.fixture
def space() -> Iterator[Tracked]:
    """The calling thread is in the namespace ``here``."""
    with Tracked() as made, made.inside(made.here):
        yield made


def to_port(port: int) -> Flow:
    (flow,) = conntrack.dump(Filter(protocol=17, original_destination_port=port, family=Family.IPV4))
    return flow


def test_flows_of_every_kind_are_those_of_the_real_program(space: Tracked) -> None:
    make_every_kind(space)
    before = lines(conntrack.dump())
    theirs = space.peer_lines()
    assert len(theirs) == KINDS
    assert before == theirs
    assert lines(conntrack.dump()) == theirs
    assert conntrack.count() == KINDS == int(space.peer("-C"))


def test_a_flow_has_what_only_the_kernel_knows(space: Tracked) -> None:
    make_every_kind(space)
    flows = {(flow.family, flow.original.protocol): flow for flow in conntrack.dump()}
    assert all(flow.start_ns and flow.stop_ns is None for flow in flows.values())
    tcp = flows[Family.IPV4, 6]
    assert (tcp.tcp_state, tcp.state, tcp.helper) == ("TIME_WAIT", "TIME_WAIT", "ftp")
    sctp = flows[Family.IPV4, SCTP]
    assert sctp.state is not None
    assert (sctp.tcp_state, sctp.original.source_port, sctp.reply.destination_port) == (None, 9, 9)
    # Of the reply, which the initiation names.
    assert sctp.vtags == (0, 99)
    assert tcp.vtags is None
    gre = flows[Family.IPV4, GRE].original
    assert (gre.source, gre.destination, gre.destination_port, gre.icmp_id) == ("127.0.0.1", "127.0.0.2", 77, None)
    bare = flows[Family.IPV4, ESP].original
    assert (bare.source_port, bare.destination_port, bare.icmp_type) == (None, None, None)
    echo = flows[Family.IPV6, 58]
    assert (echo.original.source, echo.original.icmp_type, echo.reply.icmp_type) == ("::1", 128, 129)
    assert echo.original.source_raw == bytes(15) + b"\1"
    assert (echo.original.packets, echo.original.bytes, echo.reply.bytes) == (1, 104, 104)


def test_marks_labels_zones_and_translations_are_told(space: Tracked) -> None:
    make_every_kind(space)
    assert to_port(MARKED).mark == MARK
    assert to_port(ZONED).zone == ZONE
    half = to_port(HALF_ZONED)
    assert (half.zone, half.original.zone, half.reply.zone) == (None, ORIGINAL_ZONE, None)
    labels = to_port(LABELLED).labels
    assert labels is not None
    assert int.from_bytes(labels, sys.byteorder) == 1 << LABEL
    (translated,) = conntrack.dump(Filter(original_destination="127.0.0.77"))
    assert (translated.reply.source, translated.original.destination) == ("127.0.0.1", "127.0.0.77")
    assert translated.status is not None
    assert Status.DST_NAT in translated.status


FILTERS: list[tuple[Filter, Callable[[Flow], bool], list[str] | None]] = [
    (Filter(family=Family.IPV6), lambda flow: flow.family is Family.IPV6, ["-f", "ipv6"]),
    (Filter(protocol=1), lambda flow: flow.original.protocol == 1, ["-p", "icmp"]),
    (Filter(protocol=17), lambda flow: flow.original.protocol == 17, ["-p", "udp"]),
    (Filter(family=Family.IPV4, protocol=GRE), lambda flow: flow.original.protocol == GRE, ["-p", "gre"]),
    (Filter(mark=MARK), lambda flow: flow.mark == MARK, ["-m", str(MARK)]),
    (Filter(mark=0), lambda flow: flow.mark == 0, ["-m", "0"]),
    (Filter(mark=0xFF, mark_mask=MARK), lambda flow: flow.mark == MARK, ["-m", f"{MARK}/{MARK}"]),
    (Filter(zone=ZONE), lambda flow: flow.zone == ZONE, ["-w", str(ZONE)]),
    (Filter(zone=ORIGINAL_ZONE), lambda flow: flow.original.zone == ORIGINAL_ZONE, None),
    (Filter(zone=0), lambda flow: flow.zone is None and flow.original.zone is None, None),
    (Filter(status=Status.ASSURED), lambda flow: Status.ASSURED in (flow.status or Status(0)), ["-u", "ASSURED"]),
    (
        Filter(status=Status(0), status_mask=Status.SEEN_REPLY),
        lambda flow: Status.SEEN_REPLY not in (flow.status or Status(0)),
        ["-u", "UNSET"],
    ),
    (Filter(status=Status(0)), lambda _: True, []),
    (Filter(original_source="::1"), lambda flow: flow.family is Family.IPV6, ["-s", "::1"]),
    (Filter(reply_destination="::/8"), lambda flow: flow.family is Family.IPV6, None),
    (Filter(reply_source="127.0.0.2"), lambda flow: flow.original.destination == "127.0.0.2", ["-d", "127.0.0.2"]),
    (Filter(original_destination="127.0.0.77"), lambda flow: flow.original.destination.endswith("77"), None),
    (Filter(original_source="127.0.0.0/8"), lambda flow: flow.family is Family.IPV4, ["-s", "127.0.0.0/8"]),
    (Filter(reply_source="127.0.0.2"), lambda flow: flow.reply.source == "127.0.0.2", ["-r", "127.0.0.2"]),
    (Filter(original_destination_port=SINK), lambda flow: flow.original.destination_port == SINK, None),
    (
        Filter(protocol=17, family=Family.IPV4, original_destination_port=ZONED),
        lambda flow: flow.original.destination_port == ZONED,
        ["-p", "udp", "--orig-port-dst", str(ZONED)],
    ),
    (
        Filter(protocol=6, reply_destination="127.0.0.1", reply_source_port=FTP),
        lambda flow: flow.reply.source_port == FTP,
        ["-p", "tcp", "--reply-port-src", str(FTP)],
    ),
    (Filter(icmp_type=128, icmp_code=0), lambda flow: flow.original.icmp_type == 128, None),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "holds", "words"), FILTERS)
def test_a_filter_chooses_what_it_says(
    space: Tracked, wanted: Filter, holds: Callable[[Flow], bool], words: list[str] | None
) -> None:
    make_every_kind(space)
    chosen = lines(conntrack.dump(wanted))
    assert chosen == lines([flow for flow in conntrack.dump() if holds(flow)])
    assert chosen
    if words is not None and words != ["-u", "UNSET"]:
        assert chosen == space.peer_lines(*words)


def test_one_flow_is_found_by_either_direction(space: Tracked) -> None:
    make_every_kind(space)
    for flow in conntrack.dump():
        found = conntrack.get(flow.original, zone=flow.zone)
        # The kernel holds one more reference while it answers.
        assert line(found) == line(flow).replace("use=1", "use=2")
        assert found == conntrack.get(flow.original, zone=flow.zone)
        if flow.original.zone is None:
            assert conntrack.get(flow.reply, zone=flow.zone).id == flow.id
    ours = conntrack.get(to_port(MARKED).original)
    ports = ["--sport", str(ours.original.source_port), "--dport", str(MARKED)]
    theirs = space.peer("-G", "-p", "udp", "-s", "127.0.0.1", "-d", "127.0.0.1", *ports)
    assert f"bytes={2 * UDP_BYTES} " in theirs
    assert f"use={ours.use}" in theirs


def test_what_is_not_there_and_what_no_flow_has(space: Tracked) -> None:
    send_udp(SINK)
    flow = to_port(SINK)
    conntrack.delete(flow)
    for ask in (conntrack.delete, lambda flow: conntrack.get(flow.original)):
        with pytest.raises(
            ObjectNotFoundError, match=r"conntrack flow: (delete|get): no such file or directory"
        ) as gone:
            ask(flow)
        assert gone.value.hint
    no_ports = Direction(source_raw=bytes(4), destination_raw=bytes(4), protocol=17)
    with pytest.raises(SourceError, match="invalid argument") as refused:
        conntrack.get(no_ports)
    assert type(refused.value) is SourceError
    assert "ports" in (refused.value.hint or "")
    with pytest.raises(ValueError, match="both addresses"):
        conntrack.get(Direction(source_raw=bytes(4), destination_raw=bytes(16), protocol=17))


def test_only_the_very_flow_is_deleted(space: Tracked) -> None:
    send_udp(SINK)
    flow = to_port(SINK)
    assert flow.id is not None
    with pytest.raises(ObjectNotFoundError):
        conntrack.delete(replace(flow, id=flow.id ^ 1))
    assert space.peer_lines() == [line(flow)]
    conntrack.delete(flow)
    assert space.peer_lines() == []


def test_a_later_flow_with_the_same_ports_is_told_by_its_start(space: Tracked) -> None:
    starts = set()
    for _ in range(3):
        send_udp(SINK, source_port=20_000)
        flow = to_port(SINK)
        conntrack.delete(flow)
        starts.add(flow.start_ns)
    # Its id may be the same: the kernel makes it of the directions and of the place in memory.
    assert len(starts) == 3


def test_a_flush_takes_all_or_one_family(space: Tracked) -> None:
    make_every_kind(space)
    conntrack.flush(Family.IPV6)
    left = list(conntrack.dump())
    assert {flow.family for flow in left} == {Family.IPV4}
    assert len(left) == KINDS - 2
    conntrack.flush()
    assert (space.peer_lines(), conntrack.count()) == ([], 0)


def test_counters_that_are_zeroed_under_traffic_add_up(space: Tracked) -> None:
    plan = Udp(source="127.0.0.1", destination="127.0.0.1", ports=50, count=0, rate=20_000)
    sender = start_udp(space, space.here, plan)
    packets = octets = 0
    for _ in range(ROUNDS):
        for flow in conntrack.zero(Filter(protocol=17)):
            assert flow.original.packets is not None
            assert flow.original.bytes is not None
            packets += flow.original.packets
            octets += flow.original.bytes
    sent = stop_udp(sender).count
    left = [flow.original for flow in conntrack.zero(Filter(protocol=17))]
    packets += sum(direction.packets or 0 for direction in left)
    octets += sum(direction.bytes or 0 for direction in left)
    assert (packets, octets) == (sent.packets, sent.bytes)
    assert {flow.original.packets for flow in conntrack.dump()} == {0}


def test_nothing_is_zeroed_before_it_is_asked_for(space: Tracked) -> None:
    send_udp(SINK, packets=3)
    zeroed = conntrack.zero()
    assert [flow.original.packets for flow in conntrack.dump()] == [3]
    assert [flow.original.packets for flow in zeroed] == [3]
    assert [flow.original.packets for flow in conntrack.dump()] == [0]


def delete_at_borders(parts: Iterator[list[Flow]], parts_ahead: int) -> tuple[list[Direction], set[Direction]]:
    """Takes a list, and deletes the flows with which a part begins that lies so far ahead; what came and went."""
    order = list(conntrack.dump())
    places = {flow.original: place for place, flow in enumerate(order)}
    came: list[Direction] = []
    gone: set[Direction] = set()
    for part in parts:
        came += [flow.original for flow in part]
        behind = places[part[-1].original] + 1
        upcoming = [flow for flow in order[behind : behind + 2_000] if flow.original not in gone]
        # All flows here are told in the same number of bytes, so that all large parts have the same number of them.
        border = parts_ahead * len(part)
        for flow in upcoming[border - 1 : border + 2]:
            conntrack.delete(flow)
            gone.add(flow.original)
    return came, gone


def parts_of_a_list() -> Iterator[list[Flow]]:
    native = ConntrackDump(0, native_filter(None))
    while (part := native.part()) is not None:
        if part:
            yield [flow_of(told) for told in part]


@pytest.mark.parametrize("parts_ahead", [3, 4, 5])
def test_a_list_has_each_flow_once_while_others_end(space: Tracked, parts_ahead: int) -> None:
    # The kernel writes some parts ahead of the reader. If the flow with which the next one shall begin is gone, it
    # begins the chain again that the flow was in, with flows that have been told already.
    for port in (SINK, SINK + 500):
        ports = {"ports": MANY, "source_port": 10_000, "count": MANY, "port": port, "rate": 200_000}
        udp(space, space.here, Udp(source="127.0.0.1", destination="127.0.0.1", **ports))
    stays = {flow.original for flow in conntrack.dump()}
    assert len(stays) == 2 * MANY
    came, gone = delete_at_borders(parts_of_a_list(), parts_ahead)
    assert len(gone) > 500
    assert len(came) == len(set(came))
    assert stays - gone <= set(came)


def test_what_a_processor_counts_is_what_the_real_program_shows(space: Tracked) -> None:
    make_every_kind(space)
    theirs = space.peer("-S").splitlines()
    ours = conntrack.stats()
    assert len(ours) == len(theirs)
    for one, shown in zip(ours, theirs, strict=True):
        for pair in shown.split():
            name, number = pair.split("=")
            assert getattr(one, name) == int(number), pair
        assert (one.searched, one.delete_list) == (None, None)
    assert (conntrack.count_max() or 0) > conntrack.count()


def test_an_expectation_names_its_flow(space: Tracked) -> None:
    with connected(FTP) as (client, server):
        # The helper reads a command only behind the end of a line that it has seen.
        for command in (b"USER nobody\r\n", b"PORT 127,0,0,1,40,41\r\n"):
            client.sendall(command)
            assert server.recv(100) == command
        expectation = wait_for(conntrack.expectations, SECONDS, "an expectation")[0]
        shown = space.peer("-L", "expect")
        assert (expectation.helper, expectation.family) == ("ftp", Family.IPV4)
        assert expectation.expected.destination_port == 40 * 256 + 41
        assert expectation.expected.protocol == 6
        assert expectation.mask.source_port == 0
        assert expectation.master.source_port == client.getsockname()[1]
        assert f"sport={expectation.expected.source_port} dport={expectation.expected.destination_port}" in shown
        assert f"mask-src={expectation.mask.source} mask-dst={expectation.mask.destination}" in shown
        assert f"sport={expectation.mask.source_port} dport={expectation.mask.destination_port}" in shown
        assert f"master-src={expectation.master.source} master-dst={expectation.master.destination}" in shown
        assert f"class={expectation.expectation_class} helper={expectation.helper}" in shown
        assert conntrack.expectations(Family.IPV6) == ()


def test_each_namespace_has_its_own(space: Tracked) -> None:
    send_udp(SINK)
    flows = conntrack.dump()
    with space.inside(space.namespace("there")):
        assert list(conntrack.dump()) == []
        # Of the namespace where it was asked for.
        assert len(list(flows)) == 1


UNPRIVILEGED = """
import json
from netledger import conntrack
from netledger.errors import PermissionDeniedError

ends = {"source_raw": bytes(4), "destination_raw": bytes(4)}
nobody = conntrack.Direction(**ends, protocol=6, source_port=1, destination_port=1)
flow = conntrack.Flow(family=conntrack.Family.IPV4, original=nobody, reply=nobody)
refused = []
for ask in (lambda: list(conntrack.dump()), lambda: list(conntrack.zero()), lambda: list(conntrack.dying()),
            conntrack.flush, conntrack.count, conntrack.stats, conntrack.expectations, conntrack.events,
            lambda: conntrack.get(nobody), lambda: conntrack.delete(flow)):
    try:
        ask()
    except PermissionDeniedError as error:
        refused.append([str(error), error.hint])
print(json.dumps(refused))
"""


def test_without_the_capability_each_call_says_so(space: Tracked) -> None:
    without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    refused = json.loads(space.run(space.here, [*without, sys.executable, "-c", UNPRIVILEGED]))
    assert len(refused) == 10
    assert {hint for _, hint in refused} == {lacking("CAP_NET_ADMIN")}
    assert refused[0][0] == "conntrack table: dump: operation not permitted"
