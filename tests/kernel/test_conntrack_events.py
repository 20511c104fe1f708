"""The events of ``netledger.conntrack`` beside ``conntrack -E``, and what is said when some are lost."""

import re
import select
import signal
import threading
from collections.abc import Iterator

import pytest

from netledger import conntrack
from netledger.conntrack import Event, EventKind, Events, Family, Filter, Lost
from tests.kernel.flows import MARK, PAYLOAD_BYTES, SINK, ZONE, ZONED, Tracked, make_every_kind, send_udp
from tests.kernel.lab import Child, wait_for
from tests.kernel.senders import Udp, udp

pytestmark = [pytest.mark.kernel, pytest.mark.peers("conntrack")]

SECONDS = 10.0
QUIET_SECONDS = 0.3
MANY = 3_000
TAGS = {"NEW": EventKind.NEW, "UPDATE": EventKind.UPDATE, "DESTROY": EventKind.DESTROY}
SHOWN = re.compile(r"\[(NEW|UPDATE|DESTROY)\].* id=(\d+)(?: \[USERSPACE\] portid=(\d+))?")


@pytest.fixture
def space() -> Iterator[Tracked]:
    """The calling thread is in the namespace ``here``."""
    with Tracked() as made, made.inside(made.here):
        yield made


def told(events: Events) -> list[Event]:
    """All that comes until it is quiet; a loss fails the test."""
    came = list(events)
    assert [event for event in came if isinstance(event, Lost)] == []
    return [event for event in came if isinstance(event, Event)]


def peer_listens(space: Tracked, *words: str) -> Child:
    """The real program, once it listens."""
    child = space.spawn(space.here, ["conntrack", "-E", "-o", "id", *words])

    def hears() -> bool:
        send_udp(SINK, source_port=39_999)
        for flow in conntrack.dump(Filter(original_source_port=39_999)):
            conntrack.delete(flow)
        return "sport=39999" in child.output()

    wait_for(hears, SECONDS, "conntrack -E")
    return child


def shown(child: Child) -> list[tuple[EventKind, int, int | None]]:
    """What the real program has printed, without what woke it."""
    lines = [line for line in child.output().splitlines() if "sport=39999" not in line]
    found = [SHOWN.search(line) for line in lines]
    return [(TAGS[one[1]], int(one[2]), int(one[3]) if one[3] else None) for one in found if one]


def test_events_are_those_that_the_real_program_shows(space: Tracked) -> None:
    child = peer_listens(space)
    with conntrack.events(timeout_seconds=QUIET_SECONDS) as events:
        make_every_kind(space)
        known = {flow.id for flow in conntrack.dump()}
        conntrack.flush()
        ours = [event for event in told(events) if event.flow.id in known]
    wait_for(lambda: sum(kind is EventKind.DESTROY for kind, _, _ in shown(child)) >= len(known), SECONDS, "its events")
    theirs = [entry for entry in shown(child) if entry[1] in known]
    assert [(event.kind, event.flow.id, event.portid) for event in ours] == theirs
    assert {event.kind for event in ours} == set(EventKind)
    assert sum(event.kind is EventKind.NEW for event in ours) == len(known)
    child.signal(signal.SIGINT)
    assert child.wait() == 0


def test_the_end_of_a_flow_has_its_counters(space: Tracked) -> None:
    with conntrack.events([EventKind.DESTROY], timeout_seconds=QUIET_SECONDS) as events:
        send_udp(SINK, packets=3)
        (flow,) = conntrack.dump()
        conntrack.delete(flow)
        (event,) = told(events)
    assert (event.kind, event.flow.id) == (EventKind.DESTROY, flow.id)
    assert event.flow.original == flow.original
    assert (event.flow.original.packets, event.flow.original.bytes) == (3, 3 * (PAYLOAD_BYTES + 28))
    assert event.portid is not None
    assert event.flow.start_ns == flow.start_ns
    assert event.flow.start_ns is not None
    assert event.flow.stop_ns is not None
    assert event.flow.stop_ns > event.flow.start_ns


def test_a_flow_that_ends_by_itself_was_ended_by_nobody(space: Tracked) -> None:
    space.run(space.here, ["sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=1"])
    with conntrack.events([EventKind.DESTROY], timeout_seconds=SECONDS) as events:
        send_udp(SINK)
        # A dump looks at all flows, and takes those out whose time is over.
        wait_for(lambda: list(conntrack.dump()) == [], SECONDS, "the end of the flow")
        event = next(events)
    assert isinstance(event, Event)
    assert (event.kind, event.portid, event.flow.original.packets) == (EventKind.DESTROY, None, 1)


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Filter(family=Family.IPV6), 2),
        (Filter(protocol=6), 1),
        (Filter(protocol=17), 7),
        (Filter(zone=ZONE), 1),
        (Filter(zone=0), 11),
        (Filter(original_destination_port=ZONED), 1),
        (Filter(original_destination="127.0.0.77"), 1),
        (Filter(original_destination="127.0.0.0/26"), 10),
        (Filter(reply_source="::1"), 2),
        (Filter(reply_source="::/0"), 2),
        (Filter(mark=0), 12),
        (Filter(mark=MARK), 1),
        (Filter(mark=1), 0),
        (Filter(icmp_type=8), 1),
    ],
)
def test_a_filter_keeps_others_out_of_the_queue(space: Tracked, wanted: Filter, count: int) -> None:
    with conntrack.events([EventKind.NEW], wanted, timeout_seconds=QUIET_SECONDS) as events:
        make_every_kind(space)
        assert len(told(events)) == count


def test_what_a_filter_leaves_out_takes_no_room(space: Tracked) -> None:
    plan = Udp(source="127.0.0.1", destination="127.0.0.1", ports=500, count=500)
    with conntrack.events([EventKind.NEW], Filter(zone=ZONE), queue_bytes=1, timeout_seconds=QUIET_SECONDS) as events:
        udp(space, space.here, plan)
        send_udp(ZONED)
        (event,) = told(events)
        assert event.flow.zone == ZONE
    with conntrack.events([EventKind.NEW], queue_bytes=1, timeout_seconds=QUIET_SECONDS) as events:
        conntrack.flush()
        udp(space, space.here, plan)
        assert any(isinstance(event, Lost) for event in events)


def test_a_loss_is_told_and_counted(space: Tracked) -> None:
    plan = Udp(source="127.0.0.1", destination="127.0.0.1", ports=MANY, count=MANY)
    with conntrack.events([EventKind.NEW], queue_bytes=50_000, timeout_seconds=QUIET_SECONDS) as events:
        udp(space, space.here, plan)
        came = list(events)
        lost = [event for event in came if isinstance(event, Lost)]
        assert came[0] in lost
        assert sum(loss.overruns for loss in lost) >= 1
        assert 0 < len(came) - len(lost) < MANY
        assert len(came) - len(lost) + sum(loss.dropped for loss in lost) == MANY
        # What comes later is told again.
        send_udp(ZONED)
        assert [event.flow.zone for event in told(events)] == [ZONE]


def test_a_reliable_stream_has_each_end_in_the_end(space: Tracked) -> None:
    plan = Udp(source="127.0.0.1", destination="127.0.0.1", ports=MANY, count=MANY, payload_bytes=72)
    udp(space, space.here, plan)
    with conntrack.events([EventKind.DESTROY], queue_bytes=50_000, timeout_seconds=SECONDS, reliable=True) as events:
        conntrack.flush()
        dying = list(conntrack.dying())
        ended: dict[int | None, Event] = {}
        lost = 0
        while len(ended) < MANY:
            event = next(events)
            match event:
                case Lost(dropped=dropped):
                    lost += dropped
                case Event():
                    assert event.flow.id not in ended
                    ended[event.flow.id] = event
    assert lost > 0
    assert 0 < len(dying) < MANY
    assert {flow.id for flow in dying} <= set(ended)
    assert sum(event.flow.original.bytes or 0 for event in ended.values()) == MANY * 100
    assert list(conntrack.dying()) == list(conntrack.unconfirmed()) == []


def test_the_stream_ends_when_nothing_comes_and_when_it_is_closed(space: Tracked) -> None:
    with conntrack.events(timeout_seconds=0.1) as events:
        assert list(events) == []
    events = conntrack.events()
    seen: list[Event | Lost] = []
    reader = threading.Thread(target=lambda: seen.extend(events))
    reader.start()
    send_udp(SINK)
    wait_for(lambda: seen, SECONDS, "an event")
    events.close()
    events.close()
    reader.join(SECONDS)
    assert not reader.is_alive()
    assert [event.kind for event in seen if isinstance(event, Event)] == [EventKind.NEW]
    assert events.wait() is None


def test_the_queue_can_be_waited_for_beside_others(space: Tracked) -> None:
    with conntrack.events([EventKind.NEW]) as events:
        assert select.select([events], [], [], 0) == ([], [], [])
        for port in (SINK, ZONED):
            send_udp(port)
        assert select.select([events], [], [], SECONDS) == ([events], [], [])
        kinds = [event.kind for event in iter(lambda: events.wait(0), None) if isinstance(event, Event)]
        assert kinds == [EventKind.NEW] * 2
        assert select.select([events], [], [], 0) == ([], [], [])


def test_what_cannot_be_asked_for_is_refused(space: Tracked) -> None:
    with pytest.raises(ValueError, match="groups"):
        conntrack.events([])
    for queue_bytes in (0, 2**30):
        with pytest.raises(ValueError, match="queue_bytes"):
            conntrack.events(queue_bytes=queue_bytes)
    with pytest.raises(ValueError, match="timeout_seconds"):
        conntrack.events(timeout_seconds=-1)
    with conntrack.events() as events, pytest.raises(ValueError, match="timeout_seconds"):
        events.wait(-1)
