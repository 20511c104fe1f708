"""Quotas on real objects and packets: reached once, begun anew without loss, put back after others and reboots."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netledger import nfacct
from netledger.errors import QuotaError
from netledger.intervals import DAY_NS, SECOND_NS
from netledger.quotas.agree import agree, take_out
from netledger.quotas.definition import Definition, Every, Kind
from netledger.quotas.keeper import Keeper
from netledger.quotas.objects import Objects
from netledger.quotas.shown import as_json, standing_of
from netledger.quotas.state import What
from netledger.receipt import Count
from netledger.sources.nft import Nft
from tests.kernel.lab import wait_for
from tests.kernel.quota_space import PACKET_BYTES, PORT, Space, octets, packets, told

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]

KINDS = [packets(10), octets(1000, Kind.NFACCT), octets(1000)]
NAMES = ["packets", "bytes", "nft"]


@pytest.fixture
def space() -> Iterator[Space]:
    """The calling thread is in the namespace."""
    with Space() as made, made.inside(made.here):
        yield made


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_the_limit_is_reached_once_and_not_a_byte_more_passes(space: Space, one: Definition) -> None:
    space.agree(one)
    keeper = space.keeper()
    assert space.send(9) == 9
    keeper.look("look")
    assert What.REACHED not in space.kinds()
    assert space.send(5) == 1
    for _ in range(3):
        keeper.look("look")
    (reached,) = space.facts(What.REACHED)
    assert reached.told["limit"] == one.limit
    # A process that starts later finds it written down.
    space.keeper().look("start")
    assert len(space.facts(What.REACHED)) == 1


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_a_new_period_begins_with_nothing_used_and_the_whole_limit(space: Space, one: Definition) -> None:
    one = replace(one, every=Every.DAY)
    space.agree(one)
    keeper = space.keeper()
    keeper.look("start")
    for _ in range(3):
        assert space.send(14) == 10
        keeper.look("look")
        space.tomorrow()
        keeper.look("look")
        keeper.look("look")
    resets = space.facts(What.RESET)
    assert told(resets, "bytes") == [1400] * 3
    assert told(resets, "is_exact") == [True] * 3
    assert told(resets, "was_reached") == [True] * 3
    assert len(space.facts(What.REACHED)) == 3
    assert space.used(one).bytes == 0


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_what_was_reached_while_nobody_looked_is_noticed_at_the_start(space: Space, one: Definition) -> None:
    space.agree(one)
    space.keeper().look("look")
    assert space.send(12) == 10
    space.keeper().look("start")
    (reached,) = space.facts(What.REACHED)
    assert reached.told["by"] == "start"


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_a_boundary_that_passed_while_nobody_looked_is_made_up_for(space: Space, one: Definition) -> None:
    one = replace(one, every=Every.DAY)
    space.agree(one)
    space.keeper().look("look")
    space.send(14)
    for _ in range(3):
        space.tomorrow()
    space.keeper().look("start")
    assert [fact.kind for fact in space.facts(What.REACHED, What.RESET)] == ["reached", "reset"]
    (reset,) = space.facts(What.RESET)
    period = space.state(one.name).period
    assert period is not None
    assert period.contains(space.clock.wall_ns)
    assert reset.told["ended_end"] == period.start_ns - 2 * 86_400 * 10**9
    assert space.send(14) == 10


def test_a_clock_that_was_wrong_and_is_set_right_ends_no_period_for_years(space: Space) -> None:
    one = packets(10, every=Every.DAY)
    space.agree(one)
    keeper = space.keeper()
    keeper.look("look")
    right_ns = space.clock.wall_ns
    space.clock.wall_ns += 3650 * DAY_NS
    keeper.look("look")
    space.send(4)
    space.clock.wall_ns = right_ns
    keeper.look("look")
    period = space.state(one.name).period
    assert period is not None
    assert period.contains(right_ns)
    assert space.used(one).packets == 4
    space.clock.wall_ns = period.end_ns
    keeper.look("look")
    # Set back by a second at a boundary it begins nothing once more.
    space.clock.wall_ns -= SECOND_NS
    keeper.look("look")
    space.clock.wall_ns += SECOND_NS
    keeper.look("look")
    assert [fact.kind for fact in space.facts(What.RESET, What.CHANGED)] == ["reset", "changed", "reset"]


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_an_object_that_is_gone_is_made_again_with_what_was_used(space: Space, one: Definition) -> None:
    space.agree(one)
    keeper = space.keeper()
    space.send(6)
    keeper.look("look")
    keeper.close()
    space.unload(one)
    if one.kind is Kind.NFACCT:
        nfacct.delete(one.name)
    # As after a reboot: a process that knows the ledger only.
    keeper = space.keeper()
    keeper.look("start")
    assert space.used(one).bytes == 600
    space.load(one)
    keeper.look("look")
    assert space.send(10) == 4
    keeper.look("look")
    assert [fact.kind for fact in space.facts(What.MADE, What.REACHED)] == ["made", "reached"]
    assert told(space.facts(What.MADE), "bytes") == [600]


def test_an_nft_object_that_an_operator_s_file_has_made_gets_what_is_left(space: Space) -> None:
    one = octets(1000)
    space.agree(one)
    keeper = space.keeper()
    space.send(6)
    keeper.look("look")
    space.unload(one)
    space.load(one)
    keeper.look("look")
    assert space.used(one).bytes == 600
    assert told(space.facts(What.CHANGED), "bytes") == [600]
    assert space.send(10) == 4
    keeper.look("look")
    assert [fact.kind for fact in space.facts(What.MADE, What.REACHED)] == ["reached"]


def test_an_nft_object_that_somebody_resets_goes_on_with_what_was_used(space: Space) -> None:
    one = octets(1000)
    space.agree(one)
    keeper = space.keeper()
    space.send(6)
    keeper.look("look")
    space.run(space.here, ["nft", "reset", "quotas"])
    keeper.look("look")
    assert space.send(10) == 4
    keeper.look("look")
    assert space.used(one).bytes == 1000
    assert len(space.facts(What.REACHED)) == 1


def test_an_nfacct_object_that_somebody_resets_is_judged_by_its_sum_until_it_can_be_mended(
    space: Space, caplog: pytest.LogCaptureFixture
) -> None:
    one = packets(10)
    space.agree(one)
    keeper = space.keeper()
    space.send(6)
    keeper.look("look")
    assert b"limited" in nfacct.reset("limited").name
    keeper.look("look")
    assert told(space.facts(What.CHANGED), "packets") == [6]
    assert space.used(one).packets == 6
    # Its rule compares the object's own count, which nobody can set: that cut comes late, and the event does not.
    assert space.send(4) == 4
    keeper.look("look")
    assert len(space.facts(What.REACHED)) == 1
    assert space.send(1) == 1
    assert [record.message for record in caplog.records].count("quota_late") == 1
    keeper.look("look")
    assert keeper.late == {"limited": "its object was set back, and cuts only after 5 packets more"}
    standing = standing_of(space.state("limited"), Objects().seen(one), 0, None)
    assert standing.text == "reached, not cut: its object was set back, and cuts only after 5 packets more"
    assert as_json(standing)["is_cut_late"] is True
    space.unload(one)
    keeper.look("look")
    assert nfacct.get("limited").packets == 11
    assert keeper.late == {}
    space.load(one)
    assert space.send(3) == 0


def test_another_object_under_its_name_is_replaced_or_told(space: Space) -> None:
    one = packets(10)
    agree(space.book(), Objects(), space.clock, one)
    keeper = space.keeper()
    keeper.look("look")
    nfacct.delete("limited")
    nfacct.add("limited")
    keeper.look("look")
    assert nfacct.get("limited").quota == nfacct.Quota(10, nfacct.Unit.PACKETS)
    nfacct.delete("limited")
    nfacct.add("limited")
    space.load(one)
    space.send(3)
    keeper.look("look")
    assert "another limit or none" in keeper.failures["limited"]
    space.unload(one)
    keeper.look("look")
    assert keeper.failures == {}
    assert nfacct.get("limited").packets == 3


def test_a_count_that_was_taken_and_never_written_is_not_taken_twice(space: Space) -> None:
    """Without any trace of it: the runtime directory is gone as well."""
    one = packets(10**6, every=Every.DAY)
    space.agree(one)

    class Died(BaseException):
        pass

    def die(step: str) -> None:
        if step == "taken":
            raise Died

    keeper = space.keeper()
    keeper.look("look")
    space.send(100)
    space.tomorrow()
    with pytest.raises(Died):
        space.keeper(die).look("look")
    space.send(150)
    space.keeper().look("start")
    (reset,) = space.facts(What.RESET)
    assert (reset.told["packets"], reset.told["is_exact"]) == (100, False)
    assert reset.told["at_most"] == {"packets": 150, "bytes": 15_000}
    assert space.used(one).packets == nfacct.get("limited").packets == 150


def test_an_object_that_is_gone_at_the_end_of_a_period_is_made_for_the_next_one(space: Space) -> None:
    one = packets(10**6, every=Every.DAY)
    space.agree(one)

    class Died(BaseException):
        pass

    def die(step: str) -> None:
        if step == "resetting":
            raise Died

    space.keeper().look("look")
    space.send(100)
    space.tomorrow()
    with pytest.raises(Died):
        space.keeper(die).look("look")
    space.unload(one)
    nfacct.delete("limited")
    assert space.keeper().restore() == ["limited"]
    (reset,) = space.facts(What.RESET)
    assert (reset.told["packets"], reset.told["is_exact"], reset.told["at_most"]) == (100, False, None)
    assert nfacct.get("limited").packets == 0
    space.load(one)
    space.send(7)
    space.keeper().look("start")
    assert space.used(one).packets == 7


def test_an_object_that_cannot_be_made_is_written_down_once(space: Space) -> None:
    one = octets(1000)
    space.agree(one)
    space.send(6)
    space.keeper().look("look")
    space.unload(one)
    keeper = Keeper(space.book(), Objects(Nft("no-such-nft")), space.clock)
    for _ in range(5):
        keeper.look("look")
        assert "program not found" in keeper.failures["limited"]
    assert told(space.facts(What.MADE), "bytes") == [600]
    space.keeper().look("start")
    assert space.used(one).bytes == 600


def test_an_event_that_could_not_be_written_is_told_later_with_its_packet(
    space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    space.agree(packets(10))
    keeper = space.keeper()
    keeper.look("look")
    monkeypatch.setattr("netledger.ledger.database._BUSY_SECONDS", 0.05)
    other = sqlite3.connect(space.store / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with nfacct.events() as events:
        space.send(14)
        event = events.wait(60)
    assert isinstance(event, nfacct.Counter)
    keeper.event(event.text, Count(event.packets, event.bytes))
    assert "locked" in keeper.failures["limited"]
    keeper.look("look")
    assert space.facts(What.REACHED) == []
    other.execute("ROLLBACK")
    other.close()
    keeper.look("look")
    assert keeper.failures == {}
    (reached,) = space.facts(What.REACHED)
    assert (reached.told["packets"], reached.told["by"]) == (10, "event")
    assert space.used(packets(10)).packets == 14


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_a_quota_is_added_once_and_taken_out_with_its_object(space: Space, one: Definition) -> None:
    space.agree(one)
    with pytest.raises(QuotaError, match="there is one of this name"):
        agree(space.book(), Objects(), space.clock, one)
    space.send(3)
    done = take_out(space.book(), Objects(), one.name)
    assert (done.used.bytes, done.is_object_left) == (300, True)
    with pytest.raises(QuotaError, match="there is no quota of this name"):
        take_out(space.book(), Objects(), one.name)
    # Its object counts on for the rule; a new quota of the same name goes on with it.
    assert agree(space.book(), Objects(), space.clock, one).bytes == 300
    if one.kind is Kind.NFACCT:
        space.unload(one)
    else:
        space.run(space.here, ["nft", "flush", "chain", "inet", "netledger_quotas", "limits"])
    assert not take_out(space.book(), Objects(), one.name).is_object_left
    assert Objects().seen(one) is None


def test_an_object_of_somebody_else_is_left_alone(space: Space) -> None:
    nfacct.add("limited", packets=7)
    with pytest.raises(QuotaError, match="an nfacct object of this name, with no limit"):
        agree(space.book(), Objects(), space.clock, packets(10))
    assert space.facts() == []
    assert nfacct.get("limited").packets == 7


@pytest.mark.parametrize(
    "one", [packets(10**9, every=Every.DAY), octets(10**12, every=Every.DAY)], ids=["nfacct", "nft"]
)
def test_resets_under_load_lose_no_packet(space: Space, one: Definition) -> None:
    """Somebody sends all the time; what the periods had and what is used now is what was sent."""
    space.agree(one)
    keeper = space.keeper()
    code = (
        "import pathlib, socket, sys\n"
        "sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "sent, end = 0, pathlib.Path(sys.argv[1])\n"
        "while not end.exists():\n"
        f"    for _ in range(100): sent += sender.sendto(bytes(72), ('127.0.0.1', {PORT})) > 0\n"
        "print(sent)\n"
    )
    end = space.directory / "end"
    sender = space.spawn(space.here, ["python3", "-c", code, str(end)])
    wait_for(lambda: space.used(one).bytes, 10, "the first packet")
    for _ in range(20):
        space.tomorrow()
        keeper.look("look")
    end.touch()
    assert sender.wait() == 0, sender.errors()
    resets = space.facts(What.RESET)
    total = space.used(one)
    for fact in resets:
        total += Count(fact.told["packets"], fact.told["bytes"])  # type: ignore[arg-type]  # numbers
    assert len(resets) == 20
    assert sum(fact.told["bytes"] != 0 for fact in resets) > 10
    assert total.bytes == int(sender.output()) * PACKET_BYTES
