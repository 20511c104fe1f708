"""The source nfacct on real rules of iptables and nftables: our deltas are the kernel's, whatever is done to them."""

import subprocess
from collections.abc import Iterator

import pytest

from netledger import nfacct
from netledger.errors import InUseError
from netledger.receipt import Status
from netledger.sources import named_counters
from tests.kernel.counter_space import V4_BYTES, V6_BYTES, Rules, Space, live
from tests.kernel.lab import Count, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]


@pytest.fixture
def space() -> Iterator[Space]:
    with Space() as made, made.inside(made.here):
        yield made


@pytest.fixture
def rules(space: Space) -> Iterator[Rules]:
    """A meter with two objects that it ensures, and rules that use them."""
    made = Rules.on(space.directory, ensure=("web", "mail"))
    made.open()
    space.rules("web", "mail")
    yield made
    if made.source is not None:
        made.close()


def names(rules: Rules) -> list[str]:
    return list(rules.told[-1].rows)


def test_deltas_are_the_kernels_for_both_ip_versions_and_both_kinds_of_counters(space: Space, rules: Rules) -> None:
    for packets in (5, 0, 11):
        space.send("web", packets)
        space.send("mail", 2 * packets, address="::1")
        told = rules.cut()
        web, mail = Count(packets, packets * V4_BYTES), Count(2 * packets, 2 * packets * V6_BYTES)
        expected = {"web": web, "mail": mail, "inet beside web": web, "inet beside mail": mail}
        expected["inet beside both"] = web + mail
        assert {
            name: Count(int(row["packets"] or 0), int(row["bytes"] or 0)) for name, row in told.rows.items()
        } == expected
        assert told.observed.status is Status.EXACT
        assert told.observed.interrupted is told.observed.why_lost is None
    for name in ("web", "mail"):
        assert rules.booked(name) == rules.booked(f"inet beside {name}") == space.kernel(name) == live(name)


def test_a_quota_goes_on_counting_and_is_told(space: Space) -> None:
    nfacct.add("web", quota=nfacct.Quota(3, nfacct.Unit.PACKETS))
    rules = Rules.on(space.directory)
    rules.open()
    space.rules("web")
    space.send("web", 2)
    before = rules.cut().rows["web"]
    assert (before["quota"], before["quota_unit"], before["over_quota"]) == (3, "packets", 0)
    space.send("web", 3)
    after = rules.cut().rows["web"]
    assert (after["over_quota"], after["packets"], after["total_packets"]) == (1, 3, 5)
    # It is taken, and its flag cleared; then it counts more than it had, so that its numbers tell nothing.
    nfacct.reset("web")
    space.send("web", 2)
    told = rules.cut()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("reset", 2)
    rules.close()
    assert rules.booked("web") == space.kernel("web")


def test_what_was_there_before_is_not_booked_and_is_said(space: Space) -> None:
    nfacct.add("web", packets=1_000, octets=10_000)
    space.rules("web")
    space.send("web", 4)
    rules = Rules.on(space.directory)
    rules.open()
    space.send("web", 3)
    told = rules.cut()
    assert rules.booked("web") == Count(3, 3 * V4_BYTES)
    assert told.rows["web"]["change"] == "baseline"
    assert "3 counters had 1012 packets" in str(told.observed.why_lost)
    assert told.observed.status is Status.EXACT
    rules.close()


@pytest.mark.parametrize("peer", [["nfacct", "get", "web", "reset"], ["nfacct", "list", "reset"]])
def test_a_reset_by_the_real_program_is_noticed_and_written_down(space: Space, rules: Rules, peer: list[str]) -> None:
    space.send("web", 10)
    rules.cut()
    space.send("web", 5)
    space.run(space.here, peer)
    space.send("web", 2)
    told = rules.cut()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("reset", 2)
    assert told.observed.status is Status.INTERRUPTED
    reason = str(told.observed.interrupted)
    assert "nfacct web: 10 packets (1280 bytes) when read at " in reason
    assert ", 2 packets (256 bytes) at " in reason
    # What nftables has counted beside goes on, and so does everything from here.
    assert told.rows["inet beside web"]["packets"] == 7
    space.send("web", 3)
    after = rules.cut()
    assert (after.rows["web"]["packets"], after.observed.status) == (3, Status.EXACT)


def test_a_look_before_a_reset_saves_what_was_counted_until_then(
    space: Space, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_counters, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(named_counters, "_LOOK_SHARE", 0)
    assert rules.source is not None
    rules.cut()
    space.send("web", 5)
    assert rules.source.glance().received.packets == 15  # web, and two of nftables beside it
    nfacct.reset("web")
    space.send("web", 2)
    told = rules.cut()
    assert (told.rows["web"]["change"], told.rows["web"]["packets"]) == ("reset", 7)
    assert rules.booked("web") == space.kernel("web")


def test_counters_of_nftables_are_reset_and_made_again(space: Space, rules: Rules) -> None:
    space.send("mail", 4)
    rules.cut()
    space.run(space.here, ["nft", "reset", "counter", "inet", "beside", "mail"])
    assert rules.cut().rows["inet beside mail"]["change"] == "reset"
    space.send("mail", 4)
    rules.cut()
    # The same table again, in one transaction; its counters come to more than before.
    script = "delete table inet beside\n" + space.run(space.here, ["nft", "list", "table", "inet", "beside"])
    space.nft(space.here, script.replace("packets 4 bytes 512", "packets 0 bytes 0"))
    space.send("mail", 9)
    told = rules.cut()
    assert (told.rows["inet beside mail"]["change"], told.rows["inet beside mail"]["packets"]) == ("remade", 5)
    # Whether somebody has put the 4 back cannot be seen.
    assert "between 5 packets (640 bytes) and 9 packets (1152 bytes) of these are new" in str(told.observed.interrupted)
    assert (told.rows["mail"]["change"], told.rows["mail"]["packets"]) == (None, 9)
    assert told.observed.status is Status.INTERRUPTED


def test_objects_appear_and_disappear(space: Space, rules: Rules) -> None:
    rules.cut()
    nfacct.add("late", packets=3, octets=300)
    told = rules.cut()
    assert (told.rows["late"]["change"], told.rows["late"]["packets"]) == ("appeared", 3)
    assert told.observed.status is Status.EXACT
    assert "nfacct late appeared with 3 packets (300 bytes), which are booked" in str(told.observed.why_lost)
    nfacct.delete("late")
    told = rules.cut()
    assert (told.rows["late"]["change"], told.observed.status) == ("gone", Status.INTERRUPTED)
    assert "late" not in rules.cut().rows
    assert space.kernel("web") == Count(0, 0)


def test_an_object_that_is_to_be_there_is_made_again_with_what_it_had(space: Space, rules: Rules) -> None:
    space.send("web", 6)
    rules.cut()
    space.no_rules()
    subprocess.run(["nfacct", "delete", "web"], check=True)
    told = rules.cut()
    assert (told.rows["web"]["change"], told.observed.status) == ("remade", Status.INTERRUPTED)
    assert live("web") == Count(6, 6 * V4_BYTES)
    space.rules("web")
    space.send("web", 2)
    assert rules.cut().rows["web"]["packets"] == 2
    assert live("web") == Count(8, 8 * V4_BYTES)


def test_only_what_is_chosen_is_kept(space: Space) -> None:
    for name in ("http-in", "http-out", "ftp", "odd\nname"):
        nfacct.add(name)
    rules = Rules.on(space.directory, objects=("http*", "odd?name"), nft=("inet beside [wm]*", "* * both"))
    rules.open()
    assert list(rules.cut().rows) == ["http-in", "http-out", "inet beside both"]
    rules.close()
    rules = Rules.on(space.directory, objects=("odd\\x0aname",), nft=())
    rules.open()
    assert list(rules.cut().rows) == ["odd\\x0aname"]
    rules.close()


def test_a_stop_ends_the_books_and_a_stop_that_keeps_them_open_misses_nothing(space: Space, rules: Rules) -> None:
    space.send("web", 1)
    assert rules.close(keep_rules=True) == []
    space.send("web", 2)
    rules.open()
    assert rules.told[-1].rows["web"]["packets"] == 3
    rules.close()
    space.send("web", 4)
    rules.open()
    rules.close()
    assert rules.booked("web") == Count(3, 3 * V4_BYTES)
    assert set(rules.statuses()) == {"exact"}


def test_two_processes_do_not_count_for_one_meter(space: Space, rules: Rules) -> None:
    with pytest.raises(InUseError, match="already counted by pid"):
        Rules(rules.config).open()
    space.send("web", 1)
    assert rules.cut().rows["web"]["packets"] == 1


def test_the_real_program_finds_the_objects_and_its_counts_are_ours(space: Space, rules: Rules) -> None:
    space.send("web", 3)
    rules.cut()
    told = wait_for(
        lambda: subprocess.run(["nfacct", "get", "web"], capture_output=True, text=True, check=True), 5, "get"
    )
    assert told.stdout == "{ pkts = 00000000000000000003, bytes = 00000000000000000384 } = web;\n"
    assert names(rules)[:2] == ["web", "mail"]
