"""``netledger quota reset`` and the rules that are taken out again: on real objects, beside a daemon that looks."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from netledger import nfacct
from netledger.errors import QuotaError
from netledger.intervals import SECOND_NS
from netledger.quotas.agree import agree
from netledger.quotas.alone import alone
from netledger.quotas.definition import Definition, Every, Verdict
from netledger.quotas.objects import Objects
from netledger.quotas.rules import removal, rules
from netledger.quotas.state import What
from netledger.receipt import Count
from tests.kernel.quota_space import Space, packets, told
from tests.kernel.test_quota_objects import KINDS, NAMES

pytestmark = [pytest.mark.kernel, pytest.mark.peers("nfacct", "iptables")]


@pytest.fixture
def space() -> Iterator[Space]:
    """The calling thread is in the namespace."""
    with Space() as made, made.inside(made.here):
        yield made


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
@pytest.mark.parametrize("every", [Every.ONCE, Every.DAY])
def test_who_asks_for_a_new_period_gets_it_while_another_process_looks(
    space: Space, one: Definition, every: Every
) -> None:
    one = replace(one, every=every)
    space.agree(one)
    daemon = space.keeper()
    daemon.look("start")
    end = space.state(one.name).period
    for _ in range(3):
        assert space.send(14) == 10
        daemon.look("look")
        space.clock.advance(SECOND_NS)
        # What the daemon remembers is of the time before.
        state = space.keeper().reset(one.name)
        assert state.begun.told["by"] == "command"
        daemon.look("look")
        assert space.used(one).bytes == 0
    resets = space.facts(What.RESET)
    assert told(resets, "bytes") == [1400] * 3
    assert told(resets, "is_exact") == [True] * 3
    assert told(resets, "was_reached") == [True] * 3
    assert len(space.facts(What.REACHED)) == 3
    assert space.facts(What.CHANGED) == []
    now = space.state(one.name).period
    assert (now is None) == (every is Every.ONCE)
    if now is not None and end is not None:
        assert (now.start_ns, now.end_ns) == (space.clock.wall_ns, end.end_ns)
        assert told(resets, "ended_end")[-1] == space.clock.wall_ns


def test_a_look_waits_for_a_reset_that_is_being_made_and_then_says_so(space: Space) -> None:
    one = packets(10)
    space.agree(one)
    keeper = space.keeper()
    keeper.look("look")
    with alone(space.store, seconds=0), pytest.raises(QuotaError, match="another process changes them"):
        keeper.look("look")
    keeper.look("look")


def test_an_event_of_before_a_reset_reaches_nothing_behind_it(space: Space) -> None:
    one = packets(10)
    space.agree(one)
    daemon = space.keeper()
    daemon.look("start")
    space.send(12)
    space.keeper().reset(one.name)
    # The kernel said it before the reset, and it is heard now.
    daemon.event(one.name, Count(10, 1000))
    daemon.look("look")
    (reached,) = space.facts(What.REACHED)
    assert reached.told["packets"] == 12


def test_an_object_that_somebody_has_set_back_is_cut_in_time_again_behind_a_reset(space: Space) -> None:
    one = packets(10)
    space.agree(one)
    daemon = space.keeper()
    space.send(12)
    daemon.look("look")
    nfacct.reset("limited")
    daemon.look("look")
    assert list(daemon.late) == ["limited"]
    space.keeper().reset(one.name)
    daemon.look("look")
    assert daemon.late == {}
    assert space.send(12) == 10


@pytest.mark.parametrize("one", KINDS, ids=NAMES)
def test_printed_rules_can_be_taken_out_and_put_in_again(space: Space, one: Definition) -> None:
    one = replace(one, verdict=Verdict.DROP, addresses=("192.0.2.7", "2001:db8::/64"))
    agree(space.book(), Objects(), space.clock, one)

    def load(lines: list[str]) -> None:
        text = "\n".join(lines) + "\n"
        if "iptables" in text:
            space.run(space.here, ["sh"], text=text)
        else:
            space.nft(space.here, text)

    before = space.run(space.here, ["iptables-save"]) if one.kind == "nfacct" else ""
    for _ in range(2):
        load(rules(one))
        seen = Objects().seen(one)
        assert seen is not None
        assert seen.is_used
        load(removal(one))
        objects = Objects()
        seen = objects.seen(one)
        assert seen is not None
        assert not seen.is_used
    if before:
        strip = [line for line in before.splitlines() if line.startswith("-")]
        assert [line for line in space.run(space.here, ["iptables-save"]).splitlines() if line.startswith("-")] == strip
        load(rules(one))
        with pytest.raises(RuntimeError, match="Chain already exists"):
            load(rules(one))
        assert space.run(space.here, ["iptables-save"]).count("--nfacct-name limited") == 1


def test_the_command_says_what_was_used(space: Space) -> None:
    one = packets(10)
    space.agree(one)
    space.send(7)
    config = space.directory / "c.toml"
    config.write_text(f'node = "gw1"\nstore = "{space.store}"\nruntime = "{space.runtime}"\n')
    command = [sys.executable, "-m", "netledger", "quota", "reset", "limited", "--config", str(config)]
    assert space.run(space.here, command) == "quota limited begins anew; used were 7 packets, 700 bytes\n"
    assert nfacct.get("limited").packets == 0
    space.send(2)
    event = json.loads(space.run(space.here, [*command, "--json"]))
    assert (event["event"], event["quota"], event["told"]["packets"]) == ("reset", "limited", 2)
    assert event["told"]["by"] == "command"
    assert list(space.runtime.joinpath("quota.resets").iterdir()) == []
