"""What ``netledger.conntrack`` says of flows, and which filters can be."""

import ipaddress
import re
from dataclasses import FrozenInstanceError, replace

import pytest

from netledger.conntrack import Direction, Event, EventKind, Family, Filter, Flow, Lost, Network, Status
from netledger.conntrack.told import event_of, flow_of, name_of
from netledger.conntrack.wanted import native_filter

NOBODY = (None, None, None, None, None)
TOLD = (
    2,
    (b"\x0a\0\0\1", b"\x0a\0\0\2", 6, (1024, 80, None, None, None), None, 3, 300),
    (b"\x0a\0\0\2", b"\x0a\0\0\1", 6, (80, 1024, None, None, None), 4, None, None),
    (0x18E, 30, None, 7, 99, 1),
    (None, 77, (5, 6)),
    (1, None, 3),
    (b"\1" * 16, b"ftp\xff", None),
    (b"\x0a\0\0\3", b"\x0a\0\0\4", 6, (1, 21, None, None, None), None, None, None),
)


def test_a_flow_is_what_the_core_tells() -> None:
    flow = flow_of(TOLD)
    original, reply = flow.original, flow.reply
    assert flow.family is Family.IPV4
    assert (original.source, original.destination, original.source_port) == ("10.0.0.1", "10.0.0.2", 1024)
    assert (original.packets, original.bytes, original.zone) == (3, 300, None)
    assert (reply.packets, reply.bytes, reply.zone) == (None, None, 4)
    expected = Status.SEEN_REPLY | Status.ASSURED | Status.CONFIRMED | Status.SRC_NAT_DONE | Status.DST_NAT_DONE
    assert (flow.status, flow.timeout_seconds, flow.mark, flow.zone) == (expected, 30, None, 7)
    assert (flow.id, flow.use, flow.start_ns, flow.stop_ns, flow.event_ns) == (99, 1, 1, None, 3)
    assert (flow.state, flow.tcp_state, flow.vtags) == ("77", "77", (5, 6))
    assert (flow.labels, flow.helper, flow.secctx) == (b"\1" * 16, "ftp\udcff", None)
    assert flow.master is not None
    assert flow.master.destination_port == 21


def test_what_the_core_tells_is_as_good_as_what_is_made_by_hand() -> None:
    told = flow_of(TOLD)
    fields = {name: getattr(told.original, name) for name in Direction.__dataclass_fields__}
    original = Direction(**fields)
    assert (told.original, hash(told.original), repr(told.original)) == (original, hash(original), repr(original))
    assert type(told.original) is Direction
    by_hand = Flow(**{name: getattr(told, name) for name in Flow.__dataclass_fields__})
    assert (told, hash(told)) == (by_hand, hash(by_hand))
    assert replace(told, mark=5).mark == 5
    for thing, name in ((told, "mark"), (told.reply, "packets")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, 1)


def test_events_and_losses_are_told_apart() -> None:
    assert event_of(((TOLD, 2, 0), None)) == Event(kind=EventKind.DESTROY, flow=flow_of(TOLD), portid=None)
    told = event_of(((TOLD, 0, 4711), None))
    assert isinstance(told, Event)
    assert (told.kind, told.portid) == (EventKind.NEW, 4711)
    assert event_of((None, (1, 20))) == Lost(1, 20)


def test_a_state_of_another_protocol_is_none_of_tcp() -> None:
    direction = Direction(source_raw=bytes(16), destination_raw=bytes(15) + b"\1", protocol=132)
    flow = Flow(family=Family.IPV6, original=direction, reply=direction, state="CLOSED")
    assert (flow.state, flow.tcp_state) == ("CLOSED", None)
    assert (direction.source, direction.destination) == ("::", "::1")


def test_a_direction_has_one_version_of_ip() -> None:
    direction = Direction(source_raw=bytes(4), destination_raw=bytes(4), protocol=50, zone=3)
    assert name_of(direction, 7) == (2, bytes(4), bytes(4), 50, NOBODY, 3, 7)
    for source, destination in ((4, 16), (5, 5), (0, 0)):
        with pytest.raises(ValueError, match="4 bytes, or both 16"):
            name_of(Direction(source_raw=bytes(source), destination_raw=bytes(destination), protocol=50), None)


@pytest.mark.parametrize(
    "network",
    ["10.1.2.3/8", ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("10.1.2.3/8").network],
)
def test_a_network_may_be_text_or_an_object(network: Network) -> None:
    _, _, _, _, _, original, reply = native_filter(Filter(original_source=network))
    assert original[0] == (2, bytes([10, 0, 0, 0]), 8)
    assert reply[1] is None


def test_a_filter_is_handed_over_whole() -> None:
    nothing = (None,) * 7
    assert native_filter(None) == native_filter(Filter()) == (None, None, None, None, None, nothing, nothing)
    wanted = Filter(
        family=Family.IPV6,
        protocol=6,
        mark=1,
        mark_mask=3,
        zone=0,
        status=Status.ASSURED,
        original_source=ipaddress.ip_address("::1"),
        original_destination_port=80,
        reply_source_port=0,
        icmp_code=0,
    )
    address = (10, bytes(15) + b"\1", 128)
    original = (address, None, None, 80, None, 0, None)
    reply = (None, None, 0, None, None, None, None)
    assert native_filter(wanted) == (10, 6, (1, 3), (4, 4), 0, original, reply)
    unset = Filter(status=Status(0), status_mask=Status.ASSURED)
    assert native_filter(unset)[3] == (0, 4)


def test_a_filter_that_cannot_be_is_refused() -> None:
    for numbers in (
        {"protocol": 256},
        {"icmp_type": -1},
        {"zone": 65_536},
        {"original_source_port": 65_536},
        {"reply_destination_port": -1},
        {"mark": 2**32},
        {"mark_mask": -1},
    ):
        with pytest.raises(ValueError, match=rf"{next(iter(numbers))} is a number 0 to \d+, not"):
            Filter(**numbers)  # type: ignore[arg-type]  # numbers only, whatever else a filter has
    with pytest.raises(ValueError, match="status_mask"):
        Filter(status_mask=Status.ASSURED)
    with pytest.raises(ValueError, match="one version of IP"):
        Filter(family=Family.IPV4, reply_source="::1")
    with pytest.raises(ValueError, match="one version of IP"):
        Filter(original_source="10.0.0.1", reply_source="::1")
    with pytest.raises(ValueError, match="does not appear to be"):
        Filter(original_source="example.org")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("protocol", "tcp", "protocol is a number 0 to 255, not 'tcp'"),
        ("protocol", 6.0, "protocol is a number 0 to 255, not 6.0"),
        ("icmp_type", True, "icmp_type is a number 0 to 255, not True"),
        ("original_destination_port", "https", "original_destination_port is a number 0 to 65535, not 'https'"),
        ("zone", "7", "zone is a number 0 to 65535, not '7'"),
        ("mark", b"1", "mark is a number 0 to 4294967295, not b'1'"),
        ("mark_mask", "0xff", "mark_mask is a number 0 to 4294967295, not '0xff'"),
        ("status", "ASSURED", "status is a number 0 to 4294967295, not 'ASSURED'"),
        ("family", "ipv4", "family is Family.IPV4 or Family.IPV6, not 'ipv4'"),
        ("family", 4, "family is Family.IPV4 or Family.IPV6, not 4"),
        ("original_source", 10, "original_source is an address or a network, as in '10.0.0.0/8', not 10"),
        ("reply_source", bytes(4), "reply_source is an address or a network, as in '10.0.0.0/8', not b"),
        ("reply_destination", "x", "reply_destination: 'x' does not appear to be"),
    ],
)
def test_a_filter_says_which_field_is_wrong_and_what_it_takes(field: str, value: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        Filter(**{field: value})  # type: ignore[arg-type]  # what no checker lets through
