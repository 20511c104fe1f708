"""The listing of flows: which, in which order, and what is said of them."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from netledger.conntrack import Event, EventKind, Family, Filter, Flow, Lost, Status
from netledger.errors import UsageError
from netledger.intervals import Moment
from netledger.receipt import Count
from netledger.reports.flows import stream, switches, told, written
from netledger.reports.flows.chosen import Listing, Order, identity, listing
from netledger.reports.flows.rates import Rates
from netledger.reports.flows.where import understand
from netledger.reports.units import Unit
from netledger.reports.zones import find
from tests.unit.flows import ASSURED, GRE, ICMP, UDP, flow

NOW_NS = 1_763_632_800_123_456_789  # 2025-11-20T10:00:00.123456789Z

WEB = flow(
    "10.0.0.1:50000", "192.0.2.9:443", sent=(500, 5), received=(90_000, 60), state="ESTABLISHED", number=1, mark=0x10,
    start_ns=NOW_NS - 90 * 10**9, timeout_seconds=431_999,
)  # fmt: skip
NAME = flow(
    "[2001:db8::1]:40000", "[2001:db8::53]:53", protocol=UDP, sent=(100, 1), received=(300, 1), number=2, zone=3
)
PING = flow(
    "10.0.0.1", "10.0.0.2", protocol=ICMP, icmp=(8, 0, 7), sent=(84, 1), status=Status.CONFIRMED, number=3,
)  # fmt: skip
HOME = flow(
    "10.0.0.2:50000", "10.1.0.80:8080", nat_source="203.0.113.5:61000", nat_destination="203.0.113.1:80",
    sent=(2000, 20), received=(3000, 30), state="CLOSE", number=4, start_ns=NOW_NS - 3600 * 10**9, timeout_seconds=9,
)  # fmt: skip
TUNNEL = flow("192.0.2.1:443", "192.0.2.2:80", protocol=GRE, sent=None, received=None, number=5)
ALL = [WEB, NAME, PING, HOME, TUNNEL]


def taken(conditions: Sequence[str]) -> list[Flow]:
    wanted = understand(conditions)
    return [one for one in ALL if wanted.takes(one)]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ALL),
        (["host=10.0.0.1"], [WEB, PING]),
        (["net=10.0.0.0/8"], [WEB, PING, HOME]),
        (["source=10.0.0.2"], [HOME]),
        (["source=203.0.113.5"], [HOME]),
        (["destination=203.0.113.1"], [HOME]),
        (["destination=10.1.0.80"], [HOME]),
        (["destination=10.0.0.0/8"], [PING, HOME]),
        (["address=2001:db8::/32"], [NAME]),
        (["address=::/0"], [NAME]),
        (["address!=10.0.0.0/8"], [NAME, TUNNEL]),
        (["port=443"], [WEB]),
        (["port=8080"], [HOME]),
        (["port=80"], [HOME]),
        (["port=50000-50009"], [WEB, HOME]),
        (["source_port=61000"], [HOME]),
        (["destination_port=443,53"], [WEB, NAME]),
        (["port!=443"], [NAME, HOME]),
        (["proto=udp"], [NAME]),
        (["proto!=tcp"], [NAME, PING, TUNNEL]),
        (["proto=icmp,gre"], [PING, TUNNEL]),
        (["state=established"], [WEB]),
        (["state=unreplied"], [PING]),
        (["state=ASSURED"], [WEB, NAME, HOME, TUNNEL]),
        (["zone=3"], [NAME]),
        (["zone=0"], [WEB, PING, HOME, TUNNEL]),
        (["mark=16"], [WEB]),
        (["mark != 0x10"], [NAME, PING, HOME, TUNNEL]),
        (["family=ipv6"], [NAME]),
        (["family!=6"], [WEB, PING, HOME, TUNNEL]),
        (["proto=tcp", "host=10.0.0.1"], [WEB]),
        (["proto=tcp", "proto=udp", "port!=443"], [NAME, HOME]),
    ],
)
def test_conditions_choose_flows(conditions: list[str], expected: list[Flow]) -> None:
    assert [one.id for one in taken(conditions)] == [one.id for one in expected]


def test_a_flow_with_a_zone_in_each_direction_is_in_both() -> None:
    one = flow("10.0.0.1:1", "10.0.0.2:2", number=6)
    both = replace(one, original=replace(one.original, zone=4), reply=replace(one.reply, zone=5))
    assert [understand([f"zone={number}"]).takes(both) for number in (0, 4, 5)] == [False, True, True]
    assert told.zone(both) == 4


def test_what_the_kernel_can_choose_is_asked_of_it() -> None:
    assert understand(["proto=udp", "zone=3", "mark=0x10", "family=ipv4"]).asked == Filter(
        family=Family.IPV4, protocol=17, zone=3, mark=16
    )
    # It knows no alternatives, and nothing that is left out.
    assert understand(["proto=udp,tcp", "zone!=3", "mark=1", "mark=2", "host=10.0.0.1"]).asked == Filter()


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("port", "not a condition"),
        ("colour=red", "no such word: colour"),
        ("label=a", "no such word: label"),
        ("host=10.0.0.1/8", "has bits behind its prefix; the network is 10.0.0.0/8"),
        ("host=here", "is no address and no network"),
        ("port=70000", "is no port"),
        ("proto=nonesuch", "is no protocol"),
        ("state=4", "is no state"),
        ("zone=x", "is no zone"),
        ("mark=0x1ffffffff", "is no mark"),
        ("family=5", "is no version of IP"),
    ],
)
def test_a_condition_that_means_nothing_is_refused(condition: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        understand([condition])
    assert said in f"{caught.value.cause}; {caught.value.hint}"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("bytes", [1, 4, 2, 3, 5]),
        ("packets", [1, 4, 2, 3, 5]),
        ("sent_bytes", [4, 1, 2, 3, 5]),
        ("received_packets", [1, 4, 2, 3, 5]),
        ("age", [4, 1, 2, 3, 5]),
        ("timeout", [4, 1, 2, 3, 5]),
    ],
)
@pytest.mark.parametrize("limit", [None, 1, 3, 9])
def test_the_greatest_come_first_and_the_total_is_of_all(sort: str, expected: list[int], limit: int | None) -> None:
    for flows in (ALL, ALL[::-1]):
        found = listing(flows, Order(wanted=understand([]), sort=sort, limit=limit), taken_ns=NOW_NS)
        assert [one.id for one in found.flows] == expected[:limit]
        assert (found.totals.flows, found.totals.uncounted) == (5, 1)
        assert (found.totals.sent, found.totals.received) == (Count(27, 2684), Count(91, 93_300))
        assert found.left_out == 5 - len(found.flows)


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="--sort colour"):
        Order(wanted=understand([]), sort="colour")


def look(flows: Sequence[Flow], *conditions: str) -> Listing:
    return listing(flows, Order(wanted=understand(conditions)), taken_ns=NOW_NS)


def test_a_table_has_the_columns_that_say_something() -> None:
    assert list(written.table(look([WEB, PING], "host=10.0.0.1"), ["so it is"], Unit.B)) == [
        "proto  source          destination    service        state        mark         age  sent  received  packets",
        "tcp    10.0.0.1:50000  192.0.2.9:443  https          ESTABLISHED  0x10  1 min 30 s   500    90,000       65",
        "icmp   10.0.0.1        10.0.0.2       type 8 code 0  UNREPLIED       0           -    84         0        1",
        "total                                                                                584    90,000       66",
        "",
        "2 flows",
        "so it is",
    ]


def test_a_table_names_both_ends_that_nat_hides_and_zones() -> None:
    lines = list(written.table(look([HOME, NAME, TUNNEL]), [], Unit.AUTO))
    assert "10.1.0.80:8080" in lines[1]
    assert "was to 203.0.113.1:80, as 203.0.113.5:61000" in lines[1]
    assert "[2001:db8::53]:53" in lines[2]
    assert lines[3].split()[-3:] == ["-", "-", "-"]
    place = lines[0].index("zone")
    assert [line[place : place + 4].strip() for line in lines[1:4]] == ["0", "3", "0"]


def test_a_table_says_what_it_leaves_out_and_shows_names() -> None:
    found = listing(ALL, Order(wanted=understand([]), limit=1), taken_ns=NOW_NS)
    names = {told.source(WEB).raw: "pc.example", told.destination(WEB).raw: None}
    lines = list(written.table(found, [], Unit.AUTO, names=names))
    assert "source name" in lines[0]
    assert "pc.example" in lines[1]
    assert lines[-1] == "shown: 1 of 5 flows (--limit N shows more); the total is of all"


LONG = flow(
    "[2001:db8:1111:2222:3333:4444:5555:6666]:50000",
    "[2001:db8:9999:8888:7777:aaaa:bbbb:cccc]:443",
    sent=(123_456_789, 1000),
    received=(5, 1),
    state="ESTABLISHED",
    number=9,
    start_ns=NOW_NS - 90_000_000_000,
)


@pytest.mark.parametrize("names", [None, {told.source(LONG).raw: "a-name-as-long-as-they-are.customers.example.org"}])
@pytest.mark.parametrize("width", range(60, 130, 5))
def test_in_a_narrow_terminal_no_address_is_broken(width: int, names: dict[bytes, str | None] | None) -> None:
    for flows in ([WEB, HOME, NAME, PING, TUNNEL], [LONG, WEB]):
        lines = list(written.table(look(flows), ["one of the notes " * 9], Unit.AUTO, names=names, width=width))
        assert max(map(len, lines)) <= width or (LONG in flows and width < 75)
        words = [word for line in lines for word in line.split()]
        for one in flows:
            assert words.index(told.source(one).text) < words.index(told.destination(one).text)
        full = written.table(look(flows), [], Unit.AUTO, names=names)
        missing = [title for title in ("nat", "service", "age", "state") if title in next(full).split()]
        assert [title for title in missing if title not in lines[0].split()] == [
            title for title in missing if any(line.startswith("no room for") and title in line for line in lines)
        ]


def test_a_flow_has_two_lines_where_its_ends_have_no_room_beside_each_other() -> None:
    assert list(written.table(look([LONG]), [], Unit.AUTO, width=80)) == [
        "proto  source / destination                                sent  received",
        "tcp    [2001:db8:1111:2222:3333:4444:5555:6666]:50000  123.5 MB       5 B",
        "       [2001:db8:9999:8888:7777:aaaa:bbbb:cccc]:443",
        "total                                                  123.5 MB       5 B",
        "",
        "1 flow",
        "no room for service, state, age, packets (a pipe has all)",
    ]


def test_json_always_has_the_same_keys_and_integers() -> None:
    text = io.StringIO()
    written.write_json(look(ALL), ["note"], text)
    answer = json.loads(text.getvalue())
    assert answer["taken_at"] == "2025-11-20T10:00:00.123456789Z"
    assert answer["total"] == {
        "flows": 5, "flows_uncounted": 1, "sent_bytes": 2684, "sent_packets": 27, "received_bytes": 93_300,
        "received_packets": 91,
    }  # fmt: skip
    assert (answer["flows_left_out"], answer["notes"]) == (0, ["note"])
    assert len({tuple(one) for one in answer["flows"]}) == 1
    assert [one["id"] for one in answer["flows"]] == [1, 4, 2, 3, 5]
    web, home, name, ping, tunnel = answer["flows"]
    assert web | {} == {
        "family": 4, "protocol": 6, "source": "10.0.0.1", "source_port": 50_000, "destination": "192.0.2.9",
        "destination_port": 443, "nat_source": None, "nat_source_port": None, "nat_destination": None,
        "nat_destination_port": None, "icmp_type": None, "icmp_code": None, "icmp_id": None, "state": "ESTABLISHED",
        "status": ["SEEN_REPLY", "ASSURED", "CONFIRMED"], "zone": 0, "mark": 16, "id": 1, "helper": None,
        "timeout_seconds": 431_999, "started_at": "2025-11-20T09:58:30.123456789Z", "sent_bytes": 500,
        "sent_packets": 5, "received_bytes": 90_000, "received_packets": 60, "source_name": None,
        "destination_name": None, "bytes_per_second": None,
    }  # fmt: skip
    assert (home["nat_source"], home["nat_source_port"]) == ("203.0.113.5", 61_000)
    assert (home["nat_destination"], home["nat_destination_port"]) == ("203.0.113.1", 80)
    assert (name["family"], name["zone"]) == (6, 3)
    assert (ping["icmp_type"], ping["icmp_code"], ping["icmp_id"], ping["source_port"]) == (8, 0, 7, None)
    assert (tunnel["sent_bytes"], tunnel["received_packets"]) == (None, None)


def test_json_without_flows_is_whole_and_with_nothing_between_it_is_one_line() -> None:
    for flows in ([], [WEB, HOME]):
        text = io.StringIO()
        written.write_json(look(flows), [], text, between="")
        assert text.getvalue().count("\n") == 1
        assert len(json.loads(text.getvalue())["flows"]) == len(flows)


def test_rates_are_of_what_came_since_the_last_look() -> None:
    rates, order = Rates(), Order(wanted=understand([]), sort="rate")

    def at(seconds: float, flows: Sequence[Flow]) -> Listing:
        now = Moment(NOW_NS, int(seconds * 10**9))
        return listing(rates.of(flows, now), order, taken_ns=NOW_NS, rates=rates.known)

    first = flow("10.0.0.1:1", "10.0.0.2:2", sent=(1000, 1), number=1)
    assert at(5, [first, WEB]).rates == {}
    more = flow("10.0.0.1:1", "10.0.0.2:2", sent=(1600, 2), received=(400, 1), number=1)
    new = flow("10.0.0.1:1", "10.0.0.2:2", sent=(3000, 2), number=9)
    found = at(7, [WEB, more, new])
    assert [one.id for one in found.flows] == [9, 1, 1]
    assert [found.rates[identity(one)] for one in found.flows] == [1500, 500, 0]
    assert [found.rates[identity(one)] for one in at(8, [flow("10.0.0.1:1", "10.0.0.2:2", number=1)]).flows] == [0]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (Event(kind=EventKind.NEW, flow=flow("10.0.0.1:5", "10.0.0.2:443", sent=None, received=None, state="SYN_SENT")),
         "10:00:00.123  new     tcp      10.0.0.1:5 -> 10.0.0.2:443  https  SYN_SENT"),
        (Event(kind=EventKind.DESTROY, flow=NAME),
         "10:00:00.123  end     udp      [2001:db8::1]:40000 -> [2001:db8::53]:53  domain  "
         "sent 100 B, received 300 B, 2 packets"),
        (Event(kind=EventKind.DESTROY, flow=TUNNEL),
         "10:00:00.123  end     gre      192.0.2.1:443 -> 192.0.2.2:80  not counted"),
        (Lost(overruns=1, dropped=57), "-- lost 57 events: the kernel had no room for them (1 overrun) --"),
        (Lost(overruns=2), "-- lost events: the kernel had no room for them (2 overruns) --"),
    ],
)  # fmt: skip
def test_an_event_is_a_line(one: Event | Lost, said: str) -> None:
    assert stream.as_text(one, find("UTC"), Unit.AUTO, now_ns=NOW_NS) == said


def test_an_event_is_a_line_of_json_with_the_keys_of_a_flow() -> None:
    told_as = json.loads(stream.as_json(Event(kind=EventKind.DESTROY, flow=WEB, portid=7), now_ns=NOW_NS))
    assert (told_as["type"], told_as["at"], told_as["portid"]) == ("destroy", "2025-11-20T10:00:00.123456789Z", 7)
    assert told_as.items() >= told.as_json(WEB).items()
    assert json.loads(stream.as_json(Lost(overruns=1, dropped=9), now_ns=NOW_NS)) == {
        "type": "lost", "at": "2025-11-20T10:00:00.123456789Z", "overruns": 1, "dropped": 9,
    }  # fmt: skip


def test_the_end_of_a_stream_says_what_was_lost() -> None:
    seen = stream.Seen()
    seen.add(Event(kind=EventKind.NEW, flow=WEB))
    assert seen.text == "1 event"
    seen.add(Lost(overruns=1, dropped=57))
    assert seen.text == "1 event; lost 57 events: the kernel had no room for them (1 overrun)"


@pytest.mark.parametrize(
    ("flows", "conditions", "sort", "said", "notes"),
    [
        ([WEB], [], "bytes", {"nf_conntrack_acct": "1"}, []),
        ([WEB, TUNNEL], [], "bytes", {"nf_conntrack_acct": "1"}, ["1 flow without counters: they began before"]),
        (
            [TUNNEL],
            [],
            "bytes",
            {"nf_conntrack_acct": "0"},
            ["1 flow without counters: nf_conntrack_acct is 0; `sysctl"],
        ),
        ([], [], "bytes", {"nf_conntrack_acct": "1"}, ["the kernel tracks flows only where a rule"]),
        ([], ["zone=9"], "bytes", {"nf_conntrack_acct": "1"}, []),
        ([WEB], [], "age", {"nf_conntrack_timestamp": "0"}, ["flows that do not say when they began come last"]),
        ([WEB], [], "bytes", {}, []),
    ],
)
def test_a_switch_that_hides_something_is_told(
    flows: list[Flow], conditions: list[str], sort: str, said: dict[str, str], notes: list[str]
) -> None:
    found = list(switches.of_listing(look(flows, *conditions), said.get, is_all=not conditions, sort=sort))
    assert len(found) == len(notes)
    assert all(one.startswith(start) for one, start in zip(found, notes, strict=True))


def test_a_switch_that_hides_events_is_told() -> None:
    assert list(switches.of_stream({"nf_conntrack_events": "1", "nf_conntrack_acct": "1"}.get)) == []
    (note,) = switches.of_stream({"nf_conntrack_events": "2"}.get)
    assert note.startswith("flows that began while no program listened end untold")
    first, second = switches.of_stream({"nf_conntrack_events": "0", "nf_conntrack_acct": "0"}.get)
    assert first.startswith("flows end without counters")
    assert second.startswith("nothing will be told")


def test_states_are_those_of_the_protocol_or_whether_there_was_an_answer() -> None:
    assert [told.state(one) for one in ALL] == ["ESTABLISHED", "ASSURED", "UNREPLIED", "CLOSE", "ASSURED"]
    assert told.states(WEB) == {"ESTABLISHED", "ASSURED", "REPLIED"}
    assert told.state(flow("10.0.0.1:1", "10.0.0.2:2", protocol=UDP, status=Status.SEEN_REPLY)) == "REPLIED"
    assert ASSURED in (WEB.status or Status(0))
